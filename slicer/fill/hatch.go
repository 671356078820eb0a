package fill

import (
	"cmp"
	"math"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// Hatcher cuts regions into lines. The zero value is ready; it must not be used by
// two goroutines at once.
type Hatcher struct {
	frame  frame
	raster raster
	region *geom.Region
	u, v   []int32 // the region's points in the frame
	rings  []ring  // by edge's ring
	edges  []edge  // edge i runs from point i to the next one of its ring
	cuts   []cut   // sorted by line and position
	place  []int32 // where a cut has gone, by its number before sorting
	used   []bool  // by span; span i is cuts[2i] to cuts[2i+1]
}

// ring is the range of a ring's points.
type ring struct{ start, end int32 }

// edge says which scan lines an edge crosses: from line on, one after the other,
// as the cuts numbered from cut on.
type edge struct {
	line, cut int32
	ring      int32
}

// cut is where an edge crosses a scan line.
type cut struct {
	line, u int32
	edge    int32
	number  int32
}

// Wipe overwrites the scratch memory.
func (h *Hatcher) Wipe() {
	clear(h.u[:cap(h.u)])
	clear(h.v[:cap(h.v)])
	clear(h.edges[:cap(h.edges)])
	clear(h.cuts[:cap(h.cuts)])
}

// Hatch appends to dst the lines that cover r, a region as [geom.Kernel.Union]
// leaves it. Lines end on the region's boundary, and joins follow it, so that
// nothing lies outside by more than rounding.
func (h *Hatcher) Hatch(dst *Lines, r *geom.Region, p Params) error {
	if p.Spacing < MinSpacing || p.Spacing > maxSpacing || p.MinSpan < 0 || p.MaxJoin < 0 {
		return ErrParams
	}
	if p.Pattern == PatternGrid {
		p.Spacing *= 2
		h.hatch(dst, r, p)
		p.Angle = p.Angle%halfTurn + 90*Degree
	}
	h.hatch(dst, r, p)
	return nil
}

func (h *Hatcher) hatch(dst *Lines, r *geom.Region, p Params) {
	h.frame = newFrame(p.Angle)
	phase := int64(p.Phase % p.Spacing)
	if (p.Angle%(2*halfTurn)+2*halfTurn)%(2*halfTurn) >= halfTurn {
		phase = -phase // the frame is turned by less than half a turn
	}
	h.raster = raster{int64(p.Spacing), phase, h.frame.scale}
	h.region = r
	h.load(r)
	h.cutEdges()
	h.sortCuts()
	h.dropShort(p.MinSpan)
	for i := range h.used {
		if !h.used[i] {
			h.follow(dst, int32(i), p.MaxJoin)
		}
	}
	h.region = nil
}

// load turns the region's points into the frame.
func (h *Hatcher) load(r *geom.Region) {
	n := len(r.Pts)
	h.u = slices.Grow(h.u[:0], n)[:n]
	h.v = slices.Grow(h.v[:0], n)[:n]
	h.edges = slices.Grow(h.edges[:0], n)[:n]
	h.rings = h.rings[:0]
	start := int32(0)
	for i, end := range r.Ends {
		h.rings = append(h.rings, ring{start, end})
		for j := start; j < end; j++ {
			h.u[j], h.v[j] = h.frame.into(r.Pts[j])
			h.edges[j].ring = int32(i)
		}
		start = end
	}
}

// next returns the point after point i in its ring, prev the one before.
func (h *Hatcher) next(i int32) int32 {
	r := h.rings[h.edges[i].ring]
	if i+1 == r.end {
		return r.start
	}
	return i + 1
}

func (h *Hatcher) prev(i int32) int32 {
	r := h.rings[h.edges[i].ring]
	if i == r.start {
		return r.end - 1
	}
	return i - 1
}

// cutEdges lists the cuts, edge by edge and upwards along each. A point on a scan
// line counts as above it, so that every ring crosses a line an even number of
// times.
func (h *Hatcher) cutEdges() {
	h.cuts = h.cuts[:0]
	if len(h.rings) == 0 {
		return
	}
	for i := range h.edges[:h.rings[len(h.rings)-1].end] {
		e := &h.edges[i]
		a, b := int32(i), h.next(int32(i))
		if h.v[a] > h.v[b] {
			a, b = b, a
		}
		line := h.raster.first(h.v[a] + 1)
		e.line, e.cut = line, int32(len(h.cuts))
		du, dv := int64(h.u[b]-h.u[a]), int64(h.v[b]-h.v[a])
		for at := h.raster.at(line); at <= h.v[b]; at = h.raster.at(line) {
			u := h.u[a] + int32(divide(du*int64(at-h.v[a]), dv))
			h.cuts = append(h.cuts, cut{line, u, int32(i), int32(len(h.cuts))})
			line++
		}
	}
}

// divide returns n/d rounded to the nearest integer, halves up; d is positive.
func divide(n, d int64) int64 {
	q := (2*n + d) / (2 * d)
	if (2*n+d)%(2*d) < 0 {
		q--
	}
	return q
}

func (h *Hatcher) sortCuts() {
	slices.SortFunc(h.cuts, func(a, b cut) int {
		if c := cmp.Compare(a.line, b.line); c != 0 {
			return c
		}
		if c := cmp.Compare(a.u, b.u); c != 0 {
			return c
		}
		return cmp.Compare(a.number, b.number)
	})
	h.place = slices.Grow(h.place[:0], len(h.cuts))[:len(h.cuts)]
	for i, c := range h.cuts {
		h.place[c.number] = int32(i)
	}
}

// dropShort marks the spans shorter than least as used.
func (h *Hatcher) dropShort(least unit.Length) {
	n := len(h.cuts) / 2
	h.used = slices.Grow(h.used[:0], n)[:n]
	short := (int64(least)*h.frame.scale + one/2) >> 30
	for i := range h.used {
		length := int64(h.cuts[2*i+1].u) - int64(h.cuts[2*i].u)
		h.used[i] = length == 0 || length < short
	}
}

// follow appends the polyline that starts with a span and goes on with unused ones
// on the lines above, as long as the boundary leads there from the span's end.
func (h *Hatcher) follow(dst *Lines, span int32, maxJoin unit.Length) {
	start := len(dst.Pts)
	from, to := 2*span, 2*span+1
	if _, ok := h.join(nil, to, maxJoin); !ok {
		if _, ok := h.join(nil, from, maxJoin); ok {
			from, to = to, from
		}
	}
	for {
		h.used[from/2] = true
		dst.put(start, h.pointAt(from))
		dst.put(start, h.pointAt(to))
		next, ok := h.join(dst, to, maxJoin)
		if !ok {
			break
		}
		from, to = next, next^1
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
func (h *Hatcher) join(dst *Lines, from int32, maxJoin unit.Length) (int32, bool) {
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
			if walked+distance(at, h.pointAt(to)) > float64(maxJoin) || h.used[to/2] {
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
