package envelope

import (
	"testing"
	"time"

	"platen/hal/motion"
)

// TestFitSlowsDownAndNothingElse: what a firmware would slow down passes; what is
// wrong in any other way is left for the guard.
func TestFitSlowsDownAndNothingElse(t *testing.T) {
	l := testLimits()
	fast := []motion.Op{home(), hot(), to(-2*mm, 0, mm, 0, 150_000), to(200*mm, 100*mm, mm, 0, 900_000), to(0, 0, 2*mm, 0, 900_000),
		{Kind: motion.Move, Axes: motion.E, E: mm, Feed: 1_000_000}, to(mm, 0, 2*mm, 2*mm, 300_000), {Kind: motion.SetAccel, Accel: 20_000}}
	if _, err := run(l, program(fast...)); err == nil {
		t.Fatal("control: nothing is too fast")
	}
	fitted, err := run(l, Fit(l, program(fast...)))
	if err != nil || len(fitted) != len(fast) {
		t.Fatalf("%d of %d operations passed: %v", len(fitted), len(fast), err)
	}
	for i, op := range fitted {
		if op.Feed > fast[i].Feed || op.Accel > fast[i].Accel {
			t.Errorf("operation %d is faster than before", i)
		}
		op.Feed, op.Accel = fast[i].Feed, fast[i].Accel
		if op != fast[i] {
			t.Errorf("operation %d is changed in more than its speed", i)
		}
	}
	if fitted[2].Feed != 10_000 || fitted[5].Feed != 60_000 {
		t.Errorf("slowed down to %v and %v, further than needed", fitted[2].Feed, fitted[5].Feed)
	}
	for _, wrong := range [][]motion.Op{{to(0, 0, 0, 0, 1000)}, {home(), to(300*mm, 0, 0, 0, 900_000)}, {home(), to(mm, 0, 0, 0, 0)}} {
		if _, err := run(l, Fit(l, program(wrong...))); err == nil {
			t.Error("Fit lets through what is wrong in other ways than speed")
		}
	}
}

func TestFitLeavesOutAdvance(t *testing.T) {
	l := testLimits()
	advance := motion.Op{Kind: motion.SetAdvance, Wait: time.Second / 20}
	if passed, err := run(l, Fit(l, program(advance))); err != nil || len(passed) != 1 {
		t.Errorf("%d passed: %v", len(passed), err)
	}
	l.MaxAdvance = 0
	if passed, err := run(l, Fit(l, program(advance))); err != nil || len(passed) != 0 {
		t.Errorf("without advance, %d passed: %v", len(passed), err)
	}
	if _, err := run(l, program(advance)); err == nil {
		t.Error("control: advance passes a machine that has none")
	}
}
