package slicer

import (
	"context"
	"errors"
	"math"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
)

// Layers of their own heights hold the filament that the part has room for, as even
// ones do; a slope gets more of them, an upright wall fewer.
func TestHeights(t *testing.T) {
	for _, file := range []string{"hollow-sphere.stl", "cube.stl", "tug.stl"} {
		s := Default()
		s.Density, s.Walls = 100, 2
		printed := func(s Settings) (volume float64, heights map[unit.Length]int, layers int) {
			j := openFile(t, file, s)
			heights = map[unit.Length]int{}
			z, fed := unit.Length(0), 0.0
			for op, err := range j.Program(context.Background()) {
				if err != nil {
					t.Fatal(err)
				}
				if op.Kind == motion.BeginLayer {
					if d := op.To[motion.IZ] - z - op.Height; d != 0 {
						t.Fatalf("a layer of %v rises by %v", op.Height, op.To[motion.IZ]-z)
					}
					z = op.To[motion.IZ]
					heights[op.Height]++
					layers++
				}
				if op.Kind == motion.Move && op.Has(motion.X|motion.E) && op.E > 0 && op.Role != motion.Skirt && op.Role != motion.Prime {
					fed += op.E.MM()
				}
			}
			if layers != j.Info().Layers {
				t.Errorf("%d layers, said %d", layers, j.Info().Layers)
			}
			return fed * math.Pi / 4 * s.Filament.MM() * s.Filament.MM() / j.Info().Volume.MM3(), heights, layers
		}
		even, _, evenLayers := printed(s)
		s.Heights.Adaptive = true
		adaptive, heights, layers := printed(s)
		t.Logf("%s: %.4f of the volume in %d layers, adaptive %.4f in %d, of %d heights", file, even, evenLayers, adaptive, layers, len(heights))
		if math.Abs(adaptive-even) > 0.01 {
			t.Errorf("%s: adaptive layers print %.4f of the volume, even ones %.4f", file, adaptive, even)
		}
		if file == "cube.stl" && layers >= evenLayers || file == "hollow-sphere.stl" && layers <= evenLayers {
			t.Errorf("%s: %d layers, even ones %d", file, layers, evenLayers)
		}
	}
	s := Default()
	s.Heights.Adaptive, s.Skin.Combine = true, 2
	if err := s.Validate(); !errors.Is(err, ErrSettings) {
		t.Errorf("combined infill of uneven layers: %v", err)
	}
}
