package bootloader

import "errors"

// errCutNow leaves the middle of a flash operation when the power fails.
var errCutNow = errors.New("cut")

// flash is the memory: erasing sets bits by the page, writing clears them. Each erase of
// a page and each write counts as an operation, at any of which the power may fail.
type flash struct {
	mem        []byte
	pages      []int
	first, end int // of the application area
	ops        int
	cutAt      int // the operation that is torn, from 1 on; 0: none
	chip       *Chip
}

// page returns where the page that an offset lies in begins, and its size.
func (f *flash) page(off int) (at, size int) {
	for _, size := range f.pages {
		if off < at+size {
			return at, size
		}
		at += size
	}
	return at, 0
}

// number returns where the page with a number begins.
func (f *flash) number(n int) (at int, ok bool) {
	if n < 0 || n >= len(f.pages) {
		return 0, false
	}
	for _, size := range f.pages[:n] {
		at += size
	}
	return at, true
}

// op counts an operation and reports whether the power fails in it.
func (f *flash) op(at, size int) (torn bool) {
	f.ops++
	if at < f.first || at+size > f.end {
		f.chip.stats.Outside++
	}
	return f.ops == f.cutAt
}

// erase erases the page at an offset. One that is torn has some bytes erased, some
// as they were, and some in between.
func (f *flash) erase(off int) {
	f.chip.mu.Lock()
	defer f.chip.mu.Unlock()
	at, size := f.page(off)
	f.chip.stats.Erases++
	torn := f.op(at, size)
	for i := at; i < at+size; i++ {
		switch {
		case !torn || f.chip.rng.IntN(3) == 0:
			f.mem[i] = 0xff
		case f.chip.rng.IntN(2) == 0:
			f.mem[i] |= byte(f.chip.rng.UintN(256))
		}
	}
	if torn {
		panic(errCutNow)
	}
}

// program clears bits from an offset on; it reports whether the flash now holds p. One
// that is torn ends within a byte.
func (f *flash) program(off int, p []byte) (holds bool) {
	f.chip.mu.Lock()
	defer f.chip.mu.Unlock()
	f.chip.stats.Programs++
	torn := f.op(off, len(p))
	n := len(p)
	if torn {
		n = f.chip.rng.IntN(len(p) + 1)
	}
	holds = true
	for i, b := range p[:n] {
		f.mem[off+i] &= b | f.stays(off+i)
		holds = holds && f.mem[off+i] == b
	}
	if torn {
		if n < len(p) {
			f.mem[off+n] &= p[n] | byte(f.chip.rng.UintN(256))
		}
		panic(errCutNow)
	}
	if !holds {
		f.chip.stats.Unerased++
	}
	return holds
}

// stays returns the bits at an offset that cannot be cleared any more.
func (f *flash) stays(off int) byte {
	worn := f.chip.cfg.Faults.Worn
	if worn == 0 {
		return 0
	}
	at := f.first
	for range worn - 1 {
		_, size := f.page(at)
		at += size
	}
	if off == at+16 {
		return 0x10
	}
	return 0
}

// read copies memory; what is behind its end reads as FF.
func (f *flash) read(off, n int) []byte {
	f.chip.mu.Lock()
	defer f.chip.mu.Unlock()
	p := make([]byte, n)
	for i := range p {
		p[i] = 0xff
		if off+i >= 0 && off+i < len(f.mem) {
			p[i] = f.mem[off+i]
		}
	}
	return p
}
