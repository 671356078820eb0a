package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/agent/cli"
)

// What platen-slice makes of a cube is judged, and one layer that is moved is seen.
func TestCheck(t *testing.T) {
	text := sliced(t, models+"/cube.stl", "--infill", "100")
	dir := t.TempDir()
	judge := func(text string, args ...string) (int, verdict) {
		t.Helper()
		name := filepath.Join(dir, "in.gcode")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := run(t, append([]string{"check", name, "--model", models + "/cube.stl", "-o", "json", "--solid", "--judge", "12"}, args...)...)
		var v verdict
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatalf("exit %d: %s%v", code, errs, err)
		}
		return code, v
	}
	_, right := judge(text)
	if right.Layers != 100 || right.Judged < 10 || right.WallP95UM > 10 || right.Outside > 2e-4 || right.Kept < 0.999 || right.Air != 0 {
		t.Errorf("%+v", right)
	}
	show := filepath.Join(dir, "bare.png")
	if code, _, errs := run(t, "check", filepath.Join(dir, "in.gcode"), "--model", models+"/cube.stl", "-o", show, "--layer", "100"); code != 0 {
		t.Error(errs)
	} else if st, err := os.Stat(show); err != nil || st.Size() < 2000 {
		t.Errorf("a picture: %v", err)
	}
	i := strings.Index(text, ";LAYER:99\n")
	k := i + strings.Index(text[i:], ";TYPE:External")
	code, moved := judge(text[:k]+"G92 X0 Y0\n"+text[k:], "--bars")
	if code != cli.ExitFailed || moved.OK || moved.WallP95UM == right.WallP95UM && moved.Outside == right.Outside {
		t.Errorf("exit %d: a wall elsewhere is not seen", code)
	}
}

func TestCheckRefuses(t *testing.T) {
	cube := models + "/cube.stl"
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"check"}, cli.ExitUsage, "--help"},
		{[]string{"check", cube}, cli.ExitUsage, "--model"},
		{[]string{"check", cube, "--model", cube}, cli.ExitFailed, "no printed line"},
		{[]string{"check", cube, "--model", cube, "--at", "far"}, cli.ExitUsage, "110x110mm"},
		{[]string{"check", cube, "--model", cube, "-o", "x.svg"}, cli.ExitUsage, ".png"},
		{[]string{"check", cube, "--model", cube, "-o", "x.png"}, cli.ExitFailed, "no printed line"},
		{[]string{"check", "none.gcode", "--model", cube}, cli.ExitFailed, "no such file"},
		{[]string{"check", cube, "--model", "none.stl"}, cli.ExitFailed, "no such file"},
	} {
		if code, _, errs := run(t, c.args...); code != c.code || !strings.Contains(errs, c.text) {
			t.Errorf("%q: exit %d, %q; want %d, %q", c.args, code, errs, c.code, c.text)
		}
	}
}
