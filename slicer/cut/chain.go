package cut

import (
	"cmp"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// Flags of a segment.
const (
	hasPrevious uint8 = 1 << iota // another segment leads to it
	jumps                         // the next one begins elsewhere: a bridged gap
	traced
)

// gaps are the distances over which open lines are joined, nearest first: rounding
// at corners that meet an edge in its middle, cracks, and holes.
var gaps = [...]unit.Length{unit.Millimetre / 100, unit.Millimetre / 5, 2 * unit.Millimetre}

// openEnd is where a line begins or ends that no other continues.
type openEnd struct {
	p   geom.Point
	seg int32
}

// link finds the segment that follows each one: the one that begins on the edge on
// which it ends. It reports whether some are without. Where more than two
// triangles share an edge any pairing will do, for all of them meet in one point.
func (c *Cutter) link() (open bool) {
	n := c.n
	table := c.table[:tableSize(n)]
	clear(table)
	clear(c.flags[:n])
	clear(c.waiting[:n])
	for i := n - 1; i >= 0; i-- {
		at := c.slot(table, c.segs[i].from)
		if table[at] == 0 {
			table[at] = int32(i) + 1
		}
		list := &c.waiting[table[at]-1]
		c.twin[i] = *list
		*list = int32(i) + 1
	}
	for i := range n {
		c.next[i] = -1
		if at := c.slot(table, c.segs[i].to); table[at] != 0 {
			if list := &c.waiting[table[at]-1]; *list != 0 {
				j := *list - 1
				*list = c.twin[j]
				c.next[i] = j
				c.flags[j] |= hasPrevious
				continue
			}
		}
		open = true
	}
	return open
}

// slot returns where edge e is in the table, or the free slot where it belongs.
func (c *Cutter) slot(table []int32, e cutEdge) int {
	h := uint64(e.below)*c.seed[0] + uint64(e.above)*c.seed[1]
	mask := len(table) - 1
	for at := int(h>>33) & mask; ; at = (at + 1) & mask {
		if i := table[at]; i == 0 || c.segs[i-1].from == e {
			return at
		}
	}
}

// join continues lines that end in nothing where the nearest line begins, over
// small gaps before large ones.
func (c *Cutter) join(plane unit.Length) {
	c.heads, c.tails = c.heads[:0], c.tails[:0]
	for i := range c.n {
		if c.flags[i]&hasPrevious == 0 {
			c.heads = append(c.heads, openEnd{c.at(c.segs[i].from, plane), int32(i)})
		}
		if c.next[i] < 0 {
			c.tails = append(c.tails, openEnd{c.at(c.segs[i].to, plane), int32(i)})
		}
	}
	slices.SortFunc(c.heads, func(a, b openEnd) int {
		return cmp.Or(cmp.Compare(a.p.X, b.p.X), cmp.Compare(a.p.Y, b.p.Y), cmp.Compare(a.seg, b.seg))
	})
	for _, gap := range gaps {
		left := 0
		for _, t := range c.tails {
			if h := c.nearestHead(t.p, gap); h >= 0 {
				c.next[t.seg] = h
				c.flags[t.seg] |= jumps
				c.flags[h] |= hasPrevious
				c.repairs.Closed++
			} else {
				c.tails[left] = t
				left++
			}
		}
		c.tails = c.tails[:left]
	}
	c.repairs.Dropped += len(c.tails)
}

// nearestHead returns the segment that begins nearest to p and within gap of it
// and that nothing leads to, or -1.
func (c *Cutter) nearestHead(p geom.Point, gap unit.Length) int32 {
	best, at := int64(gap)*int64(gap)+1, int32(-1)
	from, _ := slices.BinarySearchFunc(c.heads, p.X-gap, func(e openEnd, x unit.Length) int { return cmp.Compare(e.p.X, x) })
	for _, e := range c.heads[from:] {
		if e.p.X-p.X > gap {
			break
		}
		dx, dy := int64(e.p.X-p.X), int64(e.p.Y-p.Y)
		if d := dx*dx + dy*dy; d < best && c.flags[e.seg]&hasPrevious == 0 {
			best, at = d, e.seg
		}
	}
	return at
}

// trace writes every closed line to dst.
func (c *Cutter) trace(dst *geom.Region, plane unit.Length) {
	for i := range c.n { // lines that stayed open
		if c.flags[i]&hasPrevious == 0 {
			c.dropLine(int32(i))
		}
	}
	for i := range c.n {
		if c.flags[i]&traced == 0 {
			c.traceRing(dst, int32(i), plane)
		}
	}
}

// dropLine marks all of an open line as done.
func (c *Cutter) dropLine(j int32) {
	for ; j >= 0; j = c.next[j] {
		c.flags[j] |= traced
	}
}

func (c *Cutter) traceRing(dst *geom.Region, first int32, plane unit.Length) {
	start := len(dst.Pts)
	put := func(p geom.Point) {
		if n := len(dst.Pts); n == start || dst.Pts[n-1] != p {
			dst.Pts = append(dst.Pts, p)
		}
	}
	for j := first; c.flags[j]&traced == 0; j = c.next[j] {
		c.flags[j] |= traced
		put(c.at(c.segs[j].from, plane))
		if c.flags[j]&jumps != 0 {
			put(c.at(c.segs[j].to, plane))
		}
	}
	for len(dst.Pts) > start+1 && dst.Pts[len(dst.Pts)-1] == dst.Pts[start] {
		dst.Pts = dst.Pts[:len(dst.Pts)-1]
	}
	if len(dst.Pts) < start+3 {
		dst.Pts = dst.Pts[:start]
		return
	}
	dst.Ends = append(dst.Ends, int32(len(dst.Pts)))
}
