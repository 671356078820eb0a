package slot

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"
)

// DefaultEvery is how many bytes are written between two checkpoints: what at most is
// fetched again after a kill or a power cut.
const DefaultEvery = 16 << 20

// Fill writes the contents of one place, and can go on where an earlier one was
// interrupted. The record's Filling says which place, what it is to hold and how much of
// that is durable; [Log.Begin] makes one.
//
// Its memory does not grow with what is written: 8 MiB. What is written is made durable,
// and read back, while the rest is written, and past the page cache where there is a way. So what is written is
// hashed once, as the medium has it.
type Fill struct {
	log  *Log
	f    File
	at   Filling
	done int64  // bytes written
	next []byte // bytes that are not written yet: much is written at once
	buf  []byte // that next is in
	head int64  // bytes that were there
	err  error

	wrote   fold         // of what is behind the head
	begun   int64        // how much of it was told to become durable; -1: nothing
	durable func() error // waits until that is so; nil: it was, and stands in the record
	back    readBack
	reading chan struct{} // closed when the read-back that was begun last has ended
}

// ErrMedium reports a medium that gives back other bytes than were written to it.
var ErrMedium = errors.New("the storage does not give back what was written to it: replace it")

// fold is all bytes at offsets that are the same modulo its length, exclusive or: next to no
// work, and what a failing medium does changes it.
type fold [directBlock]byte

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
	bufs blockPair
}

// Write takes what was read.
func (b *readBack) Write(p []byte) (int, error) {
	if behind := min(max(b.head-b.at, 0), int64(len(p))); behind < int64(len(p)) {
		b.fold.add(p[behind:], b.at+behind)
	}
	b.at += int64(len(p))
	return b.sum.Write(p)
}

// until reads back up to an offset.
func (b *readBack) until(f File, end int64) {
	if b.err == nil {
		b.err = readSpan(b, &b.bufs, f, b.at, end)
	}
}

// Plan says in the record what is going to be written where. What is there of the same
// contents already stays; without it, writing begins at 0.
func (l *Log) Plan(kind Kind, place Name, digest [32]byte) error {
	_, err := l.Update(func(r *Record) error {
		if f := r.Filling; f.Kind != kind || f.Place != place || f.Digest != digest {
			r.Filling = Filling{Kind: kind, Place: place, Digest: digest}
		}
		return nil
	})
	return err
}

// Drop forgets what was written of a plan, so that the next [Log.Begin] starts at 0.
func (l *Log) Drop() error {
	_, err := l.Update(func(r *Record) error {
		r.Filling = Filling{}
		return nil
	})
	return err
}

// Planned returns how many bytes of a place are durable that the plan wants there.
func (l *Log) Planned(kind Kind, place Name) (int64, error) {
	rec, err := l.Load()
	if err != nil && !errors.Is(err, ErrRecord) {
		return 0, err
	}
	if f := rec.Filling; f.Kind == kind && f.Place == place && f.Digest != [32]byte{} {
		return int64(f.Done), nil
	}
	return 0, nil
}

// BeginFile is Begin for a place that is a file of fsys. It is written under name+".new";
// whoever finishes the Fill puts it in its place by [Commit]. mode is Create or Program.
func (l *Log) BeginFile(fsys FS, name string, mode Mode, kind Kind, place Name) (*Fill, error) {
	head, err := l.Planned(kind, place)
	if err != nil {
		return nil, err
	}
	if head > 0 {
		if f, err := fsys.Open(name+".new", Edit); err == nil {
			if size, err := f.Size(); err == nil && size >= head {
				return l.Begin(f, kind, place, head), nil
			}
			f.Close() // it is cut to nothing
		}
	}
	f, err := fsys.Open(name+".new", mode)
	if err != nil {
		return nil, err
	}
	return l.Begin(f, kind, place, 0), nil
}

// Begin returns the Fill of a place, into f, of which the first head bytes stay. It takes
// f over.
func (l *Log) Begin(f File, kind Kind, place Name, head int64) *Fill {
	return &Fill{log: l, f: f, at: Filling{Kind: kind, Place: place}, done: head, head: head, begun: -1,
		back: readBack{sum: sha256.New(), head: head}}
}

// Head reads what was there before the first Write.
func (w *Fill) Head() *io.SectionReader { return io.NewSectionReader(w.f, 0, w.head) }

// How many bytes are written at once, if nothing else is set, and read back.
const (
	writeOnce = 4 << 20
	readOnce  = 2 << 20
)

// Write appends p. What it has not written yet it holds: Sum, Keep or Finish writes it.
func (w *Fill) Write(p []byte) (int, error) {
	every, once := w.log.every(), min(w.log.once(), w.log.every())
	for rest := p; len(rest) > 0 && w.err == nil; {
		// Behind a head, or before a checkpoint, less than all of the buffer brings it in line.
		at := w.done + int64(len(w.next))
		room := min(once-at%once, every-at%every)
		n := min(int64(len(rest)), room)
		if len(w.next) == 0 && n == room {
			w.put(rest[:n])
		} else if w.hold(rest[:n], once); n == room {
			w.flush()
		}
		if rest = rest[n:]; n == room && w.err == nil && w.done%every == 0 {
			w.err = w.checkpoint()
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// hold keeps p, for which there is room, until there is more of it.
func (w *Fill) hold(p []byte, once int64) {
	if w.buf == nil {
		w.buf = blocks(once)
	}
	w.next = append(w.buf[:len(w.next)], p...)
}

// flush writes what is held.
func (w *Fill) flush() {
	if len(w.next) > 0 && w.err == nil {
		w.put(w.next)
		w.next = nil
	}
}

// put writes p.
func (w *Fill) put(p []byte) {
	var n int
	n, w.err = w.f.WriteAt(p, w.done)
	w.wrote.add(p[:n], w.done)
	w.done += int64(n)
}

// checkpoint has what was written made durable, and says of what was so before that it is.
func (w *Fill) checkpoint() error {
	err := w.settle()
	if err == nil {
		w.begin()
	}
	return err
}

// begin has what was written made durable, and then read back, while more is written.
func (w *Fill) begin() {
	before, done, f, end, wait := w.reading, make(chan struct{}), w.f, w.done, startSync(w.f)
	w.reading, w.durable, w.begun = done, wait, end
	go func() { // ends by itself; waitRead waits for it
		defer close(done)
		if before != nil {
			<-before
		}
		if w.back.err == nil {
			w.back.err = wait()
		}
		w.back.until(f, end)
	}()
}

// settle waits until what was begun last is durable, and then says so.
func (w *Fill) settle() error {
	if w.durable == nil {
		return nil
	}
	if err := w.durable(); err != nil {
		return err
	}
	w.durable = nil
	_, err := w.log.Update(func(r *Record) error {
		if f := &r.Filling; f.Kind == w.at.Kind && f.Place == w.at.Place && f.Digest != [32]byte{} {
			f.Done = uint64(w.begun)
		}
		return nil
	})
	return err
}

// waitRead waits for what is being read back.
func (w *Fill) waitRead() {
	if w.reading != nil {
		<-w.reading
		w.reading = nil
	}
}

// Keep closes the file and leaves what was written for another Fill to go on with. Unless
// all is true, that leaves out what is not written yet.
func (w *Fill) Keep(all bool) error {
	if w.f == nil {
		return nil
	}
	if all {
		w.flush()
	}
	if w.err == nil {
		w.err = w.checkpoint()
	}
	if w.err == nil {
		w.err = w.settle()
	}
	w.waitRead()
	f := w.f
	w.f = nil
	return errors.Join(w.err, f.Close())
}

// Sum makes the contents durable, and returns the SHA-256 of what is read back of them, the
// head included.
func (w *Fill) Sum() ([32]byte, error) {
	if w.f == nil {
		return [32]byte{}, errors.New("this place was closed before")
	}
	w.flush()
	if w.err == nil && w.begun < w.done {
		w.begin()
	}
	w.waitRead()
	if w.err == nil {
		w.err = w.back.err
	}
	if w.err == nil && w.back.fold != w.wrote {
		w.err = ErrMedium
	}
	if w.err != nil {
		return [32]byte{}, w.err
	}
	return [32]byte(w.back.sum.Sum(nil)), nil
}

// Finish is Sum that closes the file as well and returns what is there. A second one returns
// an error.
func (w *Fill) Finish() (Part, error) {
	sum, err := w.Sum()
	if f := w.f; f != nil {
		w.f = nil
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return Part{}, err
	}
	return Part{Size: uint64(w.done), Digest: sum}, nil
}

// Sum is the SHA-256 of the first size bytes of a file.
func Sum(f File, size int64) ([32]byte, error) {
	h := sha256.New()
	if err := readSpan(h, &blockPair{}, f, 0, size); err != nil {
		return [32]byte{}, err
	}
	return [32]byte(h.Sum(nil)), nil
}

// blockPair is memory that is read into: one block while the other one is used.
type blockPair [2][]byte

// readSpan writes the bytes of a file from one offset to another to w, which does not fail.
// It reads what comes next while w works.
func readSpan(w io.Writer, bufs *blockPair, f File, from, end int64) error {
	type read struct {
		p   []byte
		err error
	}
	free, done := make(chan []byte, len(bufs)), make(chan read, len(bufs))
	size := min(end-from, readOnce)
	for i := range bufs {
		if int64(cap(bufs[i])) < size {
			bufs[i] = blocks(size)
		}
		free <- bufs[i]
	}
	go func() { // ends with done, which is read to its end
		defer close(done)
		for from < end {
			p := <-free
			p = p[:min(end-from, int64(cap(p)))]
			if tail := len(p) % directBlock; tail > 0 && len(p) > directLeast {
				p = p[:len(p)-tail]
			}
			n, err := f.ReadAt(p, from)
			if from += int64(n); from >= end {
				err = nil
			}
			if done <- (read{p[:n], err}); err != nil {
				return
			}
		}
	}()
	var failed error
	for r := range done {
		w.Write(r.p)
		failed = r.err
		free <- r.p
	}
	if failed == io.EOF {
		failed = io.ErrUnexpectedEOF
	}
	if failed != nil {
		return fmt.Errorf("read back: %w", failed)
	}
	return nil
}

// SetSteps changes how many bytes are written between two checkpoints, from [DefaultEvery],
// and how many at once, from 4 MiB. It is called before the log is used.
func (l *Log) SetSteps(every, once int64) { l.steps = [2]int64{every, once} }

func (l *Log) every() int64 {
	if l.steps[0] > 0 {
		return l.steps[0]
	}
	return DefaultEvery
}

func (l *Log) once() int64 {
	if l.steps[1] > 0 {
		return l.steps[1]
	}
	return writeOnce
}
