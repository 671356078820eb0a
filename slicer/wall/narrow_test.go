package wall

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// held is the length of all lines of wall i times their widths.
func held(w *Walls, i int, width unit.Length) float64 {
	sum := 0.0
	widths := w.Widths(i)
	r := w.Wall(i)
	k := 0
	for j := range r.Len() {
		ring := r.Ring(j)
		for n, a := range ring {
			wide := width
			if widths != nil {
				wide = widths[k]
			}
			sum += distance(a, ring[(n+1)%len(ring)]) * float64(wide)
			k++
		}
	}
	return sum
}

// Two sides that share 1.6 to 2.7 widths take just that; without Narrow they take 2.
// What is wider is left alone. Each line reaches out to the contour and no farther.
func TestNarrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const width = mm / 2
		thick := unit.Length(rapid.IntRange(int(width)*16/10+20, int(width)*3).Draw(t, "thick"))
		turn := rapid.Float64Range(0, 2*math.Pi).Draw(t, "turn")
		r := region(turned(rectangle(0, 0, 40*mm, thick), turn))
		var k geom.Kernel
		if err := k.Union(r, r); err != nil {
			t.Fatal(err)
		}
		var b Builder
		var w Walls
		p := Params{Width: width, Count: 1, Apart: width * 6 / 10, Wider: width * 7 / 10, Join: geom.JoinMiter}
		if err := b.Walls(&w, r, p); err != nil {
			t.Fatal(err)
		}
		before := held(&w, 0, width)
		if err := b.Narrow(&w, p); err != nil {
			t.Fatal(err)
		}
		after, want := held(&w, 0, width), area(r)
		if thick > width*268/100 && thick < width*272/100 {
			return // as it comes
		}
		if thick > width*270/100 {
			if w.Widths(0) != nil {
				t.Fatal("a line with room is changed")
			}
			return
		}
		if off := offContour(&w, r, width); off > float64(width)/50 {
			t.Fatalf("a line ends %.0f from the contour", off)
		}
		if math.Abs(after/want-1) > 0.03 {
			t.Fatalf("thickness %v: lines hold %.3f of it, without Narrow %.3f", thick, after/want, before/want)
		}
		if thick < width*18/10 && before/want < 1.08 {
			t.Fatalf("control: without Narrow they hold %.3f", before/want)
		}
	})
}

// offContour is how far the outer sides of the lines of wall 0 are from the contour,
// at most, where they are not as wide as asked for.
func offContour(w *Walls, r *geom.Region, width unit.Length) float64 {
	worst := 0.0
	line := w.Wall(0).Ring(0)
	for k, wide := range w.Widths(0) {
		if a, b := line[k], line[(k+1)%len(line)]; wide != width && distance(a, b) > 2*float64(width) {
			worst = max(worst, math.Abs(toBoundary(r, middle(a, b))-float64(wide)/2))
		}
	}
	return worst
}

func turned(ring []geom.Point, by float64) []geom.Point {
	sin, cos := math.Sincos(by)
	for i, p := range ring {
		x, y := float64(p.X), float64(p.Y)
		ring[i] = geom.Point{X: unit.Length(math.Round(x*cos - y*sin)), Y: unit.Length(math.Round(x*sin + y*cos))}
	}
	return ring
}

// Only the thin half of a key is narrowed; its ring keeps its shape.
func TestNarrowInPart(t *testing.T) {
	const width = mm / 2
	r := region([]geom.Point{
		{X: 0, Y: 0}, {X: 20 * mm, Y: 0}, {X: 20 * mm, Y: -3 * mm}, {X: 30 * mm, Y: -3 * mm}, {X: 30 * mm, Y: 3 * mm},
		{X: 20 * mm, Y: 3 * mm}, {X: 20 * mm, Y: width * 17 / 10}, {X: 0, Y: width * 17 / 10},
	})
	var b Builder
	var w Walls
	p := Params{Width: width, Count: 2, Apart: width / 2, Wider: width * 7 / 10, Join: geom.JoinMiter}
	if err := b.Walls(&w, r, p); err != nil {
		t.Fatal(err)
	}
	long, inside := perimeter(w.Wall(0)), area(w.Wall(0))
	if err := b.Narrow(&w, p); err != nil {
		t.Fatal(err)
	}
	if got := perimeter(w.Wall(0)); math.Abs(got-long) > float64(width) {
		t.Errorf("the wall is %.0f long, was %.0f", got, long)
	}
	// Both sides of the thin half have moved out by half of what they are narrower.
	moved := 2 * 20 * float64(mm) * float64(width) * 0.075
	if got := area(w.Wall(0)) - inside; math.Abs(got/moved-1) > 0.1 {
		t.Errorf("the wall encloses %.0f more, want %.0f", got, moved)
	}
	if w.Widths(1) != nil {
		t.Error("the second wall is narrowed")
	}
	narrow, full := 0, 0
	for i, wide := range w.Widths(0) {
		switch x := w.Wall(0).Pts[i].X; {
		case x < 21*mm && wide < width*9/10 && wide > width*8/10:
			narrow++
		case x > 21*mm && wide == width:
			full++
		case wide != width && (x > 21*mm || wide < width/2):
			t.Errorf("a line is %v wide", wide)
		}
	}
	if narrow < 2 || full < 2 {
		t.Errorf("%d narrow lines, %d full ones", narrow, full)
	}
	b.Wipe()
	w.Wipe()
	for _, wide := range w.widths[0][:cap(w.widths[0])] {
		if wide != 0 {
			t.Fatal("wiping leaves widths")
		}
	}
	if err := b.Narrow(&w, Params{}); !errors.Is(err, ErrParams) {
		t.Errorf("no width: %v", err)
	}
}
