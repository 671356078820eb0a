package cut

import (
	"math"
	"slices"

	"platen/hal/unit"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

// Adapt says how layers get heights of their own.
type Adapt struct {
	First unit.Length // height of the first layer
	// Where Deviation is above 0 layers are as high as they may be, from Least to Most,
	// so that the steps that they make on slopes are no farther from the surface.
	// Else all are Height, but where Ranges say something else.
	Height, Least, Most unit.Length
	Deviation           unit.Length
	Ranges              []Range
}

// Range gives all layers that begin between two heights above the floor a height of
// their own; a Height of 0 leaves them.
type Range struct{ From, To, Height unit.Length }

// bin is what surfaces are told apart by in height.
const bin = unit.Millimetre / 25

// Stack lays out the layers of a placed mesh. The tops of layers are whole
// hundredths of a millimetre above the first. It takes from v 4 bytes a layer for
// good, and 2 bytes for each 40 µm of height, some ten times over, for a while.
func (a *Adapt) Stack(v *vault.Vault, m *mesh.Mesh) (Stack, error) {
	stack := Stack{First: a.First, Height: a.Height}
	used := slices.ContainsFunc(a.Ranges, func(r Range) bool { return r.Height > 0 && r.To > r.From })
	if a.Deviation <= 0 && !used {
		return stack, nil
	}
	high := m.Bounds().Max.Z - m.Bounds().Min.Z
	tops, err := vault.Alloc[unit.Length](v, int(high/max(a.least(), 1))+2)
	if err != nil {
		return Stack{}, err
	}
	mark := v.Mark()
	defer v.ReleaseScratch(mark)
	slopes := steepness{floor: m.Bounds().Min.Z}
	if a.Deviation > 0 {
		if err := slopes.measure(v, m, high); err != nil {
			return Stack{}, err
		}
	}
	stack.Tops = a.lay(tops, &slopes, high)
	return stack, nil
}

// least is less than no layer's height.
func (a *Adapt) least() unit.Length {
	least := a.Height
	for _, r := range a.Ranges {
		if r.Height > 0 {
			least = min(least, r.Height)
		}
	}
	if a.Deviation > 0 {
		least = min(least, a.Least)
	}
	return least - bin/4 // of what tops are rounded to
}

// lay sets tops to those of a body of the given height, and returns as many as there
// are.
func (a *Adapt) lay(tops []unit.Length, slopes *steepness, high unit.Length) []unit.Length {
	top := a.First
	for n := range tops {
		tops[n] = top
		h := a.height(slopes, top)
		next := a.First + unit.Micrometres((top-a.First+h).Micrometres()/10*10)
		if next <= top {
			next = top + h
		}
		if (top+next)/2 >= high { // its middle is above the mesh
			return tops[:n+1]
		}
		top = next
	}
	return tops
}

// height is that of the layer that begins at z.
func (a *Adapt) height(s *steepness, z unit.Length) unit.Length {
	for _, r := range a.Ranges {
		if r.Height > 0 && z >= r.From && z < r.To {
			return r.Height
		}
	}
	if a.Deviation <= 0 {
		return a.Height
	}
	h := a.Most
	for b := int(z / bin); b < len(s.flat) && unit.Length(b)*bin < z+h; b++ {
		if s.flat[b] == 0 {
			continue
		}
		most := unit.Length(min(int64(a.Deviation)*upright/int64(s.flat[b]), int64(a.Most)))
		h = min(h, max(most, unit.Length(b)*bin-z, a.Least))
	}
	return h
}

// upright is what stands for 1 in steepness.
const upright = 1 << 15

// steepness is how flat the flattest slope is at each height: the part of its normal
// that points up or down. Level faces do not count: no height of layers helps them.
type steepness struct {
	floor unit.Length
	flat  []uint16 // by bin, in 1/upright
}

// measure goes through all triangles. Those that reach through many bins are noted in
// two overlapping pieces whose length is a power of two, and told to all bins at the
// end.
func (s *steepness) measure(v *vault.Vault, m *mesh.Mesh, high unit.Length) error {
	bins := int(high/bin) + 1
	levels := 1
	for 1<<levels <= bins {
		levels++
	}
	all, err := vault.Scratch[uint16](v, bins*levels)
	if err != nil {
		return err
	}
	clear(all)
	verts := m.Vertices()
	for _, t := range m.Triangles() {
		a, b, c := verts[t[0]], verts[t[1]], verts[t[2]]
		flat := slope(a, b, c)
		if flat == 0 {
			continue
		}
		first := int((min(a.Z, b.Z, c.Z) - s.floor) / bin)
		last := int((max(a.Z, b.Z, c.Z) - s.floor) / bin)
		k := 0
		for 2<<k <= last-first+1 {
			k++
		}
		row := all[k*bins:][:bins]
		row[first] = max(row[first], flat)
		row[last-1<<k+1] = max(row[last-1<<k+1], flat)
	}
	for k := levels - 1; k > 0; k-- {
		row, below, half := all[k*bins:][:bins], all[(k-1)*bins:][:bins], 1<<(k-1)
		for i, f := range row {
			if f > 0 {
				below[i] = max(below[i], f)
				below[i+half] = max(below[i+half], f)
			}
		}
	}
	s.flat = all[:bins]
	return nil
}

// slope is how flat a triangle is; 0 if it is level or upright.
func slope(a, b, c mesh.Vertex) uint16 {
	ux, uy, uz := float64(b.X)-float64(a.X), float64(b.Y)-float64(a.Y), float64(b.Z)-float64(a.Z)
	vx, vy, vz := float64(c.X)-float64(a.X), float64(c.Y)-float64(a.Y), float64(c.Z)-float64(a.Z)
	nx, ny, nz := float64(uy*vz)-float64(uz*vy), float64(uz*vx)-float64(ux*vz), float64(ux*vy)-float64(uy*vx)
	long2 := float64(nx*nx) + float64(ny*ny) + float64(nz*nz)
	if long2 == 0 || nx == 0 && ny == 0 {
		return 0
	}
	return uint16(math.Abs(nz) / math.Sqrt(long2) * (upright - 1))
}
