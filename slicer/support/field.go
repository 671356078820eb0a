package support

import (
	"platen/hal/unit"
	"platen/slicer/vault"
)

// Distances in a field are in tenths of a cell, up to farthest, to which a step may be
// added in a byte.
const (
	straight = 10
	diagonal = 14
	farthest = 240
)

// field tells how far the cells of a level are from what is solid there, in the part
// of the grid for which it was loaded. Distances are those of chamfering, at most 6 %
// too long on a few ways, and for that and for edges between the rays half a cell is
// taken off. There is a cell more all around than the grid has, so that none is on the
// edge.
type field struct {
	grid grid
	wide int
	dist []uint8
}

func (f *field) reserve(v *vault.Vault, g grid) (err error) {
	f.grid, f.wide = g, int(g.w)+2
	f.dist, err = vault.Scratch[uint8](v, f.wide*(int(g.h)+2))
	return err
}

func (f *field) index(x, y int32) int { return int(y+1)*f.wide + int(x) + 1 }

// load fills the field for the level that begins at z, between two cells.
func (f *field) load(r *rays, z unit.Length, x0, y0, x1, y1 int32) {
	for y := y0 - 1; y <= y1+1; y++ {
		row := f.dist[f.index(x0-1, y) : f.index(x1+1, y)+1]
		for i := range row {
			row[i] = farthest
		}
		if y < y0 || y > y1 {
			continue
		}
		for x := x0; x <= x1; x++ {
			if r.touches(r.cell(x, y), z, z+levelHeight) {
				row[x-x0+1] = 0
			}
		}
	}
	for y := y0; y <= y1; y++ {
		at := f.index(x0, y)
		end := f.index(x1, y)
		for ; at <= end; at++ {
			f.lower(at, -1, at-f.wide)
		}
	}
	for y := y1; y >= y0; y-- {
		at := f.index(x1, y)
		end := f.index(x0, y)
		for ; at >= end; at-- {
			f.lower(at, 1, at+f.wide)
		}
	}
}

// lower brings the distance of a cell down to what its neighbours on one side allow:
// the one before or after it, and the three of the row below or above.
func (f *field) lower(at, side, row int) {
	d := f.dist[at]
	if d == 0 {
		return
	}
	three := f.dist[row-1 : row+2 : row+2]
	d = min(d, min(f.dist[at+side], three[1])+straight, min(three[0], three[2])+diagonal)
	f.dist[at] = min(d, farthest)
}

// solid reports whether a cell is.
func (f *field) solid(x, y int32) bool { return f.dist[f.index(x, y)] == 0 }

// clear is how far a cell's middle is from what is solid, at least.
func (f *field) clear(x, y int32) unit.Length {
	return unit.Length(f.dist[f.index(x, y)])*(cell/straight) - cell/2
}

// touches reports whether anything is solid in a cell between two heights.
func (r *rays) touches(c int32, z0, z1 unit.Length) bool {
	list := part(r.runs, r.runEnds, c)
	for i := 0; i < len(list) && unit.Length(list[i]) < z1; i += 2 {
		if unit.Length(list[i+1]) > z0 {
			return true
		}
	}
	return false
}

// bitmap is a set of cells, a bit each, row by row.
type bitmap struct {
	set  []uint64
	wide int // words of a row
	high int
}

func words(g grid) int { return (int(g.w) + 63) / 64 * int(g.h) }

func newBitmap(set []uint64, g grid) bitmap {
	return bitmap{set, (int(g.w) + 63) / 64, int(g.h)}
}

func (b *bitmap) has(x, y int32) bool { return b.set[int(y)*b.wide+int(x)/64]>>(x%64)&1 != 0 }

func (b *bitmap) put(x, y int32) { b.set[int(y)*b.wide+int(x)/64] |= 1 << (x % 64) }

// grow sets b to o and the cells next to it: the four at its sides, or the corners too.
func (b *bitmap) grow(o *bitmap, corners bool) {
	for y := range b.high {
		for i := range b.wide {
			at := y*b.wide + i
			w := beside(o, y, i)
			if corners {
				if y > 0 {
					w |= beside(o, y-1, i)
				}
				if y+1 < b.high {
					w |= beside(o, y+1, i)
				}
			} else {
				if y > 0 {
					w |= o.set[at-b.wide]
				}
				if y+1 < b.high {
					w |= o.set[at+b.wide]
				}
			}
			b.set[at] = w
		}
	}
}

// crop takes away the bits beyond the ends of rows of w cells.
func (b *bitmap) crop(w int) {
	if w%64 == 0 {
		return
	}
	for i := b.wide - 1; i < len(b.set); i += b.wide {
		b.set[i] &= 1<<(w%64) - 1
	}
}

// beside is a word of a row, with the cells to the left and right of those in it.
func beside(o *bitmap, y, i int) uint64 {
	row := o.set[y*o.wide : (y+1)*o.wide]
	w := row[i] | row[i]<<1 | row[i]>>1
	if i > 0 {
		w |= row[i-1] >> 63
	}
	if i+1 < len(row) {
		w |= row[i+1] << 63
	}
	return w
}
