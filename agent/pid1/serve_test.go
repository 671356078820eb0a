package pid1

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"platen/updater/slot"
)

// TestUnfilled: a record without a slot that starts is of an install that was broken off, and
// one that is damaged is not.
func TestUnfilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "slots")
	is := func(want bool, what string) {
		t.Helper()
		if got, err := unfilled(dir); got != want || err != nil {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	is(true, "nothing")
	d, err := slot.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	change := func(fn func(*slot.Record)) {
		t.Helper()
		if _, err := slot.NewLog(d).Update(func(r *slot.Record) error { fn(r); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	change(func(*slot.Record) {}) // what an install writes first
	is(true, "a record and no slot")
	change(func(r *slot.Record) { *r.Slot(slot.A) = slot.Slot{Size: 3, Digest: [32]byte{1}} })
	is(true, "a slot that is not confirmed")
	change(func(r *slot.Record) { r.Try(slot.A, 1) })
	is(false, "a slot on trial")
	change(func(r *slot.Record) { r.Confirm(slot.A) })
	is(false, "installed")
	if err := os.WriteFile(filepath.Join(dir, "slots"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := slot.NewLog(d).Load(); !errors.Is(err, slot.ErrRecord) {
		t.Fatalf("control: %v", err)
	}
	is(false, "damaged")
}

// TestStop ends what was started, and knows by its number what has ended.
func TestStop(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := start([]string{sleep, "3600"})
	if err != nil {
		t.Fatal(err)
	}
	if pid <= 1 { // whom that would end
		t.Fatalf("process %d was started", pid)
	}
	if _, gone := reap()[pid]; gone {
		t.Fatal("it ended by itself")
	}
	var out bytes.Buffer
	b := board{out: &out}
	if b.stop(pid); out.Len() > 0 {
		t.Errorf("said %q", out.String())
	}
	if _, gone := reap()[pid]; gone {
		t.Error("it ends twice")
	}
}
