package mesh

import (
	"bytes"
	"math"

	"platen/hal/unit"
	"platen/slicer/vault"
)

// mostCorners bounds the corners of one polygon.
const mostCorners = 4096

// statements are the words that lines of an OBJ file begin with (Wavefront,
// Advanced Visualizer Manual, appendix B1), as far as files have them.
var statements = [...]string{"v", "vt", "vn", "vp", "f", "l", "p", "o", "g", "s", "mg", "mtllib", "usemtl", "call", "lod"}

// startsOBJ reports whether a file begins like an OBJ file: with a comment or one of
// its statements.
func startsOBJ(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), " \t\r\n")
	if len(head) > 0 && head[0] == '#' {
		return true
	}
	for _, s := range statements {
		if len(head) > len(s) && string(head[:len(s)]) == s && isSpace(head[len(s)]) {
			return true
		}
	}
	return false
}

const byteOrderMark = "\xef\xbb\xbf"

// objReader collects what an OBJ file holds: corners, and the triangles that its
// polygons are cut into. Normals, textures, materials, groups and names are passed
// over; curves are refused, for they would be missing.
type objReader struct {
	v       *vault.Vault
	src     *source
	place   placing
	verts   []Vertex
	n       int
	tris    list[Triangle]
	corners []int32
	poly    polygon
	notes   Notes
}

// loadOBJ reads an OBJ file whose coordinates are in mm.
func loadOBJ(v *vault.Vault, src *source) (*Mesh, error) {
	o := &objReader{v: v, src: src, tris: newList[Triangle](v, 12)}
	var err error
	if o.verts, err = vault.Alloc[Vertex](v, 256); err != nil {
		return nil, err
	}
	if o.corners, err = vault.Scratch[int32](v, mostCorners); err != nil {
		return nil, err
	}
	if err := o.poly.init(v); err != nil {
		return nil, err
	}
	if head, err := src.peek(int(min(3, src.left+int64(src.n-src.i)))); err != nil {
		return nil, err
	} else if string(head) == byteOrderMark {
		src.i += len(head)
	}
	for {
		ok, err := o.statement()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
	}
	if err := src.end(); err != nil {
		return nil, err
	}
	return o.finish()
}

// statement reads one line, and reports whether there was one.
func (o *objReader) statement() (bool, error) {
	if ok, err := o.src.more(); !ok {
		return false, err
	}
	word, err := o.src.field()
	if err != nil {
		return false, err
	}
	switch {
	case len(word) == 0: // an empty line, or a comment
	case string(word) == "v":
		err = o.vertex()
	case string(word) == "f" || string(word) == "fo":
		err = o.face()
	case string(word) == "mtllib" || string(word) == "usemtl":
		o.notes |= NoteMaterials
	case string(word) == "curv" || string(word) == "curv2" || string(word) == "surf" || string(word) == "call":
		err = ErrUnsupported
	case !letters(word):
		err = ErrFormat
	}
	if err != nil {
		return false, err
	}
	return true, o.src.line()
}

func letters(word []byte) bool {
	for _, b := range word {
		if !('a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9' || b == '_' || b == '-') {
			return false
		}
	}
	return true
}

// vertex reads the three coordinates of a corner; what follows them is a weight or a
// colour.
func (o *objReader) vertex() error {
	var c [3]float64
	for i := range c {
		word, err := o.src.field()
		if err != nil {
			return err
		}
		if c[i], err = coordinate(word); err != nil {
			return err
		}
	}
	p, err := o.place.vertex(&c)
	if err != nil {
		return err
	}
	if o.n == len(o.verts) {
		if o.verts, err = growHalf(o.v, o.verts); err != nil {
			return err
		}
	}
	o.verts[o.n] = p
	o.n++
	return nil
}

// face reads a polygon.
func (o *objReader) face() error {
	n := 0
	for {
		word, err := o.src.field()
		if err != nil {
			return err
		}
		if len(word) == 0 {
			break
		}
		if n == mostCorners {
			return ErrFormat
		}
		if o.corners[n], err = o.corner(word); err != nil {
			return err
		}
		n++
	}
	if n < 3 {
		return ErrFormat
	}
	return o.poly.cut(o.verts, o.corners[:n], o.tris.add)
}

// corner reads the index of a corner, which may be counted from the latest one
// backwards, and passes over those of its texture and normal.
func (o *objReader) corner(word []byte) (int32, error) {
	if at := bytes.IndexByte(word, '/'); at >= 0 {
		word = word[:at]
	}
	back := len(word) > 0 && word[0] == '-'
	if back {
		word = word[1:]
	}
	i, ok := whole(word)
	if !ok || i == 0 || int(i) > o.n {
		return 0, ErrFormat
	}
	if back {
		return int32(o.n) - i, nil
	}
	return i - 1, nil
}

func (o *objReader) finish() (*Mesh, error) {
	if o.tris.n == 0 {
		return nil, ErrGeometry
	}
	verts, err := vault.Grow(o.v, o.verts, max(o.n, 1))
	if err != nil {
		return nil, err
	}
	tris, err := vault.Alloc[Triangle](o.v, withSpare(o.tris.n))
	if err != nil {
		return nil, err
	}
	for i := range o.tris.n {
		tris[i] = *o.tris.at(i)
	}
	return assemble(o.v, verts, tris, o.tris.n, o.notes)
}

// placing turns coordinates in mm into those of a mesh, which are relative to the
// first corner in whole mm.
type placing struct {
	origin [3]float64
	begun  bool
}

// vertex converts a corner. It is ErrGeometry if a coordinate is no number or far
// beyond any printer.
func (p *placing) vertex(c *[3]float64) (Vertex, error) {
	if !p.begun {
		for i := range p.origin {
			if !(math.Abs(c[i]) <= maxCoordinate) {
				return Vertex{}, ErrGeometry
			}
			p.origin[i] = math.Round(c[i])
		}
		p.begun = true
	}
	var q [3]unit.Length
	for i := range q {
		d := math.Round((c[i] - p.origin[i]) * float64(unit.Millimetre))
		if !(math.Abs(c[i]) <= maxCoordinate && math.Abs(d) <= maxSpan) {
			return Vertex{}, ErrGeometry
		}
		q[i] = unit.Length(d)
	}
	return Vertex{q[0], q[1], q[2]}, nil
}

// field returns the next word of a line, or nothing at its end; a backslash before
// the end of a line continues it, and a number sign ends it. It is good until the
// next call.
func (s *source) field() ([]byte, error) {
	for {
		ok, err := s.more()
		if !ok {
			return nil, err
		}
		switch s.buf[s.i] {
		case ' ', '\t', '\r':
			s.i++
			continue
		case '\n', '#':
			return nil, nil
		case '\\':
			if err := s.line(); err != nil {
				return nil, err
			}
			continue
		}
		break
	}
	if s.n-s.i <= maxToken && s.left > 0 {
		if err := s.fill(int(min(int64(maxToken+1), s.left+int64(s.n-s.i)))); err != nil {
			return nil, err
		}
	}
	for i, b := range s.buf[s.i:min(s.n, s.i+maxToken+1)] {
		if isSpace(b) || b == '\\' {
			return s.next(i)
		}
	}
	if s.n-s.i <= maxToken {
		return s.next(s.n - s.i)
	}
	return nil, ErrFormat
}
