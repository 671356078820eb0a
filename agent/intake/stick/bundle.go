package stick

import "io"

// Bundles is how many bundles of releases are on the stick.
func (s *Stick) Bundles() (n int) {
	for _, f := range s.files {
		if f.kind == bundle {
			n++
		}
	}
	return n
}

// Bundle reads bundle i, in the order in which they were found, of size bytes.
func (s *Stick) Bundle(i int) (r io.ReaderAt, size int64, err error) {
	for j := range s.files {
		f := &s.files[j]
		if f.kind != bundle {
			continue
		}
		if i--; i >= 0 {
			continue
		}
		if _, err := f.reader(); err != nil { // finds out where it lies
			return nil, 0, err
		}
		return placed{f.v.m, f.where, f.size}, f.size, nil
	}
	return nil, 0, &Error{"absent", "the stick has no bundle of releases: copy NAME.tuf to it"}
}

// placed reads a file at any place of it.
type placed struct {
	m     medium
	where []extent
	size  int64
}

// ReadAt is io.ReaderAt.
func (p placed) ReadAt(b []byte, off int64) (done int, err error) {
	if off < 0 {
		return 0, damaged("size", "a file has no beginning")
	}
	if off >= p.size {
		return 0, io.EOF
	}
	cut := int64(len(b)) > p.size-off
	if cut {
		b = b[:p.size-off]
	}
	for _, x := range p.where {
		if off >= x.n {
			off -= x.n
			continue
		}
		n := int(min(int64(len(b)-done), x.n-off))
		if err := p.m.read(b[done:done+n], x.off+off); err != nil {
			return done, err
		}
		if done, off = done+n, 0; done == len(b) {
			break
		}
	}
	if done < len(b) || cut {
		return done, io.EOF
	}
	return done, nil
}
