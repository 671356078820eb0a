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

// piece adds a line between walls.
func piece(l *pipe.Layer, width unit.Length, pts ...geom.Point) {
	l.Gaps.Pts = append(l.Gaps.Pts, pts...)
	l.Gaps.Ends = append(l.Gaps.Ends, int32(len(l.Gaps.Pts)))
	l.Gaps.Widths = append(l.Gaps.Widths, width)
}

// drawn is what is printed of thin lines, and the way to their beginnings: all widths
// along the way of each, in order.
func drawn(ops []motion.Op) (lines [][]geom.Point, widths [][]unit.Length) {
	var at geom.Point
	on := false
	for _, op := range ops {
		if op.Kind != motion.Move || op.Axes&motion.X == 0 {
			continue
		}
		to := geom.Point{X: op.To[motion.IX], Y: op.To[motion.IY]}
		if thin := op.Role == motion.ThinWall && op.E > 0; thin {
			if !on {
				lines, widths = append(lines, []geom.Point{at}), append(widths, nil)
			}
			n := len(lines) - 1
			lines[n], widths[n] = append(lines[n], to), append(widths[n], op.Width)
			on = true
		} else {
			on = false
		}
		at = to
	}
	return lines, widths
}

// A line in pieces is printed in one go, from either end; a closed one begins where
// the nozzle is, in the middle of a piece if need be, and has its widths wherever they
// belong.
func TestStrokes(t *testing.T) {
	at := func(deg int) geom.Point {
		sin, cos := math.Sincos(float64(deg) * math.Pi / 180)
		return geom.Point{X: 100*mm + unit.Length(8*float64(mm)*cos), Y: 100*mm + unit.Length(8*float64(mm)*sin)}
	}
	p := params()
	p.Seam = SeamRear
	width := func(deg int) unit.Length { return unit.Length(20000 + 1000*(deg/90)) }
	for _, quarters := range []int{1, 4} { // as one piece, and as four
		l := layer(t, 1, geom.Point{X: 90 * mm, Y: 90 * mm})
		l.Runs.Reset()
		for q := range quarters {
			var pts []geom.Point
			for deg := 360 / quarters * q; deg <= 360/quarters*(q+1); deg += 10 {
				pts = append(pts, at(deg%360))
			}
			piece(l, width(90*q), pts...)
		}
		lines, widths := drawn(program(p, l))
		if len(lines) != 1 || len(lines[0]) != 37 || lines[0][0] != lines[0][36] {
			t.Fatalf("%d quarters: %d lines", quarters, len(lines))
		}
		if lines[0][0] == at(0) {
			t.Error("it does not begin where the nozzle is")
		}
		for i, w := range widths[0] {
			for deg := 0; deg < 360; deg += 10 {
				if a, b := at(deg), at((deg+10)%360); lines[0][i] == a && lines[0][i+1] == b && quarters == 4 && w != width(deg) {
					t.Errorf("it is %d wide at %d°", w, deg)
				}
			}
		}
	}
}

// Of islands in a row with one wall and one line each, whose far ends are apart, every
// other one is printed the other way around, and the next layer goes back along the
// row; a line in many pieces counts as one.
func TestStrokesAlternate(t *testing.T) {
	p := params()
	p.Seam = SeamRear
	var layers []*pipe.Layer
	const fins = 6
	for n := range 4 {
		l := layer(t, n)
		for k := range unit.Length(fins) {
			x := (40 + 10*k) * mm
			fin := []geom.Point{{X: x, Y: 40 * mm}, {X: x + mm, Y: 40 * mm}, {X: x + mm, Y: 70 * mm}, {X: x, Y: 70 * mm}}
			l.Outline.Add(fin)
			for y := unit.Length(42); y < 68; y += 2 {
				piece(l, 20000+y, geom.Point{X: x + mm/2, Y: y * mm}, geom.Point{X: x + mm/2, Y: (y + 2) * mm})
			}
		}
		var b wall.Builder
		if err := b.Walls(&l.Walls, &l.Outline, wall.Params{Width: l.Width, Count: 1, Join: geom.JoinMiter}); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, l)
	}
	ops := program(p, layers...)
	lines, _ := drawn(ops)
	if len(lines) != 4*fins {
		t.Fatalf("%d lines", len(lines))
	}
	down := 0
	for _, line := range lines {
		if line[0].Y > line[len(line)-1].Y {
			down++
		}
	}
	if down < fins || down > 3*fins {
		t.Errorf("%d lines are printed downward", down)
	}
	var at geom.Point
	travel := 0.0
	for _, op := range ops {
		if op.Kind == motion.Move && op.Axes&motion.X != 0 {
			to := geom.Point{X: op.To[motion.IX], Y: op.To[motion.IY]}
			if op.Role == motion.Travel && at != (geom.Point{}) && op.Layer < 4 {
				travel += far(at, to)
			}
			at = to
		}
	}
	// A fin takes 10 mm to the next and 3 mm from wall to line; without alternation,
	// 26 mm back as well; without turning around, 50 mm a layer.
	if most := float64((4*fins*15 + 120) * mm); travel > most {
		t.Errorf("%.0f mm between lines", travel/float64(mm))
	}
}
