package qemu

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// emulator finds the emulator of an architecture: dynamically or statically linked.
func emulator(t *testing.T, name string) string {
	t.Helper()
	path, err := rig.Find(name)
	if err != nil {
		var serr error
		if path, serr = rig.Find(name + "-static"); serr == nil {
			err = nil
		}
	}
	rigtest.Check(t, err)
	return path
}

// build builds a command of ours for a target, with further environment.
func build(t *testing.T, pkg, out string, env ...string) string {
	t.Helper()
	out = filepath.Join(t.TempDir(), out)
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, pkg)
	cmd.Dir = "../.."
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, text)
	}
	return out
}

func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		var text []byte
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			text = e.Stderr
		}
		t.Fatalf("%s %v: %v\n%s", name, args, err, text)
	}
	return out
}

func TestDeviceBinaryStarts(t *testing.T) {
	for _, c := range []struct{ emulator, target, arch, arm string }{
		{"qemu-arm", "linux/arm", "arm", "6"}, {"qemu-arm", "linux/arm", "arm", "7"}, {"qemu-aarch64", "linux/arm64", "arm64", ""},
	} {
		qemu := emulator(t, c.emulator)
		bin := build(t, "./agent/cmd/platen", "platen", "GOARCH="+c.arch, "GOARM="+c.arm)
		var v struct{ Name, Target string }
		if err := json.Unmarshal(output(t, qemu, bin, "version", "-o", "json"), &v); err != nil {
			t.Fatal(err)
		}
		if v.Name != "platen" || v.Target != c.target {
			t.Errorf("%s v%s: says %+v", c.arch, c.arm, v)
		}
		if len(output(t, qemu, bin, "catalogue")) < 1000 {
			t.Errorf("%s v%s: the catalogue is short", c.arch, c.arm)
		}
	}
}

// TestSlicesAreTheSameEverywhere compares programs made by 32-bit ARM with those of
// this machine. The control is another layer height.
func TestSlicesAreTheSameEverywhere(t *testing.T) {
	qemu := emulator(t, "qemu-arm")
	here := build(t, "./slicer/cmd/platen-slice", "platen-slice")
	there := build(t, "./slicer/cmd/platen-slice", "platen-slice-arm", "GOARCH=arm", "GOARM=7")
	models, err := filepath.Glob("../../testdata/models/*")
	if err != nil || len(models) == 0 {
		t.Fatal("no models")
	}
	largest := int64(100_000) // emulation is slow
	if testing.Short() {
		largest = 10_000
	}
	for _, m := range models {
		if fi, err := os.Stat(m); err != nil || fi.Size() > largest {
			continue
		}
		want, got := output(t, here, m, "-o", "-"), output(t, qemu, there, m, "-o", "-")
		if len(want) < 1000 || !bytes.Equal(want, got) {
			t.Errorf("%s: %d bytes here, %d there, and not the same", filepath.Base(m), len(want), len(got))
		}
	}
	m := "../../testdata/models/cube.stl"
	if bytes.Equal(output(t, here, m, "-o", "-"), output(t, qemu, there, m, "-o", "-", "--layer-height", "0.25mm")) {
		t.Error("control: a difference is not noticed")
	}
}
