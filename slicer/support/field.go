package support

import (
	"platen/hal/unit"
	"platen/slicer/vault"
)

// Distances in a field are in tenths of a cell, up to farthest.
const (
	straight = 10
	diagonal = 14
	farthest = 250
)

// field tells how far each cell of a level is from what is solid there. Distances are
// those of chamfering, at most 6 % too long on a few ways, and for that and for edges
// between the rays half a cell is taken off.
type field struct {
	grid grid
	dist []uint8
}

func (f *field) reserve(v *vault.Vault, g grid) (err error) {
	f.grid = g
	f.dist, err = vault.Scratch[uint8](v, g.cells())
	return err
}

// load fills the field for the level that begins at z.
func (f *field) load(r *rays, z unit.Length) {
	any := false
	for c := range f.dist {
		f.dist[c] = farthest
		if r.touches(int32(c), z, z+levelHeight) {
			f.dist[c] = 0
			any = true
		}
	}
	if !any {
		return
	}
	w, h := int(f.grid.w), int(f.grid.h)
	for y := range h {
		for x := range w {
			f.lower(x, y, -1)
		}
	}
	for y := h - 1; y >= 0; y-- {
		for x := w - 1; x >= 0; x-- {
			f.lower(x, y, 1)
		}
	}
}

// lower brings the distance of a cell down to what its neighbours on one side allow:
// the one before or after it, and the three of the row below or above.
func (f *field) lower(x, y, side int) {
	w, h := int(f.grid.w), int(f.grid.h)
	at := y*w + x
	d := int(f.dist[at])
	if d == 0 {
		return
	}
	if n := x + side; n >= 0 && n < w {
		d = min(d, int(f.dist[at+side])+straight)
	}
	if n := y + side; n >= 0 && n < h {
		row := n * w
		d = min(d, int(f.dist[row+x])+straight)
		if x > 0 {
			d = min(d, int(f.dist[row+x-1])+diagonal)
		}
		if x+1 < w {
			d = min(d, int(f.dist[row+x+1])+diagonal)
		}
	}
	f.dist[at] = uint8(d)
}

// solid reports whether a cell is.
func (f *field) solid(c int32) bool { return f.dist[c] == 0 }

// clear is how far a cell's middle is from what is solid, at least.
func (f *field) clear(c int32) unit.Length {
	return unit.Length(f.dist[c])*(cell/straight) - cell/2
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
