package wall

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// hangsOf lays the only wall of r over below and returns how far its edges hang.
func hangsOf(t testing.TB, r, below *geom.Region, width unit.Length) (*Walls, []uint8) {
	t.Helper()
	var b Builder
	var w Walls
	if err := b.Walls(&w, r, Params{Width: width, Count: 1, Join: geom.JoinMiter}); err != nil {
		t.Fatal(err)
	}
	var o Overhang
	o.Load(below, width)
	if w.Len() == 0 {
		return &w, nil
	}
	return &w, o.Wall(&w, 0)
}

// A square that reaches over a smaller one on one side only hangs there, by as much
// as it is farther out. Over itself it does not hang; over nothing all of it does.
func TestOverhangOfSquare(t *testing.T) {
	const width = mm / 2
	r := region(rectangle(0, 0, 20*mm, 20*mm))
	for out, want := range map[unit.Length]uint8{0: 0, width / 5: 0, width / 3: 1, width * 6 / 10: 2, width * 9 / 10: 3, 2 * width: 4, 9 * mm: 4} {
		w, hangs := hangsOf(t, r, region(rectangle(-mm, -mm, 20*mm-out, 21*mm)), width)
		if want == 0 {
			if hangs != nil {
				t.Errorf("%v out: something hangs", out)
			}
			continue
		}
		ring, hanging := w.Wall(0).Ring(0), 0.0
		if len(ring) != len(hangs) {
			t.Fatalf("%v out: %d edges, %d say how far they hang", out, len(ring), len(hangs))
		}
		for k, a := range ring {
			b := ring[(k+1)%len(ring)]
			if m := middle(a, b); a.X == b.X && m.X > 10*mm && hangs[k] != want {
				t.Errorf("%v out: the side hangs by %d quarters, want %d", out, hangs[k], want)
			}
			if hangs[k] == want {
				hanging += distance(a, b) / float64(mm)
			}
		}
		if most := 20 + 2*out.MM(); hanging < 19 || hanging > most+1 {
			t.Errorf("%v out: %.1f mm hang over", out, hanging)
		}
	}
	if _, hangs := hangsOf(t, r, &geom.Region{}, width); len(hangs) != 4 || hangs[0] != 4 || hangs[3] != 4 {
		t.Error("over nothing, it does not hang")
	}
}

// Whatever the shapes, every edge says what the exact distance at its middle says,
// give or take an eighth of a line.
func TestOverhangOfAnything(t *testing.T) {
	var k geom.Kernel
	counts := [5]int{}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) *geom.Region {
			r := &geom.Region{}
			for range rapid.IntRange(1, 3).Draw(t, name) {
				ring := make([]geom.Point, rapid.IntRange(3, 7).Draw(t, "points"))
				for i := range ring {
					ring[i].X = unit.Length(rapid.Int32Range(-40, 40).Draw(t, "x")) * mm / 4
					ring[i].Y = unit.Length(rapid.Int32Range(-40, 40).Draw(t, "y")) * mm / 4
				}
				r.Add(ring)
			}
			if err := k.Union(r, r); err != nil {
				t.Fatal(err)
			}
			return r
		}
		const width = mm / 2
		r, below := draw("above"), draw("below")
		var b Builder
		var w, whole Walls
		for _, x := range []*Walls{&w, &whole} {
			if err := b.Walls(x, r, Params{Width: width, Count: 1, Join: geom.JoinMiter}); err != nil {
				t.Fatal(err)
			}
		}
		if w.Len() == 0 {
			return
		}
		var o Overhang
		o.Load(below, width)
		hangs := o.Wall(&w, 0)
		if math.Abs(perimeter(w.Wall(0))-perimeter(whole.Wall(0))) > 100 {
			t.Fatal("splitting changes the ring")
		}
		line := w.Wall(0)
		at := 0
		for i := range line.Len() {
			ring := line.Ring(i)
			for k, a := range ring {
				c := ring[(k+1)%len(ring)]
				m := middle(a, c)
				depth := math.Inf(-1)
				if !below.Empty() {
					if depth = toBoundary(below, m); !below.Holds(m) {
						depth = -depth
					}
				}
				got := uint8(0)
				if hangs != nil {
					got = hangs[at]
				}
				at++
				counts[got]++
				if distance(a, c) > float64(width) {
					continue // it may hang for less than a line is wide without saying so
				}
				lo, hi := o.hang(depth+float64(width)/2), o.hang(depth-float64(width)/2)
				if got < lo || got > hi {
					t.Fatalf("an edge whose middle is %.0f inside hangs by %d quarters", depth, got)
				}
			}
		}
	})
	for h, n := range counts {
		if n == 0 {
			t.Errorf("no edge hangs by %d quarters", h)
		}
	}
}

func BenchmarkOverhang(b *testing.B) {
	ring := func(radius float64) *geom.Region {
		pts := make([]geom.Point, 600)
		for i := range pts {
			sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(len(pts)))
			pts[i] = geom.Point{X: unit.Length(radius * cos * float64(mm)), Y: unit.Length(radius * sin * float64(mm))}
		}
		return region(pts)
	}
	var bd Builder
	var w Walls
	var o Overhang
	r, below := ring(40), ring(39.9)
	for b.Loop() {
		if err := bd.Walls(&w, r, Params{Width: mm / 2, Count: 2, Join: geom.JoinMiter}); err != nil {
			b.Fatal(err)
		}
		o.Load(below, mm/2)
		o.Wall(&w, 0)
		o.Wall(&w, 1)
	}
}
