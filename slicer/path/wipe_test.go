package path

import (
	"math"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
)

// islands is a program of two layers with two islands each, far apart.
func islands(t *testing.T, p Params) []motion.Op {
	t.Helper()
	a, b := geom.Point{X: 20 * mm, Y: 20 * mm}, geom.Point{X: 100 * mm, Y: 100 * mm}
	return program(p, layer(t, 0, a, b), layer(t, 1, a, b))
}

// While the filament is drawn back on long ways the nozzle is up by the hop, and it
// is down whenever it prints. The control goes through without a hop.
func TestHop(t *testing.T) {
	for _, hop := range []unit.Length{0, mm / 2} {
		p := params()
		p.Retraction.Hop = hop
		z, top, drawn, up := unit.Length(0), unit.Length(0), false, 0
		for _, op := range islands(t, p) {
			if op.Kind == motion.BeginLayer {
				top = op.To[motion.IZ]
			}
			if op.Kind != motion.Move || op.Role == motion.Travel && op.Has(motion.Z) && op.To[motion.IZ] > top+mm {
				continue // the way up at the end
			}
			switch {
			case op.Axes == motion.Z:
				z = op.To[motion.IZ]
			case op.Axes == motion.E:
				drawn = op.E < 0
			case op.Has(motion.E):
				if z != top || drawn {
					t.Fatalf("printed at %v on the layer at %v", z, top)
				}
			case drawn && z == top+hop && hop > 0:
				up++
			case drawn && z < top+hop && top > 0 && op.To[motion.IX] > 0:
				t.Fatalf("a long way at %v above the layer at %v", z-top, top)
			}
		}
		if up < 3 != (hop == 0) {
			t.Errorf("hop of %v: %d ways in the air", hop, up)
		}
	}
	p := params()
	p.Retraction.Hop = 10 * mm
	p.Volume.Max.Z = mm
	for _, op := range islands(t, p) {
		if op.Kind == motion.Move && op.Has(motion.Z) && op.To[motion.IZ] > mm {
			t.Fatal("a hop leaves the volume")
		}
	}
}

// Wiping goes back along the line that was printed, for as long as asked, draws back
// just what is drawn back in place, no faster than the filament can, and changes
// nothing that is printed. The control wipes nothing.
func TestWipe(t *testing.T) {
	printed := func(wipe unit.Length) (lines []motion.Op, wiped []float64) {
		p := params()
		p.Retraction.Wipe = wipe
		at, drawn, way, line := geom.Point{}, unit.Length(0), 0.0, []geom.Point(nil)
		for _, op := range islands(t, p) {
			if op.Kind != motion.Move || op.Axes == motion.Z {
				continue
			}
			to := at
			if op.Has(motion.X | motion.Y) {
				to = geom.Point{X: op.To[0], Y: op.To[1]}
			}
			long := math.Sqrt(float64(distance2(at, to)))
			switch {
			case op.Has(motion.X|motion.E) && op.E < 0:
				drawn += op.E
				way += long
				if s := op.Feed.MMPerSecond() * math.Abs(op.E.MM()) / (long / float64(mm)); s > p.Speeds.Retract.MMPerSecond()*1.01 || op.Feed > p.Speeds.Travel {
					t.Fatalf("the filament is drawn back at %.1f mm/s", s)
				}
				if off := fromLine(line, to); off > 2 {
					t.Fatalf("wiped %.0f units beside the line", off)
				}
			case op.Has(motion.X | motion.E):
				if drawn != 0 {
					t.Fatal("printed with the filament drawn back")
				}
				lines = append(lines, op)
				line = append(line, to)
			case op.Axes == motion.E:
				drawn += op.E
			default:
				if drawn != 0 && drawn != -p.Retraction.Length {
					t.Fatalf("%v is drawn back", drawn)
				}
				if way > 0 {
					wiped = append(wiped, way/float64(mm))
				}
				way, line = 0, []geom.Point{to}
			}
			at = to
		}
		return lines, wiped
	}
	want, none := printed(0)
	if len(none) != 0 {
		t.Errorf("control: %d wipes", len(none))
	}
	got, ways := printed(2 * mm)
	if len(ways) < 4 || len(got) != len(want) {
		t.Fatalf("%d wipes, %d lines of %d", len(ways), len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatal("what is printed has changed")
		}
	}
	for _, w := range ways {
		if math.Abs(w-2) > 0.001 {
			t.Errorf("wiped %.3f mm", w)
		}
	}
}

// fromLine is how far a point is from a line of several points.
func fromLine(line []geom.Point, p geom.Point) float64 {
	best := math.Inf(1)
	for i := 1; i < len(line); i++ {
		a, b := line[i-1], line[i]
		dx, dy := float64(b.X-a.X), float64(b.Y-a.Y)
		f := 0.0
		if l := dx*dx + dy*dy; l > 0 {
			f = max(0, min(1, (float64(p.X-a.X)*dx+float64(p.Y-a.Y)*dy)/l))
		}
		best = min(best, math.Hypot(float64(p.X-a.X)-f*dx, float64(p.Y-a.Y)-f*dy))
	}
	return best
}
