package wall

import (
	"math"
	"testing"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// wedge is a small triangle. Half is half of the angle at its tip, which is at the origin.
func wedge(half float64) []geom.Point {
	sin, cos := math.Sincos(half)
	at := func(long, side float64) geom.Point {
		return geom.Point{X: unit.Length(long * cos * float64(mm)), Y: unit.Length(side * long * sin * float64(mm))}
	}
	return []geom.Point{{}, at(3.2, -1), at(3.2, 1)}
}

// In front of the tip of the second wall a pocket stays open, as large as there is
// between two lines and a round end between them; it lies inside of the first wall. The
// corners of a square have none.
func TestPockets(t *testing.T) {
	const width = mm * 45 / 100
	var b Builder
	var w Walls
	for _, half := range []float64{0.37, 0.4, 0.43} {
		p := Params{Width: width, Count: 2, Overlap: -width / 4, Join: geom.JoinBlunt, Thin: true, Gaps: true}
		if err := b.Walls(&w, region(wedge(half)), p); err != nil {
			t.Fatal(err)
		}
		if w.Pockets().Len() != 0 {
			t.Error("pockets before it is known where lines are")
		}
		if err := b.Narrow(&w, p); err != nil {
			t.Fatal(err)
		}
		tips := 0
		for i := range w.Pockets().Len() {
			ring := w.Pockets().Ring(i)
			if ring[0].X > 3*mm/2 {
				continue // at the other end
			}
			tips++
			r := float64(width) / 2
			want := r * r * (1/math.Tan(half) - math.Pi/2 + half)
			if a := float64(geom.Area2(ring)) / 2; a < want*0.5 || a > want*2.5 {
				t.Errorf("half %v: the pocket is %.4f of what is open", half, a/want)
			}
			if d := toBoundary(w.Wall(0), ring[0]); math.Abs(d-r) > r/4 {
				t.Errorf("half %v: it begins %.3f from the first wall, half its width is %.3f", half, d/float64(mm), r/float64(mm))
			}
		}
		if tips != 1 {
			t.Errorf("half %v: %d pockets at the tip", half, tips)
		}
	}
	p := Params{Width: width, Count: 3, Join: geom.JoinBlunt, Gaps: true}
	if err := b.Walls(&w, region(rectangle(0, 0, 10*mm, 10*mm)), p); err != nil {
		t.Fatal(err)
	}
	if err := b.Narrow(&w, p); err != nil || w.Pockets().Len() != 0 {
		t.Errorf("a square: %v, %d pockets", err, w.Pockets().Len())
	}
}

// Where three ribbons meet there is room between the lines that is too small for one of
// its own, and no line is beside it that would become wider: it is a pocket. Along the
// ribbons there is none.
func TestPocketWhereRibbonsMeet(t *testing.T) {
	const width = mm * 45 / 100
	var ring []geom.Point
	for i := range 3 { // arms of 1 mm
		sin, cos := math.Sincos(float64(i) * 2 * math.Pi / 3)
		at := func(long, side float64) {
			ring = append(ring, geom.Point{
				X: unit.Length((long*cos - side*sin) * float64(mm)), Y: unit.Length((long*sin + side*cos) * float64(mm)),
			})
		}
		at(12, -0.5)
		at(12, 0.5)
		at(0.5/math.Tan(math.Pi/3), 0.5)
	}
	p := Params{Width: width, Count: 2, Apart: width * 7 / 10, Wider: width * 7 / 10, Overlap: -width / 4, Join: geom.JoinBlunt, Thin: true, Gaps: true}
	var b Builder
	var w Walls
	if err := b.Walls(&w, region(ring), p); err != nil {
		t.Fatal(err)
	}
	if err := b.Narrow(&w, p); err != nil {
		t.Fatal(err)
	}
	middle := 0
	for i := range w.Pockets().Len() {
		if geom.Inside(w.Pockets().Ring(i), geom.Point{}) {
			middle++
		}
	}
	for i := range w.Len() + 1 {
		for k := range w.Gap(i).Len() {
			if geom.Inside(w.Gap(i).Ring(k), geom.Point{}) {
				middle++
			}
		}
	}
	if middle != 1 || w.Pockets().Len() > 1 {
		t.Errorf("%d places in the middle, %d pockets", middle, w.Pockets().Len())
	}
}
