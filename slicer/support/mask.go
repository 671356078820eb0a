package support

import (
	"log/slog"
	"math/bits"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// Mask is a set of cells of one layer. The zero value is empty. It is design data.
type Mask struct {
	grid grid
	wide int // words of a row
	set  []uint64
	n    int // cells in it
	rim  int // their sides with no cell beyond
	done []uint64
}

// String says nothing of the mask.
func (m Mask) String() string { return "mask" }

// GoString says nothing of the mask.
func (m Mask) GoString() string { return "mask" }

// LogValue says nothing of the mask.
func (m Mask) LogValue() slog.Value { return slog.StringValue("mask") }

// Empty reports whether there is no cell in the mask.
func (m *Mask) Empty() bool { return m.n == 0 }

// Wipe empties the mask and overwrites its memory.
func (m *Mask) Wipe() {
	clear(m.set[:cap(m.set)])
	clear(m.done[:cap(m.done)])
	*m = Mask{set: m.set[:0], done: m.done[:0]}
}

// Copy makes m equal to another mask.
func (m *Mask) Copy(o *Mask) {
	m.grid, m.wide, m.n, m.rim = o.grid, o.wide, o.n, o.rim
	m.set = append(m.set[:0], o.set...)
}

// reset makes an empty mask over a grid.
func (m *Mask) reset(g grid) {
	m.grid, m.wide, m.n, m.rim = g, (int(g.w)+63)/64, 0, 0
	m.set = zeroed(m.set, m.wide*int(g.h))
}

// zeroed is a slice of n zeros, in the memory of s if there is enough.
func zeroed(s []uint64, n int) []uint64 {
	s = s[:0]
	for range n {
		s = append(s, 0)
	}
	return s
}

func (m *Mask) put(c int32, on bool) {
	x, y := m.grid.at(c)
	w, bit := &m.set[int(y)*m.wide+int(x)/64], uint64(1)<<(x%64)
	if on == (*w&bit != 0) {
		return
	}
	*w ^= bit
	sign := -1
	if on {
		sign = 1
	}
	m.n += sign
	for _, d := range steps {
		if m.has(x+d[0], y+d[1]) {
			m.rim -= sign
		} else {
			m.rim += sign
		}
	}
}

func (m *Mask) has(x, y int32) bool {
	return m.grid.has(x, y) && m.set[int(y)*m.wide+int(x)/64]>>(x%64)&1 != 0
}

// Trace appends the outlines of the cells to dst: outer ones counter-clockwise. They
// run through the middles of the cells' sides, so that a row of steps becomes a
// straight line.
func (m *Mask) Trace(dst *geom.Region) {
	if m.n == 0 {
		return
	}
	m.done = zeroed(m.done, len(m.set))
	for y := range m.grid.h {
		row := m.set[int(y)*m.wide : int(y+1)*m.wide]
		for i, w := range row {
			below := uint64(0)
			if y > 0 {
				below = m.set[int(y-1)*m.wide+i]
			}
			// Cells with nothing below them: an outline runs along their lower side.
			for edges := w &^ below; edges != 0; edges &= edges - 1 {
				x := int32(i*64 + bits.TrailingZeros64(edges))
				if m.done[int(y)*m.wide+i]>>(x%64)&1 == 0 {
					m.ring(dst, x, y)
				}
			}
		}
	}
}

// steps are the four directions, counter-clockwise.
var steps = [4][2]int32{{1, 0}, {0, 1}, {-1, 0}, {0, -1}}

// ring follows the outline that runs along the lower side of a cell, with the cells of
// the mask on its left, and notes where it has been.
func (m *Mask) ring(dst *geom.Region, x0, y0 int32) {
	start := len(dst.Pts)
	x, y, d := x0, y0, 0 // a corner of cells and the way from it
	turned := -1
	for {
		if d == 0 {
			i := int(y)*m.wide + int(x)/64
			if m.done[i]>>(x%64)&1 != 0 {
				break
			}
			m.done[i] |= 1 << (x % 64)
		}
		// The middle of a side between two others that are in line is left out.
		next := m.turn(x+steps[d][0], y+steps[d][1], d)
		if next != d || turned != d {
			dst.Pts = append(dst.Pts, m.grid.corner(2*x+steps[d][0], 2*y+steps[d][1]))
		}
		x, y = x+steps[d][0], y+steps[d][1]
		turned, d = d, next
	}
	if len(dst.Pts)-start < 3 {
		dst.Pts = dst.Pts[:start]
		return
	}
	dst.Ends = append(dst.Ends, int32(len(dst.Pts)))
}

// turn is the way on from a corner to which d has led: to the left if there is no cell
// ahead on the left, to the right if there is one on the right as well.
func (m *Mask) turn(x, y int32, d int) int {
	left, right := ahead(x, y, d, true), ahead(x, y, d, false)
	switch {
	case !m.has(left[0], left[1]):
		return (d + 1) % 4
	case m.has(right[0], right[1]):
		return (d + 3) % 4
	}
	return d
}

// ahead is the cell ahead of a corner on one side of the way.
func ahead(x, y int32, d int, left bool) [2]int32 {
	switch {
	case d == 0 && left, d == 1 && !left:
		return [2]int32{x, y}
	case d == 1 && left, d == 2 && !left:
		return [2]int32{x - 1, y}
	case d == 2 && left, d == 3 && !left:
		return [2]int32{x - 1, y - 1}
	}
	return [2]int32{x, y - 1}
}

// corner is a place given in half cells from the grid's corner.
func (g *grid) corner(x2, y2 int32) geom.Point {
	return geom.Point{X: g.x0 + unit.Length(x2)*(cell/2), Y: g.y0 + unit.Length(y2)*(cell/2)}
}

// Reset empties the mask and keeps its memory.
func (m *Mask) Reset() { m.n, m.rim, m.set = 0, 0, m.set[:0] }

// Add puts the cells of another mask of the same plan into m.
func (m *Mask) Add(o *Mask) {
	if o.n == 0 {
		return
	}
	if len(m.set) == 0 {
		m.Copy(o)
		return
	}
	m.n = 0
	for i := range m.set {
		m.set[i] |= o.set[i]
		m.n += bits.OnesCount64(m.set[i])
	}
}
