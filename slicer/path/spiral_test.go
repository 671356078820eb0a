package path

import (
	"math"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/pipe"
	"platen/slicer/wall"
)

// vase makes a layer that is one turn of a spiral.
func vase(t *testing.T, index int) *pipe.Layer {
	t.Helper()
	l := &pipe.Layer{
		Index: index, Thickness: unit.Micrometres(200), Width: unit.Micrometres(450),
		Top: unit.Length(index+1) * unit.Micrometres(200), Spiral: true,
	}
	in := unit.Length(index) * mm / 10 // it becomes narrower upwards
	l.Outline.Add(square(50*mm+in, 50*mm+in, 20*mm-2*in))
	var b wall.Builder
	if err := b.Walls(&l.Walls, &l.Outline, wall.Params{Width: l.Width, Count: 1, Join: geom.JoinMiter}); err != nil {
		t.Fatal(err)
	}
	return l
}

// A vase is one line that never falls and never stops, from the layer below it to
// the rim, whose filament fills the space between the two. The control is that
// layers of walls do stop.
func TestSpiral(t *testing.T) {
	p := params()
	p.Layers = 5
	ops := layersOnly(p, layer(t, 0, geom.Point{X: 50 * mm, Y: 50 * mm}), vase(t, 1), vase(t, 2), vase(t, 3), vase(t, 4))
	z, stops, printed, full, steps := unit.Micrometres(200), 0, 0.0, 0.0, 0
	var at geom.Point
	begun := false
	for _, op := range ops {
		if op.Kind != motion.Move {
			continue
		}
		to := geom.Point{X: op.To[0], Y: op.To[1]}
		if op.Role != motion.Vase {
			if begun {
				stops++
			}
			if op.Has(motion.X) {
				at = to
			}
			continue
		}
		begun = true
		if !op.Has(motion.Z) || op.To[motion.IZ] < z {
			t.Fatal("the spiral falls")
		}
		steps++
		z = op.To[motion.IZ]
		printed += op.E.MM()
		full += far(at, to) / float64(mm)
		at = to
	}
	if stops > 0 || steps != 20 || z != 5*unit.Micrometres(200) {
		t.Errorf("%d stops, %d steps, ends at %v", stops, steps, z)
	}
	// Five turns, of which the first and the last are half as much.
	// As each layer is a little narrower that is right to a per cent.
	want := full * 4 / 5 * 0.45 * 0.2 / (math.Pi / 4 * 1.75 * 1.75)
	if math.Abs(printed/want-1) > 0.01 {
		t.Errorf("printed %.3f mm of filament, want %.3f", printed, want)
	}
	stops, begun = 0, false
	for _, op := range layersOnly(p, layer(t, 1, geom.Point{X: 50 * mm, Y: 50 * mm}), layer(t, 2, geom.Point{X: 50 * mm, Y: 50 * mm})) {
		if begun = begun || op.Role == motion.OuterWall; begun && op.Role == motion.Travel && op.Kind == motion.Move {
			stops++
		}
	}
	if stops == 0 {
		t.Error("control: layers of walls do not stop")
	}
}
