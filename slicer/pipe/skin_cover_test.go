package pipe

import (
	"math"
	"testing"

	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
	"platen/slicer/internal/solids"
)

// canvas is a fine grid over a layer.
type canvas struct {
	x0, y0 float64 // of the middle of pixel 0,0, in mm
	w, h   int
	in     []bool // the section
	on     []bool // something is laid there
}

// dot is the size of a pixel in mm.
const dot = 0.03

func newCanvas(r *geom.Region) *canvas {
	lo, hi := r.Pts[0], r.Pts[0]
	for _, p := range r.Pts {
		lo = geom.Point{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
		hi = geom.Point{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
	}
	c := &canvas{x0: lo.X.MM() + dot/3, y0: lo.Y.MM() + dot/3, w: int((hi.X - lo.X).MM() / dot), h: int((hi.Y - lo.Y).MM() / dot)}
	c.in, c.on = make([]bool, c.w*c.h), make([]bool, c.w*c.h)
	for y := range c.h {
		at := c.y0 + float64(y)*dot
		for i := range r.Len() {
			ring := r.Ring(i)
			a := ring[len(ring)-1]
			for _, b := range ring {
				if (a.Y.MM() > at) != (b.Y.MM() > at) {
					x := a.X.MM() + (at-a.Y.MM())*(b.X-a.X).MM()/(b.Y-a.Y).MM()
					for k := max(0, int(math.Ceil((x-c.x0)/dot))); k < c.w; k++ {
						c.in[y*c.w+k] = !c.in[y*c.w+k]
					}
				}
				a = b
			}
		}
	}
	return c
}

// stroke paints a bar with round ends.
func (c *canvas) stroke(a, b geom.Point, width unit.Length) {
	half := width.MM() / 2
	ax, ay, bx, by := a.X.MM()-c.x0, a.Y.MM()-c.y0, b.X.MM()-c.x0, b.Y.MM()-c.y0
	dx, dy := bx-ax, by-ay
	l := max(dx*dx+dy*dy, 1e-12)
	for y := max(0, int((min(ay, by)-half)/dot)); y <= min(c.h-1, int((max(ay, by)+half)/dot)+1); y++ {
		// What of the bar is within reach of the row bounds its pixels.
		py := float64(y) * dot
		from, to := 0.0, 1.0
		if dy != 0 {
			p, q := (py-half-ay)/dy, (py+half-ay)/dy
			from, to = max(0, min(1, p, q)), min(1, max(0, p, q))
		}
		lo, hi := ax+min(from*dx, to*dx)-half, ax+max(from*dx, to*dx)+half
		for x := max(0, int(lo/dot)); x <= min(c.w-1, int(hi/dot)+1); x++ {
			px := float64(x) * dot
			t := max(0, min(1, ((px-ax)*dx+(py-ay)*dy)/l))
			if ex, ey := px-ax-t*dx, py-ay-t*dy; ex*ex+ey*ey <= half*half {
				c.on[y*c.w+x] = true
			}
		}
	}
}

func (c *canvas) line(pts []geom.Point, width unit.Length) {
	for i := 1; i < len(pts); i++ {
		c.stroke(pts[i-1], pts[i], width)
	}
}

// bare is the share of the section on which nothing is laid.
func bare(l *Layer) float64 {
	c := paintAll(l)
	in, open := 0, 0
	for i := range c.in {
		if c.in[i] {
			in++
			if !c.on[i] {
				open++
			}
		}
	}
	return float64(open) / float64(max(in, 1))
}

// paintAll paints all lines of a layer.
func paintAll(l *Layer) *canvas {
	c := newCanvas(&l.Outline)
	for i := range l.Walls.Len() {
		r, widths := l.Walls.Wall(i), l.Walls.Widths(i)
		at := 0
		for k := range r.Len() {
			ring := r.Ring(k)
			for j, p := range ring {
				width := l.Width
				if widths != nil {
					width = widths[at+j]
				}
				c.stroke(p, ring[(j+1)%len(ring)], width)
			}
			at += len(ring)
		}
	}
	for i, w := range l.Gaps.Widths {
		c.line(l.Gaps.Line(i), w)
	}
	for i, h := range l.Runs.Heads {
		c.line(l.Runs.Line(i), h.Width)
	}
	return c
}

// Faces that are seen are covered, in whatever direction their lines run; 0.2 % at
// most is bare. The control is lines that are joined, of which every other row ends
// away from the wall.
func TestFacesAreCovered(t *testing.T) {
	names := []string{"cone", "tug", "bracket", "cube"}
	angles := []fill.Angle{45 * fill.Degree, 0, 30 * fill.Degree}
	if testing.Short() {
		names, angles = names[:2], angles[:2]
	}
	for _, name := range names {
		for _, angle := range angles {
			p := fills()
			p.Skin.Angle = angle
			p.TopLayers, p.BottomLayers = 1, 1
			p.Stack.Height = 2 * mm // of the layers above, which are not looked at
			p.Shell = Shell{Thin: true, Gaps: true}
			first := func(p Params) (share float64) {
				eachLayer(t, bodies()[name], p, func(w *worker, _ []*Layer, l *Layer) {
					if l.Index > 0 {
						return
					}
					if err := w.infill(l); err != nil {
						t.Fatal(err)
					}
					share = bare(l)
				})
				return share
			}
			if b := first(p); b > 0.002 {
				t.Errorf("%s at %d°: %.3f %% of the face is bare", name, angle/fill.Degree, 100*b)
			}
			if angle != angles[0] {
				continue
			}
			p.Skin.BottomPattern = SkinZigzag
			if b := first(p); b < 0.004 {
				t.Errorf("control, %s at %d°: only %.3f %% is bare if lines are joined", name, angle/fill.Degree, 100*b)
			}
		}
	}
	if b := func() (share float64) {
		p := fills()
		p.Stack.Height = 2 * mm
		eachLayer(t, solids.Cube(), p, func(w *worker, _ []*Layer, l *Layer) {
			if l.Index == 0 {
				share = bare(l) // walls only
			}
		})
		return share
	}(); b < 0.8 {
		t.Errorf("control: %.2f of a face with walls only is bare", b)
	}
}

// Lines that follow the edge, with others of the right width between them, cover a
// face nearly as well. The control: without those some is bare.
func TestConcentricCovers(t *testing.T) {
	p := fills()
	p.Skin.BottomPattern = SkinConcentric
	p.Stack.Height = 2 * mm
	with, without, closed := 0.0, 0.0, 0
	eachLayer(t, bodies()["bracket"], p, func(w *worker, _ []*Layer, l *Layer) {
		if l.Index > 0 {
			return
		}
		if err := w.infill(l); err != nil {
			t.Fatal(err)
		}
		for i := range l.Runs.Heads {
			if line := l.Runs.Line(i); line[0] == line[len(line)-1] {
				closed++
			}
		}
		if closed != l.Runs.Len() {
			t.Errorf("%d of %d lines are closed", closed, l.Runs.Len())
		}
		with = bare(l)
		l.Gaps.Reset()
		without = bare(l)
	})
	if with > 0.006 || without < 1.5*with || closed < 5 {
		t.Errorf("%.3f %% is bare, %.3f %% without the lines between, %d rings", 100*with, 100*without, closed)
	}
}
