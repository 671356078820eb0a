// Package rigtest gives tests the real peers of package rig, for as long as the
// test lasts. A program that is not installed skips the test and is named; under
// CI, that is with the environment variable CI set, it fails the test.
package rigtest

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"platen/cross/rig"
)

// Swtpm starts a software TPM in a folder of the test's own.
func Swtpm(t testing.TB) *rig.Swtpm {
	t.Helper()
	s, err := rig.StartSwtpm(t.Context(), t.TempDir())
	Check(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop swtpm: %v", err)
		}
	})
	return s
}

// Mosquitto starts a broker in a folder of the test's own.
func Mosquitto(t testing.TB, cfg rig.MosquittoConfig) *rig.Mosquitto {
	t.Helper()
	m, err := rig.StartMosquitto(t.Context(), t.TempDir(), cfg)
	Check(t, err)
	t.Cleanup(m.Stop)
	return m
}

// Printcore prepares the host of printrun; see [rig.Printcore].
func Printcore(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd, err := rig.Printcore(t.Context(), args...)
	Check(t, err)
	return cmd
}

// Check ends the test on an error: a missing tool skips it at a desk.
func Check(t testing.TB, err error) {
	t.Helper()
	var missing *rig.ErrNoTool
	switch {
	case err == nil:
	case errors.As(err, &missing) && os.Getenv("CI") == "":
		t.Skipf("needs %s, which is not installed", missing.Name)
	default:
		t.Fatal(err)
	}
}
