package envelope

import (
	"errors"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
)

// TestStand: a machine that keeps its Z may be told where that is, before it knows
// anything and only then; X and Y still have to be homed.
func TestStand(t *testing.T) {
	keeps := testLimits()
	keeps.KeepsZ = true
	stand := func(axes motion.Axes, z unit.Length) motion.Op {
		return motion.Op{Kind: motion.Stand, Axes: axes, To: [3]unit.Length{motion.IZ: z}}
	}
	up := motion.Op{Kind: motion.Move, Axes: motion.Z, To: [3]unit.Length{motion.IZ: 26 * mm}, Feed: 5000}
	homeXY := motion.Op{Kind: motion.Home, Axes: motion.X | motion.Y}
	for name, c := range map[string]struct {
		l    Limits
		ops  []motion.Op
		rule Rule
	}{
		"as a print is taken up":  {keeps, []motion.Op{hot(), stand(motion.Z, 21*mm), up, homeXY, to(30*mm, 30*mm, 21*mm, 0, 10_000), feed(mm)}, 0},
		"a machine that sinks":    {testLimits(), []motion.Op{stand(motion.Z, 21*mm)}, RuleKind},
		"other axes":              {keeps, []motion.Op{stand(motion.Z|motion.X, 21*mm)}, RuleKind},
		"no axis":                 {keeps, []motion.Op{stand(0, 21*mm)}, RuleKind},
		"outside":                 {keeps, []motion.Op{stand(motion.Z, 251*mm)}, RuleVolume},
		"where it is known":       {keeps, []motion.Op{home(), stand(motion.Z, 21*mm)}, RuleHoming},
		"told twice":              {keeps, []motion.Op{stand(motion.Z, 21*mm), stand(motion.Z, 20*mm)}, RuleHoming},
		"without homing X and Y":  {keeps, []motion.Op{stand(motion.Z, 21*mm), to(30*mm, 30*mm, 21*mm, 0, 10_000)}, RuleHoming},
		"filament before that":    {keeps, []motion.Op{hot(), stand(motion.Z, 21*mm), feed(mm)}, RuleHoming},
		"lifting out of the room": {keeps, []motion.Op{stand(motion.Z, 21*mm), {Kind: motion.Move, Axes: motion.Z, To: [3]unit.Length{motion.IZ: 251 * mm}, Feed: 5000}}, RuleVolume},
	} {
		_, err := run(c.l, program(c.ops...))
		var v *Violation
		if errors.As(err, &v); err == nil && c.rule != 0 || err != nil && (v == nil || v.Rule != c.rule) {
			t.Errorf("%s: %v, want %v", name, err, c.rule)
		}
	}
}
