package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"platen/agent/intake/stick/sticktest"
)

// cmdStick plugs in a USB stick, as far as an agent of a tree of files can tell: stick NAME
// FS TABLE FILE[=PATH]... makes sys/block/NAME and dev/NAME, an image with the files, each
// by its own name or at a path. ! stick NAME pulls it out.
func cmdStick(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || !neg && len(args) < 3 {
		ts.Fatalf("stick NAME FS TABLE [FILE[=PATH]...]")
	}
	link := ts.MkAbs("sys/block/" + args[0])
	if neg {
		ts.Check(os.Remove(link))
		return
	}
	p := sticktest.Plan{FS: sticktest.FS(args[1]), Table: sticktest.Table(args[2]), Cluster: 8}
	for _, arg := range args[3:] {
		name, path, ok := strings.Cut(arg, "=")
		if !ok {
			path = filepath.Base(name)
		}
		p.Files = append(p.Files, sticktest.File{Path: path, Data: []byte(ts.ReadFile(name))})
	}
	for _, dir := range []string{"dev", "sys/block"} {
		ts.Check(os.MkdirAll(ts.MkAbs(dir), 0o700))
	}
	ts.Check(sticktest.Make(p).Save(ts.MkAbs("dev/" + args[0])))
	place := "devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host0/target0:0:0/0:0:0:0/block/" + args[0]
	for file, text := range map[string]string{"removable": "1", "size": "100", "dev": "8:0", "queue/logical_block_size": "512"} {
		path := ts.MkAbs(filepath.Join("sys", place, file))
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
		ts.Check(os.WriteFile(path, fmt.Appendln(nil, text), 0o600))
	}
	if err := os.Symlink("../"+place, link); !os.IsExist(err) {
		ts.Check(err)
	}
}
