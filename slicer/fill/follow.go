package fill

import (
	"math"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// monotone is the scratch memory of monotonic order.
type monotone struct {
	above  []reach // by span: the spans of the next line that it lies beside
	lacks  []int32 // by span: how many of those below it are still to come
	ready  []int32 // spans that lack none
	parent []int32 // by ring: another one of its island, itself for the first
	roots  []int32 // by ring that names an island: the last of its spans that never lack any, -1 for none
	link   []int32 // by span: the one before it of the same
	starts []int32
}

// reach is a range of spans.
type reach struct{ from, to int32 }

// mostReady is among how many spans the nearest is looked for.
const mostReady = 256

// Starts lists the lines with which an island begins in the latest hatch with
// [JoinMonotonic], as numbers in its dst. It is good until the next hatch.
func (h *Hatcher) Starts() []int32 { return h.order.starts }

// monotonic appends the lines island by island. Within one, it goes on with the
// nearest of those spans that come after none that is still to come.
func (h *Hatcher) monotonic(dst *Lines, maxJoin unit.Length) {
	o := &h.order
	h.rank()
	for first := range h.used {
		if h.used[first] || o.lacks[first] > 0 {
			continue
		}
		o.ready = o.ready[:0]
		for s := o.roots[h.island(int32(first))]; s >= 0; s = o.link[s] {
			o.ready = append(o.ready, s)
		}
		slices.Reverse(o.ready)
		begun := false
		for len(o.ready) > 0 {
			pick := 0
			if begun {
				pick = h.nearestReady(dst.Pts[len(dst.Pts)-1])
			}
			span := o.ready[pick]
			o.ready[pick] = o.ready[len(o.ready)-1]
			o.ready = o.ready[:len(o.ready)-1]
			if h.used[span] {
				continue
			}
			lines := len(dst.Ends)
			h.follow(dst, span, maxJoin, o)
			if !begun && len(dst.Ends) > lines {
				o.starts = append(o.starts, int32(lines))
				begun = true
			}
		}
	}
}

// nearestReady is the ready span with an end nearest to p.
func (h *Hatcher) nearestReady(p geom.Point) int {
	best, pick := math.Inf(1), 0
	for i, s := range h.order.ready[:min(len(h.order.ready), mostReady)] {
		if d := min(distance(p, h.pointAt(2*s)), distance(p, h.pointAt(2*s+1))); d < best && !h.used[s] {
			best, pick = d, i
		}
	}
	return pick
}

// rank finds which spans lie beside each other, and which rings belong together.
func (h *Hatcher) rank() {
	o := &h.order
	n := len(h.used)
	o.above = slices.Grow(o.above[:0], n)[:n]
	o.lacks = slices.Grow(o.lacks[:0], n)[:n]
	clear(o.above)
	clear(o.lacks)
	o.parent = o.parent[:0]
	for i := range h.rings {
		o.parent = append(o.parent, int32(i))
	}
	next := int32(0) // first span of the line after that of span i
	for i := range h.used {
		a, b := &h.cuts[2*i], &h.cuts[2*i+1]
		o.unite(h.edges[a.edge].ring, h.edges[b.edge].ring)
		if h.used[i] {
			continue
		}
		for next < int32(n) && h.cuts[2*next].line <= a.line {
			next++
		}
		to := next
		for to < int32(n) && h.cuts[2*to].line == a.line+1 && h.cuts[2*to].u < b.u {
			if h.cuts[2*to+1].u > a.u {
				if o.above[i].to == 0 {
					o.above[i].from = to
				}
				o.above[i].to = to + 1
				o.lacks[to]++
			}
			to++
		}
	}
	o.link = slices.Grow(o.link[:0], n)[:n]
	o.roots = o.roots[:0]
	for range h.rings {
		o.roots = append(o.roots, -1)
	}
	for i := range h.used {
		if !h.used[i] && o.lacks[i] == 0 {
			r := &o.roots[h.island(int32(i))]
			o.link[i], *r = *r, int32(i)
		}
	}
}

func (o *monotone) find(ring int32) int32 {
	for o.parent[ring] != ring {
		o.parent[ring] = o.parent[o.parent[ring]]
		ring = o.parent[ring]
	}
	return ring
}

func (o *monotone) unite(a, b int32) {
	a, b = o.find(a), o.find(b)
	o.parent[max(a, b)] = min(a, b)
}

// island names what a span belongs to.
func (h *Hatcher) island(span int32) int32 { return h.order.find(h.edges[h.cuts[2*span].edge].ring) }

// done takes note that a span has come, but for the one named next.
func (o *monotone) done(span int32, used []bool) {
	for s := o.above[span].from; s < o.above[span].to; s++ {
		if o.lacks[s]--; o.lacks[s] == 0 && !used[s] {
			o.ready = append(o.ready, s)
		}
	}
}

// follow appends the polyline that starts with a span and goes on with unused ones
// on the lines above, as long as the boundary leads there from the span's end and, if
// there is an order, nothing has to come before.
func (h *Hatcher) follow(dst *Lines, span int32, maxJoin unit.Length, o *monotone) {
	start := len(dst.Pts)
	from, to := 2*span, 2*span+1
	h.used[span] = true
	if o != nil {
		o.done(span, h.used)
	}
	_, ahead := h.join(nil, to, maxJoin, o)
	_, behind := h.join(nil, from, maxJoin, o)
	switch {
	case behind && !ahead:
		from, to = to, from
	case o != nil && behind == ahead && start > 0:
		if p := dst.Pts[start-1]; distance(p, h.pointAt(to)) < distance(p, h.pointAt(from)) {
			from, to = to, from
		}
	}
	for {
		dst.put(start, h.pointAt(from))
		dst.put(start, h.pointAt(to))
		next, ok := h.join(dst, to, maxJoin, o)
		if !ok {
			break
		}
		from, to = next, next^1
		h.used[from/2] = true
		if o != nil {
			o.done(from/2, h.used)
		}
	}
	dst.finish(start)
}

func (h *Hatcher) pointAt(c int32) geom.Point {
	return h.frame.back(h.cuts[c].u, h.raster.at(h.cuts[c].line))
}

// join walks along the boundary from a cut up to the next scan line. If it gets
// there within maxJoin, without coming back to the line it left, and the span that
// ends there is unused, it returns that end. The corners on the way are appended to
// dst, if dst is not nil.
//
// If there is an order, the span must be ready.
func (h *Hatcher) join(dst *Lines, from int32, maxJoin unit.Length, o *monotone) (int32, bool) {
	c := h.cuts[from]
	lower, upper := h.raster.at(c.line), h.raster.at(c.line+1)
	e := c.edge
	up := h.v[h.next(e)] >= lower // else the edge runs downwards
	at, walked := h.pointAt(from), 0.0
	mark := dst.mark()
	for {
		corner := e
		if up {
			corner = h.next(e)
		}
		if v := h.v[corner]; v < lower {
			break
		} else if v >= upper {
			to := h.place[h.edges[e].cut+c.line+1-h.edges[e].line]
			if walked+distance(at, h.pointAt(to)) > float64(maxJoin) || h.used[to/2] || o != nil && o.lacks[to/2] > 0 {
				break
			}
			return to, true
		}
		p := h.region.Pts[corner]
		walked, at = walked+distance(at, p), p
		if walked > float64(maxJoin) {
			break
		}
		dst.corner(p)
		if up {
			e = corner
		} else {
			e = h.prev(corner)
		}
	}
	dst.rewind(mark)
	return 0, false
}

func distance(a, b geom.Point) float64 {
	dx, dy := float64(a.X-b.X), float64(a.Y-b.Y)
	return math.Sqrt(float64(dx*dx) + float64(dy*dy))
}
