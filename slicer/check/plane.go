package check

import "math"

// pt is a place in mm.
type pt struct{ x, y float64 }

func (a pt) plus(b pt) pt          { return pt{a.x + b.x, a.y + b.y} }
func (a pt) minus(b pt) pt         { return pt{a.x - b.x, a.y - b.y} }
func (a pt) times(f float64) pt    { return pt{a.x * f, a.y * f} }
func (a pt) long() float64         { return math.Hypot(a.x, a.y) }
func (a pt) dot(b pt) float64      { return a.x*b.x + a.y*b.y }
func (a pt) cross(b pt) float64    { return a.x*b.y - a.y*b.x }
func (a pt) to(b pt, f float64) pt { return pt{a.x + f*(b.x-a.x), a.y + f*(b.y-a.y)} }

// Everything is turned by an angle without meaning, so that rows lie along no edge
// that a model is likely to have.
var sinTilt, cosTilt = math.Sincos(0.5347)

func (a pt) tilted() pt  { return pt{a.x*cosTilt - a.y*sinTilt, a.x*sinTilt + a.y*cosTilt} }
func (a pt) upright() pt { return pt{a.x*cosTilt + a.y*sinTilt, -a.x*sinTilt + a.y*cosTilt} }

// seg is a straight line from a to b.
type seg struct{ a, b pt }

// near is the point of the line nearest to p, as a share of its length.
func (s seg) near(p pt) float64 {
	d := s.b.minus(s.a)
	l := d.dot(d)
	if l == 0 {
		return 0
	}
	return max(0, min(1, p.minus(s.a).dot(d)/l))
}

// grid finds lines by where they are.
type grid struct {
	cell   float64
	lo     pt
	w, h   int
	heads  []int32 // of each cell in items; one more at the end
	items  []int32
	segs   []seg
	stamps []int32
	stamp  int32
}

// load indexes segs, which must not change while the grid is used.
func (g *grid) load(segs []seg, cell float64) {
	lo, hi := pt{math.Inf(1), math.Inf(1)}, pt{math.Inf(-1), math.Inf(-1)}
	for _, s := range segs {
		lo = pt{min(lo.x, s.a.x, s.b.x), min(lo.y, s.a.y, s.b.y)}
		hi = pt{max(hi.x, s.a.x, s.b.x), max(hi.y, s.a.y, s.b.y)}
	}
	g.segs, g.cell, g.lo = segs, cell, lo
	g.w, g.h = 0, 0
	if len(segs) == 0 {
		g.heads, g.items = append(g.heads[:0], 0), g.items[:0]
		return
	}
	for float64((hi.x-lo.x)/g.cell)*(hi.y-lo.y)/g.cell > 4e6 {
		g.cell *= 2
	}
	g.w, g.h = int((hi.x-lo.x)/g.cell)+1, int((hi.y-lo.y)/g.cell)+1
	g.heads = resized(g.heads, g.w*g.h+1)
	clear(g.heads)
	for i := range segs {
		g.cells(segs[i], 0, func(c int) { g.heads[c+1]++ })
	}
	for c := range g.w * g.h {
		g.heads[c+1] += g.heads[c]
	}
	g.items = resized(g.items, int(g.heads[g.w*g.h]))
	fill := append([]int32(nil), g.heads...)
	for i := range segs {
		g.cells(segs[i], 0, func(c int) { g.items[fill[c]] = int32(i); fill[c]++ })
	}
	g.stamps = resized(g.stamps, len(segs))
	clear(g.stamps)
	g.stamp = 0
}

func resized(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n, n+n/4)
	}
	return s[:n]
}

// cells calls f with every cell that a line of some reach may touch: those that a
// row of cells shares with the line's own part in it.
func (g *grid) cells(s seg, reach float64, f func(c int)) {
	if s.a.y > s.b.y {
		s.a, s.b = s.b, s.a
	}
	y0 := max(0, int(math.Floor((s.a.y-reach-g.lo.y)/g.cell)))
	y1 := min(g.h-1, int(math.Floor((s.b.y+reach-g.lo.y)/g.cell)))
	for y := y0; y <= y1; y++ {
		from, to := s.a.x, s.b.x
		if d := s.b.y - s.a.y; d > 0 {
			bottom := g.lo.y + float64(y)*g.cell - reach - 1e-9
			top := bottom + g.cell + 2*reach + 2e-9
			from = s.a.x + (s.b.x-s.a.x)*max(0, min(1, (bottom-s.a.y)/d))
			to = s.a.x + (s.b.x-s.a.x)*max(0, min(1, (top-s.a.y)/d))
		}
		x0 := max(0, int(math.Floor((min(from, to)-reach-1e-9-g.lo.x)/g.cell)))
		x1 := min(g.w-1, int(math.Floor((max(from, to)+reach+1e-9-g.lo.x)/g.cell)))
		for x := x0; x <= x1; x++ {
			f(y*g.w + x)
		}
	}
}

// around calls f once with each line that may be within reach of s.
func (g *grid) around(s seg, reach float64, f func(i int)) {
	g.stamp++
	g.cells(s, reach, func(c int) {
		for _, i := range g.items[g.heads[c]:g.heads[c+1]] {
			if g.stamps[i] != g.stamp {
				g.stamps[i] = g.stamp
				f(int(i))
			}
		}
	})
}

// nearest is the line nearest to p, how far away it is and where; -1 if none is
// within most.
func (g *grid) nearest(p pt, most float64) (best int, far float64, where float64) {
	best = -1
	for reach := min(g.cell, most); ; reach = min(2*reach, most) {
		far = reach
		g.around(seg{p, p}, reach, func(i int) {
			f := g.segs[i].near(p)
			if d := g.segs[i].a.to(g.segs[i].b, f).minus(p).long(); d <= far {
				best, far, where = i, d, f
			}
		})
		if best >= 0 || reach >= most {
			return best, far, where
		}
	}
}
