package pipe

import (
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// cells is a net of square cells over the plane, and which of them belong to
// something. Nets of one pitch fit on each other: cell (0, 0) begins at the origin.
type cells struct {
	pitch  int64
	x0, y0 int64 // first column, a multiple of 64, and first row
	words  int64 // of a row
	rows   int64
	bits   []uint64
	edge   []uint64 // scratch: cells that the boundary passes through

	inverse uint64 // 2^45 / pitch, rounded up
	before  int64  // how many cells there are before the origin, at least
}

// mostCells bounds the cells along each side of a machine's volume: a larger machine
// has larger cells, which only makes more work.
const mostCells = 1024

// cellPitch is the side of a cell: half of a line's width, or more on large machines, up
// to 4 mm.
func (p *Params) cellPitch() int64 {
	v := p.Volume
	long := max(int64(v.Max.X)-int64(v.Min.X), int64(v.Max.Y)-int64(v.Min.Y))
	return min(max(int64(p.Width)/2, long/mostCells, int64(unit.Millimetre)/50), 4*int64(unit.Millimetre))
}

func (c *cells) wipe() {
	clear(c.bits[:cap(c.bits)])
	clear(c.edge[:cap(c.edge)])
	c.words, c.rows = 0, 0
}

// inside sets the cells that lie wholly in r, a region as [geom.Kernel.Union] leaves
// it.
func (c *cells) inside(r *geom.Region, pitch int64) {
	c.draw(r, pitch)
	for i, e := range c.edge {
		c.bits[i] &^= e
	}
}

// touched sets the cells that r has a part of.
func (c *cells) touched(r *geom.Region, pitch int64) {
	c.draw(r, pitch)
	for i, e := range c.edge {
		c.bits[i] |= e
	}
}

// draw sets bits to the cells whose middle is in r, but for those in edge, which the
// boundary passes through, where they mean nothing.
func (c *cells) draw(r *geom.Region, pitch int64) {
	c.pitch, c.words, c.rows = pitch, 0, 0
	c.bits, c.edge = c.bits[:0], c.edge[:0]
	if len(r.Pts) == 0 {
		return
	}
	c.inverse, c.before = (1<<45-1)/uint64(pitch)+1, int64(unit.MaxCoordinate)/pitch+2
	lo, hi := r.Pts[0], r.Pts[0]
	for _, p := range r.Pts {
		lo = geom.Point{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
		hi = geom.Point{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
	}
	c.x0 = c.at(int64(lo.X)-1) &^ 63
	c.y0 = c.at(int64(lo.Y) - 1)
	c.words = (c.at(int64(hi.X)+1)-c.x0)>>6 + 1
	c.rows = c.at(int64(hi.Y)+1) - c.y0 + 1
	n := int(c.words * c.rows)
	c.bits = slices.Grow(c.bits, n)[:n]
	c.edge = slices.Grow(c.edge, n)[:n]
	clear(c.bits)
	clear(c.edge)
	for i := range r.Ends {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			c.drawEdge(a, b)
			a = b
		}
	}
	c.fillRows()
}

// at is the cell of a coordinate. The product is exact: coordinates are below 2^25, and
// cells below 2^18, so that what the inverse is too large by amounts to less than the
// smallest step.
func (c *cells) at(v int64) int64 {
	return int64(uint64(v+c.before*c.pitch)*c.inverse>>45) - c.before
}

// drawEdge marks the cells that a line passes through, and in bits, for each row
// whose middle it crosses, the first cell whose middle is to its right.
func (c *cells) drawEdge(a, b geom.Point) {
	if a.Y > b.Y {
		a, b = b, a
	}
	ax, ay, bx, by := int64(a.X), int64(a.Y), int64(b.X), int64(b.Y)
	dx, dy := bx-ax, by-ay
	row, last := c.at(ay-1), c.at(by+1)
	half := c.pitch / 2
	from := ax
	for ; row <= last; row++ {
		to := bx // where the line leaves the row
		if top := (row + 1) * c.pitch; top < by && row < last {
			to = ax
			if top > ay {
				to += dx * (top - ay) / dy
			}
		}
		c.mark(row, c.at(min(from, to)-1), c.at(max(from, to)+1))
		if middle := row*c.pitch + half; ay <= middle && middle < by {
			x := ax + dx*(middle-ay)/dy
			col := c.at(x-half) + 1 - c.x0
			if col>>6 < c.words {
				c.bits[(row-c.y0)*c.words+col>>6] ^= 1 << (col & 63)
			}
		}
		from = to
	}
}

// mark marks the columns from lo to hi of a row as passed through.
func (c *cells) mark(row, lo, hi int64) {
	lo, hi = lo-c.x0, hi-c.x0
	line := c.edge[(row-c.y0)*c.words : (row-c.y0+1)*c.words]
	first, last := ^uint64(0)<<(lo&63), ^uint64(0)>>(63-hi&63)
	if lo>>6 == hi>>6 {
		line[lo>>6] |= first & last
		return
	}
	line[lo>>6] |= first
	for w := lo>>6 + 1; w < hi>>6; w++ {
		line[w] = ^uint64(0)
	}
	line[hi>>6] |= last
}

// fillRows turns marks where the inside begins and ends into the inside.
func (c *cells) fillRows() {
	for i := int64(0); i < c.rows; i++ {
		carry := uint64(0)
		row := c.bits[i*c.words : (i+1)*c.words]
		for k, w := range row {
			w ^= w << 1
			w ^= w << 2
			w ^= w << 4
			w ^= w << 8
			w ^= w << 16
			w ^= w << 32
			w ^= carry
			row[k] = w
			carry = -(w >> 63)
		}
	}
}

// holds reports whether the cell that p lies in is one of c.
func (c *cells) holds(p geom.Point) bool {
	if c.words == 0 {
		return false
	}
	x, y := c.at(int64(p.X))-c.x0, c.at(int64(p.Y))-c.y0
	if x < 0 || x>>6 >= c.words || y < 0 || y >= c.rows {
		return false
	}
	return c.bits[y*c.words+x>>6]>>(x&63)&1 != 0
}

// lacks reports whether c has a cell that d has not, and takes those that d has not
// into into, which is a net like c.
func (c *cells) lacks(d *cells, into *cells) bool {
	found := uint64(0)
	shift := (c.x0 - d.x0) >> 6 // words; columns begin at multiples of 64
	for i := int64(0); i < c.rows; i++ {
		row := c.bits[i*c.words : (i+1)*c.words]
		to := into.bits[i*c.words : (i+1)*c.words]
		k := i + c.y0 - d.y0
		if k < 0 || k >= d.rows {
			for w, b := range row {
				to[w] |= b
				found |= b
			}
			continue
		}
		other := d.bits[k*d.words : (k+1)*d.words]
		for w, b := range row {
			if at := int64(w) + shift; at >= 0 && at < d.words {
				b &^= other[at]
			}
			to[w] |= b
			found |= b
		}
	}
	return found != 0
}

// like makes c an empty net like d.
func (c *cells) like(d *cells) {
	n := len(d.bits)
	c.pitch, c.x0, c.y0, c.words, c.rows = d.pitch, d.x0, d.y0, d.words, d.rows
	c.bits = slices.Grow(c.bits[:0], n)[:n]
	clear(c.bits)
}

// copyOf makes c the same as d.
func (c *cells) copyOf(d *cells) {
	c.pitch, c.x0, c.y0, c.words, c.rows = d.pitch, d.x0, d.y0, d.words, d.rows
	c.inverse, c.before = d.inverse, d.before
	c.bits = append(c.bits[:0], d.bits...)
}
