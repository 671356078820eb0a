package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"platen/agent/cli"
	"platen/slicer"
)

func TestSettingsCommand(t *testing.T) {
	code, out, errs := run(t, "settings", "-o", "json", "--profile", "petg", "-s", "walls=7", "--layer-height", "300um")
	var list []entry
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != len(slicer.Table()) {
		t.Fatalf("exit %d, %d entries, %v: %s", code, len(list), err, errs)
	}
	want := map[string]string{"hot_end": "240C", "walls": "7", "layer_height": "0.3mm", "copies": "1"}
	for _, e := range list {
		if w := want[e.Key]; w != "" && w != e.Value {
			t.Errorf("%s is %s, want %s", e.Key, e.Value, w)
		}
	}
	code, out, _ = run(t, "settings", "RETRACT")
	if code != 0 || !strings.Contains(out, "Retraction [material]\n  retract_length ") || strings.Contains(out, "walls ") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, errs = run(t, "settings", "xyzzy"); code != cli.ExitUsage {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// What settings --toml prints is a profile that does the same.
func TestSettingsAsProfile(t *testing.T) {
	code, out, errs := run(t, "settings", "--toml", "--profile", "tpu", "-s", "infill_density=33")
	if code != 0 {
		t.Fatal(errs)
	}
	name := filepath.Join(t.TempDir(), "mine.toml")
	if err := os.WriteFile(name, []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, again, errs := run(t, "settings", "--toml", "--profile", name); code != 0 || again != out || !strings.Contains(out, `infill_density = "33%"`) {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// Flags and profiles count in the order in which they stand.
func TestOrderOfSettings(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--profile", "petg", "-s", "hot_end=222C"}, "222C"},
		{[]string{"--hotend", "222", "--profile", "petg"}, "240C"},
		{[]string{"--profile", "abs", "--profile", "petg"}, "240C"},
	} {
		code, out, errs := run(t, append([]string{"settings", "-o", "json", "hot_end"}, c.args...)...)
		var list []entry
		if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || list[0].Value != c.want {
			t.Errorf("%v: exit %d, %v: %s%s", c.args, code, err, out, errs)
		}
	}
}

func TestProfilesCommand(t *testing.T) {
	code, out, _ := run(t, "profiles")
	if code != 0 || !strings.Contains(out, "petg     PETG: ") {
		t.Errorf("exit %d: %s", code, out)
	}
	code, out, _ = run(t, "profiles", "fine")
	if code != 0 || !strings.Contains(out, "layer_height = \"0.12mm\"") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, errs := run(t, "profiles", "best"); code != cli.ExitUsage || !strings.Contains(errs, "normal") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestSettingsRefuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(bad, []byte("[quality]\n\nwals = 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		say  string
	}{
		{[]string{"-s", "wals=2"}, `is it "walls"?`},
		{[]string{"-s", "walls"}, "key=value"},
		{[]string{"-s", "walls=99"}, "walls of 99 is not between 0 and 50"},
		{[]string{"--profile", bad}, "bad.toml:3: "},
		{[]string{"--profile", "best"}, "one of abs, draft"},
		{[]string{"--profile", "no-such.toml"}, "no such file"},
	} {
		if code, _, errs := run(t, append([]string{models + "/cube.stl"}, c.args...)...); code == 0 || !strings.Contains(errs, c.say) {
			t.Errorf("%v: exit %d: %s", c.args, code, errs)
		}
	}
}

// What import-ini prints is a profile, and what it leaves out is told beside it.
func TestImportCommand(t *testing.T) {
	config := "../../profile/prusa/testdata/config.ini"
	code, out, errs := run(t, "import-ini", config)
	name := filepath.Join(t.TempDir(), "mine.toml")
	if err := os.WriteFile(name, []byte(out), 0o644); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, errs)
	}
	if !strings.Contains(errs, "board: the G-code around a print is [macros] of the board file\n    end_gcode start_gcode\n") {
		t.Errorf("%s", errs)
	}
	if code, out, errs := run(t, "settings", "perimeter", "seam", "--profile", name); code == 0 {
		t.Errorf("two words are taken: %s%s", out, errs)
	}
	if code, out, errs := run(t, "settings", "seam", "--profile", name); code != 0 || !strings.Contains(out, "rear") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	code, out, _ = run(t, "import-ini", config, "-o", "json")
	var all imported
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 || len(all.Lines) < 40 || !strings.HasPrefix(all.Profile, "[printer]") {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if code, _, errs := run(t, "import-ini", models+"/cube.stl"); code == 0 || !strings.Contains(errs, "no settings of PrusaSlicer") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestCompletion(t *testing.T) {
	for _, c := range []struct{ args, want []string }{
		{[]string{"part.stl", "-s", "ironing_a"}, []string{"ironing_angle="}},
		{[]string{"part.stl", "-s", "infill_pattern="}, []string{"infill_pattern=lines", "infill_pattern=gyroid"}},
		{[]string{"part.stl", "-s", "ironing="}, []string{"ironing=true", "ironing=false"}},
		{[]string{"inspect", "--profile", ""}, []string{"petg", "fine"}},
	} {
		code, out, errs := run(t, append([]string{"__complete"}, c.args...)...)
		for _, want := range c.want {
			if code != 0 || !slices.Contains(strings.Split(out, "\n"), want) {
				t.Errorf("%v: exit %d, no %q: %s%s", c.args, code, want, out, errs)
			}
		}
	}
}
