package path

import (
	"math"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
)

// arrow is a contour with one inner corner, at 10,5 mm, and rear corners at Y 20.
func arrow(x unit.Length) []geom.Point {
	return []geom.Point{{X: x, Y: 0}, {X: x + 10*mm, Y: 5 * mm}, {X: x + 20*mm, Y: 0}, {X: x + 20*mm, Y: 20 * mm}, {X: x, Y: 20 * mm}}
}

// round is a circle, which has no corners.
func round(x, y, r unit.Length) []geom.Point {
	var out []geom.Point
	for i := range 120 {
		s, c := math.Sincos(2 * math.Pi * float64(i) / 120)
		out = append(out, geom.Point{X: x + unit.Length(c*float64(r)), Y: y + unit.Length(s*float64(r))})
	}
	return out
}

func planner(s Seam) *Planner {
	p := params()
	p.Seam = s
	return New(p, func(motion.Op) bool { return true })
}

// A new seam hides in an inner corner; where there is none, in an outer one at the
// rear; on a circle at the rear. Where an edge beside it hangs over it goes elsewhere.
func TestSeamHides(t *testing.T) {
	pl := planner(SeamAligned)
	start, at := pl.seam(arrow(0), nil, motion.OuterWall)
	if want := (geom.Point{X: 10 * mm, Y: 5 * mm}); at != want || start != 1 {
		t.Errorf("not in the inner corner, but at point %d", start)
	}
	if start, _ := pl.seam(arrow(60*mm), []uint8{2, 0, 0, 0, 0}, motion.OuterWall); start != 4 {
		t.Errorf("where the inner corner hangs over, it is at point %d, want the rear left", start)
	}
	if start, _ := pl.seam(square(100*mm, 0, 9*mm), nil, motion.OuterWall); start != 3 {
		t.Errorf("of a square it is at point %d", start)
	}
	if start, _ := pl.seam(round(100*mm, 100*mm, 9*mm), nil, motion.OuterWall); start != 30 {
		t.Errorf("of a circle it is at point %d", start)
	}
	if start, _ := pl.seam(arrow(0), nil, motion.InnerWall); start != 0 {
		t.Errorf("an inner wall begins at point %d, though the nozzle is at 0", start)
	}
}

// Aligned seams of a circle that moves go along with it; those at a corner stay
// there. Rear ones are at the rear whatever was below, and the nearest near the
// nozzle, but for a corner that is not much farther.
func TestSeamFollows(t *testing.T) {
	pl := planner(SeamAligned)
	var last geom.Point
	for i := range 50 {
		x := unit.Length(i) * mm / 5 // 10 mm in all: by then the rear is elsewhere
		r := 9*mm + x/4
		_, at := pl.seam(round(100*mm+x, 100*mm, r), nil, motion.OuterWall)
		if d := math.Sqrt(float64(distance2(at, last))); i > 0 && d > float64(mm) {
			t.Fatalf("layer %d: the seam jumps by %.2f mm", i, d/float64(mm))
		}
		last = at
		pl.keepSeams()
		pl.newSeams = pl.newSeams[:0]
	}
	pl = planner(SeamRear)
	for i := range 3 {
		if start, _ := pl.seam(arrow(unit.Length(i)*mm), nil, motion.OuterWall); start != 4 {
			t.Errorf("the rear is at point %d", start)
		}
	}
	pl = planner(SeamNearest)
	pl.pen.at = geom.Point{X: 21 * mm, Y: 19 * mm}
	if start, _ := pl.seam(arrow(0), nil, motion.OuterWall); start != 3 {
		t.Errorf("the nearest corner is point %d", start)
	}
	ring := append(arrow(0), geom.Point{X: 0, Y: 3 * mm / 2}) // on the left edge, no corner
	pl.pen.at = geom.Point{X: -mm, Y: 3 * mm / 2}
	if start, _ := pl.seam(ring, nil, motion.OuterWall); start != 0 {
		t.Errorf("it begins at point %d, with a corner near", start)
	}
}

// Random seams lie on the ring, anywhere on it, elsewhere from layer to layer, and
// the same each time.
func TestSeamRandom(t *testing.T) {
	pl := planner(SeamRandom)
	ring := square(0, 0, 20*mm)
	sides, between := [4]int{}, 0
	for i := range 200 {
		pl.layer = int32(i)
		start, at := pl.seam(ring, nil, motion.OuterWall)
		if s, again := pl.seam(ring, nil, motion.OuterWall); s != start || again != at {
			t.Fatal("the same layer, another place")
		}
		a, b := ring[start], ring[(start+1)%4]
		if geom.Cross(a, b, at) != 0 || distance2(a, at) > distance2(a, b) || distance2(b, at) > distance2(a, b) {
			t.Fatal("a seam is not on its edge")
		}
		sides[start]++
		if distance2(a, at) > int64(mm)*int64(mm) && distance2(b, at) > int64(mm)*int64(mm) {
			between++
		}
	}
	for i, n := range sides {
		if n < 25 || n > 80 {
			t.Errorf("%d of 200 seams are on side %d", n, i)
		}
	}
	if between < 150 {
		t.Errorf("%d of 200 seams are away from corners", between)
	}
}

// A ring that begins in the middle of an edge is closed, and takes as much filament as
// one that begins in a corner.
func TestSeamOnEdgeCloses(t *testing.T) {
	total := func(s Seam) (mmE float64, closed bool) {
		p := params()
		p.Seam = s
		var first, at geom.Point
		outer := false
		for _, op := range program(p, layer(t, 3, geom.Point{X: 20 * mm, Y: 20 * mm})) {
			if op.Kind != motion.Move || !op.Has(motion.X) {
				continue
			}
			if op.Role == motion.OuterWall && op.Has(motion.E) {
				if !outer {
					first = at
				}
				outer = true
				mmE += op.E.MM()
				closed = first == geom.Point{X: op.To[0], Y: op.To[1]}
			}
			at = geom.Point{X: op.To[0], Y: op.To[1]}
		}
		return mmE, closed
	}
	corner, a := total(SeamRear)
	edge, b := total(SeamRandom)
	if !a || !b || math.Abs(edge/corner-1) > 1e-4 {
		t.Errorf("closed: %v and %v; %.4f and %.4f mm of filament", a, b, corner, edge)
	}
}
