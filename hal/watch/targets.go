package watch

import (
	"time"

	"platen/hal/unit"
)

// wanted is what was asked of one heater: the target that the controller is known to
// have, and those on their way to it, which it takes one after the other.
type wanted struct {
	have    unit.Celsius
	coming  [8]unit.Celsius
	n       int
	off     bool          // reported something else
	offFrom time.Duration // since when
}

// ask notes a further target. Of more than there is room for the oldest counts as had.
func (w *wanted) ask(t unit.Celsius) {
	if w.n == len(w.coming) {
		w.have = w.coming[0]
		w.n = copy(w.coming[:], w.coming[1:])
	}
	w.coming[w.n] = t
	w.n++
}

// newest is what the heater is to have in the end.
func (w *wanted) newest() unit.Celsius {
	if w.n > 0 {
		return w.coming[w.n-1]
	}
	return w.have
}

// highest is the hottest target that the heater may have now.
func (w *wanted) highest() unit.Celsius {
	t := w.have
	for _, c := range w.coming[:w.n] {
		t = max(t, c)
	}
	return t
}

// targets are rounded, and firmware keeps them below its own limits.
const (
	rounding   = unit.Degree
	foreignFor = 5 * time.Second  // a foreign target above ours may stand so long
	lostFor    = 30 * time.Second // one below
)

// reported holds a reported target against what was asked. running says that a program
// is being executed, so that a target that was lost matters.
func (w *wanted) reported(at time.Duration, t unit.Celsius, running bool) Reason {
	for i := w.n - 1; i >= 0; i-- {
		if near(t, w.coming[i]) {
			w.have = w.coming[i]
			w.n = copy(w.coming[:], w.coming[i+1:w.n])
			break
		}
	}
	above := t > w.highest()+rounding
	if near(t, w.have) || !above && (!running || w.n > 0) {
		w.off = false
		return None
	}
	if !w.off {
		w.off, w.offFrom = true, at
	}
	if above && at-w.offFrom >= foreignFor || !above && at-w.offFrom >= lostFor {
		return ForeignTarget
	}
	return None
}

func near(a, b unit.Celsius) bool { return a <= b+rounding && b <= a+rounding }
