package geom

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"platen/hal/unit"
)

// hit says that an edge passes through the unit square around a point. x is
// negated for edges that run towards smaller X, so that sorting by y and x gives
// the order along the edge.
type hit struct {
	edge int32
	y, x unit.Length
}

// compareEdges notes the hits between two edges: ends of one whose squares the
// other passes through, and their crossing.
//
// An edge with direction (dx, dy) can only touch the square around c if the cross
// product of its direction and c is at most (|dx|+|dy|)/2; twice that is used, to
// be cheap and safe. If both ends of one edge lie on the same side of the other
// and farther away than this, neither touches a square of the other; it reports
// whether that is not so.
func (k *Kernel) compareEdges(i, j int32) bool {
	s, t := &k.edges[i], &k.edges[j]
	sx, sy := int64(s.q.X-s.p.X), int64(s.q.Y-s.p.Y)
	c1 := sx*int64(t.p.Y-s.p.Y) - sy*int64(t.p.X-s.p.X)
	c2 := sx*int64(t.q.Y-s.p.Y) - sy*int64(t.q.X-s.p.X)
	h := abs(sx) + sy
	if c1 > h && c2 > h || c1 < -h && c2 < -h {
		return false
	}
	tx, ty := int64(t.q.X-t.p.X), int64(t.q.Y-t.p.Y)
	c3 := tx*int64(s.p.Y-t.p.Y) - ty*int64(s.p.X-t.p.X)
	c4 := tx*int64(s.q.Y-t.p.Y) - ty*int64(s.q.X-t.p.X)
	g := abs(tx) + ty
	if c3 > g && c4 > g || c3 < -g && c4 < -g {
		return false
	}
	if abs(c1) <= h && t.p != s.p && t.p != s.q && s.passes(t.p) {
		k.addHit(i, t.p)
	}
	if abs(c2) <= h && t.q != s.p && t.q != s.q && s.passes(t.q) {
		k.addHit(i, t.q)
	}
	if abs(c3) <= g && s.p != t.p && s.p != t.q && t.passes(s.p) {
		k.addHit(j, s.p)
	}
	if abs(c4) <= g && s.q != t.p && s.q != t.q && t.passes(s.q) {
		k.addHit(j, s.q)
	}
	if (c1 < 0 && c2 > 0 || c1 > 0 && c2 < 0) && (c3 < 0 && c4 > 0 || c3 > 0 && c4 < 0) {
		// s.p + (s.q-s.p)·c3/(c3-c4) lies on both.
		p := Point{s.p.X + scale(sx, c3, c3-c4), s.p.Y + scale(sy, c3, c3-c4)}
		k.addHit(i, p)
		k.addHit(j, p)
		k.pixels = append(k.pixels, pixel{p, s.ring})
	}
	return true
}

// comparePixel notes a hit if edge i passes through the square around p, and reports
// whether it does.
func (k *Kernel) comparePixel(i int32, p Point) bool {
	s := &k.edges[i]
	sx, sy := int64(s.q.X-s.p.X), int64(s.q.Y-s.p.Y)
	c := sx*int64(p.Y-s.p.Y) - sy*int64(p.X-s.p.X)
	if abs(c) > abs(sx)+sy || !s.passes(p) {
		return false
	}
	k.addHit(i, p)
	return true
}

func (k *Kernel) addHit(i int32, p Point) {
	e := &k.edges[i]
	if p == e.p || p == e.q {
		return
	}
	if e.q.X < e.p.X {
		p.X = -p.X
	}
	k.hits = append(k.hits, hit{i, p.Y, p.X})
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}

// scale returns v·n/d rounded to the nearest integer, halves up. n/d lies in
// [0, 1], |v| below 2²⁶ and |d| below 2⁵⁴. The quotient in floating point is off
// by less than 2⁻²⁴; only where that could matter is it computed exactly.
func scale(v, n, d int64) unit.Length {
	f := float64(v) * (float64(n) / float64(d))
	r := math.Floor(f + 0.5)
	if edge := f + 0.5 - r; edge > 1e-6 && edge < 1-1e-6 {
		return unit.Length(r)
	}
	if d < 0 {
		n, d = -n, -d
	}
	// floor((2·v·n + d) / (2·d)), with v·n ≥ 0 or mirrored.
	neg := v < 0
	hi, lo := bits.Mul64(uint64(2*abs(v)), uint64(n))
	if neg { // floor((d - m)/(2d)) = -ceil((m - d)/(2d)) = -floor((m + d - 1)/(2d))
		lo2, carry := bits.Add64(lo, uint64(d-1), 0)
		quo, _ := bits.Div64(hi+carry, lo2, uint64(2*d))
		return -unit.Length(quo)
	}
	lo2, carry := bits.Add64(lo, uint64(d), 0)
	quo, _ := bits.Div64(hi+carry, lo2, uint64(2*d))
	return unit.Length(quo)
}

// ratio is n/d with d > 0.
type ratio struct{ n, d int64 }

func (a ratio) less(b ratio) bool { return a.n*b.d < b.n*a.d }

// interval is the part of an edge, from 0 at p to 1 at q, that satisfies what has
// been asked of it so far; an open end does not itself belong to it.
type interval struct {
	lo, hi         ratio
	loOpen, hiOpen bool
}

// above keeps where start+t·slope ≥ bound (or > bound, if open). It reports
// whether that can be anywhere at all.
func (v *interval) above(start, slope, bound int64, open bool) bool {
	switch {
	case slope == 0:
		return start > bound || start == bound && !open
	case slope > 0:
		r := ratio{bound - start, slope}
		if v.lo.less(r) {
			v.lo, v.loOpen = r, open
		} else if !r.less(v.lo) {
			v.loOpen = v.loOpen || open
		}
	default:
		r := ratio{start - bound, -slope}
		if r.less(v.hi) {
			v.hi, v.hiOpen = r, open
		} else if !v.hi.less(r) {
			v.hiOpen = v.hiOpen || open
		}
	}
	return true
}

// empty reports whether nothing is left.
func (v *interval) empty() bool {
	return v.hi.less(v.lo) || !v.lo.less(v.hi) && (v.loOpen || v.hiOpen)
}

// passes reports whether the edge passes through the unit square around c, which
// contains its left and lower sides but not the others. It is exact: coordinates
// are doubled, so that the square reaches from -1 to 1.
func (e *edge) passes(c Point) bool {
	x, y := 2*int64(e.p.X-c.X), 2*int64(e.p.Y-c.Y)
	dx, dy := 2*int64(e.q.X-e.p.X), 2*int64(e.q.Y-e.p.Y)
	v := interval{lo: ratio{0, 1}, hi: ratio{1, 1}}
	return v.above(x, dx, -1, false) && v.above(-x, -dx, -1, true) &&
		v.above(y, dy, -1, false) && v.above(-y, -dy, -1, true) && !v.empty()
}

// split turns the edges of one group, with their hits, into fragments that meet at
// their ends only. Points above both of their neighbours go to tops: no fragment
// starts there, but the sweep has to stop there.
func (k *Kernel) split(root int32) {
	k.frags, k.events, k.tops = k.frags[:0], k.events[:0], k.tops[:0]
	for r := range k.rings {
		if g := &k.rings[r]; g.dirty && k.find(int32(r)) == root {
			last := k.edges[g.end-1].up()
			for i := g.first; i < g.end; i++ {
				e := &k.edges[i]
				if last && !e.up() {
					k.tops = append(k.tops, e.q)
				}
				last = e.up()
				k.splitEdge(i, e)
			}
		}
	}
}

// splitEdge appends the fragments of one edge.
func (k *Kernel) splitEdge(i int32, e *edge) {
	p := e.p
	if len(k.hits) > 0 {
		for _, h := range k.ordered[k.counts[i]:k.counts[i+1]] {
			q := Point{h.x, h.y}
			if e.q.X < e.p.X {
				q.X = -q.X
			}
			k.addFrag(p, q, e)
			p = q
		}
	}
	k.addFrag(p, e.q, e)
}

// sortHits lists the hits by edge, and along each.
func (k *Kernel) sortHits() {
	n := len(k.edges)
	k.counts = slices.Grow(k.counts[:0], n+2)[:n+2]
	clear(k.counts)
	for i := range k.hits {
		k.counts[k.hits[i].edge+2]++
	}
	for i := 2; i < len(k.counts); i++ {
		k.counts[i] += k.counts[i-1]
	}
	k.ordered = slices.Grow(k.ordered[:0], len(k.hits))[:len(k.hits)]
	for _, h := range k.hits {
		at := &k.counts[h.edge+1]
		k.ordered[*at] = h
		*at++
	}
	for i := range n {
		if own := k.ordered[k.counts[i]:k.counts[i+1]]; len(own) > 1 {
			slices.SortFunc(own, compareHits)
		}
	}
}

func compareHits(a, b hit) int {
	if c := cmp.Compare(a.y, b.y); c != 0 {
		return c
	}
	return cmp.Compare(a.x, b.x)
}

// addFrag appends the fragment of e from p to q. Bending can make a nearly level
// edge run a little downwards; then the fragment is turned round, and its upper end
// may be a top.
func (k *Kernel) addFrag(p, q Point, e *edge) {
	switch {
	case p == q:
	case before(p, q):
		k.frags = append(k.frags, frag{p: p, q: q, wa: e.wa, wb: e.wb})
	default:
		k.frags = append(k.frags, frag{p: q, q: p, wa: -e.wa, wb: -e.wb})
		k.tops = append(k.tops, p)
	}
}
