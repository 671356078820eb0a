// Package rigtest gives tests the real peers of package rig, for as long as the
// test lasts. A program that is not installed skips the test and is named; under
// CI, that is with the environment variable CI set, it fails the test.
package rigtest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"platen/cross/rig"
)

// Swtpm starts a software TPM in a folder of the test's own. Making one takes seconds: the
// first of every test of a process is a copy of the same one, as is the second, and so on.
// Those of one test and its subtests differ.
func Swtpm(t testing.TB) *rig.Swtpm {
	t.Helper()
	dir := t.TempDir()
	Check(t, made.place(t, dir))
	s, err := rig.StartSwtpm(t.Context(), dir)
	Check(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop swtpm: %v", err)
		}
	})
	return s
}

var made factory

// factory keeps the files of TPMs as they were when they were made.
type factory struct {
	mu   sync.Mutex
	tpms []fstest.MapFS
	used map[string]int // by name of a test
}

// place lays a TPM into dir that the test has not had.
func (f *factory) place(t testing.TB, dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used == nil {
		f.used = map[string]int{}
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	n := f.used[name]
	f.used[name]++
	if n < len(f.tpms) {
		return os.CopyFS(dir, f.tpms[n])
	}
	s, err := rig.StartSwtpm(t.Context(), dir)
	if err != nil {
		return err
	}
	if err := s.Stop(); err != nil {
		return err
	}
	files := fstest.MapFS{}
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = &fstest.MapFile{Data: b, Mode: 0o600}
		return err
	})
	f.tpms = append(f.tpms, files)
	return err
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
