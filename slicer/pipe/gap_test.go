package pipe

import (
	"math"
	"slices"
	"testing"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// A gap of any shape gets as much material as it holds, inside of it.
func TestGaps(t *testing.T) {
	p := func(x, y float64) geom.Point {
		return geom.Point{X: unit.Length(x * float64(mm)), Y: unit.Length(y * float64(mm))}
	}
	arc := func(r0, r1, to float64) []geom.Point {
		var out, back []geom.Point
		for i := range 41 {
			s, c := math.Sincos(to * float64(i) / 40)
			out = append(out, p(r1*c, r1*s))
			back = append([]geom.Point{p(r0*c, r0*s)}, back...)
		}
		return append(out, back...)
	}
	circle := func(r float64, n int) []geom.Point {
		var out []geom.Point
		for i := range n {
			s, c := math.Sincos(2 * math.Pi * float64(i) / float64(n))
			out = append(out, p(r*c, r*s))
		}
		return out
	}
	reverse := func(in []geom.Point) []geom.Point {
		var out []geom.Point
		for i := range in {
			out = append(out, in[len(in)-1-i])
		}
		return out
	}
	for _, c := range []struct {
		name      string
		rings     [][]geom.Point
		strokes   int     // 0 is any number
		tolerance float64 // of the volume; open lines lack what is around their ends
	}{
		{"strip", [][]geom.Point{{p(0, 0), p(20, 0), p(20, 0.3), p(0, 0.3)}}, 1, 0.015},
		{"wedge", [][]geom.Point{{p(0, 0), p(20, 0), p(20, 0.6), p(0, 0.2)}}, 6, 0.025},
		{"arc", [][]geom.Point{arc(10, 10.3, 3)}, 1, 0.015},
		{"angle", [][]geom.Point{{p(0, 0), p(10, 0), p(10, 0.3), p(0.3, 0.3), p(0.3, 10), p(0, 10)}}, 1, 0.015},
		{"ring", [][]geom.Point{circle(10.3, 60), reverse(circle(10, 60))}, 1, 0.001},
		{"tee", [][]geom.Point{{p(0, 0), p(20, 0), p(20, 0.35), p(10.2, 0.35), p(10.2, 10), p(9.8, 10), p(9.8, 0.35), p(0, 0.35)}}, 0, 0.2},
		{"two", [][]geom.Point{{p(0, 0), p(20, 0), p(20, 0.3), p(0, 0.3)}, {p(0, 1), p(20, 1), p(20, 1.3), p(0, 1.3)}}, 2, 0.015},
		{"too thin", [][]geom.Point{{p(0, 0), p(20, 0), p(20, 0.1), p(0, 0.1)}}, -1, 0},
	} {
		var k geom.Kernel
		var g gapFiller
		var s Strokes
		for _, r := range c.rings {
			g.gap.Add(r)
		}
		var gap geom.Region
		gap.Append(&g.gap)
		if err := g.strokes(&k, &s, unit.Micrometres(450)); err != nil {
			t.Fatal(err)
		}
		if c.strokes < 0 {
			if s.Len() != 0 {
				t.Errorf("%s: %d strokes", c.name, s.Len())
			}
			continue
		}
		if s.Len() == 0 || c.strokes > 0 && s.Len() != c.strokes {
			t.Errorf("%s: %d strokes, want %d", c.name, s.Len(), c.strokes)
		}
		held := 0.0
		for i := range s.Len() {
			held += length(s.Line(i)) * float64(s.Widths[i])
			for _, q := range s.Line(i) {
				odd := 0
				for r := range gap.Len() {
					if geom.Inside(gap.Ring(r), q) {
						odd++
					}
				}
				if odd%2 == 0 && !onEdge(&gap, q) {
					t.Errorf("%s: a stroke leaves the gap", c.name)
				}
			}
		}
		if want := float64(gap.Area2()) / 2; math.Abs(held/want-1) > c.tolerance {
			t.Errorf("%s: strokes hold %.3f of the gap", c.name, held/want)
		}
	}
}

// onEdge reports whether p is within 2 µm of a ring.
func onEdge(r *geom.Region, p geom.Point) bool {
	for i := range r.Len() {
		ring := r.Ring(i)
		for k, a := range ring {
			b := ring[(k+1)%len(ring)]
			if distance(a, p)+distance(p, b) < distance(a, b)+float64(mm)/500 {
				return true
			}
		}
	}
	return false
}

// Where a gap is wider its line is: at every place by a fifth at most, rounding
// aside. The control is a line as wide as the gap is on average.
func TestGapWidths(t *testing.T) {
	p := func(x, y float64) geom.Point {
		return geom.Point{X: unit.Length(x * float64(mm)), Y: unit.Length(y * float64(mm))}
	}
	worst := func(s *Strokes, width func(i int) unit.Length) float64 {
		off := 1.0
		for i := range s.Len() {
			for _, q := range s.Line(i) {
				f := float64(width(i)) / (0.2*float64(mm) + float64(q.X)/50)
				off = max(off, f, 1/f)
			}
		}
		return off
	}
	var k geom.Kernel
	var g gapFiller
	var s Strokes
	g.gap.Add([]geom.Point{p(0, -0.1), p(20, -0.3), p(20, 0.3), p(0, 0.1)})
	if err := g.strokes(&k, &s, unit.Micrometres(450)); err != nil {
		t.Fatal(err)
	}
	if off := worst(&s, func(i int) unit.Length { return s.Widths[i] }); off > 1.2 {
		t.Errorf("a line is off by a factor of %.3f", off)
	}
	if off := worst(&s, func(int) unit.Length { return unit.Micrometres(400) }); off < 1.5 {
		t.Errorf("control: the mean width is off by a factor of %.3f only", off)
	}
	for i := range s.Len() - 1 {
		if a, b := s.Line(i), s.Line(i+1); a[len(a)-1] != b[0] && a[0] != b[len(b)-1] {
			t.Error("the pieces do not follow each other")
		}
	}
}

// A cross of 0.7 mm gets closed lines, one of 0.3 mm short ones; all of it is
// filled either way, and a line has no end in the cross of closed ones.
func TestCross(t *testing.T) {
	for _, c := range []struct {
		wide   unit.Length
		closed bool
	}{{unit.Micrometres(700), true}, {unit.Micrometres(300), false}} {
		h := c.wide / 2
		var k geom.Kernel
		var g gapFiller
		var s Strokes
		g.gap.Add([]geom.Point{
			{X: -9 * mm, Y: -h}, {X: -h, Y: -h}, {X: -h, Y: -9 * mm}, {X: h, Y: -9 * mm}, {X: h, Y: -h}, {X: 9 * mm, Y: -h},
			{X: 9 * mm, Y: h}, {X: h, Y: h}, {X: h, Y: 9 * mm}, {X: -h, Y: 9 * mm}, {X: -h, Y: h}, {X: -9 * mm, Y: h},
		})
		want := float64(g.gap.Area2()) / 2
		if err := g.strokes(&k, &s, unit.Micrometres(450)); err != nil {
			t.Fatal(err)
		}
		held := 0.0
		for i := range s.Len() {
			line := s.Line(i)
			if (line[0] == line[len(line)-1]) != c.closed {
				t.Errorf("%v: a closed line: %v", c.wide, !c.closed)
			}
			held += length(line) * float64(s.Widths[i])
		}
		if s.Len() == 0 || math.Abs(held/want-1) > 0.15 {
			t.Errorf("%v: %d strokes hold %.3f of the cross", c.wide, s.Len(), held/want)
		}
	}
}

// A line that bends slowly keeps its bends: every point left out is near what is
// left. A straight one keeps its ends.
func TestStraighten(t *testing.T) {
	bend := make([]geom.Point, 400)
	for i := range bend {
		s, c := math.Sincos(float64(i) / 399)
		bend[i] = geom.Point{X: unit.Length(s * 20 * float64(mm)), Y: unit.Length(c * 20 * float64(mm))}
	}
	left := straighten(slices.Clone(bend), simplify)
	if len(left) < 10 || len(left) > 60 {
		t.Errorf("%d points left of a bend", len(left))
	}
	for _, p := range bend {
		near := false
		for i := range len(left) - 1 {
			a, b := left[i], left[i+1]
			off := math.Abs(float64(geom.Cross(a, b, p))) / distance(a, b)
			near = near || off <= 1.01*float64(simplify) && distance(a, p) <= distance(a, b) && distance(p, b) <= distance(a, b)
		}
		if !near {
			t.Fatal("a point is far from what is left")
		}
	}
	straight := []geom.Point{{X: 0}, {X: mm}, {X: 2 * mm}, {X: 3 * mm}}
	if got := straighten(straight, simplify); len(got) != 2 || got[1].X != 3*mm {
		t.Errorf("%d points left of a straight line", len(got))
	}
}

// A thin gap with a side arm gets one line along each arm; a comb of which not even
// that can be said is hatched. Either way the amount is right.
func TestArms(t *testing.T) {
	h := unit.Micrometres(150)
	tee := []geom.Point{
		{X: -15 * mm, Y: -h}, {X: 15 * mm, Y: -h}, {X: 15 * mm, Y: h}, {X: h, Y: h},
		{X: h, Y: 8 * mm}, {X: -h, Y: 8 * mm}, {X: -h, Y: h}, {X: -15 * mm, Y: h},
	}
	blob := []geom.Point{ // nearly all knot
		{X: 0, Y: 0}, {X: 2 * mm, Y: 0}, {X: 2 * mm, Y: mm}, {X: 3 * mm, Y: mm}, {X: 3 * mm, Y: mm * 6 / 5}, {X: 2 * mm, Y: mm * 6 / 5}, {X: 2 * mm, Y: 2 * mm}, {X: 0, Y: 2 * mm},
	}
	for _, c := range []struct {
		name   string
		gap    []geom.Point
		arms   bool
		within float64
	}{{"tee", tee, true, 0.04}, {"blob", blob, false, 0.25}} {
		var k geom.Kernel
		var g gapFiller
		var s Strokes
		g.width = unit.Micrometres(450)
		g.part.Add(c.gap)
		area, edge := float64(g.part.Area2())/2, around(c.gap)
		ok, err := g.arms(&k, &s, area, edge)
		if err != nil || ok != c.arms {
			t.Errorf("%s: arms: %v, %v", c.name, ok, err)
		}
		if c.arms && s.Len() != 3 || !c.arms && (s.Len() != 0 || len(s.Pts) != 0) {
			t.Errorf("%s: %d lines", c.name, s.Len())
		}
		if !ok {
			if err := g.hatch(&s, area); err != nil {
				t.Fatal(err)
			}
		}
		held := 0.0
		for i := range s.Len() {
			held += length(s.Line(i)) * float64(s.Widths[i])
		}
		if math.Abs(held/area-1) > c.within {
			t.Errorf("%s: lines hold %.3f of the gap", c.name, held/area)
		}
	}
}

// The line of a free strip ends half of its width before the strip does, and straight;
// between walls it goes on a little. A piece hardly longer than it is wide gets one
// straight line, as wide as the piece, wherever it is free.
func TestLineEnds(t *testing.T) {
	sin, cos := math.Sincos(0.3)
	strip := func(long, wide float64) []geom.Point {
		var out []geom.Point
		for _, c := range [][2]float64{{0, -wide / 2}, {long, -wide / 2}, {long, wide / 2}, {0, wide / 2}} {
			out = append(out, geom.Point{X: unit.Length((c[0]*cos - c[1]*sin) * float64(mm)), Y: unit.Length((c[0]*sin + c[1]*cos) * float64(mm))})
		}
		return out
	}
	for _, c := range []struct {
		long, wide float64
		bare       bool
		end        float64 // in widths
	}{{10, 0.4, true, 0.5}, {10, 0.4, false, 0.2}, {6, 0.6, true, 0.5}, {0.7, 0.5, true, 0.5}} {
		var k geom.Kernel
		var g gapFiller
		var s Strokes
		var gap geom.Region
		gap.Add(strip(c.long, c.wide))
		if err := g.fill(&k, &s, &gap, unit.Micrometres(450), c.bare); err != nil {
			t.Fatal(err)
		}
		if s.Len() != 1 || len(s.Pts) > 2+int(c.long) {
			t.Fatalf("%v: %d lines of %d points", c, s.Len(), len(s.Pts))
		}
		for _, q := range [...]geom.Point{s.Pts[0], s.Pts[len(s.Pts)-1]} {
			along := (float64(q.X)*cos + float64(q.Y)*sin) / float64(mm)
			across := (float64(q.Y)*cos - float64(q.X)*sin) / float64(mm)
			end := min(along, c.long-along) / s.Widths[0].MM()
			if slack := 0.15 + 0.3*c.wide/c.long; math.Abs(end-c.end) > slack || math.Abs(across) > slack*c.wide {
				t.Errorf("%v: a line ends %.2f of its width before the end and %.3f mm beside the middle", c, end, across)
			}
		}
		if w := s.Widths[0].MM(); math.Abs(w/c.wide-1) > 0.2 {
			t.Errorf("%v: the line is %.3f wide", c, w)
		}
	}
}
