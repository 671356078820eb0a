package prusa

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"platen/slicer"
	"platen/slicer/profile"
)

func read(t *testing.T, text string) Config {
	t.Helper()
	c, err := Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// options are all names that PrusaSlicer 2.9.4 defines for printing, for printers with
// resin and for its command line, and those that 2.5 wrote besides.
func options(t *testing.T) []string {
	names := strings.Fields(file(t, "testdata/options.txt"))
	if len(names) < 560 {
		t.Fatalf("%d names", len(names))
	}
	return names
}

// Every setting of PrusaSlicer has a rule or a group, and just one.
func TestEveryOptionIsKnown(t *testing.T) {
	names := options(t)
	for _, name := range append(slices.Clone(names), "no_such_setting") {
		n := 0
		if _, ok := rules()[name]; ok {
			n++
		}
		for _, g := range groups {
			if g.has(name) {
				n++
			}
		}
		want := 1
		if name == "no_such_setting" {
			want = 0
		}
		if n != want {
			t.Errorf("%s is decided on %d times", name, n)
		}
	}
	for name := range rules() {
		if !slices.Contains(names, name) {
			t.Errorf("there is a rule for %s, which PrusaSlicer does not have", name)
		}
	}
	for _, g := range groups {
		for _, n := range strings.Fields(g.names) {
			begin, many := strings.CutSuffix(n, "*")
			if !slices.ContainsFunc(names, func(name string) bool { return name == n || many && strings.HasPrefix(name, begin) }) {
				t.Errorf("there is a reason for %s, which PrusaSlicer does not have", n)
			}
		}
	}
}

// Whatever any setting says, its rule ends in settings of ours that can be set, or in a
// reason.
func TestEveryRule(t *testing.T) {
	values := []string{"", "0", "1", "2", "-1", "0.35", "50%", "200%", "nil", "\"\"", "a,b", "NaN", "1e300", "0x0,10x0,10x10,0x10",
		"enabled", "disabled", "grid", "organic", "rectilinear", "monotonic", "aligned", "outer_only", "no_brim", "210", "60"}
	for _, name := range options(t) {
		taken, try := false, values
		if _, ok := rules()[name]; !ok {
			try = values[:4]
		}
		for _, v := range try {
			c := Config{name: v, "layer_height": "0.2"}
			text, lines, err := Import(c)
			if err != nil {
				t.Fatalf("%s = %s: %v", name, v, err)
			}
			s := slicer.Default()
			if err := profile.Apply(&s, name, text); err != nil {
				t.Errorf("%s = %s: %v", name, v, err)
			}
			for _, l := range lines {
				if l.Key != name {
					continue
				}
				taken = taken || len(l.To) > 0
				if (l.Outcome != Taken) != (l.Reason != "") || l.Outcome == None && len(l.To) > 0 {
					t.Errorf("%s = %s: %+v", name, v, l)
				}
			}
		}
		if _, ok := rules()[name]; ok && !taken && !slices.Contains([]string{"cooling", "fan_always_on", "support_material_style",
			"support_material_auto", "enable_dynamic_fan_speeds", "filament_wipe"}, name) &&
			!strings.HasPrefix(name, "overhang_") {
			t.Errorf("%s has a rule that takes nothing", name)
		}
	}
}

// Words that a setting may be are all settings of ours, or have no equivalent.
func TestWords(t *testing.T) {
	all := "rectilinear monotonic monotoniclines alignedrectilinear grid triangles stars cubic line concentric honeycomb 3dhoneycomb gyroid " +
		"hilbertcurve archimedeanchords octagramspiral adaptivecubic supportcubic lightning zigzag"
	for name, words := range map[string]string{
		"fill_pattern": all, "top_fill_pattern": "rectilinear monotonic monotoniclines alignedrectilinear concentric hilbertcurve archimedeanchords octagramspiral",
		"bottom_fill_pattern": "monotonic", "seam_position": "random nearest aligned rear", "brim_type": "no_brim outer_only inner_only outer_and_inner",
		"support_material_pattern": "rectilinear rectilinear-grid honeycomb", "draft_shield": "enabled",
	} {
		for _, w := range strings.Fields(words) {
			_, lines, err := Import(Config{name: w})
			if err != nil || lines[0].Outcome != Taken && lines[0].Outcome != Changed || len(lines[0].To) == 0 {
				t.Errorf("%s = %s: %+v, %v", name, w, lines, err)
			}
		}
	}
	for style, want := range map[string]string{"grid": "grid", "snug": "grid", "tree": "tree", "organic": "tree", "": "grid"} {
		_, lines, err := Import(Config{"support_material": "1", "support_material_style": style})
		if err != nil || lines[0].To[0] != "support="+want {
			t.Errorf("%s: %+v, %v", style, lines, err)
		}
	}
}

// The config in testdata, value by value.
func TestImport(t *testing.T) {
	text, lines, err := Import(read(t, file(t, "testdata/config.ini")))
	if err != nil {
		t.Fatal(err)
	}
	s := slicer.Default()
	if err := profile.Apply(&s, "config.ini", text); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	for key, want := range map[string]string{
		"nozzle_diameter": "0.4mm", "build_max_x": "250mm", "build_max_y": "210mm", "build_max_z": "210mm",
		"hot_end": "215C", "first_layer_hot_end": "225C", "bed": "60C", "first_layer_bed": "65C", "max_flow": "11.5mm3/s",
		"fan": "100%", "fan_min": "40%", "retract_length": "0.8mm", "z_hop": "0.4mm", "wipe_distance": "3.29143mm",
		"layer_height": "0.2mm", "first_layer_height": "0.15mm", "line_width": "0.45mm", "walls": "3", "seam": "rear",
		"outer_wall_speed": "25mm/s", "inner_wall_speed": "50mm/s", "skin_speed": "80mm/s", "top_skin_speed": "40mm/s",
		"infill_density": "15%", "infill_pattern": "triangles", "infill_overlap": "25%", "solid_infill_below_size": "5mm",
		"support": "tree", "support_angle": "50deg", "brim": "outer", "brim_width": "4mm", "acceleration": "1000mm/s2",
		"elephant_foot_compensation": "0.2mm", "xy_compensation": "-0.1mm", "hole_compensation": "0.1mm",
	} {
		if r, err := slicer.Lookup(key); err != nil || r.Text(&s) != want {
			t.Errorf("%s is %s, want %s: %v", key, r.Text(&s), want, err)
		}
	}
	outcome := map[string]Line{}
	for _, l := range lines {
		outcome[l.Key] = l
	}
	for key, want := range map[string]Outcome{
		"perimeters": Taken, "bed_temperature": Changed, "fill_pattern": Changed, "start_gcode": Board, "machine_max_feedrate_x": Board,
		"fuzzy_skin": None, "my_own_setting": None, "notes": Unused, "filament_retract_length": Unused, "retract_lift": Unused,
	} {
		if outcome[key].Outcome != want {
			t.Errorf("%s: %+v, want %s", key, outcome[key], want)
		}
	}
	if len(lines) != len(read(t, file(t, "testdata/config.ini"))) {
		t.Errorf("%d lines", len(lines))
	}
}

// Settings are found at the end of G-code and in projects, and nowhere else.
func TestRead(t *testing.T) {
	gcode := "; generated by PrusaSlicer\nG28\nG1 X=5\nM117 a = b\n; layer_height = 9 in a comment = x\n; prusaslicer_config = begin\n; layer_height = 0.25\n; perimeters = 4\n; start_gcode = G28 ; a = b\\nG1\n; prusaslicer_config = end\n"
	c := read(t, gcode)
	if len(c) != 3 || c["layer_height"] != "0.25" || c["perimeters"] != "4" || c["start_gcode"] != `G28 ; a = b\nG1` {
		t.Errorf("%v", c)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("Metadata/Slic3r_PE.config")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "; layer_height = 0.15\n; perimeters = 2\n"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if c := read(t, b.String()); c["layer_height"] != "0.15" || len(c) != 2 {
		t.Errorf("%v", c)
	}
	var other bytes.Buffer
	z = zip.NewWriter(&other)
	if _, err := z.Create("3D/3dmodel.model"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "no settings": "G28\nG1 X1\n", "a bundle": "# x\n[print:0.2mm]\nlayer_height = 0.2\nperimeters = 2\n", "binary G-code": "GCDE....",
		"no archive": "PK\x03\x04", "a model": other.String(), "binary": strings.Repeat("\x00", 4096),
	} {
		if c, err := Read(strings.NewReader(text), int64(len(text))); !errors.Is(err, ErrNoConfig) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}

// What an installed PrusaSlicer saves is read, and all of it is known.
func TestInstalledPrusaSlicer(t *testing.T) {
	exe, err := exec.LookPath("prusa-slicer")
	if err != nil {
		t.Skip("prusa-slicer is not installed")
	}
	name := filepath.Join(t.TempDir(), "config.ini")
	if out, err := exec.Command(exe, "--save", name).CombinedOutput(); err != nil {
		t.Skipf("prusa-slicer does not run here: %v: %s", err, out)
	}
	text, lines, err := Import(read(t, file(t, name)))
	if err != nil || len(lines) < 200 {
		t.Fatalf("%d settings, %v", len(lines), err)
	}
	for _, l := range lines {
		if strings.Contains(l.Reason, "has no such setting") {
			t.Errorf("%s is not known", l.Key)
		}
	}
	s := slicer.Default()
	if err := errors.Join(profile.Apply(&s, name, text), s.Validate()); err != nil {
		t.Error(err)
	}
}

// Whatever a file says, what is made of it is a profile.
func FuzzImport(f *testing.F) {
	b, err := os.ReadFile("testdata/config.ini")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add("layer_height = 1e308\nextrusion_width = 200%\nfirst_layer_extrusion_width = 200%\ninfill_overlap = 100%\n")
	f.Add("; prusaslicer_config = begin\n; bed_shape = 0x0,1\n; wipe = 1\n; retract_speed = 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Read(strings.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		out, lines, err := Import(c)
		if err != nil || len(lines) != len(c) {
			t.Fatalf("%d of %d settings, %v", len(lines), len(c), err)
		}
		s := slicer.Default()
		if err := profile.Apply(&s, "x", out); err != nil && len(out) <= profile.MaxSize {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}
