package fill

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// Every pattern takes what its density says, on the average of the heights that it
// needs to repeat itself.
func TestDensityOfPatterns(t *testing.T) {
	var r geom.Region
	r.Add(rectangle(-50*mm, -50*mm, 50*mm, 50*mm))
	width := unit.Micrometres(450)
	for pattern := range PatternConcentric {
		for _, density := range []Percent{5, 20, 45} {
			spacing := Spacing(width, density)
			var h Hatcher
			sum, heights := 0.0, 40
			for i := range heights {
				var l Lines
				err := h.Hatch(&l, &r, Params{
					Angle: 45 * Degree, Spacing: spacing, Pattern: pattern,
					Height: unit.Length(int64(spacing) * gyroidPeriod / 1000 * int64(i) / int64(heights)),
				})
				if err != nil {
					t.Fatal(err)
				}
				sum += coverage(&l, width, &r) * 100
			}
			if got := sum / float64(heights); math.Abs(got-float64(density)) > 0.02*float64(density) {
				t.Errorf("pattern %d, %d %%: %.2f %%", pattern, density, got)
			}
		}
	}
	var l Lines
	var c Rings
	var k geom.Kernel
	spacing := Spacing(width, 20)
	if err := c.Cover(&l, &k, &r, spacing/2, spacing); err != nil {
		t.Fatal(err)
	}
	if got := coverage(&l, width, &r) * 100; math.Abs(got-20) > 0.4 {
		t.Errorf("concentric, 20 %%: %.2f %%", got)
	}
}

// Lines of a gyroid lie on its surface, to within the tolerance of their chords. The
// control is another height.
func TestGyroidIsOne(t *testing.T) {
	var r geom.Region
	r.Add(rectangle(-13*mm, -17*mm, 29*mm, 11*mm))
	spacing := 2 * mm
	scale := 2 * math.Pi / (float64(spacing) * gyroidPeriod / 1000)
	for _, height := range []unit.Length{0, mm / 2, mm, 3 * mm, 7 * mm, 50 * mm} {
		var h Hatcher
		var l Lines
		if err := h.Hatch(&l, &r, Params{Spacing: spacing, Pattern: PatternGyroid, Height: height}); err != nil {
			t.Fatal(err)
		}
		off := func(z unit.Length) float64 {
			worst := 0.0
			zs, zc := math.Sincos(float64(z) * scale)
			for _, p := range l.Pts {
				if max(-p.X, p.X) > 12*mm || max(-p.Y, p.Y) > 10*mm {
					continue // ends have been moved to the boundary
				}
				xs, xc := math.Sincos(float64(p.X) * scale)
				ys, yc := math.Sincos(float64(p.Y) * scale)
				worst = max(worst, math.Abs(xs*yc+ys*zc+zs*xc))
			}
			return worst
		}
		if d := off(height); d > 0.01 || len(l.Pts) < 100 {
			t.Errorf("%d points are up to %.4f off the surface", len(l.Pts), d)
		}
		if d := off(height + mm/2); d < 0.1 {
			t.Errorf("control: only %.4f off the surface half a millimetre higher", d)
		}
	}
}

// Cubic lines wander on upwards as the planes of cubes do: three planes at right angles
// to each other.
func TestCubicPlanes(t *testing.T) {
	var r geom.Region
	r.Add(rectangle(-60*mm, -60*mm, 60*mm, 60*mm))
	lines := func(height unit.Length) *Lines {
		var h Hatcher
		var l Lines
		if err := h.Hatch(&l, &r, Params{Spacing: 20 * mm / 3, Pattern: PatternCubic, Height: height}); err != nil {
			t.Fatal(err)
		}
		return &l
	}
	// The normals lean by the same angle, at thirds of a turn: 1/√3 of each is up.
	low, high := lines(10*mm), lines(11*mm)
	if low.Len() != high.Len() && low.Len() < 9 {
		t.Fatalf("%d and %d lines", low.Len(), high.Len())
	}
	for _, step := range []float64{0, 2 * math.Pi / 3, 4 * math.Pi / 3} {
		s, c := math.Sincos(step)
		at := func(l *Lines) float64 { // where the lines of that direction are, modulo their spacing
			for i := range l.Ends {
				a, b := l.Line(i)[0], l.Line(i)[1]
				dx, dy := float64(b.X-a.X), float64(b.Y-a.Y)
				if long := math.Hypot(dx, dy); long > float64(20*mm) && math.Abs(dx*s-dy*c) < 0.001*long {
					v := (float64(a.Y)*c - float64(a.X)*s) / float64(mm)
					return v - 20*math.Floor(v/20)
				}
			}
			t.Fatal("no line of a direction")
			return 0
		}
		move := at(high) - at(low)
		move -= 20 * math.Round(move/20)
		if math.Abs(move-math.Sqrt(0.5)) > 0.001 {
			t.Errorf("the lines at %.2f move by %.4f mm a millimetre", step, move)
		}
	}
}

// Joined along the boundary, all patterns draw what they draw alone, and else follow
// the boundary; nothing is outside.
func TestJoinAllStaysInside(t *testing.T) {
	var h Hatcher
	var plain, joined Lines
	joins, fewer := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		r, p := drawClean(t), drawParams(t)
		p.Spacing = max(p.Spacing, 30_000)
		p.Pattern = Pattern(rapid.IntRange(0, int(PatternGyroid)).Draw(t, "pattern"))
		p.Height = unit.Length(rapid.Int32Range(0, int32(20*mm)).Draw(t, "height"))
		plain.Reset()
		joined.Reset()
		p.Join = JoinAll
		if err := h.Hatch(&plain, r, p); err != nil {
			t.Fatal(err)
		}
		p.MaxJoin = 20 * mm
		p.Anchor = unit.Length(rapid.Int32Range(0, int32(3*mm)).Draw(t, "anchor"))
		if err := h.Hatch(&joined, r, p); err != nil {
			t.Fatal(err)
		}
		joins += joinsOf(t, r, &plain, &joined, 2*rounding)
		if joined.Len() < plain.Len() {
			fewer++
		}
	})
	if joins < 5 || fewer < 2 {
		t.Fatalf("only %d joins, %d times fewer lines", joins, fewer)
	}
}

// A square full of any pattern takes few lines once they are joined.
func TestPatternsConnect(t *testing.T) {
	var r geom.Region
	r.Add(rectangle(0, 0, 40*mm, 30*mm))
	for pattern := range PatternConcentric {
		var h Hatcher
		var l Lines
		p := Params{Angle: 45 * Degree, Spacing: 9 * mm / 4, Pattern: pattern, Join: JoinAll, MaxJoin: 20 * mm, Height: 7 * mm}
		if err := h.Hatch(&l, &r, p); err != nil {
			t.Fatal(err)
		}
		joined := l.Len()
		l.Reset()
		p.MaxJoin = 0
		if err := h.Hatch(&l, &r, p); err != nil {
			t.Fatal(err)
		}
		if joined > 4 || l.Len() < 10 {
			t.Errorf("pattern %d: %d lines of %d", pattern, joined, l.Len())
		}
	}
}

// In monotonic order no line is printed before one below that it lies beside. The
// control is the other order, which breaks that.
func TestMonotonic(t *testing.T) {
	var h Hatcher
	var l Lines
	islands := 0
	rapid.Check(t, func(t *rapid.T) {
		r, p := drawClean(t), drawParams(t)
		p.Spacing = max(p.Spacing, 20_000)
		p.MaxJoin = 4 * p.Spacing
		p.Join = JoinMonotonic
		l.Reset()
		if err := h.Hatch(&l, r, p); err != nil {
			t.Fatal(err)
		}
		if n := outOfOrder(&l, p); n > 0 {
			t.Fatalf("%d lines come before one below that they lie beside", n)
		}
		starts := h.Starts()
		if l.Len() > 0 && (len(starts) == 0 || starts[0] != 0) {
			t.Fatal("no island begins")
		}
		islands += len(starts)
	})
	if islands < 5 {
		t.Errorf("only %d islands", islands)
	}
	var frame geom.Region
	frame.Add(rectangle(0, 0, 20*mm, 20*mm))
	frame.Add([]geom.Point{pt(5*mm, 5*mm), pt(5*mm, 15*mm), pt(15*mm, 15*mm), pt(15*mm, 5*mm)})
	p := Params{Spacing: mm / 2, MaxJoin: 2 * mm}
	for join, want := range map[Join]bool{JoinNext: true, JoinMonotonic: false} {
		p.Join = join
		l.Reset()
		if err := h.Hatch(&l, &frame, p); err != nil {
			t.Fatal(err)
		}
		if n := outOfOrder(&l, p); (n > 0) != want {
			t.Errorf("around a hole, %d lines are out of order with join %d", n, join)
		}
	}
}

// outOfOrder counts pairs of spans on neighbouring lines beside each other of which
// the upper one comes first.
func outOfOrder(l *Lines, p Params) int {
	type span struct {
		line   int
		lo, hi float64
	}
	var spans []span
	a := float64(p.Angle) / 180_000 * math.Pi
	if turned := math.Mod(a, 2*math.Pi); turned >= math.Pi || turned < 0 {
		a -= math.Pi // as the hatch does, up is the same side for all
		if turned < 0 {
			a += 2 * math.Pi
		}
	}
	up := func(q geom.Point) float64 { return float64(q.Y)*math.Cos(a) - float64(q.X)*math.Sin(a) }
	u := func(q geom.Point) float64 { return float64(q.X)*math.Cos(a) + float64(q.Y)*math.Sin(a) }
	phase := float64(p.Phase % p.Spacing)
	if math.Cos(a-float64(p.Angle)/180_000*math.Pi) < 0 {
		phase = -phase
	}
	for i := range l.Ends {
		line := l.Line(i)
		for j := 1; j < len(line); j++ {
			x, y := (up(line[j-1])-phase)/float64(p.Spacing), (up(line[j])-phase)/float64(p.Spacing)
			if math.Abs(x-y)*float64(p.Spacing) < 4 && math.Abs(x-math.Round(x))*float64(p.Spacing) < 4 {
				lo, hi := u(line[j-1]), u(line[j])
				spans = append(spans, span{int(math.Round(x)), min(lo, hi), max(lo, hi)})
			}
		}
	}
	n := 0
	for i, s := range spans {
		for _, later := range spans[i+1:] {
			if later.line == s.line-1 && later.lo < s.hi-100 && s.lo < later.hi-100 && later.hi-later.lo > 100 {
				n++
			}
		}
	}
	return n
}

func TestRings(t *testing.T) {
	var r geom.Region
	r.Add(rectangle(0, 0, 30*mm, 20*mm))
	r.Add([]geom.Point{pt(5*mm, 5*mm), pt(5*mm, 9*mm), pt(12*mm, 9*mm), pt(12*mm, 5*mm)})
	var c Rings
	var k geom.Kernel
	var l Lines
	if err := c.Cover(&l, &k, &r, mm/2, mm); err != nil {
		t.Fatal(err)
	}
	if l.Len() < 10 {
		t.Fatalf("%d rings", l.Len())
	}
	for i := range l.Ends {
		line := l.Line(i)
		if line[0] != line[len(line)-1] {
			t.Error("a ring is open")
		}
		least := math.Inf(1) // mitred corners are farther out
		for j, p := range line {
			m := geom.Point{X: (p.X + line[max(j-1, 0)].X) / 2, Y: (p.Y + line[max(j-1, 0)].Y) / 2}
			least = min(least, toBoundary(&r, p), toBoundary(&r, m))
			if !inside(&r, p) {
				t.Error("a corner of a ring is outside")
			}
		}
		if at := least/float64(mm) - 0.5; math.Abs(at-math.Round(at)) > 0.001 {
			t.Errorf("a ring comes to %.3f mm from the boundary", at+0.5)
		}
	}
	if err := c.Cover(&l, &k, &r, -1, mm); !errors.Is(err, ErrParams) {
		t.Error(err)
	}
	if err := c.Cover(&l, &k, &r, 0, 1); !errors.Is(err, ErrParams) {
		t.Error(err)
	}
}

func BenchmarkPatterns(b *testing.B) {
	var r geom.Region
	ring := make([]geom.Point, 500)
	for i := range ring {
		a := 2 * math.Pi * float64(i) / float64(len(ring))
		d := (40 + 2*math.Sin(9*a)) * float64(mm)
		ring[i] = pt(unit.Length(d*math.Cos(a)), unit.Length(d*math.Sin(a)))
	}
	r.Add(ring)
	names := [...]string{"lines", "grid", "triangles", "cubic", "gyroid"}
	for pattern := range PatternConcentric {
		b.Run(names[pattern], func(b *testing.B) {
			var h Hatcher
			var l Lines
			for b.Loop() {
				l.Reset()
				p := Params{Angle: 45 * Degree, Spacing: 9 * mm / 4, Height: mm, MaxJoin: 20 * mm, Anchor: mm, Join: JoinAll, Pattern: pattern}
				if err := h.Hatch(&l, &r, p); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(float64(l.Length())/float64(mm)), "ns/mm")
		})
	}
}

// A region without bays or holes is filled in one go, whatever the direction.
func TestJoinAllInOneGo(t *testing.T) {
	var h Hatcher
	var l Lines
	round := make([]geom.Point, 90)
	for i := range round {
		sin, cos := math.Sincos(float64(i) * math.Pi / 45)
		round[i] = geom.Point{X: unit.Length(30 * float64(mm) * cos), Y: unit.Length(20 * float64(mm) * sin)}
	}
	for name, ring := range map[string][]geom.Point{
		"box": rectangle(-20*mm, -20*mm, 20*mm, 20*mm), "bar": rectangle(-31*mm, -4*mm, 44*mm, 3*mm), "round": round,
		"wedge": {pt(-5*mm, 3*mm), pt(19*mm, -7*mm), pt(2*mm, 41*mm)},
	} {
		for _, angle := range []Angle{0, 30 * Degree, 45 * Degree, 135 * Degree} {
			var r geom.Region
			r.Add(ring)
			l.Reset()
			if err := h.Hatch(&l, &r, Params{Angle: angle, Spacing: 9 * mm / 4, MinSpan: mm / 2, Join: JoinAll, MaxJoin: 20 * mm, Anchor: mm}); err != nil {
				t.Fatal(err)
			}
			if l.Len() != 1 {
				t.Errorf("%s at %d: %d lines", name, angle, l.Len())
			}
		}
	}
}
