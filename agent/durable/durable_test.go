package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, text := range []string{"first and longer", "second"} {
		// What a power cut left of another attempt is in nobody's way.
		if err := os.WriteFile(path+suffix, []byte("half of something that is longer than both"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Fatalf("holds %q, %v; want %q", b, err, text)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("%d files are left", len(names))
	}
}

// TestReplaceFails has the rename fail, since a folder stands where the file should:
// what was there stays, and nothing beside it.
func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("new")); err == nil {
		t.Fatal("a file took the place of a folder")
	}
	if _, err := os.Stat(filepath.Join(path, "inside")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the attempt was left behind: %v", err)
	}
	if err := Replace(filepath.Join(dir, "no", "state"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, line := range []string{"one\n", "two\n"} {
		if err := Append(path, []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "one\ntwo\n" {
		t.Errorf("holds %q, %v", b, err)
	}
}
