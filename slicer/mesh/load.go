package mesh

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"platen/hal/unit"
	"platen/slicer/secure"
	"platen/slicer/vault"
)

// Format says what the bytes of a model are.
type Format uint8

// The formats.
const (
	Detect  Format = iota // whatever it is
	STL                   // binary or ASCII, told apart by their size
	OBJ                   // in mm
	ThreeMF               // core and production extension
)

// Load reads a model of exactly size bytes from r into v. A file is binary STL if
// its size is what the count in it asks for, whatever its first bytes say, and the
// count is believed after that only; it is 3MF if it begins as a zip archive does,
// ASCII STL if it begins with solid, and OBJ if it begins with a statement of that
// or a comment. If f is not Detect, it is ErrFormat if the file is something else.
// r is read to its end. Errors of r are passed on; after an error nothing of the
// model is left in v.
//
// At its fullest the vault holds 26 bytes a triangle of an STL or OBJ file, 31 of an STL
// file if they are there, and 36 of a 3MF file or as much as its compressed bytes,
// whichever is more; afterwards 19. A mesh that has to be repaired takes up to 70 for a while, if they are there.
func Load(ctx context.Context, v *vault.Vault, r io.Reader, size int64, f Format) (*Mesh, error) {
	return LoadSecure(ctx, v, r, size, f, nil)
}

// LoadSecure is Load with the content keys of a 3MF file of which parts are encrypted;
// secure.ErrKey and secure.ErrAltered are among its errors.
func LoadSecure(ctx context.Context, v *vault.Vault, r io.Reader, size int64, f Format, keys secure.Keys) (*Mesh, error) {
	mark := v.Mark()
	m, err := load(ctx, v, r, size, f, keys)
	v.ReleaseScratch(mark)
	if err != nil {
		v.Release(mark)
		return nil, fmt.Errorf("load model: %w", err)
	}
	m.mend()
	return m, nil
}

// mostHead is how much of a file is looked at to tell its format.
const mostHead = 1 << 12

func load(ctx context.Context, v *vault.Vault, r io.Reader, size int64, f Format, keys secure.Keys) (*Mesh, error) {
	buf, err := vault.Scratch[byte](v, 1<<16)
	if err != nil {
		return nil, err
	}
	src := &source{ctx: ctx, r: r, buf: buf, left: size}
	head, err := src.peek(int(max(0, min(size, mostHead))))
	if err != nil {
		return nil, err
	}
	found, binary := detect(head, size)
	switch {
	case found == Detect || f != Detect && f != found:
		return nil, ErrFormat
	case found == ThreeMF:
		return load3MF(ctx, v, src, size, keys)
	case found == OBJ:
		return loadOBJ(v, src)
	case binary:
		return loadBinary(v, src, (size-binaryHeader)/binaryFacet)
	}
	return loadASCII(v, src, size/asciiFacet+1)
}

// detect tells the format of a file by its first bytes and its size; Detect is none.
func detect(head []byte, size int64) (f Format, isBinary bool) {
	if len(head) >= binaryHeader && size == binaryHeader+int64(binary.LittleEndian.Uint32(head[80:]))*binaryFacet {
		return STL, true
	}
	switch {
	case len(head) >= 4 && string(head[:4]) == "PK\x03\x04":
		return ThreeMF, false
	case startsSolid(head):
		return STL, false
	case startsOBJ(head):
		return OBJ, false
	}
	return Detect, false
}

// withSpare is the room that n triangles are given: some that repairs add have room
// with them.
func withSpare(n int) int { return n + n/16 + 256 }

// assemble makes a mesh of the first n of tris, whose others are spare.
func assemble(v *vault.Vault, verts []Vertex, tris []Triangle, n int, notes Notes) (*Mesh, error) {
	m := &Mesh{verts: verts, vault: v, notes: notes}
	kept := 0
	for _, t := range tris[:n] {
		if t[0] == t[1] || t[1] == t[2] || t[2] == t[0] {
			m.repairs.Degenerate++
			continue
		}
		tris[kept] = t
		kept++
	}
	if kept == 0 {
		return nil, ErrGeometry
	}
	left, err := dropDuplicates(v, tris[:kept])
	if err != nil {
		return nil, err
	}
	m.repairs.Duplicate = kept - left
	m.tris, m.spare = tris[:left], tris
	m.measure()
	return m, nil
}

// measure finds the box around all triangles.
func (m *Mesh) measure() {
	const far = unit.Length(math.MaxInt32)
	m.bounds = Box{Vertex{far, far, far}, Vertex{-far, -far, -far}}
	for _, t := range m.tris {
		for _, i := range t {
			m.bounds.add(m.verts[i])
		}
	}
}
