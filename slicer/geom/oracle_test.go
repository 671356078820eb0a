package geom

import (
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
)

// winding counts how often r winds around p, which lies on no edge, by following a
// ray to the right: the oracle the kernel is compared with.
func winding(r *Region, p Point) int {
	n := 0
	for i := range r.Ends {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			if (a.Y <= p.Y) != (b.Y <= p.Y) {
				if c := wide(a, b, p); b.Y > a.Y && c > 0 {
					n++
				} else if b.Y < a.Y && c < 0 {
					n--
				}
			}
			a = b
		}
	}
	return n
}

// wide is the cross product without the narrow differences of Cross.
func wide(o, a, b Point) int64 {
	return (int64(a.X)-int64(o.X))*(int64(b.Y)-int64(o.Y)) - (int64(a.Y)-int64(o.Y))*(int64(b.X)-int64(o.X))
}

// near reports whether p is within dist of an edge of r.
func near(r *Region, p Point, dist float64) bool {
	for i := range r.Ends {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			if fromLine2(p, a, b) <= dist*dist {
				return true
			}
			a = b
		}
	}
	return false
}

// drawRegion draws rings with corners on a coarse grid, so that edges often
// coincide, touch and cross in one point, or anywhere, at a random scale.
func drawRegion(t *rapid.T, name string) *Region {
	cells := rapid.SampledFrom([]int32{3, 8, 1000}).Draw(t, name+"_cells")
	cell := rapid.SampledFrom([]int32{1, 7, 4001}).Draw(t, name+"_cell")
	r := &Region{}
	for range rapid.IntRange(0, 5).Draw(t, name+"_rings") {
		n := rapid.IntRange(1, 9).Draw(t, name+"_points")
		for range n {
			x := rapid.Int32Range(-cells, cells).Draw(t, "x")
			y := rapid.Int32Range(-cells, cells).Draw(t, "y")
			r.Pts = append(r.Pts, pt(x*cell, y*cell))
		}
		r.Ends = append(r.Ends, int32(len(r.Pts)))
	}
	return r
}

func drawPoint(t *rapid.T) Point {
	w := rapid.SampledFrom([]int32{6, 60, 8000, 32000, 4_100_000}).Draw(t, "probe_width")
	return pt(rapid.Int32Range(-w, w).Draw(t, "probe_x"), rapid.Int32Range(-w, w).Draw(t, "probe_y"))
}

// checkShape fails unless r is what the kernel promises: simple rings without
// repeated points and straight corners, whose winding number is 0 or 1 at p.
func checkShape(t rapid.TB, r *Region, p Point) {
	t.Helper()
	for i := range r.Ends {
		ring := r.Ring(i)
		if len(ring) < 3 || Area2(ring) == 0 {
			t.Fatalf("ring %d has %d points and area %d", i, len(ring), Area2(ring))
		}
		seen := map[Point]bool{}
		for j, q := range ring {
			if seen[q] {
				t.Fatalf("ring %d: a point comes twice", i)
			}
			seen[q] = true
			if Cross(ring[(j+len(ring)-1)%len(ring)], q, ring[(j+1)%len(ring)]) == 0 {
				t.Fatalf("ring %d: point %d is no corner", i, j)
			}
		}
	}
	checkNoCrossing(t, r)
	if !near(r, p, 0.1) {
		if w := winding(r, p); w != 0 && w != 1 {
			t.Fatalf("winding number %d", w)
		}
	}
}

// checkNoCrossing fails if two edges of r cross or overlap. A corner may touch
// another edge.
func checkNoCrossing(t rapid.TB, r *Region) {
	t.Helper()
	var es []edge
	for i := range r.Ends {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			es = append(es, edge{p: a, q: b})
			a = b
		}
	}
	for i, e := range es {
		for _, f := range es[i+1:] {
			c1, c2 := Cross(e.p, e.q, f.p), Cross(e.p, e.q, f.q)
			c3, c4 := Cross(f.p, f.q, e.p), Cross(f.p, f.q, e.q)
			if (c1 > 0 && c2 < 0 || c1 < 0 && c2 > 0) && (c3 > 0 && c4 < 0 || c3 < 0 && c4 > 0) {
				t.Fatal("two edges cross")
			}
			if c1 == 0 && c2 == 0 && overlap(e, f) {
				t.Fatal("two edges overlap")
			}
		}
	}
}

// overlap reports whether two edges on one line have more than a point in common.
func overlap(e, f edge) bool {
	d := Point{e.q.X - e.p.X, e.q.Y - e.p.Y}
	at := func(p Point) int64 {
		return int64(p.X-e.p.X)*int64(d.X) + int64(p.Y-e.p.Y)*int64(d.Y)
	}
	lo, hi := min(at(f.p), at(f.q)), max(at(f.p), at(f.q))
	return max(lo, 0) < min(hi, at(e.q))
}

func TestBooleansMatchWinding(t *testing.T) {
	var k Kernel
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRegion(t, "a"), drawRegion(t, "b")
		var got [5]Region
		for i, err := range []error{
			k.Union2(&got[0], a, b), k.Intersect(&got[1], a, b), k.Difference(&got[2], a, b),
			k.Xor(&got[3], a, b), k.EvenOdd(&got[4], a),
		} {
			if err != nil {
				t.Fatalf("operation %d: %v", i, err)
			}
		}
		probes := rapid.SliceOfN(rapid.Custom(drawPoint), 40, 40).Draw(t, "probes")
		for _, p := range probes {
			for i := range got {
				checkShape(t, &got[i], p)
			}
			if near(a, p, 1.5) || near(b, p, 1.5) {
				continue
			}
			ia, ib := winding(a, p) > 0, winding(b, p) > 0
			want := [5]bool{ia || ib, ia && ib, ia && !ib, ia != ib, winding(a, p)%2 != 0}
			for i := range got {
				if in := winding(&got[i], p) == 1; in != want[i] {
					t.Fatalf("operation %d at %v: inside %v, want %v", i, p, in, want[i])
				}
			}
		}
	})
}

func pt(x, y int32) Point { return Point{unit.Length(x), unit.Length(y)} }
