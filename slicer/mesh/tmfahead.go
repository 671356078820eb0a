package mesh

import "platen/slicer/pack"

// arrival is a file on its way into the vault.
type arrival struct {
	src  *source
	file []byte // as long as all of it
	n    int    // bytes that are there
	err  error
}

// upTo reads until n bytes are there.
func (a *arrival) upTo(n int) error {
	for a.err == nil && a.n < n {
		if _, a.err = a.src.peek(1); a.err == nil {
			got := copy(a.file[a.n:], a.src.buf[a.src.i:a.src.n])
			a.n += got
			a.src.i += got
		}
	}
	return a.err
}

// all reads to the end of the file.
func (a *arrival) all() error {
	if err := a.upTo(len(a.file)); err != nil {
		return err
	}
	return a.src.end()
}

// readAhead reads the first entry that has a name like that of a root model, as far as it
// can be while the file arrives. Whatever goes wrong is no error yet: the same comes up
// again when all is read in the order in which it should be, or something else is the
// model.
func (t *tmfReader) readAhead(a *arrival) {
	early, ok := pack.FindAhead(a.file, ".model", a.upTo)
	if !ok {
		return
	}
	t.early, t.tried = early, true
	t.in.ResetAhead(a.file, early, a.upTo)
	if t.x.Reset(ctxReader{t.ctx, t.in}, freeMarkup) == nil {
		t.ahead = t.model() == nil
	}
}
