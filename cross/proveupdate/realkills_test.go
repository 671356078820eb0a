package main

import (
	"math/rand/v2"
	"testing"

	"platen/cross/rig/stage"
	"platen/updater/slot"
)

// TestDraw: when as much of a file has come as is sent before a kill, the part with which it
// comes was written, behind what was there, and not all of the file was.
func TestDraw(t *testing.T) {
	const once = slot.WriteOnce
	for _, there := range []uint64{0, slot.DefaultEvery} {
		r := &real{printer: &printer{Stage: stage.Stage{Dir: t.TempDir()}}, rng: rand.New(rand.NewPCG(1, 1))}
		d, err := slot.OpenDir(r.Path("slots"))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		l := slot.NewLog(d)
		if err := l.Plan(slot.Root, slot.B, [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Update(func(rec *slot.Record) error { rec.Filling.Done = there; return nil }); err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			part, hold := r.draw(slot.Root, rootSize)
			if written := hold / once * once; part <= int64(there) || written < part || written >= rootSize {
				t.Fatalf("%d bytes are there: of %d that are sent, %d are written, %d are waited for", there, hold, written, part)
			}
		}
		if part, hold := r.draw(slot.Root, int64(there)+once); part != 0 || hold != 0 {
			t.Errorf("of a file without room for it %d are waited for, %d sent", part, hold)
		}
	}
}
