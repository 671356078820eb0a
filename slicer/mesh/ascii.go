package mesh

import (
	"bytes"
	"unsafe"

	"platen/slicer/vault"
)

// maxToken is the longest word in an ASCII STL file that is not a name.
const maxToken = 64

// startsSolid reports whether a file begins like an ASCII STL file.
func startsSolid(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n")
	return len(head) > 5 && bytes.EqualFold(head[:5], []byte("solid")) && isSpace(head[5])
}

// loadASCII reads the text form: any number of solids, each with any number of
// facets, at most facets altogether. Keywords are read in either case; names and
// normals are passed over.
func loadASCII(v *vault.Vault, src *source, facets int64) (*Mesh, error) {
	l, err := newLoader(v, facets)
	if err != nil {
		return nil, err
	}
	for {
		switch word, err := src.word(); {
		case err != nil:
			return nil, err
		case len(word) == 0:
			if err := src.end(); err != nil {
				return nil, err
			}
			return l.finish(v)
		case !is(word, "solid"):
			return nil, ErrFormat
		}
		if err := src.line(); err != nil {
			return nil, err
		}
		if err := l.solid(src); err != nil {
			return nil, err
		}
	}
}

// solid reads facets up to and including the line that ends the solid.
func (l *loader) solid(src *source) error {
	for {
		word, err := src.word()
		switch {
		case err != nil:
			return err
		case is(word, "endsolid"):
			return src.line()
		case !is(word, "facet"):
			return ErrFormat
		}
		if err := l.asciiFacet(src); err != nil {
			return err
		}
	}
}

func (l *loader) asciiFacet(src *source) error {
	if err := src.expect("normal"); err != nil {
		return err
	}
	for range 3 {
		if word, err := src.word(); err != nil || len(word) == 0 {
			return orFormat(err)
		}
	}
	if err := src.expect("outer", "loop"); err != nil {
		return err
	}
	var c [9]float64
	for i := range c {
		if i%3 == 0 {
			if err := src.expect("vertex"); err != nil {
				return err
			}
		}
		word, err := src.word()
		if err != nil || len(word) == 0 {
			return orFormat(err)
		}
		if c[i], err = coordinate(word); err != nil {
			return err
		}
	}
	if err := src.expect("endloop", "endfacet"); err != nil {
		return err
	}
	if l.n == l.most {
		return ErrFormat
	}
	return l.facet(&c)
}

func orFormat(err error) error {
	if err == nil {
		return ErrFormat
	}
	return err
}

// expect reads the given words.
func (s *source) expect(words ...string) error {
	for _, want := range words {
		word, err := s.word()
		if err != nil {
			return err
		}
		if !is(word, want) {
			return ErrFormat
		}
	}
	return nil
}

// word returns the next word, or nothing at the end of the file. It is good until
// the next call.
func (s *source) word() ([]byte, error) {
	for {
		ok, err := s.more()
		if !ok {
			return nil, err
		}
		if !isSpace(s.buf[s.i]) {
			break
		}
		s.i++
	}
	if s.n-s.i <= maxToken && s.left > 0 {
		if err := s.fill(int(min(int64(maxToken+1), s.left+int64(s.n-s.i)))); err != nil {
			return nil, err
		}
	}
	for i, b := range s.buf[s.i:min(s.n, s.i+maxToken+1)] {
		if isSpace(b) {
			return s.next(i)
		}
	}
	if s.n-s.i <= maxToken {
		return s.next(s.n - s.i)
	}
	return nil, ErrFormat
}

// line passes over the rest of a line, however long it is.
func (s *source) line() error {
	for {
		ok, err := s.more()
		if !ok {
			return err
		}
		if at := bytes.IndexByte(s.buf[s.i:s.n], '\n'); at >= 0 {
			s.i += at + 1
			return nil
		}
		s.i = s.n
	}
}

func is(word []byte, want string) bool {
	return len(word) == len(want) && bytes.EqualFold(word, unsafe.Slice(unsafe.StringData(want), len(want)))
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }
