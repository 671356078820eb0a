package check

import (
	"cmp"
	"math"
	"slices"
)

// judge measures layers against sections.
type judge struct {
	o      Options
	m      *solid
	all    *seen
	at     pt      // of the model's origin, on the bed
	width  float64 // of outer walls
	index  int
	picked []bool
	u      uniter
	below  section
	here   section
	above  section
	edges  grid // of here
	outer  grid
	scrap  [4]rows
	body   rows
	under  rows
	over   rows
	laid   rows
	band   rows
	rim    rows
	offs   []float64 // of points of outer walls from where they should be
	sum    sums
	worst  float64
	walls  []seg
	halves []float64
}

// sums over the judged layers, in mm² or mm³ or mm.
type sums struct {
	layers                       int
	lines, sections              float64 // mm³
	area, outside                float64
	laid, twice                  float64
	shell, shellBare             float64
	top, topBare, bottom, botBar float64
	edge, kept                   float64
	air                          int
	airWay                       float64
}

func newJudge(m *solid, all *seen, o Options) *judge {
	return &judge{o: o, m: m, all: all, width: all.width(o)}
}

// place is where a place on the bed is in the model, tilted.
func (j *judge) place(p pt) pt { return p.minus(j.at).tilted() }

// pick chooses the layers to judge: half of them where the model changes most, for
// there are its faces, the others evenly spread.
func (j *judge) pick() {
	n := len(j.all.tops)
	j.picked = make([]bool, n)
	if j.o.Most < 0 || n <= j.o.Most {
		for i := range j.picked {
			j.picked[i] = true
		}
		return
	}
	area := make([]float64, n+2) // of layer i at i+1
	for i := range n {
		j.m.cut(&j.here, j.all.middle(i))
		for _, g := range j.here.raw {
			area[i+1] += g.a.cross(g.b) / 2
		}
	}
	order := make([]int, n)
	change := make([]float64, n)
	for i := range order {
		order[i], change[i] = i, max(math.Abs(area[i+1]-area[i]), math.Abs(area[i+1]-area[i+2]))
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(change[b], change[a]) })
	for _, i := range order[:j.o.Most/2] {
		j.picked[i] = true
	}
	rest := j.o.Most - j.o.Most/2
	for k := range rest {
		j.picked[(2*k+1)*n/(2*rest)] = true
	}
}

// layer judges one layer, if it is picked.
func (j *judge) layer(l *layer) error {
	i := j.index
	j.index++
	if !j.picked[i] {
		return nil
	}
	j.sum.layers++
	j.m.cut(&j.here, j.all.middle(i))
	j.u.unite(&j.here)
	j.edges.load(j.here.edge, 0.5)
	j.below.raw, j.above.raw = j.below.raw[:0], j.above.raw[:0]
	if i > 0 {
		j.m.cut(&j.below, j.all.middle(i-1))
	}
	if i+1 < len(j.all.tops) {
		j.m.cut(&j.above, j.all.middle(i+1))
	}
	j.frame(l)
	j.areas(l, j.all.thickness(i))
	j.outline(l)
	j.flights(l)
	return nil
}

// frame gives all rows the same place, around all that there is.
func (j *judge) frame(l *layer) {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, segs := range [3][]seg{j.here.raw, j.below.raw, j.above.raw} {
		for _, g := range segs {
			lo, hi = min(lo, g.a.y, g.b.y), max(hi, g.a.y, g.b.y)
		}
	}
	for _, n := range l.lines {
		a, b := j.place(n.a), j.place(n.b)
		lo, hi = min(lo, a.y-n.width, b.y-n.width), max(hi, a.y+n.width, b.y+n.width)
	}
	pitch := max(j.o.Pitch.MM(), (hi-lo)/20_000)
	n := int((hi-lo)/pitch) + 2
	for _, r := range []*rows{&j.body, &j.under, &j.over, &j.laid, &j.band, &j.rim} {
		r.reset(lo, pitch, n)
	}
}

// rimWide is how much of a face's edge is no face, in mm: the walls there are judged
// by themselves.
const rimWide = 0.05

// areas compares what is laid with what should be.
func (j *judge) areas(l *layer, thick float64) {
	s := &j.sum
	j.body.body(j.here.raw)
	j.under.body(j.below.raw)
	j.over.body(j.above.raw)
	all := 0.0
	for _, n := range l.lines {
		long := n.b.minus(n.a).long()
		s.lines += n.area * long
		if n.kind != Ironing {
			all += n.width * long
			j.laid.add(seg{j.place(n.a), j.place(n.b)}, n.width/2)
		}
	}
	j.laid.close()
	depth := j.width * (float64(j.o.Walls) - 0.5)
	for _, g := range j.here.edge {
		j.band.add(g, depth)
		j.rim.add(g, rimWide)
	}
	j.band.close()
	j.rim.close()
	laid := j.laid.area()
	area := j.body.area()
	s.sections += area * thick
	s.area += area
	s.laid += all
	s.twice += max(0, all-laid)
	a, b, c := &j.scrap[0], &j.scrap[1], &j.scrap[2]
	s.outside += a.less(&j.laid, &j.body).area()
	a.less(&j.body, &j.laid) // bare
	s.shellBare += a.area() - b.less(a, &j.band).area()
	s.shell += area - b.less(&j.body, &j.band).area()
	inner := c.less(&j.body, &j.rim)
	s.top += a.less(inner, &j.over).area()
	s.topBare += b.less(a, &j.laid).area()
	s.bottom += a.less(inner, &j.under).area()
	s.botBar += b.less(a, &j.laid).area()
}

// step is how far points of outlines and walls are apart, in mm.
const step = 0.1

// lostBy is how far a wall may end before the outline that it stands for, in mm.
const lostBy = 0.1

// outline compares walls with the edge of the section.
func (j *judge) outline(l *layer) {
	j.walls, j.halves = j.walls[:0], j.halves[:0]
	widest := 0.0
	for _, n := range l.lines {
		if !n.kind.wall() && n.kind != Unknown {
			continue
		}
		g := seg{j.place(n.a), j.place(n.b)}
		if n.kind == Outer {
			along(g, func(p pt) {
				off := j.off(p, n.width)
				j.offs = append(j.offs, off)
				j.worst = max(j.worst, off)
			})
		}
		j.walls, j.halves = append(j.walls, g), append(j.halves, n.width/2)
		widest = max(widest, n.width/2)
	}
	j.outer.load(j.walls, 0.5)
	for _, g := range j.here.edge {
		along(g, func(p pt) {
			there := false
			j.outer.around(seg{p, p}, widest+lostBy, func(i int) {
				w := j.walls[i]
				there = there || w.a.to(w.b, w.near(p)).minus(p).long() <= j.halves[i]+lostBy
			})
			j.sum.edge++
			if there {
				j.sum.kept++
			}
		})
	}
}

// along calls f with points of g. How many they are goes with its length, and where
// they begin with where it is, so that short lines are counted as long ones are.
func along(g seg, f func(pt)) {
	long := g.b.minus(g.a).long()
	if long == 0 {
		return
	}
	_, phase := math.Modf(math.Abs(g.a.x*1009+g.a.y*9973) + 0.5)
	for d := phase * step; d < long; d += step {
		f(g.a.to(g.b, d/long))
	}
}

// off is how far a point of an outer wall's centre line is from the exact offset of
// the section, by the width of most walls or by its own, whichever is nearer. At corners
// that offset may be round or pointed.
func (j *judge) off(p pt, width float64) float64 {
	i, d, f := j.edges.nearest(p, 3)
	if i < 0 {
		return 3
	}
	off := min(math.Abs(d-j.width/2), math.Abs(d-width/2))
	if off < 0.002 || d <= min(j.width, width)/2 || d > 1.5*max(j.width, width) {
		return off
	}
	// Beyond a corner: either of its lines, made longer, will do.
	corner := j.edges.segs[i].a.to(j.edges.segs[i].b, f)
	j.edges.around(seg{corner, corner}, 0.02, func(k int) {
		g := j.edges.segs[k]
		e := g.b.minus(g.a)
		l := e.long()
		if l < 1e-6 || g.a.to(g.b, g.near(corner)).minus(corner).long() > 0.02 {
			return
		}
		far := e.cross(p.minus(g.a)) / l
		off = min(off, math.Abs(far-j.width/2), math.Abs(far-width/2))
	})
	return off
}

// into fills in what was measured.
func (j *judge) into(r *Report) {
	s := &j.sum
	r.Judged = s.layers
	r.Extruded = share(s.lines, s.sections)
	r.Outside = share(s.outside, s.area)
	r.Twice = share(s.twice, s.laid)
	r.Shell = share(s.shellBare, s.shell)
	r.Top = share(s.topBare, s.top)
	r.Bottom = share(s.botBar, s.bottom)
	r.Kept = share(s.kept, s.edge)
	r.Air, r.AirWay = s.air, MM(s.airWay)
	if len(j.offs) > 0 {
		r.WallP95, r.WallMax = length(quantile(j.offs, 0.95)), length(j.worst)
	}
}

// share of nothing is none.
func share(part, whole float64) Share {
	if whole <= 0 {
		return 0
	}
	return Share(part / whole)
}
