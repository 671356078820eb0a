package session

import (
	"slices"
	"testing"
	"time"

	"platen/hal/envelope"
	"platen/hal/motion"
	"platen/hal/unit"
)

func layers(n int32) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for l := range n {
			z := motion.Op{Kind: motion.Move, Axes: motion.Z, Feed: 1000}
			z.To[motion.IZ] = unit.Length(l+1) * unit.Millimetre
			line := motion.Op{Kind: motion.Move, Axes: motion.X | motion.E, E: 1, Feed: 1000}
			if !yield(motion.Op{Kind: motion.BeginLayer, Layer: l}, nil) || !yield(z, nil) || !yield(line, nil) {
				return
			}
		}
	}
}

// TestJobsBeginAlike: a job does not move by what the one before it has set.
func TestJobsBeginAlike(t *testing.T) {
	b := simBoard(t, "")
	b.Limits.Tools, b.Limits.MaxAdvance = 2, time.Second
	var ops []motion.Op
	for op, err := range envelope.Check(b.Limits, fresh(b, hotLayers(1))) {
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, op)
	}
	if len(ops) != 8 || ops[0].Kind != motion.SetAccel || ops[0].Accel != b.Print.Accel ||
		ops[1].Kind != motion.SetAdvance || ops[1].Wait != 0 || ops[2].Kind != motion.SetAdvance || ops[2].Tool != 1 {
		t.Errorf("begins with %v", ops)
	}
	b.Limits.MaxAdvance, b.Print.Accel = 0, 0
	for op := range fresh(b, hotLayers(1)) {
		if op.Kind != motion.Home {
			t.Errorf("a machine that has neither begins with %v", op)
		}
		break
	}
}

func TestProgressInQuarters(t *testing.T) {
	p := progress{layers: 40}
	var seen []uint8
	for range p.watch(layers(40)) {
		seen = append(seen, p.percent())
	}
	seen = slices.Compact(append(seen, p.percent()))
	if want := []uint8{0, 25, 50, 75, 100}; !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}

func TestProgressWithoutLayers(t *testing.T) {
	p := progress{ops: 12}
	var seen []uint8
	for range p.watch(layers(4)) {
		seen = append(seen, p.percent())
	}
	seen = slices.Compact(append(seen, p.percent()))
	if want := []uint8{0, 25, 50, 75, 100}; !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}
