package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// Options of a [Recorder]. Zero fields take the defaults named.
type Options struct {
	Title   string           // first note of the recording: versions, board; no design data
	Limit   int64            // most bytes of recording: 64 MiB; what follows is not recorded
	Clock   func() time.Time // time.Now
	Printer bool             // the port is the printer's end: what is read from it was sent by the host
}

// Recorder is a port that records what passes. Reading, writing and closing go to
// the port it wraps, and so do Reset and deadlines where that has them. Its methods
// may be called from any goroutine, as those of the port. Design data is kept in
// memory for the last 64 commands and is wiped by Close; none reaches the writer.
type Recorder struct {
	port  io.ReadWriteCloser
	opt   Options
	start time.Time

	ending sync.Once
	closed error

	more    chan struct{} // has room for one: there is something to write
	stop    chan struct{} // closed: what there is, is all
	written chan struct{} // closed: all of it was written

	mu     sync.Mutex
	out    []byte // of the recording, not written yet
	left   int64
	err    error
	scrub  scrubber
	tx, rx side
}

// side is the text of one direction that has no line end yet.
type side struct {
	line [512]byte
	n    int
	over bool // the line is longer; what came before is recorded as text
}

// Defaults of Options.
const (
	defaultLimit = 64 << 20
	writeEvery   = time.Second // a recording may end with the process
	maxWaiting   = 4 << 20     // bytes that may wait for a slow writer
)

var errSlow = errors.New("what takes the recording is too slow")

// Record wraps port, and records to w what passes until Close. Writing to w is done
// aside, so that a slow disk holds up neither the port nor a halt; a write that fails, or
// takes too long, ends the recording and leaves the port alone. The caller closes w after
// the recorder.
func Record(port io.ReadWriteCloser, w io.Writer, opt Options) *Recorder {
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	if opt.Limit <= 0 {
		opt.Limit = defaultLimit
	}
	r := &Recorder{
		port: port, opt: opt, start: opt.Clock(), left: opt.Limit,
		more: make(chan struct{}, 1), stop: make(chan struct{}), written: make(chan struct{}),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(Event{Dir: Note, Text: opt.Title})
	go r.drain(w)
	return r
}

// drain writes what was recorded until Close.
func (r *Recorder) drain(w io.Writer) {
	defer close(r.written)
	var spare []byte
	for stopped := false; !stopped; {
		select {
		case <-r.more:
			pause := time.NewTimer(writeEvery)
			select {
			case <-pause.C:
			case <-r.stop:
				pause.Stop()
				stopped = true
			}
		case <-r.stop:
			stopped = true
		}
		r.mu.Lock()
		full := r.out
		r.out = spare[:0]
		r.mu.Unlock()
		if len(full) > 0 {
			if _, err := w.Write(full); err != nil {
				r.mu.Lock()
				r.fail(err)
				r.mu.Unlock()
			}
		}
		spare = full
	}
}

// Read reads from the port.
func (r *Recorder) Read(p []byte) (int, error) {
	n, err := r.port.Read(p)
	if n > 0 {
		r.pass(p[:n], r.opt.Printer)
	}
	return n, err
}

// Write records p and writes it to the port: what is said to it stands before the
// answer, also if the port then takes less.
func (r *Recorder) Write(p []byte) (int, error) {
	r.pass(p, !r.opt.Printer)
	return r.port.Write(p)
}

// Close ends the recording, closes the port and returns the first error of either.
// What the port says while it closes is recorded by nobody.
func (r *Recorder) Close() error {
	r.ending.Do(func() {
		err := r.port.Close()
		r.mu.Lock()
		r.rest(&r.tx, Sent)
		r.rest(&r.rx, Heard)
		r.mu.Unlock()
		close(r.stop)
		<-r.written
		r.mu.Lock()
		defer r.mu.Unlock()
		r.closed = errors.Join(err, r.err)
		r.err = os.ErrClosed
		r.scrub.wipe()
		clear(r.tx.line[:])
		clear(r.rx.line[:])
	})
	return r.closed
}

// Reset resets the controller as the port does.
func (r *Recorder) Reset() error {
	p, ok := r.port.(interface{ Reset() error })
	if !ok {
		return fmt.Errorf("reset controller: %w", errors.ErrUnsupported)
	}
	r.mu.Lock()
	r.write(Event{At: r.now(), Dir: Control, Text: "reset"})
	r.mu.Unlock()
	return p.Reset()
}

// SetReadDeadline sets the deadline of the port, or is os.ErrNoDeadline if that has
// none.
func (r *Recorder) SetReadDeadline(t time.Time) error {
	if p, ok := r.port.(interface{ SetReadDeadline(time.Time) error }); ok {
		return p.SetReadDeadline(t)
	}
	return os.ErrNoDeadline
}

// SetDeadline sets the deadline of the port, or is os.ErrNoDeadline if that has none.
func (r *Recorder) SetDeadline(t time.Time) error {
	if p, ok := r.port.(interface{ SetDeadline(time.Time) error }); ok {
		return p.SetDeadline(t)
	}
	return os.ErrNoDeadline
}

// WriteNow writes what fits without waiting: nothing if the port cannot do that.
func (r *Recorder) WriteNow(b []byte) (int, error) {
	p, ok := r.port.(interface{ WriteNow([]byte) (int, error) })
	if !ok {
		return 0, nil
	}
	r.mu.Lock() // no answer is recorded before
	defer r.mu.Unlock()
	n, err := p.WriteNow(b)
	if n > 0 {
		r.take(b[:n], !r.opt.Printer)
	}
	return n, err
}

// Own tells the port that the calling goroutine alone reads, if it wants to know.
func (r *Recorder) Own() {
	if p, ok := r.port.(interface{ Own() }); ok {
		p.Own()
	}
}

// SyscallConn is that of the port, for who wants to poll it.
func (r *Recorder) SyscallConn() (syscall.RawConn, error) {
	if p, ok := r.port.(syscall.Conn); ok {
		return p.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

func (r *Recorder) now() time.Duration { return r.opt.Clock().Sub(r.start) }

// pass records bytes that have passed.
func (r *Recorder) pass(b []byte, sent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.take(b, sent)
}

func (r *Recorder) take(b []byte, sent bool) {
	if r.err != nil {
		return
	}
	side, dir := &r.rx, Heard
	if sent {
		side, dir = &r.tx, Sent
	}
	for len(b) > 0 {
		if sent && side.n == 0 && !side.over && realtime(b[0]) {
			r.write(Event{At: r.now(), Dir: Sent, Text: string(b[:1])})
			b = b[1:]
			continue
		}
		end := bytes.IndexByte(b, '\n')
		part := b
		if end >= 0 {
			part = b[:end+1]
		}
		b = b[len(part):]
		r.add(side, dir, part)
	}
}

// realtime reports whether c is a command of one byte to grbl. No line of any
// dialect begins with one of them.
func realtime(c byte) bool {
	return c == '?' || c == '!' || c == '~' || c == 0x18 || c >= 0x80 && c <= 0xa4
}

// add takes bytes up to a line end.
func (r *Recorder) add(s *side, dir Direction, part []byte) {
	ended := part[len(part)-1] == '\n'
	if s.n+len(part) > len(s.line) {
		r.text(dir, s.line[:s.n])
		s.n, s.over = 0, true
	}
	if s.over {
		r.text(dir, part)
		s.over = !ended
		return
	}
	s.n += copy(s.line[s.n:], part)
	if ended {
		r.line(dir, s.line[:s.n])
		s.n = 0
	}
}

// line records a whole line.
func (r *Recorder) line(dir Direction, b []byte) {
	body := bytes.TrimRight(b, "\r\n")
	var out []byte
	if dir == Sent {
		out = r.scrub.line(nil, body)
	} else {
		out = r.scrub.reply(nil, body)
	}
	r.write(Event{At: r.now(), Dir: dir, Text: string(append(out, b[len(body):]...))})
}

// text records bytes of which nothing is known.
func (r *Recorder) text(dir Direction, b []byte) {
	if len(b) > 0 {
		r.write(Event{At: r.now(), Dir: dir, Text: string(r.scrub.text(nil, b))})
	}
}

// rest records the half line that a side has.
func (r *Recorder) rest(s *side, dir Direction) {
	r.text(dir, s.line[:s.n])
	s.n, s.over = 0, false
}

func (r *Recorder) write(e Event) {
	if r.err != nil || r.left < 0 {
		return
	}
	if len(r.out) > maxWaiting {
		r.fail(errSlow)
		return
	}
	before := len(r.out)
	r.out = Append(r.out, e)
	if r.left -= int64(len(r.out) - before); r.left < 0 {
		r.out = Append(r.out[:before], Event{At: e.At, Dir: Note, Text: "the recording is full"})
	}
	select {
	case r.more <- struct{}{}:
	default: // it knows
	}
}

func (r *Recorder) fail(err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("record conversation: %w", err)
	}
}
