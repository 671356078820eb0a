package geom

import (
	"math/bits"
	"slices"

	"platen/hal/unit"
)

// grid finds edges near each other. It is a hash table of square cells about as wide
// as edges are long on average, so that the number of cells that edges pass through
// is a few times their own, however uneven they are.
type grid struct {
	shift uint    // cells are 1<<shift wide
	mask  uint32  // of heads
	heads []int32 // by hash: index into nodes + 1
	nodes []node
	boxes []box4  // by edge
	seen  []int32 // by edge: the edge it was last compared with
}

// box4 is what an edge may occupy, with one unit to spare on each side.
type box4 struct{ x0, x1, y0, y1 unit.Length }

// node is an edge in one cell.
type node struct {
	edge int32
	next int32 // in the same slot: index into nodes + 1
}

// slot is where the cell at x, y is in heads.
func (g *grid) slot(x, y int32) uint32 {
	return (uint32(x)*0x9E3779B1 ^ bits.RotateLeft32(uint32(y)*0x85EBCA6B, 15)) * 0xC2B2AE35 >> 7 & g.mask
}

// prepare empties the grid and fits it to the edges.
func (g *grid) prepare(edges []edge) {
	n := len(edges)
	sum := int64(0)
	for i := range edges {
		e := &edges[i]
		sum += max(abs(int64(e.q.X-e.p.X)), int64(e.q.Y-e.p.Y))
	}
	g.shift = uint(max(3, bits.Len64(uint64(sum/int64(max(n, 1))))))
	size := 1 << bits.Len(uint(2*n))
	g.mask = uint32(size - 1)
	g.heads = slices.Grow(g.heads[:0], size)[:size]
	clear(g.heads)
	g.seen = slices.Grow(g.seen[:0], n)[:n]
	g.boxes = slices.Grow(g.boxes[:0], n)[:n]
	for i := range edges {
		e := &edges[i]
		g.seen[i] = none
		g.boxes[i] = box4{min(e.p.X, e.q.X) - 1, max(e.p.X, e.q.X) + 1, e.p.Y - 1, e.q.Y + 1}
	}
	g.nodes = slices.Grow(g.nodes[:0], 3*n)
}

// meet compares all edges that are near each other: notes where they hit each
// other's ends or cross, and unites rings that meet.
func (k *Kernel) meet() error {
	k.hits, k.pixels, k.work = k.hits[:0], k.pixels[:0], 0
	k.grid.prepare(k.edges)
	for i := range k.rings {
		r := &k.rings[i]
		last := r.end - 1
		for e := r.first; e < r.end; e++ {
			k.compareCorner(last, e)
			last = e
		}
	}
	for i := range k.edges {
		k.enterGrid(int32(i))
		if k.work > maxWork(len(k.edges)) || len(k.hits) > maxHits {
			return ErrComplex
		}
	}
	if len(k.pixels) > 0 && !k.hitPixels() {
		return ErrComplex
	}
	return nil
}

// compareCorner compares an edge with the one that follows it in its ring. Unless
// the corner is sharp and closed, nothing but the corner is common to both.
func (k *Kernel) compareCorner(i, j int32) {
	s, t := &k.edges[i], &k.edges[j]
	sx, sy := int64(s.q.X-s.p.X), int64(s.q.Y-s.p.Y)
	tx, ty := int64(t.q.X-t.p.X), int64(t.q.Y-t.p.Y)
	turn := sx*tx+sy*ty > 0
	if s.up() == t.up() {
		turn = !turn
	}
	if !turn {
		return
	}
	if c := abs(sx*ty - sy*tx); c > abs(sx)+sy && c > abs(tx)+ty {
		return
	}
	k.compareEdges(i, j)
	k.unite(s.ring, t.ring)
}

// enterGrid compares edge i with those in the cells that it passes through, and puts
// it there.
func (k *Kernel) enterGrid(i int32) {
	b := k.grid.boxes[i]
	s := k.grid.shift
	x0, x1, y0, y1 := int32(b.x0)>>s, int32(b.x1)>>s, int32(b.y0)>>s, int32(b.y1)>>s
	if x1-x0 <= 1 || y1-y0 <= 1 {
		for y := y0; y <= y1; y++ {
			for x := x0; x <= x1; x++ {
				k.enterCell(i, x, y)
			}
		}
		return
	}
	e := &k.edges[i]
	slope := float64(e.q.X-e.p.X) / float64(e.q.Y-e.p.Y)
	for y := y0; y <= y1; y++ {
		lo := float64(e.p.X) + slope*float64(int64(y)<<s-int64(e.p.Y)-2)
		hi := lo + slope*float64(int64(4)+int64(1)<<s)
		lo, hi = min(lo, hi), max(lo, hi)
		from := int32(max(int64(b.x0), int64(lo)-3) >> s)
		to := int32(min(int64(b.x1), int64(hi)+3) >> s)
		for x := from; x <= to; x++ {
			k.enterCell(i, x, y)
		}
	}
}

// enterCell compares edge i with those in one cell, and puts it there.
func (k *Kernel) enterCell(i, x, y int32) {
	g := &k.grid
	b := &g.boxes[i]
	head := &g.heads[g.slot(x, y)]
	first := *head
	x0, x1, y0, y1 := b.x0, b.x1, b.y0, b.y1
	nodes, boxes := g.nodes, g.boxes
	looks := int64(0)
	for at := first; at != 0; {
		n := nodes[at-1]
		at = n.next
		looks++
		c := &boxes[n.edge]
		// One sign for four differences, none of which overflows: which of them is below
		// nought is anybody's guess.
		if (x1-c.x0)|(c.x1-x0)|(y1-c.y0)|(c.y1-y0) < 0 || g.seen[n.edge] == i {
			continue
		}
		g.seen[n.edge] = i
		if !k.neighbours(n.edge, i) && k.compareEdges(n.edge, i) {
			k.unite(k.edges[n.edge].ring, k.edges[i].ring)
		}
	}
	k.work += looks
	g.nodes = append(g.nodes, node{i, first})
	*head = int32(len(g.nodes))
}

// neighbours reports whether edge j, which comes no earlier in the list than edge i,
// is the same or meets it in a corner of their ring.
func (k *Kernel) neighbours(i, j int32) bool {
	if j <= i+1 {
		return k.edges[i].ring == k.edges[j].ring
	}
	r := &k.rings[k.edges[i].ring]
	return r.first == i && r.end == j+1
}

// pixel is the unit square around a crossing, and a ring that crosses another there.
type pixel struct {
	p    Point
	ring int32
}

// hitPixels compares the squares of the crossings with the edges around, for a third
// edge may pass through one without crossing there. It reports whether the operation
// stayed within its bounds.
func (k *Kernel) hitPixels() bool {
	slices.SortFunc(k.pixels, func(a, b pixel) int { return comparePoints(a.p, b.p) })
	g := &k.grid
	for i, px := range k.pixels {
		if i > 0 && k.pixels[i-1].p == px.p {
			k.unite(k.pixels[i-1].ring, px.ring)
			continue
		}
		p := px.p
		at := g.heads[g.slot(int32(p.X)>>g.shift, int32(p.Y)>>g.shift)]
		for at != 0 {
			n := g.nodes[at-1]
			at = n.next
			k.work++
			c := &g.boxes[n.edge]
			if p.X >= c.x0 && p.X <= c.x1 && p.Y >= c.y0 && p.Y <= c.y1 && k.comparePixel(n.edge, p) {
				k.unite(k.edges[n.edge].ring, px.ring)
			}
		}
		if k.work > maxWork(len(k.edges)) || len(k.hits) > maxHits {
			return false
		}
	}
	return true
}
