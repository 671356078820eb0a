package fill

import (
	"cmp"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// Hatcher cuts regions into lines. The zero value is ready; it must not be used by
// two goroutines at once.
type Hatcher struct {
	frame  frame
	raster raster
	wave   *wave // scan lines are waves; nil if they are straight
	waves  [2]wave
	region *geom.Region
	u, v   []int32 // the region's points in the frame
	rings  []ring  // by edge's ring
	edges  []edge  // edge i runs from point i to the next one of its ring
	cuts   []cut   // sorted by line and position
	loose  []cut   // as they are found
	count  []int32 // cuts by line, and where those of a line begin
	place  []int32 // where a cut has gone, by its number before sorting
	used   []bool  // by span; span i is cuts[2i] to cuts[2i+1]
	order  monotone
	joiner joiner

	overrun int64 // of the latest hatch
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
	clear(h.loose[:cap(h.loose)])
	h.joiner.wipe()
}

// Hatch appends to dst the lines that cover r, a region as [geom.Kernel.Union]
// leaves it. Lines end on the region's boundary, and joins follow it, so that
// nothing lies outside by more than rounding.
func (h *Hatcher) Hatch(dst *Lines, r *geom.Region, p Params) error {
	if p.Spacing < MinSpacing || p.Spacing > maxSpacing || p.MinSpan < 0 || p.MaxJoin < 0 || p.Anchor < 0 || p.Overrun < 0 || p.Overrun > maxSpacing ||
		p.Pattern >= PatternConcentric || p.Join > JoinAll {
		return ErrParams
	}
	h.region = r
	h.order.starts = h.order.starts[:0]
	h.joiner.reset()
	h.overrun = 0
	if p.Pattern == PatternGyroid {
		p.Join = JoinAll // no wave has a next one whose ends are sure to be near
	}
	switch p.Pattern {
	case PatternGyroid:
		h.gyroid(dst, p)
	case PatternLines:
		h.hatch(dst, p)
	case PatternGrid:
		h.sets(dst, p, 2, 0)
	case PatternTriangles:
		h.sets(dst, p, 3, 0)
	case PatternCubic:
		// The planes lean by what takes them 1/√2 sideways on the way up.
		h.sets(dst, p, 3, unit.Length(int64(p.Height)*sqrt2>>31))
	}
	if p.Join == JoinAll {
		h.joiner.join(dst, r, p)
	}
	h.region = nil
	return nil
}

// sets hatches in n directions, spread evenly, each as much sparser. Lines of all of
// them move along their normals: those of three directions by the way of cubes.
func (h *Hatcher) sets(dst *Lines, p Params, n int, move unit.Length) {
	first := p.Angle % halfTurn
	p.Spacing *= unit.Length(n)
	p.Phase = p.Phase%p.Spacing + move%p.Spacing
	for i := range n {
		p.Angle = first + Angle(i)*halfTurn/Angle(n)
		if n == 3 { // a third of a full turn, so that all three lean alike
			p.Angle = first + Angle(i)*2*halfTurn/3
		}
		h.hatch(dst, p)
	}
}

// hatch lays one set of straight lines.
func (h *Hatcher) hatch(dst *Lines, p Params) {
	h.wave = nil
	h.frame = newFrame(p.Angle)
	phase := int64(p.Phase % p.Spacing)
	if (p.Angle%(2*halfTurn)+2*halfTurn)%(2*halfTurn) >= halfTurn {
		phase = -phase // the frame is turned by less than half a turn
	}
	h.raster = raster{int64(p.Spacing), phase, h.frame.scale}
	h.scan(dst, p)
}

// scan lays the lines of the present frame and raster.
func (h *Hatcher) scan(dst *Lines, p Params) {
	h.load(h.region)
	if p.Fit && h.wave == nil {
		h.fit()
	}
	if h.wave == nil {
		h.cutEdges()
	} else {
		h.cutWaves()
	}
	h.sortCuts()
	h.dropShort(p.MinSpan)
	if p.MaxJoin == 0 && h.wave == nil {
		h.stretch(p.Overrun)
	}
	switch p.Join {
	case JoinAll:
		h.collect()
	case JoinMonotonic:
		h.monotonic(dst, p.MaxJoin)
	default:
		for i := range h.used {
			if !h.used[i] {
				h.follow(dst, int32(i), p.MaxJoin, nil)
			}
		}
	}
}

// fit changes the raster so that lines lie evenly between the ends of the region.
func (h *Hatcher) fit() {
	if len(h.v) == 0 {
		return
	}
	lo, hi := h.v[0], h.v[0]
	for _, v := range h.v {
		lo, hi = min(lo, v), max(hi, v)
	}
	high := (int64(hi) - int64(lo)) << 30 / h.frame.scale
	n := max((high+h.raster.spacing-1)/h.raster.spacing, 1)
	h.raster.spacing = max(high/n, int64(MinSpacing))
	h.raster.phase = int64(lo)<<30/h.frame.scale + h.raster.spacing/2
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
	h.loose = h.loose[:0]
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
		e.line, e.cut = line, int32(len(h.loose))
		du, dv := int64(h.u[b]-h.u[a]), int64(h.v[b]-h.v[a])
		for at := h.raster.at(line); at <= h.v[b]; at = h.raster.at(line) {
			u := h.u[a] + int32(divide(du*int64(at-h.v[a]), dv))
			h.loose = append(h.loose, cut{line, u, int32(i), int32(len(h.loose))})
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

// sortCuts sorts by line, then by position: cuts go to their lines first, and those
// of one line are few.
func (h *Hatcher) sortCuts() {
	n := len(h.loose)
	h.cuts = slices.Grow(h.cuts[:0], n)[:n]
	h.place = slices.Grow(h.place[:0], n)[:n]
	if n == 0 {
		return
	}
	lo, hi := h.loose[0].line, h.loose[0].line
	for _, c := range h.loose {
		lo, hi = min(lo, c.line), max(hi, c.line)
	}
	lines := int(hi-lo) + 1
	h.count = slices.Grow(h.count[:0], lines+1)[:lines+1]
	clear(h.count)
	for _, c := range h.loose {
		h.count[c.line-lo+1]++
	}
	for i := range lines {
		h.count[i+1] += h.count[i]
	}
	for _, c := range h.loose {
		at := &h.count[c.line-lo]
		h.cuts[*at] = c
		*at++
	}
	from := int32(0) // count[i] is where line i ends by now
	for _, end := range h.count[:lines] {
		sortLine(h.cuts[from:end])
		from = end
	}
	for i, c := range h.cuts {
		h.place[c.number] = int32(i)
	}
}

// sortLine sorts the cuts of one line.
func sortLine(cuts []cut) {
	if len(cuts) > 24 {
		slices.SortFunc(cuts, func(a, b cut) int { return cmp.Or(cmp.Compare(a.u, b.u), cmp.Compare(a.number, b.number)) })
		return
	}
	for i := 1; i < len(cuts); i++ {
		c := cuts[i]
		k := i
		for ; k > 0 && (cuts[k-1].u > c.u || cuts[k-1].u == c.u && cuts[k-1].number > c.number); k-- {
			cuts[k] = cuts[k-1]
		}
		cuts[k] = c
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

// longestOverrun bounds how many times as far as at half a right angle a line goes
// beyond the boundary, mostSteps along how many edges it follows it.
const (
	longestOverrun = 60
	mostSteps      = 12
)

// stretch makes spans longer at both ends where they meet the boundary at a slant: a
// side of the line would end before it, by half a width times the cotangent of the
// angle between them. Round ends make up for 0.3 widths of that, and with over at a
// fifth of a width this adds the rest; but no more than the boundary goes on beside
// the line.
func (h *Hatcher) stretch(over unit.Length) {
	if over == 0 {
		return
	}
	scaled := (int64(over)*h.frame.scale + one/2) >> 30
	for i := range h.cuts {
		if h.used[i/2] {
			continue
		}
		c := &h.cuts[i]
		b := h.next(c.edge)
		du, dv := int64(h.u[b])-int64(h.u[c.edge]), int64(h.v[b])-int64(h.v[c.edge])
		du, dv = max(du, -du), max(dv, -dv)
		far := scaled * longestOverrun
		if 5*du < (2*longestOverrun+3)*dv {
			far = scaled * (5*du - 3*dv) / (2 * dv)
		}
		if far <= 0 {
			continue
		}
		right := i&1 != 0
		far = min(far, h.beside(c, right, far, scaled*5/2))
		h.overrun += far << 30 / h.frame.scale
		if right {
			c.u += int32(far)
		} else {
			c.u -= int32(far)
		}
	}
}

// beside is how far the boundary goes on to the right, or left, from a cut without
// leaving the line by more than half, as far as that is of interest.
func (h *Hatcher) beside(c *cut, right bool, far, half int64) int64 {
	ahead := h.u[h.next(c.edge)] > h.u[c.edge] == right
	at, reach, gone, line := c.edge, int64(0), int64(0), int64(h.raster.at(c.line))
	if ahead {
		at = h.next(at)
	}
	for range mostSteps {
		on, off := int64(h.u[at])-int64(c.u), int64(h.v[at])-line
		if !right {
			on = -on
		}
		off = max(off, -off)
		if on < reach || reach >= far {
			break
		}
		if off > half { // somewhere on this edge
			reach += (on - reach) * (half - gone) / (off - gone)
			break
		}
		reach, gone = on, off
		if ahead {
			at = h.next(at)
		} else {
			at = h.prev(at)
		}
	}
	return reach
}

// Overrun is how far all lines of the latest hatch go beyond the boundary together, in
// 1/65536 mm.
func (h *Hatcher) Overrun() int64 { return h.overrun }

// Spacing is the distance between the lines of the latest set, rounded up: less than
// asked for where they were fitted.
func (h *Hatcher) Spacing() unit.Length { return unit.Length(h.raster.spacing + 1) }
