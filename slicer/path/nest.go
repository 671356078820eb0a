package path

import (
	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/pipe"
)

// ring is a closed line of a wall. Rings of one contour are printed together, all
// from about the place where the outermost of them begins, so that the nozzle goes
// from one to the next by the width of a line.
type ring struct {
	pts    []geom.Point
	lo, hi geom.Point
	wall   int32
	index  int32 // in its wall
	child  int32 // the first ring inside of it; -1 is none
	next   int32 // the next one inside of the same; -1 is none
	area   int64 // below 0 around a hole
	fixed  bool  // it begins at a place that does not depend on the nozzle:
	start  int32
	at     geom.Point
}

// walls makes an item of every ring that lies in no other one of its contour.
func (s *sorter) walls(l *pipe.Layer) {
	from, to := 0, 0 // of the wall outside of the present one
	for w := range l.Walls.Len() {
		r := l.Walls.Wall(w)
		guess := from
		for i := range r.Len() {
			pts := r.Ring(i)
			g := ring{pts: pts, wall: int32(w), index: int32(i), child: -1, next: -1, area: geom.Area2(pts)}
			g.lo, g.hi = bounds(pts)
			at := int32(len(s.rings))
			parent := -1
			if w > 0 {
				parent = s.parent(&g, from, to, guess, l.Width)
			}
			if parent >= 0 {
				g.next, s.rings[parent].child = s.rings[parent].child, at
				guess = parent + 1
			} else {
				s.items = append(s.items, item{phase: phaseWall, index: at, kind: kindWall, from: pts[0], to: pts[0]})
			}
			s.rings = append(s.rings, g)
		}
		from, to = to, len(s.rings)
	}
}

// parent finds the ring from which g has been moved in, among those from number from
// to number to; -1 is none. Walls have their rings in about the same order: guess is
// where to begin.
func (s *sorter) parent(g *ring, from, to, guess int, width unit.Length) int {
	for k := range to - from {
		i := from + (guess-from+k)%(to-from)
		p := &s.rings[i]
		in, out := g, p
		if g.area < 0 {
			in, out = p, g
		}
		if g.area < 0 == (p.area < 0) && in.lo.X >= out.lo.X && in.lo.Y >= out.lo.Y && in.hi.X <= out.hi.X && in.hi.Y <= out.hi.Y &&
			near(p.pts, g.pts[0], 2*width) {
			return i
		}
	}
	return -1
}

// near reports whether a ring comes as close to p as that.
func near(ring []geom.Point, p geom.Point, close unit.Length) bool {
	within := float64(close) * float64(close)
	a := ring[len(ring)-1]
	for _, b := range ring {
		if p.X >= min(a.X, b.X)-close && p.X <= max(a.X, b.X)+close && p.Y >= min(a.Y, b.Y)-close && p.Y <= max(a.Y, b.Y)+close {
			dx, dy := float64(b.X-a.X), float64(b.Y-a.Y)
			ux, uy := float64(p.X-a.X), float64(p.Y-a.Y)
			if long2 := float64(dx*dx) + float64(dy*dy); long2 > 0 {
				f := max(0, min(1, (float64(ux*dx)+float64(uy*dy))/long2))
				ux, uy = ux-float64(f*dx), uy-float64(f*dy)
			}
			if float64(ux*ux)+float64(uy*uy) <= within {
				return true
			}
		}
		a = b
	}
	return false
}

// distance2 is the square of the distance from p to the box around the ring.
func (g *ring) distance2(p geom.Point) int64 {
	dx := int64(max(g.lo.X-p.X, p.X-g.hi.X, 0))
	dy := int64(max(g.lo.Y-p.Y, p.Y-g.hi.Y, 0))
	return dx*dx + dy*dy
}

// fixSeams chooses where outer walls begin, unless that depends on where the nozzle
// is when their turn comes.
func (pl *Planner) fixSeams(l *pipe.Layer) {
	if pl.p.Seam == SeamNearest {
		return
	}
	for i := range pl.sorter.items {
		it := &pl.sorter.items[i]
		if it.kind != kindWall {
			continue
		}
		g := &pl.sorter.rings[it.index]
		if g.wall > 0 {
			continue
		}
		_, hangs := pl.edges(l, g)
		start, at := pl.seam(g.pts, hangs, motion.OuterWall)
		g.fixed, g.start, g.at = true, int32(start), at
		it.from, it.to = at, at
	}
}

// edges are the widths and hangs of the edges of a ring; nil where all are alike.
func (pl *Planner) edges(l *pipe.Layer, g *ring) (widths []unit.Length, hangs []uint8) {
	end := int(l.Walls.Wall(int(g.wall)).Ends[g.index])
	if widths = l.Walls.Widths(int(g.wall)); widths != nil {
		widths = widths[end-len(g.pts) : end]
	}
	if hangs = l.Hangs.Wall(int(g.wall)); hangs != nil {
		hangs = hangs[end-len(g.pts) : end]
	}
	return widths, hangs
}

// nest prints a ring and those inside of it: the outermost last unless it comes
// first.
func (pl *Planner) nest(l *pipe.Layer, root int32) {
	g := &pl.sorter.rings[root]
	if !g.fixed {
		_, hangs := pl.edges(l, g)
		start, at := pl.seam(g.pts, hangs, roleOf(g))
		g.start, g.at = int32(start), at
	}
	if pl.p.OuterFirst {
		pl.wall(l, g)
	}
	pl.inside(l, g, g.at)
	if !pl.p.OuterFirst {
		pl.wall(l, g)
	}
}

// inside prints the rings in g: those near to where the outermost begins next to it
// in order, and from there.
func (pl *Planner) inside(l *pipe.Layer, g *ring, seam geom.Point) {
	reach := 4 * int64(pl.p.Width)
	for _, close := range [...]bool{pl.p.OuterFirst, !pl.p.OuterFirst} {
		for k := g.child; k >= 0 && pl.ok; k = pl.sorter.rings[k].next {
			c := &pl.sorter.rings[k]
			start, d2 := nearest(c.pts, seam)
			if d2 <= reach*reach != close {
				continue
			}
			if !close {
				start, _ = nearest(c.pts, pl.pen.at)
			}
			c.start, c.at = int32(start), c.pts[start]
			if pl.p.OuterFirst {
				pl.wall(l, c)
			}
			pl.inside(l, c, c.at)
			if !pl.p.OuterFirst {
				pl.wall(l, c)
			}
		}
	}
}

func roleOf(g *ring) motion.Role {
	if g.wall == 0 {
		return motion.OuterWall
	}
	return motion.InnerWall
}

// wall prints one ring of a wall.
func (pl *Planner) wall(l *pipe.Layer, g *ring) {
	widths, hangs := pl.edges(l, g)
	pl.ringFrom(int(g.start), g.at, g.pts, widths, hangs, roleOf(g))
}
