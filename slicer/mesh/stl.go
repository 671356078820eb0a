package mesh

import (
	"encoding/binary"
	"errors"
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
	twins *twins // nil if there is no room to look for twins while the file arrives
	mark  vault.Mark
	v     *vault.Vault
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
	l := &loader{tris: tris, most: int(n), mark: v.Mark(), v: v}
	if v.Free() > n*perCorner+4*int64(tableFor(int(n)))+1<<20 {
		if l.twins, err = newTwins(v, tris, int(n)); err != nil {
			return nil, err
		}
	}
	l.weld, err = newWelder(v, l.twins != nil)
	return l, err
}

// perCorner is what welding takes at most for each triangle of a closed surface. One with
// more corners than that has no room for both: see loader.index.
const perCorner = 16

// index is the welder's. Where there is no room for another corner, that of the table of
// twins is taken: they are dropped at the end of the file then.
func (l *loader) index(p Vertex) (int32, error) {
	i, err := l.weld.index(p)
	if l.twins == nil || !errors.Is(err, vault.ErrBudget) {
		return i, err
	}
	l.settle()
	l.twins = nil
	l.v.ReleaseScratch(l.mark)
	if err := l.weld.anew(); err != nil {
		return 0, err
	}
	return l.weld.index(p)
}

// facet adds a triangle given by its nine coordinates in mm.
func (l *loader) facet(c *[9]float64) error {
	var t Triangle
	for i := range t {
		p, err := l.place.vertex((*[3]float64)(c[3*i:]))
		if err != nil {
			return err
		}
		if t[i], err = l.index(p); err != nil {
			return err
		}
	}
	if t[0] == t[1] || t[1] == t[2] || t[2] == t[0] {
		l.fixed.Degenerate++
		return nil
	}
	l.tris[l.n] = t
	if l.n++; l.n-l.seen() == atOnce {
		l.settle()
	}
	return nil
}

// atOnce is how many triangles are looked at together: one by one, each would wait for
// memory.
const atOnce = 1 << 12

// seen is how many triangles are no twins.
func (l *loader) seen() int {
	if l.twins == nil {
		return l.n
	}
	return l.twins.n
}

// settle drops twins among the triangles that are new.
func (l *loader) settle() {
	for _, t := range l.tris[l.seen():l.n] {
		if !l.twins.add(t) {
			l.fixed.Duplicate++
		}
	}
	l.n = l.seen()
}

// finish makes the mesh.
func (l *loader) finish(v *vault.Vault) (*Mesh, error) {
	verts, err := l.weld.finish()
	if err != nil {
		return nil, err
	}
	l.settle()
	var m *Mesh
	if l.twins == nil {
		m, err = assemble(v, verts, l.tris, l.n, 0)
	} else {
		m, err = l.whole(v, verts)
	}
	if err == nil {
		m.repairs.Degenerate += l.fixed.Degenerate
		m.repairs.Duplicate += l.fixed.Duplicate
		m.welded = true
	}
	return m, err
}

// whole makes the mesh if nothing has to be dropped any more.
func (l *loader) whole(v *vault.Vault, verts []Vertex) (*Mesh, error) {
	if l.n == 0 {
		return nil, ErrGeometry
	}
	m := &Mesh{verts: verts, vault: v, tris: l.tris[:l.n], spare: l.tris}
	if l.fixed.Degenerate > 0 {
		m.measure()
	} else { // each corner is one of a triangle
		m.bounds = around(verts)
	}
	return m, nil
}

func loadBinary(v *vault.Vault, src *source, n int64) (*Mesh, error) {
	l, err := newLoader(v, n)
	if err != nil {
		return nil, err
	}
	if l.twins != nil { // there is room: a closed surface has half as many corners
		if err := l.weld.expect(int(n / 2)); err != nil {
			return nil, err
		}
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
