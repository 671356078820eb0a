package motion

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
)

const mm = unit.Millimetre

// The box of an arc holds every point of it, is no larger than need be, and its
// length is that of many chords; the chords end where it ends and feed what it feeds.
func TestArcs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := [2]unit.Length{unit.Length(rapid.IntRange(-100, 100).Draw(t, "x")) * mm, unit.Length(rapid.IntRange(-100, 100).Draw(t, "y")) * mm}
		r := rapid.Float64Range(0.1, 90).Draw(t, "r") * float64(mm)
		a := rapid.Float64Range(-4, 4).Draw(t, "from")
		turn := rapid.Float64Range(0.01, 6.2).Draw(t, "turn")
		op := Op{Kind: ArcLeft, Axes: X | Y | E, Centre: c, E: unit.Length(rapid.IntRange(0, 1<<20).Draw(t, "e"))}
		if rapid.Bool().Draw(t, "right") {
			op.Kind, turn = ArcRight, -turn
		}
		at := func(w float64) (x, y unit.Length) {
			return c[0] + unit.Length(math.Round(r*math.Cos(w))), c[1] + unit.Length(math.Round(r*math.Sin(w)))
		}
		from := [3]unit.Length{}
		from[0], from[1] = at(a)
		op.To[0], op.To[1] = at(a + turn)
		if op.To[0] == from[0] && op.To[1] == from[1] {
			return
		}
		lo, hi := op.ArcBox(from)
		tight := [2][2]unit.Length{{math.MaxInt32, math.MaxInt32}, {math.MinInt32, math.MinInt32}}
		for i := range 2001 {
			var p [2]unit.Length
			p[0], p[1] = at(a + turn*float64(i)/2000)
			for k := range p {
				if p[k] < lo[k]-2 || p[k] > hi[k]+2 {
					t.Fatalf("a point of the arc is outside of its box")
				}
				tight[0][k], tight[1][k] = min(tight[0][k], p[k]), max(tight[1][k], p[k])
			}
		}
		slack := unit.Length(r*1e-5) + 4
		for k := range 2 {
			if lo[k] < tight[0][k]-slack || hi[k] > tight[1][k]+slack {
				t.Fatalf("the box is %v too large", max(tight[0][k]-lo[k], hi[k]-tight[1][k]))
			}
		}
		if want := math.Abs(turn) * r; math.Abs(float64(op.ArcLength(from))-want) > 8 {
			t.Fatalf("%v long, want %v", op.ArcLength(from), want)
		}
		sum, fed, p := 0.0, unit.Length(0), from
		for s := range op.Chords(from, mm/10) {
			sum += math.Hypot(float64(s.To[0]-p[0]), float64(s.To[1]-p[1]))
			fed += s.E
			p = s.To
			if d := math.Hypot(float64(p[0]-c[0]), float64(p[1]-c[1])) - r; math.Abs(d) > 3 {
				t.Fatalf("a chord ends %v off the circle", d)
			}
		}
		if p != op.To || fed != op.E || math.Abs(sum/(math.Abs(turn)*r)-1) > 0.06 {
			t.Fatalf("chords end elsewhere, feed %v of %v or are %v long", fed, op.E, sum)
		}
		if op.ArcMismatch(from) > 3 {
			t.Fatal("mismatch")
		}
	})
	full := Op{Kind: ArcRight, Axes: X | Y, To: [3]unit.Length{mm, 0, 0}}
	if got := full.ArcLength([3]unit.Length{mm, 0, 0}).MM(); math.Abs(got-2*math.Pi) > 1e-4 {
		t.Errorf("a full turn is %v", got)
	}
}
