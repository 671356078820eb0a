package session

import (
	"slices"
	"testing"

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
