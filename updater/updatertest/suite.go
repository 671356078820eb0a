package updatertest

import (
	"bytes"
	"testing"

	"platen/updater"
	"platen/updater/slot"
)

// Rig is a bootloader on something the suite can switch off and on. It starts with a
// confirmed release in slot A.
type Rig interface {
	// Start switches on: it returns the slot that starts, and the bootloader as a
	// process that runs from it sees it.
	Start(t *testing.T) (slot.Name, updater.Bootloader)
	// Read returns what is in a slot.
	Read(t *testing.T, n slot.Name) []byte
	// Damage changes what is in a slot behind the bootloader's back.
	Damage(t *testing.T, n slot.Name)
}

// Bootloader runs the suite that every updater.Bootloader passes. newRig is called
// for each test.
func Bootloader(t *testing.T, newRig func(t *testing.T) Rig) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, r Rig)
	}{
		{"confirmed slot starts again and again", confirmedStarts},
		{"release on trial starts, is confirmed, stays", trialConfirmed},
		{"release never confirmed falls back", trialFallsBack},
		{"what must not be written", notWritten},
		{"what must not be tried", notTried},
		{"damage after the write is found", damaged},
		{"a second write ends the trial", rewritten},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newRig(t)) })
	}
}

func start(t *testing.T, r Rig, want slot.Name) updater.Bootloader {
	t.Helper()
	got, b := r.Start(t)
	if got != want {
		t.Fatalf("slot %s starts, want %s", got, want)
	}
	if cur, err := b.Current(); err != nil || cur != want {
		t.Fatalf("Current is %s, %v; want %s", cur, err, want)
	}
	return b
}

func fill(t *testing.T, b updater.Bootloader, n slot.Name, data []byte) {
	t.Helper()
	w, err := b.Open(n)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		n := min(len(data), 700)
		if _, err := w.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

var payload = bytes.Repeat([]byte("release two "), 300)

func confirmedStarts(t *testing.T, r Rig) {
	for range 10 {
		b := start(t, r, slot.A)
		if err := b.Confirm(slot.A); err != nil {
			t.Fatalf("confirming the confirmed slot: %v", err)
		}
	}
}

func trialConfirmed(t *testing.T, r Rig) {
	b := start(t, r, slot.A)
	fill(t, b, slot.B, payload)
	if got := r.Read(t, slot.B); !bytes.Equal(got, payload) {
		t.Fatalf("slot b holds %d bytes that were not written to it", len(got))
	}
	if _, b = r.Start(t); mustCurrent(t, b) != slot.A {
		t.Fatal("a slot that was written and not tried starts")
	}
	if err := b.Try(slot.B); err != nil {
		t.Fatal(err)
	}
	b = start(t, r, slot.B)
	if err := b.Confirm(slot.B); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		start(t, r, slot.B)
	}
}

func mustCurrent(t *testing.T, b updater.Bootloader) slot.Name {
	t.Helper()
	n, err := b.Current()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func trialFallsBack(t *testing.T, r Rig) {
	b := start(t, r, slot.A)
	fill(t, b, slot.B, payload)
	if err := b.Try(slot.B); err != nil {
		t.Fatal(err)
	}
	tries := 0
	for ; tries < 100; tries++ {
		if n, _ := r.Start(t); n == slot.A {
			break
		}
	}
	if tries == 0 || tries == 100 {
		t.Fatalf("the slot on trial started %d times", tries)
	}
	for range 5 {
		start(t, r, slot.A)
	}
}

func notWritten(t *testing.T, r Rig) {
	b := start(t, r, slot.A)
	if _, err := b.Open(slot.A); err == nil {
		t.Error("the running slot can be written")
	}
	if _, err := b.Open(slot.None); err == nil {
		t.Error("the factory binary can be written")
	}
	fill(t, b, slot.B, payload)
	if err := b.Try(slot.B); err != nil {
		t.Fatal(err)
	}
	b = start(t, r, slot.B)
	if _, err := b.Open(slot.A); err == nil {
		t.Error("what a failed trial falls back to can be written")
	}
	if _, err := b.Open(slot.B); err == nil {
		t.Error("the slot on trial can be written while it runs")
	}
}

func notTried(t *testing.T, r Rig) {
	b := start(t, r, slot.A)
	for _, n := range []slot.Name{slot.A, slot.B, slot.None} {
		if err := b.Try(n); err == nil {
			t.Errorf("slot %s, which was never written, can be tried", n)
		}
		if n != slot.A {
			if err := b.Confirm(n); err == nil {
				t.Errorf("slot %s, which is not on trial, can be confirmed", n)
			}
		}
	}
	start(t, r, slot.A)
}

func damaged(t *testing.T, r Rig) {
	b := start(t, r, slot.A)
	fill(t, b, slot.B, payload)
	r.Damage(t, slot.B)
	if err := b.Try(slot.B); err == nil {
		t.Error("a damaged slot can be tried")
	}
	fill(t, b, slot.B, payload)
	if err := b.Try(slot.B); err != nil {
		t.Fatal(err)
	}
	r.Damage(t, slot.B)
	for range 3 {
		start(t, r, slot.A)
	}
}

func rewritten(t *testing.T, r Rig) {
	b := start(t, r, slot.A)
	fill(t, b, slot.B, payload)
	if err := b.Try(slot.B); err != nil {
		t.Fatal(err)
	}
	w, err := b.Open(slot.B)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(payload[:100]); err != nil {
		t.Fatal(err)
	}
	// Switched off in the middle: the writer is never closed.
	start(t, r, slot.A)
}
