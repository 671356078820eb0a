package main

import (
	"os"
	"path/filepath"
	"testing"

	"platen/hal/unit"
)

func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "place")
	if at, err := readPlace(path); err != nil || at != [3]unit.Length{} {
		t.Errorf("a new printer stands at %v, %v", at, err)
	}
	want := [3]unit.Length{10 * unit.Millimetre, -unit.Millimetre / 2, 123*unit.Millimetre + unit.Millimetre/5}
	if err := writePlace(path, want); err != nil {
		t.Fatal(err)
	}
	at, err := readPlace(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range at {
		if d := at[i] - want[i]; d > unit.Millimetre/1000 || d < -unit.Millimetre/1000 {
			t.Errorf("axis %d is kept %v off", i, d)
		}
	}
	for _, bad := range []string{"", "1 2", "1 2 three", "1 2 1e9"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readPlace(path); err == nil {
			t.Errorf("%q is a place", bad)
		}
	}
}
