package verify

import (
	"testing"
)

// kept is what has to be remembered of a printer.
func kept(t *testing.T, v *Verifier, p *soft) string {
	t.Helper()
	b, err := v.PrinterState(p.id)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// history has a verifier believe gaps, a late batch, nonces, two agents and a second boot.
func history(t *testing.T, v *Verifier, p *soft) [][]byte {
	t.Helper()
	var wires [][]byte
	take := func(wire []byte) {
		accept(t, v, p.id, wire)
		wires = append(wires, wire)
	}
	take(p.batch("without a nonce"))
	p.nonce = v.Nonce(p.id)
	take(p.batch("with one"))
	late := p.batch("late")
	p.batch("lost")
	take(p.batch("on"))
	take(late)
	p.measure(2)
	p.nonce = v.Nonce(p.id)
	take(p.batch("another agent"))
	return wires
}

// TestRecall: a verifier whose state is older than its log comes to the same state by the log,
// wherever the state was left, and by all of the log again.
func TestRecall(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	start := kept(t, v, p)
	wires := history(t, v, p)
	want := kept(t, v, p)
	if start == want {
		t.Fatal("control: the history changed nothing")
	}
	for left := range len(wires) + 1 {
		if err := v.RestorePrinter([]byte(start)); err != nil {
			t.Fatal(err)
		}
		for i := range left { // what the state that was left knows already
			if err := v.Recall(p.id, wires[i]); err != nil {
				t.Fatal(err)
			}
		}
		for i, w := range wires {
			err := v.Recall(p.id, w)
			if known := i < left; known && ReasonOf(err) == "" || !known && err != nil {
				t.Errorf("left at %d, batch %d: %v", left, i, err)
			}
		}
		if got := kept(t, v, p); got != want {
			t.Errorf("left at %d: %s, want %s", left, got, want)
		}
	}
	for name, wire := range map[string][]byte{"noise": []byte("noise"), "another printer's": newSoft(t).batch("x")} {
		if err := v.Recall(p.id, wire); ReasonOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := kept(t, v, p); got != want {
		t.Error("what was refused changed the state")
	}
}

// TestUndo: batches that could not be kept are taken back, the last first, and are believed
// when they come again.
func TestUndo(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	accept(t, v, p.id, p.batch("kept"))
	before := kept(t, v, p)
	first, lost := p.batch("first"), p.batch("lost")
	second := p.batch("second")
	a, b := accept(t, v, p.id, first), accept(t, v, p.id, second)
	c := accept(t, v, p.id, lost) // which is late
	if err := v.Undo(a); err == nil {
		t.Error("the first was taken back before the second")
	}
	refuses(t, v, p.id, first, Replayed)
	for _, of := range []Verdict{c, b, a} {
		if err := v.Undo(of); err != nil {
			t.Fatal(err)
		}
	}
	if got := kept(t, v, p); got != before {
		t.Errorf("%s, want %s", got, before)
	}
	if err := v.Undo(a); err == nil {
		t.Error("it was taken back twice")
	}
	accept(t, v, p.id, first)
	accept(t, v, p.id, lost)
}
