package fill

import (
	"cmp"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// joiner joins the ends of pieces along the boundary. Piece i has the ends 2i and
// 2i+1.
type joiner struct {
	pts    []geom.Point // of all pieces
	ends   []int32      // where piece i ends
	stops  []stop       // ends in the order in which they come along the rings
	nth    []int32      // place of an end in stops
	edgeOf []int32      // edge of an end
	mate   []int32      // end to which an end is joined, -1 for none
	ahead  []bool       // the way to it is ahead along the ring
	parent []int32      // by piece
	gaps   []gap        // between a stop and the next of its ring
	ways   []int32      // gaps that are short enough
	done   []bool       // by piece
	long   []int64      // by point of the region: how far along its ring
	rings  []ring
	home   []int32 // ring of a point
}

// stop is an end on the boundary.
type stop struct {
	edge, along int32 // from the edge's first point, in steps along X and Y
	end         int32
	ring        int32
	at          int64 // along the ring
}

// gap is the piece of a ring between a stop and the next one.
type gap struct {
	next int32 // stop
	prev int32 // the gap before
	long int64
	used bool // by a join
}

func (j *joiner) reset() { j.pts, j.ends, j.edgeOf = j.pts[:0], j.ends[:0], j.edgeOf[:0] }

func (j *joiner) wipe() {
	clear(j.pts[:cap(j.pts)])
	clear(j.stops[:cap(j.stops)])
	clear(j.gaps[:cap(j.gaps)])
	clear(j.long[:cap(j.long)])
	j.reset()
}

// collect takes the spans of the present set as pieces.
func (h *Hatcher) collect() {
	j := &h.joiner
	for i := range h.used {
		if h.used[i] {
			continue
		}
		a, b := h.cuts[2*i], h.cuts[2*i+1]
		start := len(j.pts)
		if h.wave != nil {
			j.pts = h.waveSpan(j.pts, a, b)
		} else {
			j.pts = append(j.pts, h.pointAt(int32(2*i)), h.pointAt(int32(2*i+1)))
		}
		if len(j.pts)-start == 2 && j.pts[start] == j.pts[start+1] {
			j.pts = j.pts[:start]
			continue
		}
		j.ends = append(j.ends, int32(len(j.pts)))
		j.edgeOf = append(j.edgeOf, a.edge, b.edge)
	}
}

func (j *joiner) piece(i int32) []geom.Point {
	start := int32(0)
	if i > 0 {
		start = j.ends[i-1]
	}
	return j.pts[start:j.ends[i]]
}

// point is where an end is.
func (j *joiner) point(end int32) geom.Point {
	p := j.piece(end / 2)
	if end&1 == 0 {
		return p[0]
	}
	return p[len(p)-1]
}

// join appends all pieces to dst, joined as p says.
func (j *joiner) join(dst *Lines, r *geom.Region, p Params) {
	if len(j.ends) == 0 {
		return
	}
	n := len(j.ends)
	j.mate = slices.Grow(j.mate[:0], 2*n)[:2*n]
	j.ahead = slices.Grow(j.ahead[:0], 2*n)[:2*n]
	j.done = slices.Grow(j.done[:0], n)[:n]
	j.parent = slices.Grow(j.parent[:0], n)[:n]
	clear(j.done)
	j.measure(r)
	j.sortStops(r)
	j.choose(int64(p.MaxJoin))
	for i := range int32(n) { // chains from one of their free ends
		if !j.done[i] && (j.mate[2*i] < 0 || j.mate[2*i+1] < 0) {
			end := 2 * i
			if j.mate[end] >= 0 {
				end++
			}
			j.chain(dst, r, end, int64(p.Anchor))
		}
	}
}

// measure notes how far along their rings the points of the region are.
func (j *joiner) measure(r *geom.Region) {
	n := len(r.Pts)
	j.long = slices.Grow(j.long[:0], n)[:n]
	j.home = slices.Grow(j.home[:0], n)[:n]
	j.rings = j.rings[:0]
	start := int32(0)
	for k, end := range r.Ends {
		j.rings = append(j.rings, ring{start, end})
		sum := int64(0)
		for i := start; i < end; i++ {
			if i > start {
				sum += int64(distance(r.Pts[i-1], r.Pts[i]))
			}
			j.long[i], j.home[i] = sum, int32(k)
		}
		start = end
	}
}

// sortStops brings all ends into the order in which they come along the rings, and
// measures what is between them.
func (j *joiner) sortStops(r *geom.Region) {
	j.stops = j.stops[:0]
	for end, e := range j.edgeOf {
		p, a := j.point(int32(end)), r.Pts[e]
		j.stops = append(j.stops, stop{
			edge: e, along: int32(max(p.X-a.X, a.X-p.X) + max(p.Y-a.Y, a.Y-p.Y)), end: int32(end),
			ring: j.home[e], at: j.long[e] + int64(distance(a, p)),
		})
	}
	slices.SortFunc(j.stops, func(a, b stop) int {
		return cmp.Or(cmp.Compare(a.edge, b.edge), cmp.Compare(a.along, b.along), cmp.Compare(a.end, b.end))
	})
	n := len(j.stops)
	j.nth = slices.Grow(j.nth[:0], n)[:n]
	j.gaps = slices.Grow(j.gaps[:0], n)[:n]
	first := 0
	for i, s := range j.stops {
		j.nth[s.end] = int32(i)
		if s.ring != j.stops[first].ring {
			first = i
		}
		if i+1 < n && j.stops[i+1].ring == s.ring {
			j.gaps[i] = gap{next: int32(i + 1), long: max(j.stops[i+1].at-s.at, 0)}
			continue
		}
		last := j.rings[s.ring].end - 1
		around := j.long[last] + int64(distance(r.Pts[last], r.Pts[j.rings[s.ring].start]))
		j.gaps[i] = gap{next: int32(first), long: max(around-s.at+j.stops[first].at, 0)}
	}
	for i := range j.gaps {
		j.gaps[j.gaps[i].next].prev = int32(i)
	}
}

// choose joins ends across gaps that are short enough, unless that closes a chain: in
// the order of the lines, or the shortest first, whichever makes fewer chains.
func (j *joiner) choose(most int64) {
	j.clear()
	if most == 0 {
		return
	}
	j.ways = j.ways[:0]
	for i := range j.gaps {
		if j.gaps[i].long <= most {
			j.ways = append(j.ways, int32(i))
		}
	}
	slices.SortFunc(j.ways, func(a, b int32) int {
		return cmp.Or(cmp.Compare(j.gaps[a].long, j.gaps[b].long), cmp.Compare(a, b))
	})
	greedy := j.shortest()
	j.clear()
	if grown := j.grow(most) + j.shortest(); grown < greedy {
		j.clear()
		j.shortest()
	}
}

// clear undoes all joins.
func (j *joiner) clear() {
	for i := range j.mate {
		j.mate[i] = -1
	}
	for i := range j.parent {
		j.parent[i] = int32(i)
	}
	for i := range j.gaps {
		j.gaps[i].used = false
	}
}

// shortest joins what can be joined, the nearest ends first, and returns how many it
// has joined.
func (j *joiner) shortest() (n int) {
	for _, i := range j.ways {
		if j.bridge(i) {
			n++
		}
	}
	return n
}

// grow lets each piece that is in no chain begin one, which grows at both of its ends
// by what is nearest there, and returns how many it has joined.
func (j *joiner) grow(most int64) (n int) {
	for i := range int32(len(j.ends)) {
		if j.mate[2*i] >= 0 || j.mate[2*i+1] >= 0 {
			continue
		}
		for _, end := range [...]int32{2*i + 1, 2 * i} {
			for end = j.reach(end, most); end >= 0; end = j.reach(end, most) {
				n++
			}
		}
	}
	return n
}

// reach joins a free end to the nearer of those on both sides of it, and returns the
// other end of what it has got to; -1 is none.
func (j *joiner) reach(end int32, most int64) int32 {
	near := j.nth[end]
	far := j.gaps[near].prev
	if j.gaps[far].long < j.gaps[near].long {
		near, far = far, near
	}
	for _, g := range [...]int32{near, far} {
		if j.gaps[g].long <= most && j.bridge(g) {
			return j.mate[end] ^ 1
		}
	}
	return -1
}

// bridge joins the ends on both sides of a gap, if both are free and not of one chain.
func (j *joiner) bridge(i int32) bool {
	g := &j.gaps[i]
	a, b := j.stops[i].end, j.stops[g.next].end
	if j.mate[a] >= 0 || j.mate[b] >= 0 {
		return false
	}
	x, y := j.find(a/2), j.find(b/2)
	if x == y {
		return false
	}
	j.parent[max(x, y)] = min(x, y)
	j.mate[a], j.mate[b] = b, a
	j.ahead[a], j.ahead[b] = true, false
	g.used = true
	return true
}

func (j *joiner) find(i int32) int32 {
	for j.parent[i] != i {
		j.parent[i] = j.parent[j.parent[i]]
		i = j.parent[i]
	}
	return i
}

// chain appends the polyline that begins with a free end.
func (j *joiner) chain(dst *Lines, r *geom.Region, end int32, anchor int64) {
	start := len(dst.Pts)
	j.anchor(dst, r, end, anchor)
	slices.Reverse(dst.Pts[start:])
	for {
		j.done[end/2] = true
		pts := j.piece(end / 2)
		for i := range pts {
			if end&1 != 0 {
				i = len(pts) - 1 - i
			}
			dst.put(start, pts[i])
		}
		out := end ^ 1
		to := j.mate[out]
		if to < 0 {
			end = out
			break
		}
		mark := len(dst.Pts)
		if j.ahead[out] {
			j.corners(dst, r, j.nth[out])
		} else {
			j.corners(dst, r, j.nth[to])
			slices.Reverse(dst.Pts[mark:])
		}
		end = to
	}
	j.anchor(dst, r, end, anchor)
	dst.finish(start)
}

// corners appends the points of the ring between a stop and the next.
func (j *joiner) corners(dst *Lines, r *geom.Region, nth int32) {
	from, to := j.stops[nth], j.stops[j.gaps[nth].next]
	if from.edge == to.edge && nth < j.gaps[nth].next {
		return
	}
	rg := j.rings[from.ring]
	for e := from.edge; ; {
		if e++; e == rg.end {
			e = rg.start
		}
		dst.Pts = append(dst.Pts, r.Pts[e])
		if e == to.edge {
			return
		}
	}
}

// anchor appends the way from an end along the boundary, to the side with more room:
// not farther than half of the gap, as the next one may want the other half.
func (j *joiner) anchor(dst *Lines, r *geom.Region, end int32, most int64) {
	nth := j.nth[end]
	s := j.stops[nth]
	back := j.gaps[nth].prev
	fore, aft := j.room(nth), j.room(back)
	most = min(most, max(fore, aft))
	if most < int64(MinSpacing) {
		return
	}
	rg := j.rings[s.ring]
	if fore >= aft {
		j.walk(dst, r, s.edge, j.point(end), most, func(e int32) (corner, next int32) {
			if e++; e == rg.end {
				e = rg.start
			}
			return e, e
		})
		return
	}
	j.walk(dst, r, s.edge, j.point(end), most, func(e int32) (corner, next int32) {
		if e == rg.start {
			return e, rg.end - 1
		}
		return e, e - 1
	})
}

// room is how far an anchor may go into a gap.
func (j *joiner) room(nth int32) int64 {
	if j.gaps[nth].used {
		return 0
	}
	return j.gaps[nth].long / 2
}

// walk appends corners from p, on edge e, until it has gone far enough, and the point
// where that is. step says what corner comes, and what edge after it.
func (j *joiner) walk(dst *Lines, r *geom.Region, e int32, p geom.Point, far int64, step func(e int32) (corner, next int32)) {
	for {
		c, next := step(e)
		q := r.Pts[c]
		d := int64(distance(p, q))
		if d >= far {
			if d > 0 {
				p = geom.Point{
					X: p.X + unit.Length(int64(q.X-p.X)*far/d), Y: p.Y + unit.Length(int64(q.Y-p.Y)*far/d),
				}
			}
			dst.Pts = append(dst.Pts, p)
			return
		}
		dst.Pts = append(dst.Pts, q)
		far, p, e = far-d, q, next
	}
}
