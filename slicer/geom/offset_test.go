package geom

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
)

// toBoundary is the distance from p to the nearest edge of r.
func toBoundary(r *Region, p Point) float64 {
	best := math.Inf(1)
	for i := range r.Ends {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			best = min(best, fromLine2(p, a, b))
			a = b
		}
	}
	return math.Sqrt(best)
}

// slack is how far an offset may be off: the tolerance of flat corners, plus a few
// roundings.
const slack = float64(roundTolerance) + 4

// TestOffsetMatchesDistance compares offsets of arbitrary regions with what they
// mean: the places within a distance of the region, or of its complement. A mitred
// corner may lie up to miterLimit times as far out.
func TestOffsetMatchesDistance(t *testing.T) {
	var k Kernel
	grown, shrunk := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var src, dst Region
		if err := k.Union(&src, drawRegion(t, "src")); err != nil {
			t.Fatal(err)
		}
		delta := rapid.SampledFrom([]unit.Length{5, 300, 2000, 9000, 70_000, 2_000_000}).Draw(t, "delta")
		if rapid.Bool().Draw(t, "shrink") {
			delta = -delta
		}
		join := rapid.SampledFrom([]Join{JoinRound, JoinMiter, JoinBlunt}).Draw(t, "join")
		if err := k.Offset(&dst, &src, delta, join); err != nil {
			t.Fatal(err)
		}
		d := math.Abs(float64(delta))
		far := d + slack
		switch join {
		case JoinMiter:
			far = d*miterLimit + slack
		case JoinBlunt:
			far = d/bluntHalf + slack
		}
		for _, p := range rapid.SliceOfN(rapid.Custom(drawPoint), 60, 60).Draw(t, "probes") {
			checkShape(t, &dst, p)
			if src.Empty() || near(&dst, p, 0.1) || near(&src, p, 0.1) {
				continue
			}
			in, dist := winding(&src, p) == 1, toBoundary(&src, p)
			moved := in == (delta < 0) // on the side over which the contour moves
			got := winding(&dst, p) == 1
			switch {
			case !moved || dist > far:
				if got != in && (moved || dist > slack) {
					t.Fatalf("%v at %.1f from the contour is out of reach, but changed sides", p, dist)
				}
			case dist < d-slack:
				if got != (delta > 0) {
					t.Fatalf("%v at %.1f from the contour should have changed sides", p, dist)
				}
				if delta > 0 {
					grown++
				} else {
					shrunk++
				}
			}
		}
	})
	if grown+shrunk < 20 || shrunk == 0 && !testing.Short() {
		t.Fatalf("only %d and %d places were between the contours", grown, shrunk)
	}
}

func TestOffsetProperties(t *testing.T) {
	var k Kernel
	rapid.Check(t, func(t *rapid.T) {
		var src, more, less, back, left Region
		if err := k.Union(&src, drawRegion(t, "src")); err != nil {
			t.Fatal(err)
		}
		d := rapid.SampledFrom([]unit.Length{40, 3000, 60_000}).Draw(t, "delta")
		join := rapid.SampledFrom([]Join{JoinRound, JoinMiter, JoinBlunt}).Draw(t, "join")
		ops := []error{
			k.Offset(&less, &src, d, join), k.Offset(&more, &src, d+d/4, join),
			k.Difference(&left, &less, &more),
		}
		checkThin(t, &left, "growing more does not contain growing less")
		ops = append(ops, k.Offset(&back, &less, -d, JoinRound), k.Difference(&left, &src, &back))
		checkThin(t, &left, "growing and shrinking back does not contain the original")
		ops = append(ops, k.Offset(&less, &src, -d, join), k.Difference(&left, &less, &src))
		checkThin(t, &left, "the original does not contain what shrinking leaves")
		if err := errors.Join(ops...); err != nil {
			t.Fatal(err)
		}
	})
}

// checkThin fails if r contains a place farther than the tolerances from its
// boundary.
func checkThin(t rapid.TB, r *Region, what string) {
	t.Helper()
	var k Kernel
	var rest Region
	if err := k.Offset(&rest, r, -unit.Length(2*slack), JoinRound); err != nil {
		t.Fatal(err)
	}
	if !rest.Empty() {
		t.Fatal(what)
	}
}

func TestOffsetShapes(t *testing.T) {
	const mm = unit.Millimetre
	square := []Point{{0, 0}, {10 * mm, 0}, {10 * mm, 10 * mm}, {0, 10 * mm}}
	hole := []Point{{4 * mm, 4 * mm}, {4 * mm, 6 * mm}, {6 * mm, 6 * mm}, {6 * mm, 4 * mm}}
	plain, holed := &Region{}, &Region{}
	plain.Add(square)
	holed.Add(square)
	holed.Add(hole)
	// The circle in the triangle has a radius of 1 mm; half its height is 1.5 mm.
	triangle := region(box(-10*mm, -10*mm, 10*mm, 10*mm), []Point{mmPoint(-1, 0), mmPoint(2, math.Sqrt(3)), mmPoint(2, -math.Sqrt(3))})
	for _, c := range []struct {
		name  string
		src   *Region
		delta unit.Length
		join  Join
		area  float64 // mm²
		rings int
	}{
		{"grow, mitre", plain, mm, JoinMiter, 144, 1},
		{"grow, round", plain, mm, JoinRound, 140 + math.Pi, 1},
		{"shrink", plain, -2 * mm, JoinRound, 36, 1},
		{"shrink to nothing", plain, -5 * mm, JoinMiter, 0, 0},
		{"shrink to a point and beyond", plain, -700 * mm, JoinMiter, 0, 0},
		{"grow, blunt", plain, mm, JoinBlunt, 140 + 16*0.19891, 1},
		{"grow, hole stays", holed, mm / 2, JoinMiter, 121 - 1, 2},
		{"grow, hole closes", holed, mm, JoinMiter, 144, 1},
		{"shrink, hole grows", holed, -mm, JoinMiter, 64 - 16, 2},
		{"shrink, hole grows round", holed, -mm, JoinRound, 64 - (12 + math.Pi), 2},
		{"grow, triangular hole closes", triangle, 6 * mm / 5, JoinMiter, 22.4 * 22.4, 1},
		{"shrink until nothing is between", holed, -2 * mm, JoinMiter, 0, 0},
		{"hole beyond the plane, nothing left", holed, -600 * mm, JoinMiter, 0, 0},
	} {
		var k Kernel
		var dst Region
		if err := k.Offset(&dst, c.src, c.delta, c.join); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		area := float64(dst.Area2()) / 2 / float64(mm) / float64(mm)
		if math.Abs(area-c.area) > 0.002*c.area || dst.Len() != c.rings {
			t.Errorf("%s: %d rings, %.4f mm², want %d, %.4f", c.name, dst.Len(), area, c.rings, c.area)
		}
	}
}

// TestOffsetLeavesNoSlivers closes holes, and shrinks bars, that are exactly as wide
// as twice the offset but for rounding.
func TestOffsetLeavesNoSlivers(t *testing.T) {
	var k Kernel
	for deg := 1; deg < 90; deg++ {
		a := float64(deg) / 180 * math.Pi
		at := func(u, v float64) Point {
			return mmPoint(u*math.Cos(a)-v*math.Sin(a), u*math.Sin(a)+v*math.Cos(a))
		}
		bar := []Point{at(-9, -1), at(9, -1), at(9, 1), at(-9, 1)}
		var dst Region
		if err := k.Offset(&dst, region(bar), -unit.Millimetre, JoinMiter); err != nil || !dst.Empty() {
			t.Errorf("%d°: a bar leaves %d rings: %v", deg, dst.Len(), err)
		}
		r := region([]Point{mmPoint(-20, -20), mmPoint(20, -20), mmPoint(20, 20), mmPoint(-20, 20)}, reversed(bar))
		if err := k.Offset(&dst, r, unit.Millimetre, JoinMiter); err != nil || dst.Len() != 1 {
			t.Errorf("%d°: a hole leaves %d rings: %v", deg, dst.Len()-1, err)
		}
		if err := k.Offset(&dst, r, unit.Millimetre-20, JoinMiter); err != nil || dst.Len() != 2 {
			t.Errorf("%d°: a hole that is a little wider leaves %d rings: %v", deg, dst.Len()-1, err)
		}
	}
}

func TestOffsetRefusesOutside(t *testing.T) {
	var k Kernel
	r := &Region{}
	r.Add([]Point{{500 * unit.Millimetre, 0}, {505 * unit.Millimetre, 0}, {505 * unit.Millimetre, 5 * unit.Millimetre}})
	var dst Region
	if err := k.Offset(&dst, r, unit.Millimetre, JoinRound); err != nil || dst.Empty() {
		t.Fatalf("1 mm: %v", err)
	}
	for _, d := range []unit.Length{10 * unit.Millimetre, math.MaxInt32, math.MinInt32} {
		far := region([]Point{{0, 0}, {unit.Millimetre, 0}, {math.MaxInt32, math.MaxInt32}})
		if err := k.Offset(&dst, far, d, JoinMiter); !errors.Is(err, ErrOutside) {
			t.Errorf("offset %v of a region outside: %v", d, err)
		}
		err := k.Offset(&dst, r, d, JoinMiter)
		if d > 0 && !errors.Is(err, ErrOutside) || d < 0 && err != nil || !dst.Empty() {
			t.Errorf("offset %v: %v, %d rings", d, err, dst.Len())
		}
	}
}

// TestOffsetFineContour shrinks a body with far more corners than its size calls
// for, so that all sides cross all others and the work is split into smaller steps.
func TestOffsetFineContour(t *testing.T) {
	r := &Region{}
	r.Add(gear(6000, 0, 0, 1, 0.3, 40))
	r.Add(gear(6000, 3, 0, 1, 0.3, 40))
	r.Add([]Point{mmPoint(-2, -8), mmPoint(5, -8), mmPoint(5, -7), mmPoint(-2, -7)})
	var k Kernel
	var clean, dst Region
	if err := k.Union(&clean, r); err != nil {
		t.Fatal(err)
	}
	if err := k.offset(&dst, &clean, -unit.Micrometres(400), JoinRound, 0); !errors.Is(err, ErrComplex) {
		t.Fatalf("one step: %v; the test needs a harder contour", err)
	}
	if err := k.Offset(&dst, &clean, -unit.Micrometres(400), JoinRound); err != nil {
		t.Fatal(err)
	}
	for _, p := range []Point{mmPoint(0, 0), mmPoint(3, 0), mmPoint(1, -7.5)} {
		if winding(&dst, p) != 1 {
			t.Errorf("%v is gone", p)
		}
	}
	if p := mmPoint(0.75, 0); winding(&dst, p) != 0 {
		t.Error("a place 0.3 mm from the contour is still there")
	}
}

func TestSimplify(t *testing.T) {
	var k Kernel
	for _, tol := range []int64{0, 5, 20} {
		r := &Region{}
		r.Add(gear(4000, 10, -5, 30, 2, 7))
		var dst, left Region
		tolerance := unit.Micrometres(tol)
		if err := k.Simplify(&dst, r, tolerance); err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Pts {
			if d := toBoundary(&dst, p); d > float64(tolerance)+1 {
				t.Fatalf("tolerance %d µm: a point left out is %.1f away", tol, d)
			}
		}
		if err := k.Xor(&left, &dst, r); err != nil {
			t.Fatal(err)
		}
		if off := float64(left.Area2()) / 2; off > length(r)*(float64(tolerance)+1) {
			t.Errorf("tolerance %d µm: the area between is %.0f", tol, off)
		}
		if tol > 0 && len(dst.Pts) > len(r.Pts)/4 {
			t.Errorf("tolerance %d µm: %d of %d points stay", tol, len(dst.Pts), len(r.Pts))
		}
	}
}

func TestSimplifyAnything(t *testing.T) {
	var k Kernel
	rapid.Check(t, func(t *rapid.T) {
		var dst Region
		tol := rapid.SampledFrom([]unit.Length{-1, 0, 2, 500, 50_000}).Draw(t, "tolerance")
		if err := k.Simplify(&dst, drawRegion(t, "src"), tol); err != nil {
			t.Fatal(err)
		}
		checkShape(t, &dst, drawPoint(t))
	})
}
