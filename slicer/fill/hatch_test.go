package fill

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// inside reports whether r winds around p, by following a ray to the right.
func inside(r *geom.Region, p geom.Point) bool {
	n := 0
	for i := range r.Ends {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			if up := b.Y > a.Y; (a.Y <= p.Y) != (b.Y <= p.Y) && geom.Cross(a, b, p) > 0 == up {
				if up {
					n++
				} else {
					n--
				}
			}
			a = b
		}
	}
	return n > 0
}

// toBoundary is the distance from p to the nearest edge of r.
func toBoundary(r *geom.Region, p geom.Point) float64 {
	best := math.Inf(1)
	for i := range r.Ends {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			best = min(best, toEdge(p, a, b))
			a = b
		}
	}
	return best
}

func toEdge(p, a, b geom.Point) float64 {
	lx, ly := float64(b.X-a.X), float64(b.Y-a.Y)
	px, py := float64(p.X-a.X), float64(p.Y-a.Y)
	t := 0.0
	if l := lx*lx + ly*ly; l > 0 {
		t = max(0, min(1, (px*lx+py*ly)/l))
	}
	return math.Hypot(px-t*lx, py-t*ly)
}

// drawClean draws a region as the kernel leaves it.
func drawClean(t *rapid.T) *geom.Region {
	var raw, clean geom.Region
	cell := rapid.SampledFrom([]int32{1000, 70_000, 900_000}).Draw(t, "cell")
	for range rapid.IntRange(1, 4).Draw(t, "rings") {
		ring := make([]geom.Point, rapid.IntRange(3, 8).Draw(t, "points"))
		for i := range ring {
			ring[i].X = unit.Length(rapid.Int32Range(-9, 9).Draw(t, "x") * cell)
			ring[i].Y = unit.Length(rapid.Int32Range(-9, 9).Draw(t, "y") * cell)
		}
		raw.Add(ring)
	}
	var k geom.Kernel
	if err := k.Union(&clean, &raw); err != nil {
		t.Fatal(err)
	}
	return &clean
}

func drawParams(t *rapid.T) Params {
	return Params{
		Angle: rapid.SampledFrom([]Angle{0, 45 * Degree, 90 * Degree, 135 * Degree, 225 * Degree,
			-45 * Degree, 30 * Degree, 91_234}).Draw(t, "angle"),
		Spacing: rapid.SampledFrom([]unit.Length{MinSpacing, 27_525, mm, 7 * mm}).Draw(t, "spacing"),
		Phase:   rapid.SampledFrom([]unit.Length{0, -400, 11 * mm / 3}).Draw(t, "phase"),
	}
}

// rounding is how far points may be off: the frame and its inverse round.
const rounding = 2.5

// across is the position of p in scan lines.
func across(p geom.Point, prm Params) float64 {
	a := float64(prm.Angle) / 180_000 * math.Pi
	v := float64(p.Y)*math.Cos(a) - float64(p.X)*math.Sin(a)
	return (v - float64(prm.Phase)) / float64(prm.Spacing)
}

// TestHatchIsTheRegion looks at places on scan lines: those on a line of the hatch
// are in the region, all others are not.
func TestHatchIsTheRegion(t *testing.T) {
	var h Hatcher
	var l Lines
	in, out := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		r, p := drawClean(t), drawParams(t)
		l.Reset()
		if err := h.Hatch(&l, r, p); err != nil {
			t.Fatal(err)
		}
		for i := range l.Ends {
			line := l.Line(i)
			if len(line) != 2 {
				t.Fatalf("a line of %d points though nothing is to be joined", len(line))
			}
			for _, q := range line {
				if a := across(q, p); math.Abs(a-math.Round(a))*float64(p.Spacing) > rounding {
					t.Fatalf("%v is between two scan lines: %.5f", q, a)
				}
				if toBoundary(r, q) > rounding {
					t.Fatalf("a line ends %.1f from the boundary", toBoundary(r, q))
				}
			}
		}
		a := float64(p.Angle) / 180_000 * math.Pi
		for range 30 {
			n := float64(rapid.IntRange(-40, 40).Draw(t, "line")) * float64(p.Spacing)
			u := float64(rapid.Int32Range(-9_000_000, 9_000_000).Draw(t, "u"))
			v := n + float64(p.Phase)
			q := geom.Point{
				X: unit.Length(math.Round(u*math.Cos(a) - v*math.Sin(a))),
				Y: unit.Length(math.Round(u*math.Sin(a) + v*math.Cos(a))),
			}
			if toBoundary(r, q) < 4*rounding {
				continue
			}
			want := inside(r, q)
			got := slices.ContainsFunc(l.Ends, func(end int32) bool {
				return toEdge(q, l.Pts[end-2], l.Pts[end-1]) < rounding
			})
			if got != want {
				t.Fatalf("%v: on a line %v, in the region %v", q, got, want)
			}
			if want {
				in++
			} else {
				out++
			}
		}
	})
	if in < 5 || out < 5 {
		t.Fatalf("only %d places inside and %d outside", in, out)
	}
}

// TestJoinsStayInside checks that joined lines draw the same spans, and otherwise
// follow the boundary.
func TestJoinsStayInside(t *testing.T) {
	var h Hatcher
	var plain, joined Lines
	joins := 0
	rapid.Check(t, func(t *rapid.T) {
		r, p := drawClean(t), drawParams(t)
		p.Spacing = max(p.Spacing, 2000)
		plain.Reset()
		joined.Reset()
		if err := h.Hatch(&plain, r, p); err != nil {
			t.Fatal(err)
		}
		p.MaxJoin = 20 * mm
		if err := h.Hatch(&joined, r, p); err != nil {
			t.Fatal(err)
		}
		joins += joinsOf(t, r, &plain, &joined, rounding)
	})
	if joins < 20 {
		t.Fatalf("only %d joins", joins)
	}
}

// joinsOf is how many joins there are in joined, which draws what plain does and else
// follows the boundary of r, no farther from it than off.
func joinsOf(t *rapid.T, r *geom.Region, plain, joined *Lines, off float64) (joins int) {
	spans := map[[2]geom.Point]int{}
	for i := range plain.Ends {
		line := plain.Line(i)
		for j := 1; j < len(line); j++ {
			spans[ordered(line[j-1], line[j])]++
		}
	}
	for i := range joined.Ends {
		line := joined.Line(i)
		for j := 1; j < len(line); j++ {
			if s := ordered(line[j-1], line[j]); spans[s] > 0 {
				spans[s]--
				continue
			}
			joins++
			m := geom.Point{X: (line[j-1].X + line[j].X) / 2, Y: (line[j-1].Y + line[j].Y) / 2}
			if d := toBoundary(r, m); d > off {
				t.Fatalf("a join is %.1f from the boundary", d)
			}
		}
	}
	for s, n := range spans {
		if n != 0 {
			t.Fatalf("span %v is drawn %d times too few", s, n)
		}
	}
	if joined.Len() > plain.Len() {
		t.Fatal("joining made more lines")
	}
	return joins
}

func ordered(a, b geom.Point) [2]geom.Point {
	if a.Y > b.Y || a.Y == b.Y && a.X > b.X {
		a, b = b, a
	}
	return [2]geom.Point{a, b}
}

func TestSquareIsOneLine(t *testing.T) {
	var r geom.Region
	r.Add(rectangle(0, 0, 20*mm, 20*mm))
	for _, angle := range []Angle{0, 45 * Degree, 90 * Degree, 135 * Degree, 10 * Degree} {
		var h Hatcher
		var l Lines
		p := Params{Angle: angle, Spacing: mm / 2, Phase: mm / 4, MaxJoin: 4 * mm}
		if err := h.Hatch(&l, &r, p); err != nil {
			t.Fatal(err)
		}
		if l.Len() != 1 {
			t.Errorf("angle %d: %d lines", angle, l.Len())
		}
		l.Reset()
		p.MaxJoin = mm / 8
		if err := h.Hatch(&l, &r, p); err != nil || l.Len() < 40 {
			t.Errorf("angle %d: %d lines though joins are too long: %v", angle, l.Len(), err)
		}
	}
}

// TestLinesContinue hatches two regions one after the other that share a side: the
// lines of the second continue those of the first.
func TestLinesContinue(t *testing.T) {
	var left, right, both geom.Region
	left.Add(rectangle(-7*mm, -5*mm, 3*mm, 11*mm))
	right.Add(rectangle(3*mm, -5*mm, 9*mm, 11*mm))
	both.Add(rectangle(-7*mm, -5*mm, 9*mm, 11*mm))
	for _, angle := range []Angle{0, 45 * Degree, 135 * Degree, 60 * Degree} {
		p := Params{Angle: angle, Spacing: 31_113}
		var h Hatcher
		var parts, whole Lines
		if err := errors.Join(h.Hatch(&parts, &left, p), h.Hatch(&parts, &right, p), h.Hatch(&whole, &both, p)); err != nil {
			t.Fatal(err)
		}
		if d := parts.Length() - whole.Length(); d < -200 || d > 200 {
			t.Errorf("angle %d: the parts differ from the whole by %d", angle, d)
		}
	}
}

func TestPatternsAndDensity(t *testing.T) {
	var r geom.Region
	r.Add(rectangle(0, 0, 90*mm, 90*mm))
	width := unit.Micrometres(450)
	for _, c := range []struct {
		pattern Pattern
		density Percent
	}{{PatternLines, 100}, {PatternLines, 20}, {PatternGrid, 20}, {PatternGrid, 7}} {
		var h Hatcher
		var l Lines
		p := Params{Angle: 45 * Degree, Spacing: Spacing(width, c.density), Pattern: c.pattern}
		if err := h.Hatch(&l, &r, p); err != nil {
			t.Fatal(err)
		}
		if got := coverage(&l, width, &r) * 100; math.Abs(got-float64(c.density)) > 0.02*float64(c.density) {
			t.Errorf("pattern %d, %d %%: %.2f %%", c.pattern, c.density, got)
		}
	}
}

func TestMinSpan(t *testing.T) {
	var r geom.Region
	r.Add([]geom.Point{pt(0, 0), pt(20*mm, 0), pt(0, 20*mm)})
	var h Hatcher
	var l Lines
	if err := h.Hatch(&l, &r, Params{Spacing: mm, MinSpan: 5 * mm, Phase: mm / 2}); err != nil {
		t.Fatal(err)
	}
	if l.Len() != 15 {
		t.Errorf("%d lines of at least 5 mm, want 15", l.Len())
	}
	l.Reset()
	if err := h.Hatch(&l, &r, Params{Spacing: mm, Angle: 45 * Degree, MinSpan: 5 * mm}); err != nil {
		t.Fatal(err)
	}
	for i := range l.Ends {
		if d := distance(l.Line(i)[0], l.Line(i)[1]); d < float64(5*mm)-rounding {
			t.Errorf("a span of %.3f mm", d/float64(mm))
		}
	}
}

func TestHatchRefuses(t *testing.T) {
	var h Hatcher
	var l Lines
	var r geom.Region
	r.Add(rectangle(0, 0, mm, mm))
	for _, p := range []Params{
		{}, {Spacing: -mm}, {Spacing: MinSpacing - 1}, {Spacing: 1001 * mm},
		{Spacing: mm, MinSpan: -1}, {Spacing: mm, MaxJoin: -1}, {Spacing: mm, Anchor: -1}, {Spacing: mm, Overrun: -1},
		{Spacing: mm, Pattern: PatternConcentric}, {Spacing: mm, Join: JoinAll + 1}, {Spacing: math.MinInt32},
	} {
		if err := h.Hatch(&l, &r, p); !errors.Is(err, ErrParams) || l.Len() != 0 {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if Spacing(mm, 0) != 0 || Spacing(1000*mm, 1) != maxSpacing {
		t.Error("spacing at the ends of its range")
	}
}

func TestWholePlane(t *testing.T) {
	const far = unit.MaxCoordinate
	var r geom.Region
	r.Add(rectangle(-far, -far, far, far))
	for _, angle := range []Angle{0, 45 * Degree, 90 * Degree, 135 * Degree, 33 * Degree} {
		var h Hatcher
		var l Lines
		if err := h.Hatch(&l, &r, Params{Angle: angle, Spacing: mm, MaxJoin: 9 * mm}); err != nil {
			t.Fatal(err)
		}
		spans := coverage(&l, mm, &r)
		if l.Len() != 1 || math.Abs(spans-1) > 0.01 {
			t.Errorf("angle %d: %d lines cover %.4f", angle, l.Len(), spans)
		}
		for _, p := range l.Pts {
			if max(p.X, -p.X, p.Y, -p.Y) > far {
				t.Fatalf("%v is outside the plane", p)
			}
		}
	}
}

func TestNoAllocation(t *testing.T) {
	var r geom.Region
	r.Add(rectangle(0, 0, 50*mm, 50*mm))
	r.Add([]geom.Point{pt(10*mm, 10*mm), pt(10*mm, 30*mm), pt(30*mm, 20*mm)})
	var h Hatcher
	var l Lines
	run := func() {
		l.Reset()
		for _, join := range []Join{JoinNext, JoinMonotonic, JoinAll} {
			for pattern := range PatternConcentric {
				if err := h.Hatch(&l, &r, Params{Angle: 45 * Degree, Spacing: mm / 2, MaxJoin: mm, Anchor: mm, Pattern: pattern, Join: join}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(5, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if l.Len() == 0 {
		t.Error("no lines")
	}
	h.Wipe()
	l.Wipe()
	if l.Len() != 0 || slices.ContainsFunc(h.cuts[:cap(h.cuts)], func(c cut) bool { return c != cut{} }) {
		t.Error("wiping leaves something")
	}
}

func BenchmarkHatch(b *testing.B) {
	var r geom.Region
	ring := make([]geom.Point, 2000)
	for i := range ring {
		a := 2 * math.Pi * float64(i) / float64(len(ring))
		d := (40 + 2*math.Sin(9*a)) * float64(mm)
		ring[i] = pt(unit.Length(d*math.Cos(a)), unit.Length(d*math.Sin(a)))
	}
	r.Add(ring)
	for _, angle := range []Angle{0, 45 * Degree, 20 * Degree} {
		b.Run(strconv.Itoa(int(angle)), func(b *testing.B) {
			var h Hatcher
			var l Lines
			for b.Loop() {
				l.Reset()
				if err := h.Hatch(&l, &r, Params{Angle: angle, Spacing: 27_525, MaxJoin: mm}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(h.cuts)), "ns/cut")
		})
	}
}

// Lines that follow the boundary beyond it stay within half of a line of it, go on to
// where it leaves them, and are as much longer as Overrun says; those that meet it
// squarely are as they were.
func TestOverrun(t *testing.T) {
	var h Hatcher
	var plain, long Lines
	longer, farthest := 0, 0.0
	rapid.Check(t, func(t *rapid.T) {
		r, p := drawClean(t), drawParams(t)
		p.Spacing = max(p.Spacing, 27_525)
		plain.Reset()
		long.Reset()
		if err := h.Hatch(&plain, r, p); err != nil {
			t.Fatal(err)
		}
		if h.Overrun() != 0 {
			t.Fatal("lines go beyond the boundary though they may not")
		}
		p.Overrun = p.Spacing / 5
		if err := h.Hatch(&long, r, p); err != nil {
			t.Fatal(err)
		}
		if plain.Len() != long.Len() {
			t.Fatalf("%d lines became %d", plain.Len(), long.Len())
		}
		if d := long.Length() - plain.Length() - h.Overrun(); d < -int64(4*long.Len()) || d > int64(4*long.Len()) {
			t.Fatalf("%d longer, said to be %d", long.Length()-plain.Length(), h.Overrun())
		}
		for _, q := range long.Pts {
			d := toBoundary(r, q)
			farthest = max(farthest, d/float64(p.Spacing))
			if d > float64(p.Spacing)/2+2*rounding {
				t.Fatalf("a line ends %.0f from the boundary, lines are %d apart", d, p.Spacing)
			}
		}
		if h.Overrun() > 0 {
			longer++
		}
	})
	if longer < 1 || farthest < 0.01 {
		t.Errorf("only %d regions had lines beyond their boundary, by %.2f widths", longer, farthest)
	}
	var square geom.Region
	square.Add(rectangle(0, 0, 9*mm, 7*mm))
	plain.Reset()
	if err := h.Hatch(&plain, &square, Params{Spacing: mm / 2, Overrun: mm / 10}); err != nil || h.Overrun() != 0 {
		t.Errorf("lines square to the boundary go beyond it by %d: %v", h.Overrun(), err)
	}
}

// Fitted lines lie evenly between the ends of a region, not farther apart than asked.
func TestFit(t *testing.T) {
	var r geom.Region
	r.Add(rectangle(mm/3, mm/7, 12*mm, 9*mm))
	for _, angle := range []Angle{0, 90 * Degree, 45 * Degree, 20 * Degree} {
		var h Hatcher
		var l Lines
		p := Params{Angle: angle, Spacing: 9 * mm / 20, Phase: mm / 9, Fit: true}
		if err := h.Hatch(&l, &r, p); err != nil {
			t.Fatal(err)
		}
		a := float64(angle) / 180_000 * math.Pi
		v := func(q geom.Point) float64 { return float64(q.Y)*math.Cos(a) - float64(q.X)*math.Sin(a) }
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, q := range r.Pts {
			lo, hi = min(lo, v(q)), max(hi, v(q))
		}
		half := float64(h.Spacing()) / 2
		if first, last := v(l.Pts[0])-lo-half, hi-half-v(l.Pts[len(l.Pts)-1]); math.Abs(first) > 40 || math.Abs(last) > 40 {
			t.Errorf("angle %d: lines are %.1f and %.1f off the ends", angle, first, last)
		}
		if h.Spacing() > p.Spacing+1 || h.Spacing() < p.Spacing*9/10 {
			t.Errorf("angle %d: lines are %d apart", angle, h.Spacing())
		}
	}
}
