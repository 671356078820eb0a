package scenario

import (
	"archive/zip"
	"fmt"
	"io"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdPlates makes a 3MF package with plates of G-code: plates OUT [FILE...].
func cmdPlates(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("plates OUT [FILE...]")
	}
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	z := zip.NewWriter(f)
	put := func(name, text string) {
		w, err := z.Create(name)
		ts.Check(err)
		_, err = io.WriteString(w, text)
		ts.Check(err)
	}
	put("[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`)
	for i, name := range args[1:] {
		put(fmt.Sprintf("Metadata/plate_%d.gcode", i+1), ts.ReadFile(name))
	}
	ts.Check(z.Close())
	ts.Check(f.Close())
}
