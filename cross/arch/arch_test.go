package arch

import (
	"encoding/json"
	"flag"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/platen.deps")

type listed struct {
	ImportPath string
	Dir        string
	Standard   bool
	GoFiles    []string
	Imports    []string
}

// list runs go list for the device's target and decodes its stream.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Standard,GoFiles,Imports"}, args...)...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm", "GOARM=7", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	var pkgs []listed
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		switch err := dec.Decode(&p); err {
		case nil:
			pkgs = append(pkgs, p)
		case io.EOF:
			if len(pkgs) == 0 {
				t.Fatal("go list found no package")
			}
			return pkgs
		default:
			t.Fatal(err)
		}
	}
}

func TestImportTable(t *testing.T) {
	var pkgs []Package
	for _, p := range list(t, "./...") {
		if len(p.GoFiles) > 0 {
			pkgs = append(pkgs, Package{p.ImportPath, p.Imports})
		}
	}
	for _, s := range Check(pkgs) {
		t.Error(s)
	}
}

// TestImportTableNotices is the control of TestImportTable: each seeded violation
// is found.
func TestImportTableNotices(t *testing.T) {
	for _, p := range []Package{
		{"platen/attic", nil},
		{"platen/slicer/geom", []string{"net/http"}},
		{"platen/slicer/geom", []string{"platen/hal"}},
		{"platen/slicer/path", []string{"os/exec"}},
		{"platen/agent/telemetry", []string{"platen/slicer"}},
		{"platen/agent/telemetry", []string{"platen/hal/motion"}},
		{"platen/agent/uplink", []string{"platen/agent/session"}},
		{"platen/agent/attest", []string{"platen/slicer/mesh"}},
		{"platen/agent/session", []string{"net"}},
		{"platen/agent/seam", []string{"os"}},
		{"platen/agent/catalog", []string{"platen/hal/motion"}},
		{"platen/updater/boot", []string{"platen/hal"}},
		{"platen/hal/marlin", []string{"github.com/tarm/serial"}},
		{"platen/agent/telemetry", []string{"github.com/eclipse/paho.golang/autopaho"}},
		{"platen/agent/uplink", []string{"github.com/google/go-tpm/tpm2"}},
		{"platen/updater", []string{"github.com/theupdateframework/go-tuf/v2/metadata"}},
		{"platen/agent", []string{"github.com/shirou/gopsutil/v3/cpu"}},
	} {
		if len(Check([]Package{p})) != 1 {
			t.Errorf("%v passes", p)
		}
	}
	if bad := Check([]Package{{"platen/hal/motion", []string{"iter", "platen/hal/unit"}}}); len(bad) != 0 {
		t.Errorf("an allowed import is refused: %v", bad)
	}
}

func TestDeviceDependencies(t *testing.T) {
	var all, outside []string
	for _, p := range list(t, "-deps", "./agent/cmd/platen") {
		all = append(all, p.ImportPath)
		if !p.Standard {
			outside = append(outside, p.ImportPath)
		}
	}
	for _, s := range CheckDevice(all) {
		t.Error(s)
	}
	slices.Sort(outside)
	got := strings.Join(outside, "\n") + "\n"
	const golden = "testdata/platen.deps"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("the device binary's dependencies changed (go test ./cross/arch -update accepts this):\n%s", d)
	}
}

func TestDeviceDependenciesNotices(t *testing.T) {
	seeded := []string{"platen/agent/fleet/verify", "platen/hal/sim", "testing", "platen/cross/rig", "platen/updater/publish"}
	if got := CheckDevice(append(seeded, "platen/hal")); len(got) != len(seeded) {
		t.Errorf("found %v", got)
	}
}

// undocumented returns what in the package of dir lacks a doc comment, and the
// files that hold a package comment.
func undocumented(t *testing.T, dir string, files []string) (names, pkgDocs []string) {
	t.Helper()
	fset := token.NewFileSet()
	var parsed []*ast.File
	for _, f := range files {
		af, err := parser.ParseFile(fset, filepath.Join(dir, f), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if af.Doc != nil && len(strings.Fields(af.Doc.Text())) >= 8 {
			pkgDocs = append(pkgDocs, f)
		}
		parsed = append(parsed, af)
	}
	p, err := doc.NewFromFiles(fset, parsed, "platen/x")
	if err != nil {
		t.Fatal(err)
	}
	values := func(vs []*doc.Value) {
		for _, v := range vs {
			if v.Doc == "" && !specsDocumented(v.Decl) {
				names = append(names, strings.Join(v.Names, ","))
			}
		}
	}
	funcs := func(fs []*doc.Func) {
		for _, f := range fs {
			if f.Doc == "" && ast.IsExported(f.Name) {
				names = append(names, f.Recv+"."+f.Name)
			}
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs(p.Funcs)
	for _, ty := range p.Types {
		if ty.Doc == "" {
			names = append(names, ty.Name)
		}
		values(ty.Consts)
		values(ty.Vars)
		funcs(ty.Funcs)
		funcs(ty.Methods)
	}
	return names, pkgDocs
}

// specsDocumented reports whether every exported name of a const or var group has
// a comment of its own.
func specsDocumented(d *ast.GenDecl) bool {
	for _, s := range d.Specs {
		v, ok := s.(*ast.ValueSpec)
		if !ok || v.Doc == nil && v.Comment == nil {
			return false
		}
	}
	return true
}

func TestDocumented(t *testing.T) {
	for _, p := range list(t, "./...") {
		if len(p.GoFiles) == 0 {
			continue
		}
		names, docs := undocumented(t, p.Dir, p.GoFiles)
		if len(docs) != 1 {
			t.Errorf("%s has %d package comments in %v: want one a newcomer can start from", p.ImportPath, len(docs), docs)
		}
		for _, n := range names {
			t.Errorf("%s: %s is exported without a comment", p.ImportPath, n)
		}
	}
}

// TestDocumentedNotices is the control of TestDocumented.
func TestDocumentedNotices(t *testing.T) {
	dir := t.TempDir()
	src := "package x\n\nfunc Bare() {}\n\n// T is documented.\ntype T struct{}\n\nfunc (T) M() {}\n\nconst C = 1\n"
	if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte(src), 0o644); err != nil {
		t.Fatal(err)
	}
	names, docs := undocumented(t, dir, []string{"x.go"})
	slices.Sort(names)
	if d := cmp.Diff([]string{".Bare", "C", "T.M"}, names); d != "" || len(docs) != 0 {
		t.Errorf("names %v, package comments %v", names, docs)
	}
}

// foreign lists words that belong to a workplace and not to the project.
var foreign = []string{"TODO", "FIXME", "XXX:"}

func TestNothingUnfinished(t *testing.T) {
	for _, p := range list(t, "./...") {
		if strings.HasSuffix(p.ImportPath, "cross/arch") {
			continue
		}
		for _, f := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range foreign {
				if strings.Contains(string(src), w) {
					t.Errorf("%s/%s contains %s", p.ImportPath, f, w)
				}
			}
		}
	}
}
