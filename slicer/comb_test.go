package slicer

import (
	"context"
	"math"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
)

// outlines are copies of the outlines of all layers.
func outlines(t *testing.T, j *Job) (all []geom.Region) {
	t.Helper()
	for l, err := range j.Layers(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		var r geom.Region
		r.Append(&l.Outline)
		all = append(all, r)
	}
	return all
}

// within reports whether a point is inside a region, by counting crossings.
func within(r *geom.Region, x, y float64) bool {
	in := false
	for i := range r.Len() {
		ring := r.Ring(i)
		p := ring[len(ring)-1]
		for _, q := range ring {
			x0, y0, x1, y1 := float64(p.X), float64(p.Y), float64(q.X), float64(q.Y)
			if (y0 > y) != (y1 > y) && x < x0+(y-y0)/(y1-y0)*(x1-x0) {
				in = !in
			}
			p = q
		}
	}
	return in
}

// inPart reports whether all of a straight way is inside a region: it meets no edge,
// by whole numbers, and its middle is inside.
func inPart(r *geom.Region, a, b geom.Point) bool {
	for i := range r.Len() {
		ring := r.Ring(i)
		p := ring[len(ring)-1]
		for _, q := range ring {
			s, t, u, v := geom.Cross(a, b, p), geom.Cross(a, b, q), geom.Cross(p, q, a), geom.Cross(p, q, b)
			if (s < 0) != (t < 0) && (u < 0) != (v < 0) {
				return false
			}
			p = q
		}
	}
	return within(r, (float64(a.X)+float64(b.X))/2, (float64(a.Y)+float64(b.Y))/2)
}

// ways goes through a program and returns what it prints, how many long ways it goes
// with the filament drawn back, how many without, and how long those of the latter are
// together that are not wholly inside the part, in mm.
func ways(t *testing.T, j *Job, s Settings, all []geom.Region) (lines []motion.Op, drawn, out int, air float64) {
	t.Helper()
	var at [2]unit.Length
	back, layer, long := false, 0, 0.0
	for op, err := range j.Program(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if op.Kind == motion.BeginLayer {
			layer = int(op.Layer)
		}
		if op.Kind != motion.Move {
			continue
		}
		if op.Axes == motion.E {
			back = op.E < 0
			continue
		}
		if !op.Has(motion.X) {
			continue
		}
		to := [2]unit.Length{op.To[motion.IX], op.To[motion.IY]}
		step := math.Hypot(float64(to[0]-at[0]), float64(to[1]-at[1]))
		switch {
		case op.Has(motion.E):
			lines = append(lines, op)
			if !back && long > float64(s.RetractTravel) {
				out++
			}
			long = 0
		case back:
			drawn++
			long = 0
		case step > float64(s.RetractTravel) || long > 0:
			long += step
			if !inPart(&all[layer], geom.Point{X: at[0], Y: at[1]}, geom.Point{X: to[0], Y: to[1]}) {
				air += step / float64(unit.Millimetre)
			}
		}
		at = to
	}
	return lines, drawn, out, air
}

// Ways through the inside of the part replace most retractions, none of them leads
// through the air, and what is printed stays the same to the bit. The control goes
// everywhere without drawing back: through the air as well.
func TestComb(t *testing.T) {
	const mm = unit.Millimetre
	sumDrawn, sumBefore := 0, 0
	for _, file := range []string{"tug.stl", "bracket.stl", "thin-box.stl", "overlap.stl", "tee.stl"} {
		s := Default()
		s.Height, s.FirstHeight = s.Nozzle, s.Nozzle
		s.Skirts, s.PrimeLine = 0, false
		s.MinLayerTime = 0 // shorter ways would change the speeds
		s.Comb = 0
		j := openFile(t, file, s)
		all := outlines(t, j)
		want, before, _, air := ways(t, j, s, all)
		if air > 0 {
			t.Errorf("%s: %.2f mm through the air without combing", file, air)
		}
		s.Comb = 60 * mm
		got, drawn, out, air := ways(t, openFile(t, file, s), s, all)
		if air > 0 {
			t.Errorf("%s: %.2f mm through the air", file, air)
		}
		if len(got) != len(want) {
			t.Fatalf("%s: %d lines, want %d", file, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s: line %d has changed", file, i)
			}
		}
		if drawn > before {
			t.Errorf("%s: %d retractions, without combing %d", file, drawn, before)
		}
		t.Logf("%s: %d retractions become %d, %d ways inside", file, before, drawn, out)
		sumDrawn, sumBefore = sumDrawn+drawn, sumBefore+before
	}
	if sumDrawn*2 > sumBefore {
		t.Errorf("%d retractions of %d are left", sumDrawn, sumBefore)
	}
	s := Default()
	s.Retract, s.Comb, s.Skirts, s.PrimeLine = 0, 0, 0, false
	j := openFile(t, "tug.stl", s)
	if _, _, _, air := ways(t, j, s, outlines(t, j)); air < 100 {
		t.Errorf("control: %.2f mm through the air is all that is found", air)
	}
}
