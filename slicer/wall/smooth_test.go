package wall

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// toLine is how far p is from the closed line.
func toLine(ring []geom.Point, p geom.Point) float64 {
	least := math.Inf(1)
	for i, a := range ring {
		b := ring[(i+1)%len(ring)]
		ux, uy, long := direction(a, b)
		x, y := float64(p.X-a.X), float64(p.Y-a.Y)
		s := max(0, min(long, x*ux+y*uy))
		least = min(least, math.Hypot(x-s*ux, y-s*uy))
	}
	return least
}

// rough is a circle whose points are off it by up to noise.
func rough(t *rapid.T, n int, radius, noise unit.Length) []geom.Point {
	ring := make([]geom.Point, n)
	for i := range ring {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		r := float64(radius) + rapid.Float64Range(-1, 1).Draw(t, "off")*float64(noise)
		ring[i] = geom.Point{X: unit.Length(r * cos), Y: unit.Length(r * sin)}
	}
	return ring
}

// A rough ring of short pieces loses points, and each of those is near what is left;
// its lines hold what they did.
func TestThin(t *testing.T) {
	const width = mm / 2
	lost := 0
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(8, 200).Draw(t, "points")
		ring := rough(t, n, unit.Length(n)*mm/40, far/2)
		widths := make([]unit.Length, n)
		for i := range widths {
			widths[i] = width + width/8*unit.Length(i*4/n)
		}
		before := append([]geom.Point(nil), ring...)
		amount := func(ring []geom.Point, widths []unit.Length) (sum float64) {
			for i, p := range ring {
				sum += distance(p, ring[(i+1)%len(ring)]) * float64(widths[i])
			}
			return sum
		}
		want := amount(ring, widths)
		left := thin(ring, widths)
		ring, widths = ring[:left], widths[:left]
		lost += n - left
		for _, p := range before {
			if off := toLine(ring, p); off > float64(far)+1 {
				t.Fatalf("a point is %.0f from what is left", off)
			}
		}
		if got := amount(ring, widths); math.Abs(got/want-1) > 0.02 {
			t.Fatalf("lines hold %.4f of what they did", got/want)
		}
	})
	if lost == 0 {
		t.Error("control: no point was left out")
	}
}

// Points of a wide curve stay: its pieces are long enough.
func TestThinLeavesLongPieces(t *testing.T) {
	var ring []geom.Point
	for i := range 60 {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / 60)
		ring = append(ring, geom.Point{X: unit.Length(cos * 10 * float64(mm)), Y: unit.Length(sin * 10 * float64(mm))})
	}
	if left := thin(ring, nil); left != 60 {
		t.Errorf("%d of 60 points are left", left)
	}
}

// The walls of a wedge become wider evenly: no step between two lines is more than what
// a machine may go around without braking, and widths rise with the room.
func TestNarrowIsEven(t *testing.T) {
	const width = mm / 2
	r := region([]geom.Point{{X: 0, Y: 0}, {X: 30 * mm, Y: 0}, {X: 30 * mm, Y: width * 26 / 10}, {X: 0, Y: width * 17 / 10}})
	var b Builder
	var w Walls
	p := Params{Width: width, Count: 1, Apart: width * 6 / 10, Wider: width * 7 / 10, Join: geom.JoinMiter}
	if err := b.Walls(&w, r, p); err != nil {
		t.Fatal(err)
	}
	if err := b.Narrow(&w, p); err != nil {
		t.Fatal(err)
	}
	ring, widths := w.Wall(0).Ring(0), w.Widths(0)
	seen := 0
	for i, a := range ring {
		m, next := len(ring), (i+1)%len(ring)
		mid := middle(a, ring[next])
		if mid.X < 2*mm || mid.X > 28*mm {
			continue
		}
		seen++
		room := float64(width)*1.7 + float64(width)*0.9*mid.X.MM()/30
		if off := math.Abs(float64(widths[i]) - room/2); off > float64(width)/40 {
			t.Errorf("a line is %v wide, want %.0f", widths[i], room/2)
		}
		ux, uy, _ := direction(a, ring[next])
		vx, vy, _ := direction(ring[next], ring[(i+2)%m])
		if turn := math.Abs(ux*vy - uy*vx); ring[(i+2)%m].X > 2*mm && ring[(i+2)%m].X < 28*mm && turn > 0.01 {
			t.Errorf("the wall turns by %.3f", turn)
		}
	}
	if seen < 20 {
		t.Errorf("control: %d lines", seen)
	}
}
