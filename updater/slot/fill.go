package slot

import (
	"crypto/sha256"
	"errors"
	"io"
	"sync/atomic"
)

// DefaultEvery is how many bytes are written between two checkpoints: what at most is
// fetched again after a kill or a power cut.
const DefaultEvery = 16 << 20

// Fill writes the contents of one place, and can go on where an earlier one was
// interrupted. The record's Filling says which place, what it is to hold and how much of
// that is durable; [Log.Begin] makes one.
//
// Its memory does not grow with what is written: 8 MiB. What is written is made durable, and
// read back, while the rest is written, past the page cache where there is a way. So it is
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
	durable func() error // waits until that is so; nil: nothing was
	back    readBack
	spans   chan<- span   // what may be read back; nil: nothing is being read
	reading chan struct{} // closed when all of them were read
	halt    atomic.Bool   // what is not being read yet is not read
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

// WriteOnce is how many bytes are written at once, if nothing else is set.
const WriteOnce = 4 << 20

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

// checkpoint has what was written made durable, once what was so before is.
func (w *Fill) checkpoint() error {
	err := w.settle()
	if err == nil {
		w.begin(func(end int64) error {
			_, err := w.log.Update(func(r *Record) error {
				if f := &r.Filling; f.Kind == w.at.Kind && f.Place == w.at.Place && f.Digest != [32]byte{} {
					f.Done = uint64(end)
				}
				return nil
			})
			return err
		})
	}
	return err
}

// begin has what was written made durable, has then say so, and has it read back, while more
// is written.
func (w *Fill) begin(then func(end int64) error) {
	end := w.done
	w.begun, w.durable = end, startSync(w.f, func() error { return then(end) })
	if w.spans == nil {
		f, spans, done := halting{w.f, &w.halt}, make(chan span, 1), make(chan struct{})
		w.spans, w.reading = spans, done
		go func() { // waitRead waits for it
			defer close(done)
			if err := readSpans(&w.back, f, w.back.at, spans); w.back.err == nil {
				w.back.err = err
			}
		}()
	}
	w.spans <- span{end, w.durable}
}

// settle waits until what was begun last is durable.
func (w *Fill) settle() error {
	if w.durable == nil {
		return nil
	}
	return w.durable()
}

// waitRead waits until all that is durable was read back.
func (w *Fill) waitRead() {
	if w.spans != nil {
		close(w.spans)
		<-w.reading
		w.spans = nil
	}
}

// Keep makes durable what was written, closes the file, and leaves it for another Fill to go
// on with, which reads it back: here nothing is any more. Unless all is true, that leaves out
// what is not written yet.
func (w *Fill) Keep(all bool) error {
	if w.f == nil {
		return nil
	}
	w.halt.Store(true)
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
		w.begin(func(int64) error { return nil })
	}
	w.waitRead()
	if w.err == nil {
		w.err = w.settle()
	}
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
	return WriteOnce
}
