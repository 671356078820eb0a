package slot

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"
)

// ErrMedium reports a medium that gives back other bytes than were written to it.
var ErrMedium = errors.New("the storage does not give back what was written to it: replace it")

// fold is all bytes at offsets that are the same modulo its length, exclusive or: next to no
// work, and what a failing medium does changes it. The length, whole words of 32 bits, is
// prime to that of blocks: two of them that are exchanged, or changed alike, do not cancel.
type fold [foldWords * 4]byte

const foldWords = 1031 // a prime

// add adds what is at an offset.
func (x *fold) add(p []byte, off int64) {
	for len(p) > 0 {
		at := x[off%int64(len(x)):]
		n := subtle.XORBytes(at, at, p)
		p, off = p[n:], off+int64(n)
	}
}

// readBack is what is on the medium, as far as it was read.
type readBack struct {
	sum  hash.Hash
	fold fold // of what is behind the head
	head int64
	at   int64
	err  error
}

// Write takes what was read.
func (b *readBack) Write(p []byte) (int, error) {
	if behind := min(max(b.head-b.at, 0), int64(len(p))); behind < int64(len(p)) {
		b.fold.add(p[behind:], b.at+behind)
	}
	b.at += int64(len(p))
	return b.sum.Write(p)
}

// Sum is the SHA-256 of the first size bytes of a file.
func Sum(f File, size int64) ([32]byte, error) {
	h, spans := sha256.New(), make(chan span, 1)
	spans <- span{size, func() error { return nil }}
	close(spans)
	if err := readSpans(h, f, 0, spans); err != nil {
		return [32]byte{}, err
	}
	return [32]byte(h.Sum(nil)), nil
}

// span is what of a file may be read: all up to end, once wait has returned nil.
type span struct {
	end  int64
	wait func() error
}

// halting is a file that is read until it is told to stop.
type halting struct {
	io.ReaderAt
	stop *atomic.Bool
}

// errHalted is what a read fails with that comes later.
var errHalted = errors.New("nobody reads this any more")

// ReadAt reads.
func (h halting) ReadAt(p []byte, off int64) (int, error) {
	if h.stop.Load() {
		return 0, errHalted
	}
	return h.ReaderAt.ReadAt(p, off)
}

// block is a piece of a file.
type block struct {
	p    []byte
	at   int64
	err  error
	read chan struct{} // closed when it was read
}

// inFlight is how many blocks are read or worked on at once, of readOnce bytes at most.
const (
	inFlight = 2
	readOnce = 2 << 20
)

// readSpans writes the bytes of a file, from one offset on, to w, which does not fail. It reads
// what comes next while w works. It returns when spans was closed, and all was read or a read
// has failed.
func readSpans(w io.Writer, f io.ReaderAt, from int64, spans <-chan span) error {
	free, queue, stop := make(chan []byte, inFlight), make(chan *block, inFlight), make(chan struct{})
	for range inFlight {
		free <- nil // memory comes when it is needed
	}
	go func() { // ends with queue, which is read to its end
		defer close(queue)
		for s := range spans {
			if from = readBlocks(f, from, s, free, queue, stop); from < s.end {
				break
			}
		}
		for s := range spans { // after a failure
			_ = s.wait() // what failed first is told
		}
	}()
	var failed error
	for b := range queue {
		<-b.read
		switch {
		case failed != nil:
		case b.err != nil:
			failed = b.err
			close(stop)
		default:
			w.Write(b.p)
		}
		free <- b.p
	}
	if failed == io.EOF {
		failed = io.ErrUnexpectedEOF
	}
	if failed != nil {
		return fmt.Errorf("read back: %w", failed)
	}
	return nil
}

// readBlocks has a span read and returns how far it got before it was stopped.
func readBlocks(f io.ReaderAt, from int64, s span, free <-chan []byte, queue chan<- *block, stop <-chan struct{}) int64 {
	failed := s.wait()
	for from < s.end {
		var p []byte
		select {
		case p = <-free:
		case <-stop:
			return from
		}
		n := min(s.end-from, readOnce)
		if tail := n % directBlock; tail > 0 && n > directLeast {
			n -= tail
		}
		if int64(cap(p)) < n {
			p = blocks(n)
		}
		b := &block{p[:n], from, failed, make(chan struct{})}
		queue <- b  // there is room for all of them
		go func() { // who takes it from the queue waits for it
			defer close(b.read)
			if b.err == nil {
				b.fill(f)
			}
		}()
		from += n
	}
	return from
}

// fill reads the block.
func (b *block) fill(f io.ReaderAt) {
	n, err := f.ReadAt(b.p, b.at)
	if n < len(b.p) {
		b.err = err
		if err == nil {
			b.err = io.ErrUnexpectedEOF
		}
	}
}
