package geom

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
)

const far = unit.MaxCoordinate

func region(rings ...[]Point) *Region {
	r := &Region{}
	for _, ring := range rings {
		r.Add(ring)
	}
	return r
}

// box is a counter-clockwise rectangle.
func box(x0, y0, x1, y1 unit.Length) []Point {
	return []Point{{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}}
}

func reversed(ring []Point) []Point {
	ring = slices.Clone(ring)
	slices.Reverse(ring)
	return ring
}

func TestUnionDegenerate(t *testing.T) {
	for _, c := range []struct {
		name  string
		in    *Region
		area2 int64
		rings int
	}{
		{"nothing", region(), 0, 0},
		{"empty ring", region([]Point{}), 0, 0},
		{"one point", region([]Point{{3, 3}}), 0, 0},
		{"there and back", region([]Point{{0, 0}, {9, 4}}), 0, 0},
		{"one point often", region([]Point{{3, 3}, {3, 3}, {3, 3}, {3, 3}}), 0, 0},
		{"all on one line", region([]Point{{0, 0}, {30, 10}, {-60, -20}, {90, 30}}), 0, 0},
		{"square", region(box(0, 0, 10, 10)), 200, 1},
		{"square with repeated points", region([]Point{{0, 0}, {0, 0}, {10, 0}, {10, 10}, {10, 10}, {0, 10}, {0, 0}}), 200, 1},
		{"square with points on its sides", region([]Point{{0, 0}, {5, 0}, {10, 0}, {10, 10}, {3, 10}, {0, 10}, {0, 1}}), 200, 1},
		{"square with a spike", region([]Point{{0, 0}, {10, 0}, {10, 5}, {90, 5}, {10, 5}, {10, 10}, {0, 10}}), 200, 1},
		{"square with a spike inside", region([]Point{{0, 0}, {10, 0}, {10, 5}, {1, 5}, {10, 5}, {10, 10}, {0, 10}}), 200, 1},
		{"inside out", region(reversed(box(0, 0, 10, 10))), 0, 0},
		{"twice the same", region(box(0, 0, 10, 10), box(0, 0, 10, 10)), 200, 1},
		{"body and its inverse", region(box(0, 0, 10, 10), reversed(box(0, 0, 10, 10))), 0, 0},
		{"side by side", region(box(0, 0, 10, 10), box(10, 0, 20, 10)), 400, 1},
		{"side by side, shifted", region(box(0, 0, 10, 10), box(10, 5, 20, 15)), 400, 1},
		{"corner to corner", region(box(0, 0, 10, 10), box(10, 10, 20, 20)), 400, 2},
		{"crossing bars", region(box(-30, -1, 30, 1), box(-1, -30, 1, 30)), 2 * (120 + 120 - 4), 1},
		{"hole", region(box(0, 0, 10, 10), reversed(box(2, 2, 8, 8))), 200 - 72, 2},
		{"hole that touches a side", region(box(0, 0, 10, 10), reversed(box(0, 2, 8, 8))), 200 - 96, 1},
		{"hole that touches a corner", region(box(0, 0, 10, 10), []Point{{0, 0}, {3, 6}, {6, 3}}), 200 - 27, 2},
		{"hole reaching out", region(box(0, 0, 10, 10), reversed(box(5, 2, 18, 8))), 200 - 60, 1},
		{"body in a hole", region(box(0, 0, 30, 30), reversed(box(5, 5, 25, 25)), box(10, 10, 20, 20)), 1800 - 800 + 200, 3},
		{"body in a body", region(box(0, 0, 30, 30), box(10, 10, 20, 20)), 1800, 1},
		{"figure of eight", region([]Point{{0, 0}, {10, 10}, {10, 0}, {0, 10}}), 50, 1},
		{"pentagram", region([]Point{{0, 1000}, {-588, -809}, {951, 309}, {-951, 309}, {588, -809}}), 2245139, 1},
		{"whole plane", region(box(-far, -far, far, far)), 8 * int64(far) * int64(far), 1},
		{"diagonals of the plane", region([]Point{{-far, -far}, {far, far}, {far, -far}, {-far, far}}), 2 * int64(far) * int64(far), 1},
	} {
		var k Kernel
		var dst Region
		if err := k.Union(&dst, c.in); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		checkShape(t, &dst, Point{1, 1})
		if got := dst.Area2(); math.Abs(float64(got-c.area2)) > 1e-4*float64(c.area2) || dst.Len() != c.rings {
			t.Errorf("%s: %d rings, twice the area %d; want %d, %d", c.name, dst.Len(), got, c.rings, c.area2)
		}
	}
}

func TestKernelRefuses(t *testing.T) {
	good := region(box(0, 0, 10, 10))
	for _, bad := range []Point{{far + 1, 0}, {-far - 1, 0}, {0, far + 1}, {0, -far - 1}, {math.MaxInt32, 0}, {math.MinInt32, math.MinInt32}} {
		var k Kernel
		dst := region(box(1, 1, 2, 2))
		if err := k.Union2(dst, good, region([]Point{{0, 0}, bad, {0, 5}})); !errors.Is(err, ErrOutside) || !dst.Empty() {
			t.Errorf("%v: %v, %d rings", bad, err, dst.Len())
		}
		if err := k.Union(dst, good); err != nil || dst.Area2() != 200 {
			t.Errorf("the kernel did not recover: %v", err)
		}
	}
	var k Kernel
	dst := region(box(1, 1, 2, 2))
	if err := k.Union(dst, scribble(5000, 1<<20, 1)); !errors.Is(err, ErrComplex) || !dst.Empty() {
		t.Errorf("5,000 lines all over: %v, %d rings", err, dst.Len())
	}
}

// scribble is one ring of n points anywhere within ±width.
func scribble(n int, width int32, seed uint64) *Region {
	rnd := rand.New(rand.NewPCG(seed, 0))
	ring := make([]Point, n)
	for i := range ring {
		ring[i] = pt(rnd.Int32N(2*width+1)-width, rnd.Int32N(2*width+1)-width)
	}
	return region(ring)
}

// confetti is many small triangles that overlap.
func confetti(n int, width, size int32, seed uint64) *Region {
	rnd := rand.New(rand.NewPCG(seed, 1))
	r := &Region{}
	for range n {
		x, y := rnd.Int32N(2*width)-width, rnd.Int32N(2*width)-width
		at := func() Point { return pt(x+rnd.Int32N(size), y+rnd.Int32N(size)) }
		r.Add([]Point{at(), at(), at()})
	}
	return r
}

// TestManyEdges compares regions of hundreds and thousands of edges with the
// oracle, from so coarse that most of it is rounding to so large that products
// need all their bits.
func TestManyEdges(t *testing.T) {
	for _, c := range []struct {
		name string
		r    *Region
		w    int32
	}{
		{"scribble, 12 units", scribble(300, 12, 1), 12},
		{"scribble, 200 units", scribble(200, 200, 2), 200},
		{"scribble, whole plane", scribble(150, int32(far), 3), int32(far)},
		{"confetti, touching", confetti(900, 50, 9, 4), 60},
		{"confetti", confetti(700, 30_000, 4000, 5), 34_000},
		{"confetti, large", confetti(250, int32(far)/2, 9_000_000, 6), int32(far)},
		{"gears", region(gear(900, 0, 0, 100, 9, 31), gear(900, 30, 30, 90, 9, 17)), 9_000_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k Kernel
			var union, odd Region
			if err := errors.Join(k.Union(&union, c.r), k.EvenOdd(&odd, c.r)); err != nil {
				t.Fatal(err)
			}
			checkShape(t, &union, Point{})
			checkShape(t, &odd, Point{})
			rnd := rand.New(rand.NewPCG(7, 7))
			in, out, points := 0, 0, 3000
			if testing.Short() {
				points = 600
			}
			for range points {
				p := pt(rnd.Int32N(2*c.w+1)-c.w, rnd.Int32N(2*c.w+1)-c.w)
				if near(c.r, p, 1) {
					continue
				}
				w := winding(c.r, p)
				if got := winding(&union, p); got == 1 != (w > 0) {
					t.Fatalf("%v: union winds %d times, the original %d", p, got, w)
				}
				if got := winding(&odd, p); got == 1 != (w%2 != 0) {
					t.Fatalf("%v: even-odd winds %d times, the original %d", p, got, w)
				}
				if w > 0 {
					in++
				} else {
					out++
				}
			}
			t.Logf("%d inside, %d outside; %d rings, %d points", in, out, union.Len(), len(union.Pts))
			if c.w > 100 && (in < 20 || out < 20) {
				t.Error("the probes miss the region")
			}
		})
	}
}

func TestBooleanProperties(t *testing.T) {
	var k Kernel
	stable := 0
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRegion(t, "a"), drawRegion(t, "b")
		var ua, ub, ab, ba, and, minus, other, xor, again Region
		err := errors.Join(k.Union(&ua, a), k.Union(&ub, b), k.Union2(&ab, a, b), k.Union2(&ba, b, a),
			k.Intersect(&and, a, b), k.Difference(&minus, a, b), k.Difference(&other, b, a), k.Xor(&xor, a, b),
			k.Union(&again, &ab))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ab.Pts, ba.Pts) || !slices.Equal(ab.Ends, ba.Ends) {
			t.Fatal("a ∪ b differs from b ∪ a")
		}
		// Bending edges may bring one within half a unit of a point that it passed at
		// more than that before, and uniting again bends it there.
		if separate(&ab) {
			stable++
			if !slices.Equal(ab.Pts, again.Pts) || !slices.Equal(ab.Ends, again.Ends) {
				t.Fatal("uniting again changes the union")
			}
		} else if d := ab.Area2() - again.Area2(); math.Abs(float64(d)) > 2*length(&ab) {
			t.Fatalf("uniting again changes twice the area by %d", d)
		}
		// The five results come from one arrangement, so these are exact.
		if ab.Area2() != and.Area2()+xor.Area2() || xor.Area2() != minus.Area2()+other.Area2() {
			t.Fatal("areas of union, intersection and differences do not add up")
		}
		// Both operands alone may be rounded differently: by at most half a unit along
		// their edges.
		if d := ua.Area2() + ub.Area2() - ab.Area2() - and.Area2(); math.Abs(float64(d)) > 4*(length(a)+length(b)) {
			t.Fatalf("inclusion and exclusion are off by %d", d)
		}
		if err := errors.Join(k.Difference(&again, &and, &ua), k.Difference(&other, &ua, &ab)); err != nil {
			t.Fatal(err)
		}
		checkThin(t, &again, "the intersection is not within a")
		checkThin(t, &other, "a is not within the union")
	})
	if stable < 3 {
		t.Errorf("only %d unions were far enough from rounding to be compared exactly", stable)
	}
}

// separate reports whether every point of r is more than a unit away from every
// edge that does not end there.
func separate(r *Region) bool {
	for _, p := range r.Pts {
		for i := range r.Ends {
			ring := r.Ring(i)
			a := ring[len(ring)-1]
			for _, b := range ring {
				if p != a && p != b && fromLine2(p, a, b) <= 1 {
					return false
				}
				a = b
			}
		}
	}
	return true
}

// length is the length of all edges.
func length(r *Region) float64 {
	sum := 0.0
	for i := range r.Ends {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			sum += math.Hypot(float64(a.X-b.X), float64(a.Y-b.Y))
			a = b
		}
	}
	return sum
}

func TestDstMayBeOperand(t *testing.T) {
	a, b := confetti(50, 1000, 300, 1), confetti(50, 1000, 300, 2)
	var k Kernel
	var want Region
	if err := k.Difference(&want, a, b); err != nil {
		t.Fatal(err)
	}
	if err := k.Difference(b, a, b); err != nil || !slices.Equal(b.Pts, want.Pts) || want.Empty() {
		t.Fatalf("%v, %d points, want %d", err, len(b.Pts), len(want.Pts))
	}
}

func TestNoAllocation(t *testing.T) {
	r, clip := plate(3000), confetti(300, 4_000_000, 900_000, 3)
	var k Kernel
	var clean, dst Region
	if err := k.Union(&clean, r); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"union":      func() error { return k.Union(&dst, r) },
		"difference": func() error { return k.Difference(&dst, r, clip) },
		"grow":       func() error { return k.Offset(&dst, &clean, unit.Millimetre/2, JoinRound) },
		"shrink":     func() error { return k.Offset(&dst, &clean, -unit.Millimetre/2, JoinMiter) },
		"simplify":   func() error { return k.Simplify(&dst, r, unit.Micrometres(5)) },
	} {
		run := func() {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
		run()
		run()
		if n := testing.AllocsPerRun(5, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestWipe(t *testing.T) {
	var k Kernel
	var dst Region
	if err := k.Offset(&dst, confetti(40, 2000, 400, 9), 50, JoinRound); err != nil {
		t.Fatal(err)
	}
	used := func() (n int) {
		for _, p := range k.raw.Pts[:cap(k.raw.Pts)] {
			if p != (Point{}) {
				n++
			}
		}
		for _, f := range k.frags[:cap(k.frags)] {
			if f != (frag{}) {
				n++
			}
		}
		for _, h := range k.hits[:cap(k.hits)] {
			if h != (hit{}) {
				n++
			}
		}
		return n
	}
	if used() == 0 {
		t.Fatal("nothing to wipe")
	}
	k.Wipe()
	if n := used(); n != 0 {
		t.Errorf("%d records are left", n)
	}
}
