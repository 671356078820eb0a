package check

import "math"

// fit finds where the model is on the bed: first the middles of its walls and of the
// model are put together, then the walls are moved to where they fit the sections
// best.
func (j *judge) fit() {
	model := j.m.middle()
	if j.o.At != nil {
		j.at = pt{j.o.At.X.MM(), j.o.At.Y.MM()}.minus(model)
		return
	}
	if len(j.all.samples) == 0 {
		return
	}
	j.at = j.all.lo.to(j.all.hi, 0.5).minus(model)
	f := fitter{j: j}
	for _, s := range j.all.samples {
		f.add(s)
	}
	for range 30 {
		if f.improve() < 1e-5 {
			break
		}
	}
}

// fitter holds sections and points of walls that belong to them.
type fitter struct {
	j     *judge
	grids []*grid
	walls [][]pt // on the bed
}

// mostPoints are looked at of a layer.
const mostPoints = 400

func (f *fitter) add(s sample) {
	sec := &section{}
	f.j.m.cut(sec, f.j.all.middle(s.index))
	f.j.u.unite(sec)
	g := &grid{}
	g.load(sec.edge, 0.5)
	var pts []pt
	long := 0.0
	for _, n := range s.lines {
		long += n.b.minus(n.a).long()
	}
	next := 0.0
	for _, n := range s.lines {
		l := n.b.minus(n.a).long()
		for ; next < l; next += long / mostPoints {
			pts = append(pts, n.a.to(n.b, next/l))
		}
		next -= l
	}
	f.grids, f.walls = append(f.grids, g), append(f.walls, pts)
}

// pull is where a point of a wall wants to go: along dir by far.
type pull struct {
	dir pt
	far float64
}

// improve moves the model to where the walls fit better and returns by how much.
func (f *fitter) improve() float64 {
	var pulls []pull
	var sizes []float64
	for k, g := range f.grids {
		for _, w := range f.walls[k] {
			p := f.j.place(w)
			i, d, where := g.nearest(p, 4)
			if i < 0 || d < 1e-9 {
				continue
			}
			s := g.segs[i]
			away := p.minus(s.a.to(s.b, where)).times(1 / d)
			if s.b.minus(s.a).cross(p.minus(s.a)) < 0 { // outside
				away, d = away.times(-1), -d
			}
			pulls = append(pulls, pull{away, f.j.width/2 - d})
			sizes = append(sizes, math.Abs(f.j.width/2-d))
		}
	}
	if len(pulls) == 0 {
		return 0
	}
	most := max(0.01, 2*quantile(sizes, 0.5))
	var xx, xy, yy, x, y float64
	for _, p := range pulls {
		if math.Abs(p.far) > most {
			continue
		}
		xx, xy, yy = xx+p.dir.x*p.dir.x, xy+p.dir.x*p.dir.y, yy+p.dir.y*p.dir.y
		x, y = x+p.dir.x*p.far, y+p.dir.y*p.far
	}
	xx, yy = xx+1e-6, yy+1e-6
	det := xx*yy - xy*xy
	move := pt{(x*yy - y*xy) / det, (y*xx - x*xy) / det}
	f.j.at = f.j.at.minus(move.upright())
	return move.long()
}
