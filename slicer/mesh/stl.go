package mesh

import (
	"encoding/binary"
	"math"

	"platen/slicer/vault"
)

// Layout of a binary STL file: 80 bytes of anything, the number of triangles as a
// little-endian uint32, then 50 bytes each: the normal and three corners as four
// times three float32, and two bytes that mean nothing.
const (
	binaryHeader = 84
	binaryFacet  = 50
	// asciiFacet is the least a facet takes in ASCII, every number one digit.
	asciiFacet = 86
	// maxCoordinate is the largest coordinate in mm that a file may use; it is far
	// beyond any printer and keeps the distance to the first corner exact.
	maxCoordinate = 1e6
	// maxSpan is how far from its first corner a model may reach, in units.
	maxSpan = 1 << 30
	// maxFacets keeps indices within an int32 and counts within 32-bit machines.
	maxFacets = 1 << 27
)

// loader collects facets.
type loader struct {
	weld  *welder
	tris  []Triangle
	n     int
	most  int // triangles
	place placing
	fixed Repairs
}

// newLoader makes room for at most n triangles.
func newLoader(v *vault.Vault, n int64) (*loader, error) {
	if n > maxFacets {
		return nil, vault.ErrBudget
	}
	tris, err := vault.Alloc[Triangle](v, withSpare(int(n)))
	if err != nil {
		return nil, err
	}
	weld, err := newWelder(v)
	if err != nil {
		return nil, err
	}
	return &loader{weld: weld, tris: tris, most: int(n)}, nil
}

// facet adds a triangle given by its nine coordinates in mm.
func (l *loader) facet(c *[9]float64) error {
	var t Triangle
	for i := range t {
		p, err := l.place.vertex((*[3]float64)(c[3*i:]))
		if err != nil {
			return err
		}
		if t[i], err = l.weld.index(p); err != nil {
			return err
		}
	}
	if t[0] == t[1] || t[1] == t[2] || t[2] == t[0] {
		l.fixed.Degenerate++
		return nil
	}
	l.tris[l.n] = t
	l.n++
	return nil
}

// finish makes the mesh.
func (l *loader) finish(v *vault.Vault) (*Mesh, error) {
	verts, err := l.weld.finish()
	if err != nil {
		return nil, err
	}
	m, err := assemble(v, verts, l.tris, l.n, 0)
	if err == nil {
		m.repairs.Degenerate += l.fixed.Degenerate
		m.welded = true
	}
	return m, err
}

func loadBinary(v *vault.Vault, src *source, n int64) (*Mesh, error) {
	l, err := newLoader(v, n)
	if err != nil {
		return nil, err
	}
	if err := src.skip(binaryHeader); err != nil {
		return nil, err
	}
	var c [9]float64
	for range n {
		b, err := src.next(binaryFacet)
		if err != nil {
			return nil, err
		}
		for i := range c {
			c[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[12+4*i:])))
		}
		if err := l.facet(&c); err != nil {
			return nil, err
		}
	}
	if err := src.end(); err != nil {
		return nil, err
	}
	return l.finish(v)
}
