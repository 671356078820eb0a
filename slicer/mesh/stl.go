package mesh

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"platen/hal/unit"
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

// Load reads a binary or ASCII STL file of exactly size bytes from r into v. A file
// is binary if its size is what the count in it asks for, whatever its first bytes
// say; the count is believed after that only. r is read to its end. Errors of r are
// passed on; after an error nothing of the model is left in v.
func Load(ctx context.Context, v *vault.Vault, r io.Reader, size int64) (*Mesh, error) {
	mark := v.Mark()
	m, err := load(ctx, v, r, size)
	v.ReleaseScratch(mark)
	if err != nil {
		v.Release(mark)
		return nil, fmt.Errorf("load model: %w", err)
	}
	return m, nil
}

func load(ctx context.Context, v *vault.Vault, r io.Reader, size int64) (*Mesh, error) {
	buf, err := vault.Scratch[byte](v, 1<<16)
	if err != nil {
		return nil, err
	}
	src := &source{ctx: ctx, r: r, buf: buf, left: size}
	head, err := src.peek(int(max(0, min(size, binaryHeader))))
	if err != nil {
		return nil, err
	}
	if len(head) == binaryHeader {
		n := int64(binary.LittleEndian.Uint32(head[80:]))
		if size == binaryHeader+n*binaryFacet {
			return loadBinary(v, src, n)
		}
	}
	if !startsSolid(head) {
		return nil, ErrFormat
	}
	return loadASCII(v, src, size/asciiFacet+1)
}

// loader collects facets.
type loader struct {
	weld   *welder
	tris   []Triangle
	n      int
	origin [3]float64 // the first corner in whole mm; coordinates are relative to it
	begun  bool
	box    Box
	fixed  Repairs
}

// newLoader makes room for at most n triangles.
func newLoader(v *vault.Vault, n int64) (*loader, error) {
	if n > maxFacets {
		return nil, vault.ErrBudget
	}
	tris, err := vault.Alloc[Triangle](v, int(n))
	if err != nil {
		return nil, err
	}
	weld, err := newWelder(v)
	if err != nil {
		return nil, err
	}
	const far = unit.Length(math.MaxInt32)
	return &loader{weld: weld, tris: tris, box: Box{Vertex{far, far, far}, Vertex{-far, -far, -far}}}, nil
}

// facet adds a triangle given by its nine coordinates in mm.
func (l *loader) facet(c *[9]float64) error {
	if !l.begun {
		for i := range l.origin {
			if !(math.Abs(c[i]) <= maxCoordinate) {
				return ErrGeometry
			}
			l.origin[i] = math.Round(c[i])
		}
		l.begun = true
	}
	var t Triangle
	var corner [3]Vertex
	for i := range corner {
		var q [3]unit.Length
		for axis := range q {
			x := c[3*i+axis]
			d := math.Round((x - l.origin[axis]) * float64(unit.Millimetre))
			if !(math.Abs(x) <= maxCoordinate && math.Abs(d) <= maxSpan) {
				return ErrGeometry
			}
			q[axis] = unit.Length(d)
		}
		corner[i] = Vertex{q[0], q[1], q[2]}
		var err error
		if t[i], err = l.weld.index(corner[i]); err != nil {
			return err
		}
	}
	if t[0] == t[1] || t[1] == t[2] || t[2] == t[0] {
		l.fixed.Degenerate++
		return nil
	}
	for _, p := range corner {
		l.box.add(p)
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
	if l.n == 0 {
		return nil, ErrGeometry
	}
	kept, err := dropDuplicates(v, l.tris[:l.n])
	if err != nil {
		return nil, err
	}
	l.fixed.Duplicate = l.n - kept
	return &Mesh{verts: verts, tris: l.tris[:kept], bounds: l.box, repairs: l.fixed, vault: v}, nil
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
