package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"platen/agent/cli"
)

const models = "../../../testdata/models"

// run runs the command and returns its exit code and what it printed.
func run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	root := newRoot()
	var o, e bytes.Buffer
	root.SetOut(&o)
	root.SetErr(&e)
	root.SetArgs(args)
	code = cli.Run(context.Background(), root)
	return code, o.String(), e.String()
}

// seen reads G-code the way a printer does: absolute filament, layers, types.
type seen struct {
	layers   int
	filament float64
	types    map[string]bool
	commands map[string]int
}

func readGCode(t *testing.T, text string) seen {
	t.Helper()
	c := seen{types: map[string]bool{}, commands: map[string]int{}}
	at := 0.0
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if kind, ok := strings.CutPrefix(line, ";TYPE:"); ok {
			c.types[kind] = true
		}
		if strings.HasPrefix(line, ";LAYER:") {
			c.layers++
		}
		words := strings.Fields(strings.SplitN(line, ";", 2)[0])
		if len(words) == 0 {
			continue
		}
		c.commands[words[0]]++
		for _, w := range words[1:] {
			if w[0] == 'E' {
				e, err := strconv.ParseFloat(w[1:], 64)
				if err != nil {
					t.Fatalf("line %q: %v", line, err)
				}
				if words[0] == "G1" {
					c.filament += e - at
				}
				at = e
			}
		}
	}
	return c
}

// Every model there is becomes G-code that says what the summary says.
func TestEveryModel(t *testing.T) {
	files, err := filepath.Glob(models + "/*")
	if err != nil || len(files) < 14 {
		t.Fatalf("%d models, %v", len(files), err)
	}
	for i, f := range files {
		if testing.Short() && i%4 != 0 {
			continue
		}
		name := filepath.Join(t.TempDir(), "out.gcode")
		code, out, errs := run(t, f, "-o", name, "-o", "json")
		if code != 0 {
			t.Fatalf("%s: exit %d: %s", f, code, errs)
		}
		var s summary
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c := readGCode(t, string(text))
		if c.layers != s.Layers || s.Layers == 0 || math.Abs(c.filament-s.FilamentMM) > 0.01 {
			t.Errorf("%s: %d layers and %.3f mm of filament, the summary says %+v", f, c.layers, c.filament, s)
		}
		for _, want := range []string{"External perimeter", "Solid infill", "Skirt/Brim"} {
			if !c.types[want] && !(want != "Skirt/Brim" && filepath.Base(f) == "thin.stl") { // has hardly room for walls
				t.Errorf("%s: no %s", f, want)
			}
		}
		for _, want := range []string{"G28", "M109", "M190", "M84", "M104", "M140"} {
			if c.commands[want] == 0 {
				t.Errorf("%s: no %s", f, want)
			}
		}
	}
}

func TestStandardOutput(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out.gcode")
	if code, _, errs := run(t, models+"/cube.stl", "-o", name); code != 0 {
		t.Fatal(errs)
	}
	code, out, errs := run(t, models+"/cube.stl", "-o", "-")
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// Progress is filled in at the end, which needs a file.
	want = regexp.MustCompile("(?m)^M73 .*\n").ReplaceAll(want, nil)
	if code != 0 || out != string(want) || !strings.Contains(errs, "100%") {
		t.Errorf("exit %d, %d bytes, want %d; stderr %q", code, len(out), len(want), errs)
	}
	if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestSummary(t *testing.T) {
	code, out, _ := run(t, models+"/cube.stl")
	if code != 0 || !strings.Contains(out, "layers    100\n") || !strings.Contains(out, "model     8000 mm³") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestInspect(t *testing.T) {
	code, out, errs := run(t, "inspect", models+"/cube-ascii.stl", "-o", "json")
	var f findings
	if err := json.Unmarshal([]byte(out), &f); err != nil || code != 0 {
		t.Fatalf("exit %d: %s%v", code, errs, err)
	}
	want := findings{
		SizeMM: [3]float64{20, 20, 20}, VolumeMM3: 8000, SurfaceMM2: 2400, Triangles: 12, Bodies: 1, Copies: 1, Layers: 100,
		Printable: printability{Fits: true},
	}
	if d := cmp.Diff(want, f); d != "" {
		t.Error(d)
	}
	if code, out, _ := run(t, "inspect", models+"/cube.stl"); code != 0 || !strings.Contains(out, "20.000 × 20.000 × 20.000 mm") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestPreview(t *testing.T) {
	name := filepath.Join(t.TempDir(), "layer.SVG")
	if code, _, errs := run(t, models+"/tee.stl", "-o", name, "--layer", "1"); code != 0 {
		t.Fatal(errs)
	}
	svg, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines, d := 0, xml.NewDecoder(bytes.NewReader(svg))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "line" {
			lines++
		}
	}
	if lines < 50 {
		t.Errorf("%d lines", lines)
	}
	img := picture(t, models+"/tee.stl")
	if walls := dots(img, img.Bounds(), color.RGBA{0xd9, 0x5f, 0x30, 0xff}); walls < 1000 {
		t.Errorf("%d pixels of outer wall", walls)
	}
}

func TestSettingsFlags(t *testing.T) {
	layers := func(args ...string) int {
		t.Helper()
		code, out, errs := run(t, append([]string{models + "/cube.stl", "-o", "json"}, args...)...)
		var s summary
		if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, errs)
		}
		return s.Layers
	}
	if n := layers("--layer-height", "0.1mm", "--first-layer-height", "300um"); n != 198 {
		t.Errorf("%d layers", n)
	}
	if n := layers("--volume", "100x100x50mm", "--infill", "15%", "--pattern", "grid", "--hotend", "230C", "--fan", "50%", "--outer-wall-speed", "25mm/s"); n != 100 {
		t.Errorf("%d layers", n)
	}
}

// The first layer has the temperatures of the others unless it is given its own.
func TestTemperatures(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"M109 [RS]215\n", "M104 S210\n", "M190 [RS]60\n"}},
		{[]string{"--hotend", "240C", "--bed", "80"}, []string{"M109 [RS]240\n", "M190 [RS]80\n"}},
		{[]string{"--hotend", "240C", "--first-layer-hotend", "250C"}, []string{"M109 [RS]250\n", "M104 S240\n"}},
	} {
		code, out, errs := run(t, append([]string{models + "/tee.stl", "-o", "-"}, c.args...)...)
		if code != 0 {
			t.Fatal(errs)
		}
		for _, want := range c.want {
			if !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("%v: no %q", c.args, want)
			}
		}
		if regexp.MustCompile("M109 [RS]215\n").MatchString(out) != (c.args == nil) {
			t.Errorf("%v: the default is in the way", c.args)
		}
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.stl")
	if err := os.WriteFile(bad, []byte("not a model"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.gcode")
	cube := models + "/cube.stl"
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{nil, cli.ExitUsage, "--help"},
		{[]string{cube, cube}, cli.ExitUsage, "--help"},
		{[]string{cube, "-o", "out.doc"}, cli.ExitUsage, ".gcode, .svg, .png"},
		{[]string{cube, "--layer-height", "wide"}, cli.ExitUsage, "number"},
		{[]string{cube, "--layer-height", "5mm"}, cli.ExitUsage, "layer_height of 5mm"},
		{[]string{cube, "--infill", "120%"}, cli.ExitUsage, "100%"},
		{[]string{cube, "--pattern", "spaghetti"}, cli.ExitUsage, "is not one of lines, "},
		{[]string{cube, "--volume", "100x100"}, cli.ExitUsage, "220x220x250mm"},
		{[]string{cube, "--volume", "10x10x10mm", "-o", out}, cli.ExitFailed, "does not fit the build volume"},
		{[]string{cube, "-o", filepath.Join(dir, "x.png"), "--layer", "101"}, cli.ExitUsage, "layers 1 to 100"},
		{[]string{bad, "-o", out}, cli.ExitFailed, "not a model that can be read"},
		{[]string{filepath.Join(dir, "none.stl"), "-o", out}, cli.ExitFailed, "no such file"},
		{[]string{dir, "-o", out}, cli.ExitFailed, "not a regular file"},
		{[]string{cube, "-o", filepath.Join(dir, "none", "out.gcode")}, cli.ExitFailed, "no such file"},
		{[]string{"inspect", cube, "-o", out}, cli.ExitUsage, "writes no file"},
	} {
		code, _, errs := run(t, c.args...)
		if code != c.code || !strings.Contains(errs, c.text) {
			t.Errorf("%q: exit %d, %q; want %d, %q", c.args, code, errs, c.code, c.text)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}
