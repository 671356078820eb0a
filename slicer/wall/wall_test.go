package wall

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
	"platen/slicer/geom"
)

const mm = unit.Millimetre

func rectangle(x0, y0, x1, y1 unit.Length) []geom.Point {
	return []geom.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}}
}

func region(rings ...[]geom.Point) *geom.Region {
	r := &geom.Region{}
	for _, ring := range rings {
		r.Add(ring)
	}
	return r
}

// perimeter is the length of all rings.
func perimeter(r *geom.Region) float64 {
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

func area(r *geom.Region) float64 { return float64(r.Area2()) / 2 }

// TestWallsOfFrame: a square with a square hole keeps its corners, so all walls and
// what they leave are known.
func TestWallsOfFrame(t *testing.T) {
	hole := []geom.Point{{X: 8 * mm, Y: 8 * mm}, {X: 8 * mm, Y: 12 * mm}, {X: 12 * mm, Y: 12 * mm}, {X: 12 * mm, Y: 8 * mm}}
	r := region(rectangle(0, 0, 20*mm, 20*mm), hole)
	var b Builder
	var w Walls
	const width = mm / 2
	for _, overlap := range []unit.Length{0, mm / 8, -mm / 4} {
		if err := b.Walls(&w, r, Params{Width: width, Count: 3, Overlap: overlap, Join: geom.JoinMiter}); err != nil {
			t.Fatal(err)
		}
		if w.Len() != 3 {
			t.Fatalf("%d walls", w.Len())
		}
		for i := range 3 {
			line := w.Wall(i)
			in := width/2 + hair + unit.Length(i)*width
			outer, inner := float64(20*mm-2*in), float64(4*mm+2*in)
			if line.Len() != 2 || geom.Area2(line.Ring(0)) <= 0 || geom.Area2(line.Ring(1)) >= 0 {
				t.Fatalf("wall %d: %d rings", i, line.Len())
			}
			if got, want := perimeter(line), 4*(outer+inner); math.Abs(got-want) > 16 {
				t.Errorf("wall %d is %.0f long, want %.0f", i, got, want)
			}
		}
		in := 3*width + hair - overlap
		outer, inner := float64(20*mm-2*in), float64(4*mm+2*in)
		if got, want := area(w.Inner()), outer*outer-inner*inner; math.Abs(got-want) > 1e-5*want {
			t.Errorf("overlap %v: the inside is %.0f, want %.0f", overlap, got, want)
		}
	}
}

// TestVolume: lines times width, plus what is left inside, is the region.
func TestVolume(t *testing.T) {
	ring := make([]geom.Point, 3000)
	for i := range ring {
		a := 2 * math.Pi * float64(i) / float64(len(ring))
		d := (30 + 2*math.Sin(5*a)) * float64(mm)
		ring[i] = geom.Point{X: unit.Length(d * math.Cos(a)), Y: unit.Length(d * math.Sin(a))}
	}
	r := region(ring)
	var b Builder
	var w Walls
	width := unit.Micrometres(420)
	for _, join := range []geom.Join{geom.JoinRound, geom.JoinMiter} {
		if err := b.Walls(&w, r, Params{Width: width, Count: 4, Join: join}); err != nil {
			t.Fatal(err)
		}
		sum := area(w.Inner())
		for i := range w.Len() {
			sum += perimeter(w.Wall(i)) * float64(width)
		}
		if got := sum / area(r); math.Abs(got-1) > 1e-4 {
			t.Errorf("join %d: walls and inside are %.5f of the region", join, got)
		}
	}
}

// TestDistances: wall i runs i+1/2 widths from the contour, whatever the region.
func TestDistances(t *testing.T) {
	var k geom.Kernel
	var b Builder
	var r geom.Region
	var w Walls
	seen := 0
	rapid.Check(t, func(t *rapid.T) {
		raw := &geom.Region{}
		for range rapid.IntRange(1, 3).Draw(t, "rings") {
			ring := make([]geom.Point, rapid.IntRange(3, 9).Draw(t, "points"))
			for i := range ring {
				ring[i].X = unit.Length(rapid.Int32Range(-40, 40).Draw(t, "x")) * mm / 4
				ring[i].Y = unit.Length(rapid.Int32Range(-40, 40).Draw(t, "y")) * mm / 4
			}
			raw.Add(ring)
		}
		if err := k.Union(&r, raw); err != nil {
			t.Fatal(err)
		}
		width := rapid.SampledFrom([]unit.Length{mm / 4, 27_000, mm}).Draw(t, "width")
		p := Params{Width: width, Count: rapid.IntRange(0, 6).Draw(t, "count"), Join: geom.JoinRound}
		if err := b.Walls(&w, &r, p); err != nil {
			t.Fatal(err)
		}
		if w.Len() > p.Count {
			t.Fatalf("%d walls instead of %d", w.Len(), p.Count)
		}
		for i := range w.Len() {
			want := float64(width)/2 + float64(i)*float64(width)
			slack := 220 * float64(i+1) // 3 µm and some rounding for each step
			for _, q := range w.Wall(i).Pts {
				seen++
				if d := toBoundary(&r, q); math.Abs(d-want) > slack {
					t.Fatalf("wall %d runs %.0f from the contour, want %.0f", i, d, want)
				}
			}
		}
	})
	if seen < 40 {
		t.Fatalf("only %d points of walls", seen)
	}
}

func toBoundary(r *geom.Region, p geom.Point) float64 {
	best := math.Inf(1)
	for i := range r.Ends {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			lx, ly := float64(b.X-a.X), float64(b.Y-a.Y)
			px, py := float64(p.X-a.X), float64(p.Y-a.Y)
			s := max(0, min(1, (px*lx+py*ly)/(lx*lx+ly*ly)))
			best = min(best, math.Hypot(px-s*lx, py-s*ly))
			a = b
		}
	}
	return best
}

func TestNarrowParts(t *testing.T) {
	const width = mm / 2
	// A block with a fin that is 1.3 lines thick, and one of 0.8 lines.
	r := region([]geom.Point{
		{X: 0, Y: 0}, {X: 20 * mm, Y: 0}, {X: 20 * mm, Y: 10 * mm},
		{X: 15 * mm, Y: 10 * mm}, {X: 15 * mm, Y: 20 * mm}, {X: 15*mm - width*13/10, Y: 20 * mm}, {X: 15*mm - width*13/10, Y: 10 * mm},
		{X: 5 * mm, Y: 10 * mm}, {X: 5 * mm, Y: 20 * mm}, {X: 5*mm - width*8/10, Y: 20 * mm}, {X: 5*mm - width*8/10, Y: 10 * mm},
		{X: 0, Y: 10 * mm},
	})
	for _, c := range []struct {
		apart unit.Length
		long  float64
	}{
		// Without Apart the wall goes round the thicker fin, 10 mm up and down.
		{0, 2*(20+10) - 8*0.25 + 2*10},
		{width / 2, 2*(20+10) - 8*0.25},
	} {
		var b Builder
		var w Walls
		if err := b.Walls(&w, r, Params{Width: width, Count: 2, Apart: c.apart, Join: geom.JoinMiter}); err != nil {
			t.Fatal(err)
		}
		if w.Len() != 2 || w.Wall(0).Len() != 1 {
			t.Fatalf("apart %v: %d walls", c.apart, w.Len())
		}
		if got := perimeter(w.Wall(0)) / float64(mm); math.Abs(got-c.long) > 0.6 {
			t.Errorf("apart %v: the outer wall is %.3f mm long, want about %.3f", c.apart, got, c.long)
		}
	}
}

func TestWallsEnd(t *testing.T) {
	r := region(rectangle(0, 0, 3*mm, 3*mm))
	var b Builder
	var w Walls
	for _, c := range []struct {
		name        string
		p           Params
		walls, left int
	}{
		{"none wanted", Params{Width: mm / 2}, 0, 1},
		{"some", Params{Width: mm / 2, Count: 2}, 2, 1},
		{"as many as fit", Params{Width: mm / 2, Count: 1000}, 3, 0},
		{"none fits", Params{Width: 4 * mm, Count: 2}, 0, 0},
		{"infill reaches out again", Params{Width: mm, Count: 1, Overlap: mm}, 1, 1},
	} {
		if err := b.Walls(&w, r, c.p); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if w.Len() != c.walls || w.Inner().Len() != c.left {
			t.Errorf("%s: %d walls and %d regions inside, want %d and %d", c.name, w.Len(), w.Inner().Len(), c.walls, c.left)
		}
	}
	if err := b.Walls(&w, &geom.Region{}, Params{Width: mm, Count: 3}); err != nil || w.Len() != 0 || !w.Inner().Empty() {
		t.Errorf("empty region: %v, %d walls", err, w.Len())
	}
}

func TestWallsRefuse(t *testing.T) {
	var b Builder
	var w Walls
	r := region(rectangle(0, 0, 9*mm, 9*mm))
	for _, p := range []Params{
		{}, {Width: -1}, {Width: 101 * mm}, {Width: mm, Count: -1}, {Width: mm, Count: 1001}, {Width: mm, Overlap: 2 * mm},
		{Width: mm, Overlap: -2 * mm}, {Width: mm, Apart: -1}, {Width: mm, Apart: mm + 1}, {Width: math.MinInt32, Count: 1},
	} {
		if err := b.Walls(&w, r, p); !errors.Is(err, ErrParams) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	r.Pts[0].X = unit.MaxCoordinate + 1
	if err := b.Walls(&w, r, Params{Width: mm, Count: 1}); !errors.Is(err, geom.ErrOutside) || w.Len() != 0 {
		t.Errorf("outside the plane: %v", err)
	}
}

func TestNoAllocation(t *testing.T) {
	r := region(rectangle(0, 0, 30*mm, 20*mm), rectangle(40*mm, 0, 41*mm, 9*mm))
	var b Builder
	var w Walls
	run := func() {
		if err := b.Walls(&w, r, Params{Width: mm / 2, Count: 5, Overlap: mm / 9, Apart: mm / 5}); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(5, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if w.Len() != 5 {
		t.Fatalf("%d walls", w.Len())
	}
	pts := w.Wall(0).Pts
	b.Wipe()
	w.Wipe()
	for _, p := range pts {
		if p != (geom.Point{}) {
			t.Fatal("wiping leaves points")
		}
	}
	if w.Len() != 0 || !w.Inner().Empty() {
		t.Error("wiping leaves walls")
	}
}
