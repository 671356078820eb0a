package slicer

import (
	"context"
	"math"
	"slices"
	"testing"

	"platen/hal/motion"
	"platen/slicer/internal/solids"
)

// line is a printed line in a layer, in mm.
type line struct {
	a, b  [2]float64
	width float64
	role  motion.Role
}

// wallFigures are measured against the section itself, with nothing but distances from
// its straight pieces.
type wallFigures struct {
	p95     float64 // mm: of outer walls, their middle to where it should be
	outside float64 // share of the section that is laid outside of it
	bare    float64 // share of the band of walls that is not covered
}

// judgeWalls takes every step-th layer of a job.
func judgeWalls(t *testing.T, j *Job, s Settings, r *raster, step int) wallFigures {
	t.Helper()
	area := math.Pi / 4 * s.Filament.MM() * s.Filament.MM()
	var at [2]float64
	var lines []line
	var offs []float64
	var out, body, bare, band float64
	layer := -1
	judge := func() {
		if layer < 0 || layer%step != step/2 {
			return
		}
		edges := r.edges(layer)
		for _, l := range lines {
			n := math.Ceil(math.Hypot(l.b[0]-l.a[0], l.b[1]-l.a[1]) / 0.1)
			for i := range int(n) {
				f := (float64(i) + 0.5) / n
				p := [2]float64{l.a[0] + f*(l.b[0]-l.a[0]), l.a[1] + f*(l.b[1]-l.a[1])}
				d := toEdges(edges, p, 1)
				if l.role == motion.OuterWall {
					offs = append(offs, math.Abs(d-l.width/2))
				}
				out += max(0, l.width/2-d) * math.Hypot(l.b[0]-l.a[0], l.b[1]-l.a[1]) / n
			}
		}
		paint := newCover(lines)
		m := r.layers[layer]
		for k, in := range m.in {
			if !in {
				continue
			}
			body += pitch * pitch
			for q := range 4 { // places all over the pixel, in no order that a line could have
				_, x := math.Modf(float64(4*k+q) * 0.7548776662466927)
				_, y := math.Modf(float64(4*k+q) * 0.5698402909980532)
				p := [2]float64{r.x0 + (float64(k%r.w)+x-0.5)*pitch, r.y0 + (float64(k/r.w)+y-0.5)*pitch}
				if d := m.dist[k]; d > s.Width.MM()*(float64(s.Walls)-0.5)-pitch || d < pitch {
					continue
				}
				band++
				if !paint.has(p) {
					bare++
				}
			}
		}
	}
	for op, err := range j.Program(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if op.Kind == motion.BeginLayer {
			judge()
			layer++
			lines = lines[:0]
		}
		if op.Kind != motion.Move || !op.Has(motion.X|motion.Y) {
			continue
		}
		to := [2]float64{op.To[0].MM(), op.To[1].MM()}
		if long := math.Hypot(to[0]-at[0], to[1]-at[1]); op.Has(motion.E) && op.Role != motion.Skirt && op.Role != motion.Prime && long > 0 {
			lines = append(lines, line{at, to, op.E.MM() * area / long / s.stack().Thickness(layer).MM(), op.Role})
		}
		at = to
	}
	judge()
	if len(offs) == 0 || band == 0 {
		t.Fatal("nothing to judge")
	}
	slices.Sort(offs)
	return wallFigures{offs[len(offs)*95/100], out / body, bare / band}
}

// edges are the pieces of a section's lines that are its edge: where the body is on
// one side only.
func (r *raster) edges(layer int) [][2][2]float64 {
	m := r.layers[layer]
	var out [][2][2]float64
	for _, l := range m.lines {
		dx, dy := l[1][0]-l[0][0], l[1][1]-l[0][1]
		long := math.Hypot(dx, dy)
		n := math.Ceil(long / pitch)
		for i := range int(n) {
			f, g := float64(i)/n, float64(i+1)/n
			a := [2]float64{l[0][0] + f*dx, l[0][1] + f*dy}
			b := [2]float64{l[0][0] + g*dx, l[0][1] + g*dy}
			px, py, ok := r.pixel((a[0]+b[0])/2+pitch*dy/long, (a[1]+b[1])/2-pitch*dx/long)
			if !ok || !m.in[py*r.w+px] {
				out = append(out, [2][2]float64{a, b})
			}
		}
	}
	slices.SortFunc(out, func(a, b [2][2]float64) int {
		if a[0][0] < b[0][0] {
			return -1
		}
		return 1
	})
	return out
}

// toEdges is the distance from p to the nearest of edges, which are sorted by X and
// no longer than a pixel; at most reach.
func toEdges(edges [][2][2]float64, p [2]float64, reach float64) float64 {
	from, _ := slices.BinarySearchFunc(edges, p[0]-reach-pitch, func(e [2][2]float64, x float64) int {
		if e[0][0] < x {
			return -1
		}
		return 1
	})
	best := reach
	for _, e := range edges[from:] {
		if e[0][0] > p[0]+best+pitch {
			break
		}
		best = min(best, toSegment(p, e[0], e[1]))
	}
	return best
}

func toSegment(p, a, b [2]float64) float64 {
	dx, dy := b[0]-a[0], b[1]-a[1]
	f := 0.0
	if l := dx*dx + dy*dy; l > 0 {
		f = max(0, min(1, ((p[0]-a[0])*dx+(p[1]-a[1])*dy)/l))
	}
	return math.Hypot(p[0]-a[0]-f*dx, p[1]-a[1]-f*dy)
}

// cover finds the lines around a place.
type cover struct {
	lines []line
	cells map[[2]int][]int32
}

func newCover(lines []line) cover {
	c := cover{lines, map[[2]int][]int32{}}
	for i, l := range lines {
		x0, x1 := int(min(l.a[0], l.b[0])-l.width), int(max(l.a[0], l.b[0])+l.width)
		y0, y1 := int(min(l.a[1], l.b[1])-l.width), int(max(l.a[1], l.b[1])+l.width)
		for x := x0; x <= x1; x++ {
			for y := y0; y <= y1; y++ {
				m := [2]float64{float64(x) + 0.5, float64(y) + 0.5}
				if toSegment(m, l.a, l.b) < l.width/2+0.75 {
					c.cells[[2]int{x, y}] = append(c.cells[[2]int{x, y}], int32(i))
				}
			}
		}
	}
	return c
}

func (c cover) has(p [2]float64) bool {
	for _, i := range c.cells[[2]int{int(p[0]), int(p[1])}] {
		if l := c.lines[i]; toSegment(p, l.a, l.b) <= l.width/2+0.002 {
			return true
		}
	}
	return false
}

// Outer walls run half of their width inside the section, nothing is laid outside of
// it, and the band of walls is covered, but for corners and the round ends of thin
// walls. The controls are a model that is 30 µm off, lines too narrow by 2 %, and one
// wall less.
func TestWallFigures(t *testing.T) {
	for _, c := range []struct {
		file string
		make func() solids.Soup
		most float64
		thin bool // corners and ends are much of it
	}{
		{"hollow-sphere.stl", solids.HollowSphere, 0.001, false},
		{"tug.stl", solids.Tug, 0.001, false},
		{"cone.stl", solids.Cone, 0.001, false},
		{"thin.stl", solids.Thin, 0.01, true},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			s := Default()
			j := openFile(t, c.file, s)
			r := newRaster(c.make(), middles(j, s))
			if testing.Short() && c.file != "cone.stl" {
				t.Skip("one model is enough for a short run")
			}
			step := 35
			if c.thin {
				step = 10
			}
			got := judgeWalls(t, j, s, r, step)
			t.Logf("p95 %.1f µm, outside %.4f %%, bare %.3f %%", 1000*got.p95, 100*got.outside, 100*got.bare)
			if got.p95 > 0.010 || got.bare > c.most || !c.thin && got.outside > 0.0002 || got.outside > 0.003 {
				t.Error("that is too much")
			}
			if c.thin {
				return
			}
			off := *r
			off.layers = nil
			for _, m := range r.layers {
				moved := *m
				moved.lines = slices.Clone(m.lines)
				for k := range moved.lines {
					moved.lines[k][0][0] += 0.03
					moved.lines[k][1][0] += 0.03
				}
				off.layers = append(off.layers, &moved)
			}
			if f := judgeWalls(t, j, s, &off, step); f.p95 < 0.010 || f.outside < 0.0002 {
				t.Errorf("control: 30 µm off, p95 %.1f µm, outside %.4f %%", 1000*f.p95, 100*f.outside)
			}
			narrow := s
			narrow.Filament -= s.Filament / 100
			if f := judgeWalls(t, j, narrow, r, step); f.bare < c.most {
				t.Errorf("control: narrow lines, %.3f %% bare", 100*f.bare)
			}
			fewer := s
			fewer.Walls, fewer.Width = 1, s.Width
			if f := judgeWalls(t, openFile(t, c.file, fewer), s, r, step); f.bare < c.most {
				t.Errorf("control: a wall less, %.3f %% bare", 100*f.bare)
			}
		})
	}
}
