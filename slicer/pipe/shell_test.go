package pipe

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/internal/solids"
)

func shaped(t testing.TB, p Params, index int, rings ...[]geom.Point) *Layer {
	t.Helper()
	w := worker{p: p}
	l := &Layer{Width: p.Width, Index: index}
	for _, r := range rings {
		l.Outline.Add(r)
	}
	if err := w.shell(l); err != nil {
		t.Fatal(err)
	}
	return l
}

func square(x0, y0, x1, y1 float64) []geom.Point {
	p := func(x, y float64) geom.Point {
		return geom.Point{X: unit.Length(x * float64(mm)), Y: unit.Length(y * float64(mm))}
	}
	return []geom.Point{p(x0, y0), p(x1, y0), p(x1, y1), p(x0, y1)}
}

func flipped(ring []geom.Point) []geom.Point {
	out := slices.Clone(ring)
	slices.Reverse(out)
	return out
}

// squareMM is the area of a region in mm².
func squareMM(r *geom.Region) float64 { return float64(r.Area2()) / 2 / float64(mm) / float64(mm) }

// Outer contours and holes move by what is asked of each, in either direction; an
// island in a hole moves as an outer contour does.
func TestCompensateXY(t *testing.T) {
	for _, c := range []struct{ outer, hole float64 }{{0, 0}, {0.1, 0}, {-0.1, 0}, {0, 0.2}, {0, -0.2}, {0.1, 0.2}, {-0.3, -0.1}} {
		p := params()
		p.Shell.XY, p.Shell.HoleXY = unit.Length(c.outer*float64(mm)), unit.Length(c.hole*float64(mm))
		l := shaped(t, p, 5, square(0, 0, 30, 30), flipped(square(10, 10, 20, 20)), square(14, 14, 16, 16))
		side := func(long, by float64) float64 { return (long + 2*by) * (long + 2*by) }
		want := side(30, c.outer) - side(10, c.hole) + side(2, c.outer)
		if got := squareMM(&l.Outline); math.Abs(got-want) > 0.01 || l.Outline.Len() != 3 {
			t.Errorf("outer %v, hole %v: %.3f mm², want %.3f", c.outer, c.hole, got, want)
		}
	}
}

// The first layers are narrower, each less than the one before it; a fin that is
// hardly thicker than a line keeps its thickness, and stays joined to the rest.
func TestElephantFoot(t *testing.T) {
	p := params()
	p.Shell.Thin, p.Shell.Gaps = true, true
	p.Shell.Foot, p.Shell.FootLayers = mm/5, 2
	fin := []geom.Point{
		{}, {X: 20 * mm}, {X: 20 * mm, Y: 20 * mm}, {X: 10 * mm, Y: 20 * mm}, {X: 10 * mm, Y: 30 * mm}, {X: 10*mm - mm/2, Y: 30 * mm}, {X: 10*mm - mm/2, Y: 20 * mm}, {Y: 20 * mm},
	}
	for index, by := range []float64{0.2, 0.1, 0} {
		l := shaped(t, p, index, slices.Clone(fin))
		lo, hi, top := unit.Length(math.MaxInt32), unit.Length(math.MinInt32), unit.Length(0)
		for _, q := range l.Outline.Pts {
			lo, hi, top = min(lo, q.X), max(hi, q.X), max(top, q.Y)
		}
		if got := (hi - lo).MM(); math.Abs(got-20+2*by) > 0.002 {
			t.Errorf("layer %d is %.3f mm wide", index, got)
		}
		if l.Outline.Len() != 1 || top < 30*mm-mm/100 {
			t.Errorf("layer %d: %d contours, the fin ends at %.2f mm", index, l.Outline.Len(), top.MM())
		}
		if want := (20-2*by)*(20-2*by) + 0.5*(10+by); math.Abs(squareMM(&l.Outline)-want) > 0.35 {
			t.Errorf("layer %d has %.2f mm², want %.2f", index, squareMM(&l.Outline), want)
		}
	}
}

// Every other layer has one wall more; thin walls and gaps are filled or not, as
// asked for.
func TestShellSwitches(t *testing.T) {
	p := params()
	p.Shell = Shell{Thin: true, Gaps: true, Extra: true}
	for index := range 4 {
		if l := shaped(t, p, index, square(0, 0, 20, 20)); l.Walls.Len() != p.Walls+index%2 {
			t.Errorf("layer %d has %d walls", index, l.Walls.Len())
		}
	}
	thin, gap := square(0, 0, 20, 0.4), square(0, 5, 20, 6.3) // one line; two and 0.4 mm between them
	for _, c := range []struct {
		shell  Shell
		lo, hi unit.Length // of the Y of gap lines
	}{
		{Shell{Thin: true}, 0, mm}, {Shell{Gaps: true}, 5 * mm, 7 * mm}, {Shell{Thin: true, Gaps: true}, 0, 7 * mm}, {Shell{}, 1, 0},
	} {
		p.Shell = c.shell
		l := shaped(t, p, 0, thin, gap)
		low, high := false, false
		for _, q := range l.Gaps.Pts {
			if q.Y < c.lo || q.Y > c.hi {
				t.Errorf("%+v: a line where there should be none", c.shell)
			}
			low, high = low || q.Y < mm, high || q.Y > mm
		}
		if low != c.shell.Thin || high != c.shell.Gaps {
			t.Errorf("%+v: thin wall %v, gap %v", c.shell, low, high)
		}
	}
}

// Above its bottom a vase is one ring a layer and nothing else. A model with a hole
// is refused, before anything is printed; without the setting it is not.
func TestSpiral(t *testing.T) {
	p := params()
	p.Shell.Spiral = true
	n := 0
	for l, err := range Layers(context.Background(), cutter(t, solids.Cone(), p), p) {
		if err != nil {
			t.Fatal(err)
		}
		bottom := l.Index < p.BottomLayers
		lines := l.Gaps.Len() + l.Runs.Len()
		if l.Spiral == bottom || bottom != (lines > 0) || !bottom && (l.Walls.Len() != 1 || l.Walls.Wall(0).Len() != 1) {
			t.Fatalf("layer %d: spiral %v, %d walls, %d lines", l.Index, l.Spiral, l.Walls.Len(), lines)
		}
		n++
	}
	if err := CheckSpiral(context.Background(), cutter(t, solids.Cone(), p), p); n != 100 || err != nil {
		t.Errorf("%d layers; %v", n, err)
	}
	for _, spiral := range []bool{true, false} {
		p.Shell.Spiral = spiral
		var last error
		n = 0
		for _, err := range Layers(context.Background(), cutter(t, solids.Bracket(), p), p) {
			if last = err; err == nil {
				n++
			}
		}
		if errors.Is(last, ErrSpiral) != spiral {
			t.Errorf("spiral %v: %d layers, then %v", spiral, n, last)
		}
		if err := CheckSpiral(context.Background(), cutter(t, solids.Bracket(), p), p); errors.Is(err, ErrSpiral) != spiral {
			t.Errorf("spiral %v: %v before it is printed", spiral, err)
		}
	}
}

// A bar that rests on a post hangs over it: its walls say so on the layer where it
// begins, and on no other. Without the setting they never do.
func TestHangs(t *testing.T) {
	for _, on := range []bool{true, false} {
		p := params()
		p.Shell.Hangs = on
		hanging := 0
		for l, err := range Layers(context.Background(), cutter(t, solids.Tee(), p), p) {
			if err != nil {
				t.Fatal(err)
			}
			air := 0.0
			for i := range l.Walls.Len() {
				hangs := l.Hangs.Wall(i)
				if hangs == nil {
					continue
				}
				w := l.Walls.Wall(i)
				if len(hangs) != len(w.Pts) {
					t.Fatalf("layer %d: %d edges, %d hang", l.Index, len(w.Pts), len(hangs))
				}
				for k, a := range w.Pts {
					if b := w.Pts[(k+1)%len(w.Pts)]; hangs[k] == 4 { // one ring: the bar
						air += distance(a, b) / float64(mm)
					}
				}
			}
			if air == 0 {
				continue
			}
			hanging++
			// Two walls around 8 mm on either side of the post, 10 mm deep, but for their way in.
			if want := 2*(4*(8-0.45)+2*(10-0.9)) - 1.0; math.Abs(air-want) > 4 || l.Index != 60 {
				t.Errorf("layer %d: %.1f mm of wall are in the air, want %.1f", l.Index, air, want)
			}
		}
		if on != (hanging == 1) {
			t.Errorf("on %v: %d layers hang", on, hanging)
		}
	}
}
