package wall

import (
	"math"
	"testing"

	"platen/slicer/geom"
)

// The second wall of an angle, which has inner and outer corners, reaches to within a
// fiftieth of a line of where the first one's sides would meet; before that, as a
// control, a gap is open there. Straight on it stays where it was, and so does the
// first wall.
func TestCorners(t *testing.T) {
	const width = mm / 2
	r := region([]geom.Point{
		{X: 0, Y: 0}, {X: 20 * mm, Y: 0}, {X: 20 * mm, Y: 10 * mm}, {X: 10 * mm, Y: 10 * mm}, {X: 10 * mm, Y: 20 * mm}, {X: 0, Y: 20 * mm},
	})
	var b Builder
	var w Walls
	p := Params{Width: width, Count: 2, Join: geom.JoinMiter}
	if err := b.Walls(&w, r, p); err != nil {
		t.Fatal(err)
	}
	gap := func() float64 { // between the corners of the band that wall 0 covers and wall 1
		worst := 0.0
		for _, c := range []geom.Point{{X: width, Y: width}, {X: 20*mm - width, Y: width}, {X: width, Y: 20*mm - width}} {
			worst = max(worst, toBoundary(w.Wall(1), c)-float64(width)/2)
		}
		return worst
	}
	before, first := gap(), perimeter(w.Wall(0))
	if err := b.Narrow(&w, p); err != nil {
		t.Fatal(err)
	}
	if g := gap(); g > float64(width)/40 || before < float64(width)/6 {
		t.Errorf("the gap is %.0f, was %.0f", g, before)
	}
	if perimeter(w.Wall(0)) != first || w.Wall(1).Len() != 1 || len(w.Wall(1).Pts) != 18 {
		t.Errorf("wall 1 has %d points", len(w.Wall(1).Pts))
	}
	moved := 0
	for _, q := range w.Wall(1).Pts {
		if math.Abs(toBoundary(r, q)-1.5*float64(width)) > 4 {
			moved++
		}
	}
	if moved != 8 { // six corners; and beside the inner one the bends are nearest to that
		t.Errorf("%d points have moved, want 8", moved)
	}
	if err := b.Walls(&w, region(rectangle(0, 0, 3*mm, 3*mm)), p); err != nil {
		t.Fatal(err)
	}
	if err := b.Narrow(&w, p); err != nil || len(w.Wall(1).Pts) != 12 {
		t.Errorf("a small square: %v, %d points", err, len(w.Wall(1).Pts))
	}
	if err := b.Walls(&w, region(rectangle(0, 0, 5*mm/2, 3*mm)), p); err != nil {
		t.Fatal(err)
	}
	if err := b.Narrow(&w, p); err != nil || len(w.Wall(1).Pts) != 4 {
		t.Errorf("sides too short to bend: %v, %d points", err, len(w.Wall(1).Pts))
	}
	b.Wipe()
	for _, x := range b.narrow.widths[:cap(b.narrow.widths)] {
		if x != 0 {
			t.Fatal("wiping leaves widths")
		}
	}
}
