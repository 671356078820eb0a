package haltest

import (
	"fmt"
	"testing"
	"time"

	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

const mm = unit.Millimetre

// What a driver may round away on the way to the firmware: three decimals of a
// millimetre for axes, four for filament, and as much again for what adds up.
const (
	axisTolerance     = mm / 1000
	filamentTolerance = mm / 2000
)

func home() motion.Op { return motion.Op{Kind: motion.Home} }

func heat(h motion.Heater, deg unit.Celsius, wait bool) motion.Op {
	op := motion.Op{Kind: motion.SetHeater, Heater: h, Temp: deg * unit.Degree}
	if wait {
		op.Kind = motion.WaitHeater
	}
	return op
}

func to(x, y, z, e unit.Length, feed unit.Speed) motion.Op {
	op := motion.Op{
		Kind: motion.Move, Axes: motion.X | motion.Y | motion.Z,
		To: [3]unit.Length{x, y, z}, Feed: feed * unit.MillimetrePerSecond,
	}
	if e != 0 {
		op.Axes |= motion.E
		op.E = e
		op.Role = motion.Infill
	}
	return op
}

func feedOnly(e unit.Length) motion.Op {
	return motion.Op{Kind: motion.Move, Axes: motion.E, Role: motion.Retraction, E: e, Feed: 20 * unit.MillimetrePerSecond}
}

// warmUp homes and heats the hot end enough to extrude.
func warmUp() []motion.Op {
	return []motion.Op{home(), heat(motion.HotEnd, 190, true)}
}

// spiral is n short extruding moves whose targets all differ, over several layers,
// with a retraction now and then.
func spiral(n int) []motion.Op {
	var ops []motion.Op
	for i := range n {
		layer := i / 50
		z := unit.Length(layer%500+1) * mm / 5
		if i%50 == 0 {
			ops = append(ops, motion.Op{Kind: motion.BeginLayer, Layer: int32(layer), To: [3]unit.Length{motion.IZ: z}})
		}
		x := 20*mm + unit.Length(i%11)*4*mm + unit.Length(i%4000)*mm/500
		y := 20*mm + unit.Length(i*7%13)*3*mm
		ops = append(ops, to(x, y, z, mm/10+unit.Length(i%7)*mm/100, 80))
		if i%20 == 19 {
			ops = append(ops, feedOnly(-mm), feedOnly(mm))
		}
	}
	return ops
}

// want is one move that the journal has to show.
type want struct {
	to [3]unit.Length
	e  unit.Length
}

// expect is what a printer that stands at zero drives for ops.
func expect(ops []motion.Op) []want {
	var ws []want
	var at [3]unit.Length
	for _, op := range ops {
		switch op.Kind {
		case motion.Home:
			at = [3]unit.Length{}
		case motion.Move:
			for i, a := range []motion.Axes{motion.X, motion.Y, motion.Z} {
				if op.Has(a) {
					at[i] = op.To[i]
				}
			}
			w := want{to: at}
			if op.Has(motion.E) {
				w.e = op.E
			}
			ws = append(ws, w)
		}
	}
	return ws
}

// judge fails the test unless what was driven is what was asked for.
func judge(t *testing.T, driven []sim.Move, ws []want, whole bool) {
	t.Helper()
	if err := compare(driven, ws, whole); err != nil {
		t.Fatal(err)
	}
}

// compare compares what was driven with what was asked for: each move once, in
// order, to its place, with its filament. With whole unset, a program that was cut
// short may miss moves at its end, but nothing else.
func compare(driven []sim.Move, ws []want, whole bool) error {
	for i, m := range driven {
		if i >= len(ws) {
			return fmt.Errorf("%d moves were driven, %d were asked for", len(driven), len(ws))
		}
		if m.Cut {
			if i != len(driven)-1 || whole {
				return fmt.Errorf("move %d was cut short", i)
			}
			continue
		}
		for a := range m.To {
			if d := m.To[a] - ws[i].to[a]; d > axisTolerance || d < -axisTolerance {
				return fmt.Errorf("move %d ends off its target on axis %d by %v", i, a, d)
			}
		}
		if d := m.E - ws[i].e; d > filamentTolerance || d < -filamentTolerance {
			return fmt.Errorf("move %d feeds %v of filament too much", i, d)
		}
	}
	if whole && len(driven) != len(ws) {
		return fmt.Errorf("%d moves were driven, %d were asked for", len(driven), len(ws))
	}
	return nil
}

func dwell(d time.Duration) motion.Op { return motion.Op{Kind: motion.Dwell, Wait: d} }
