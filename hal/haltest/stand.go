package haltest

import (
	"testing"

	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

// caseStand begins on a machine that has lost its power in the middle of a print: it is
// told where Z stands, lifts, homes X and Y, and comes back to where it was. Where it
// really goes is the judge, and that Z was not homed.
func caseStand(t *testing.T, on suite) {
	const real, said = 40 * mm, 21 * mm // as far as it is from the bed; as the program has it
	r := newRig(t, on, sim.Config{Speed: sim.Fastest, Start: [3]unit.Length{50 * mm, 60 * mm, real}, Hotend: stillWarm})
	z := func(h unit.Length) motion.Op {
		return motion.Op{Kind: motion.Move, Axes: motion.Z, To: [3]unit.Length{motion.IZ: h}, Feed: 4 * unit.MillimetrePerSecond}
	}
	r.mustRun(
		heat(motion.HotEnd, 190, true),
		motion.Op{Kind: motion.Stand, Axes: motion.Z, To: [3]unit.Length{motion.IZ: said}},
		z(said+5*mm),
		motion.Op{Kind: motion.Home, Axes: motion.X | motion.Y},
		feedOnly(mm), feedOnly(-mm),
		motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y, To: [3]unit.Length{30 * mm, 20 * mm}, Feed: 100 * unit.MillimetrePerSecond},
		z(said),
		feedOnly(mm),
		motion.Op{Kind: motion.Move, Axes: motion.X | motion.E, To: [3]unit.Length{70 * mm}, E: mm, Feed: 60 * unit.MillimetrePerSecond},
	)
	var last sim.Move
	top := unit.Length(0)
	for _, m := range r.driven() {
		last = m
		top = max(top, m.To[motion.IZ]+m.Zero[motion.IZ])
		if low := m.To[motion.IZ] + m.Zero[motion.IZ]; low < real-axisTolerance {
			t.Errorf("the head went down to %v, and the part stands up to %v", low, unit.Length(real))
		}
	}
	off := func(got, want unit.Length) bool { return got-want > axisTolerance || want-got > axisTolerance }
	at := [3]unit.Length{last.To[0] + last.Zero[0], last.To[1] + last.Zero[1], last.To[2] + last.Zero[2]}
	if off(at[0], 70*mm) || off(at[1], 20*mm) || off(at[2], real) {
		t.Errorf("ends at %v, want 70, 20 and %v", at, unit.Length(real))
	}
	if off(top, real+5*mm) {
		t.Errorf("lifted to %v, want 5 mm above %v", top, unit.Length(real))
	}
	if n := r.p.Stats().Homes; n != 2 {
		t.Errorf("%d axes were homed, want X and Y", n)
	}
}
