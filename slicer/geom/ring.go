package geom

import (
	"cmp"
	"math/bits"
	"slices"

	"platen/hal/unit"
)

// ring is a ring of an operand: edges[first:end], in its direction.
type ring struct {
	first, end int32
	lowest     int32 // the edge that starts at its lowest point
	group      int32 // a ring that it meets, directly or not; itself at the root
	dirty      bool  // meets another ring, or itself
	lo, hi     Point
}

// load takes the edges of a and b. A ring that both have is taken once.
func (k *Kernel) load(a, b *Region) error {
	k.edges, k.rings = k.edges[:0], k.rings[:0]
	if !withinPlane(a.Pts) || b != nil && !withinPlane(b.Pts) {
		return ErrOutside
	}
	if b == nil {
		for i := range a.Ends {
			k.loadRing(a.Ring(i), 1, 0)
		}
		return k.bounded()
	}
	// Results come with their rings in order: equal ones are found by going through
	// both lists once. In other orders some are not, which is only slower.
	j := 0
	for i := range a.Ends {
		ring := a.Ring(i)
		for ; j < len(b.Ends) && !follows(b.Ring(j), ring); j++ {
			k.loadRing(b.Ring(j), 0, 1)
		}
		if j < len(b.Ends) && slices.Equal(ring, b.Ring(j)) {
			k.loadRing(ring, 1, 1)
			j++
		} else {
			k.loadRing(ring, 1, 0)
		}
	}
	for ; j < len(b.Ends); j++ {
		k.loadRing(b.Ring(j), 0, 1)
	}
	return k.bounded()
}

// follows reports whether ring r does not come before ring s in a list in order.
func follows(r, s []Point) bool { return len(r) > 0 && len(s) > 0 && !before(r[0], s[0]) }

func (k *Kernel) bounded() error {
	if len(k.edges) > maxEdges {
		return ErrComplex
	}
	return nil
}

// loadRing appends the edges of a ring, leaving out those without length, unless it
// is there and back.
func (k *Kernel) loadRing(pts []Point, wa, wb int32) {
	if len(pts) < 3 || len(k.edges) > maxEdges {
		return
	}
	at := int32(len(k.rings))
	first := int32(len(k.edges))
	p := pts[len(pts)-1]
	r := ring{first: first, lowest: first, group: at, lo: p, hi: p}
	low := p
	for _, q := range pts {
		if p == q {
			continue
		}
		if before(p, q) {
			k.edges = append(k.edges, edge{p, q, wa, wb, at})
		} else {
			k.edges = append(k.edges, edge{q, p, -wa, -wb, at})
			if before(q, low) {
				low, r.lowest = q, int32(len(k.edges))
			}
		}
		r.lo.X, r.hi.X = min(r.lo.X, q.X), max(r.hi.X, q.X)
		r.lo.Y, r.hi.Y = min(r.lo.Y, q.Y), max(r.hi.Y, q.Y)
		p = q
	}
	r.end = int32(len(k.edges))
	if r.end-first < 3 {
		k.edges = k.edges[:first]
		return
	}
	if r.lowest == r.end {
		r.lowest = first
	}
	k.rings = append(k.rings, r)
}

// find returns the root of the group of ring r.
func (k *Kernel) find(r int32) int32 {
	for k.rings[r].group != r {
		k.rings[r].group = k.rings[k.rings[r].group].group
		r = k.rings[r].group
	}
	return r
}

// unite notes that two rings meet; they may be the same.
func (k *Kernel) unite(r, s int32) {
	k.rings[r].dirty, k.rings[s].dirty = true, true
	if r == s {
		return
	}
	if r, s = k.find(r), k.find(s); r < s {
		k.rings[s].group = r
	} else {
		k.rings[r].group = s
	}
}

// around2 returns how often the rings of all other groups wind around those of one:
// none of them comes near, so any point will do.
func (k *Kernel) around2(root int32) (a, b int32) {
	p := k.edges[k.rings[root].first].p
	b = k.credit
	at := k.strips.strip(p.Y)
	for _, level := range k.strips.levels {
		i := int(level) + at
		for _, i := range k.strips.list[k.strips.starts[i]:k.strips.starts[i+1]] {
			r := &k.rings[i]
			if p.X < r.lo.X || p.X > r.hi.X || p.Y < r.lo.Y || p.Y > r.hi.Y || k.find(i) == root {
				continue
			}
			for e := r.first; e < r.end; e++ {
				if k.edges[e].rightOf(p) {
					a += k.edges[e].wa
					b += k.edges[e].wb
				}
			}
		}
		at /= 2
	}
	return a, b
}

// fewRings is how many rings are looked at one by one.
const fewRings = 16

// strips lists the rings in strips across the plane, so that those around a point are found
// among a few. They begin where the lowest ring does. Those of a level are twice as high as
// those of the level before, and a ring is listed in the first level in which it reaches into
// mostStrips of them at most: so many entries it has, however tall it is.
type strips struct {
	from   unit.Length
	shift  uint    // the lowest strips are 1<<shift high
	levels []int32 // where in starts their strips begin
	starts []int32
	list   []int32
}

const mostStrips = 4

// layStrips lists the rings.
func (k *Kernel) layStrips() {
	s := &k.strips
	s.levels, s.list = s.levels[:0], s.list[:0]
	if len(k.rings) == 0 {
		return
	}
	lo, hi := k.rings[0].lo.Y, k.rings[0].hi.Y
	for i := range k.rings {
		lo, hi = min(lo, k.rings[i].lo.Y), max(hi, k.rings[i].hi.Y)
	}
	s.from, s.shift = lo, 32
	if n := len(k.rings); n > fewRings {
		s.shift = uint(bits.Len64(uint64(int64(hi)-int64(lo)) / uint64(n)))
	}
	count := 0
	for last := s.strip(hi); ; last /= 2 {
		s.levels = append(s.levels, int32(count))
		if count += last + 1; last < mostStrips {
			break
		}
	}
	s.starts = slices.Grow(s.starts[:0], count+1)[:count+1]
	clear(s.starts)
	for i := range k.rings {
		first, last := s.reach(&k.rings[i])
		for at := first; at <= last; at++ {
			s.starts[at]++
		}
	}
	for at := range count {
		s.starts[at+1] += s.starts[at]
	}
	s.list = slices.Grow(s.list, int(s.starts[count]))[:s.starts[count]]
	for i := range k.rings {
		first, last := s.reach(&k.rings[i])
		for at := first; at <= last; at++ { // starts begin as ends
			s.starts[at]--
			s.list[s.starts[at]] = int32(i)
		}
	}
}

// reach is where in starts the strips are that list a ring.
func (s *strips) reach(r *ring) (first, last int) {
	first, last = s.strip(r.lo.Y), s.strip(r.hi.Y)
	level := 0
	for ; last-first >= mostStrips; level++ {
		first, last = first/2, last/2
	}
	return int(s.levels[level]) + first, int(s.levels[level]) + last
}

// strip is that of a height on the lowest level; it is not below all rings.
func (s *strips) strip(y unit.Length) int { return int((int64(y) - int64(s.from)) >> s.shift) }

// rightOf reports whether a ray from p to the right crosses e.
func (e *edge) rightOf(p Point) bool {
	if e.p.Y > p.Y || e.q.Y <= p.Y {
		return false
	}
	if e.p.X > p.X && e.q.X > p.X {
		return true
	}
	return (e.p.X > p.X || e.q.X > p.X) && Cross(e.p, e.q, p) > 0
}

// passRings appends those rings that meet nothing and are on the boundary.
func (k *Kernel) passRings(dst *Region) {
	for i := range k.rings {
		r := &k.rings[i]
		if r.dirty {
			continue
		}
		e := k.edges[r.first]
		wa, wb := e.wa, e.wb
		if !e.up() {
			wa, wb = -wa, -wb // gained from outside to inside, if it runs counter-clockwise
		}
		a, b := k.around2(int32(i))
		left, right := k.op.inside(a+wa, b+wb), k.op.inside(a, b)
		if !k.counterClockwise(r) {
			left, right = k.op.inside(a, b), k.op.inside(a-wa, b-wb)
		}
		if left != right {
			k.pass(dst, r, left)
		}
	}
}

// counterClockwise is the direction of a ring that does not meet itself.
func (k *Kernel) counterClockwise(r *ring) bool {
	out := r.lowest
	in := out - 1
	if out == r.first {
		in = r.end - 1
	}
	return Cross(k.edges[in].q, k.edges[out].p, k.edges[out].q) > 0
}

// pass appends a ring from its lowest point on, without points in the middle of
// a straight line; reversed, if inside is not on its left.
func (k *Kernel) pass(dst *Region, r *ring, left bool) {
	start := len(dst.Pts)
	n := r.end - r.first
	at := func(i int32) Point {
		if i >= n {
			i -= n
		}
		return k.edges[r.first+i].start()
	}
	low := r.lowest - r.first
	prev, p := at(low+n-1), at(low)
	for i := range n {
		next := at((low + i + 1) % n)
		if Cross(prev, p, next) != 0 {
			dst.Pts = append(dst.Pts, p)
			prev = p
		}
		p = next
	}
	if len(dst.Pts)-start < 3 {
		dst.Pts = dst.Pts[:start]
		return
	}
	if !left {
		slices.Reverse(dst.Pts[start+1:])
	}
	dst.Ends = append(dst.Ends, int32(len(dst.Pts)))
}

// sortRings brings rings into the order of their first points.
func (k *Kernel) sortRings(r *Region) {
	n := len(r.Ends)
	k.counts = slices.Grow(k.counts[:0], n)[:n]
	sorted := true
	for i := range n {
		k.counts[i] = int32(i)
		sorted = sorted && (i == 0 || compareRings(r, int32(i-1), int32(i)) <= 0)
	}
	if sorted {
		return
	}
	slices.SortFunc(k.counts, func(a, b int32) int { return compareRings(r, a, b) })
	k.tidy.Reset()
	for _, i := range k.counts {
		k.tidy.Add(r.Ring(int(i)))
	}
	r.Reset()
	r.Append(&k.tidy)
}

// compareRings orders two rings by their first points, then by their second ones.
func compareRings(r *Region, a, b int32) int {
	s, t := r.Ring(int(a)), r.Ring(int(b))
	return cmp.Or(comparePoints(s[0], t[0]), comparePoints(s[1], t[1]), cmp.Compare(a, b))
}

func comparePoints(a, b Point) int {
	if c := cmp.Compare(a.Y, b.Y); c != 0 {
		return c
	}
	return cmp.Compare(a.X, b.X)
}
