package bootloader

import (
	"io"
	"os"
	"sync"
	"time"
)

// Pipe returns the two ends of a line in memory. Writes never wait.
func Pipe() (host, chip *End) {
	a, b := newQueue(), newQueue()
	return &End{in: a, out: b}, &End{in: b, out: a}
}

// End is one end of a line: what is written to it is read at the other.
type End struct {
	in, out *queue

	mu       sync.Mutex
	deadline time.Time
}

// queue is one direction.
type queue struct {
	mu     sync.Mutex
	buf    []byte
	closed bool
	more   chan struct{} // has room for one
}

func newQueue() *queue { return &queue{more: make(chan struct{}, 1)} }

// maxQueue bounds a direction; nobody who waits for answers comes near it.
const maxQueue = 1 << 20

func (q *queue) write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.buf)+len(p) > maxQueue {
		return 0, io.ErrClosedPipe
	}
	q.buf = append(q.buf, p...)
	q.wake()
	return len(p), nil
}

func (q *queue) wake() {
	select {
	case q.more <- struct{}{}:
	default: // it is awake already
	}
}

// take returns what has come; done reports that there will be nothing.
func (q *queue) take(p []byte) (n int, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = copy(p, q.buf)
	q.buf = q.buf[n:]
	if len(q.buf) > 0 || q.closed {
		q.wake()
	}
	return n, q.closed && n == 0
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake()
}

// Read reads at least one byte. It ends with os.ErrDeadlineExceeded after the deadline
// and io.EOF when either end was closed.
func (e *End) Read(p []byte) (int, error) {
	e.mu.Lock()
	deadline := e.deadline
	e.mu.Unlock()
	var timeout <-chan time.Time
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		timeout = t.C
	}
	for {
		n, done := e.in.take(p)
		if n > 0 {
			return n, nil
		}
		if done {
			return 0, io.EOF
		}
		select {
		case <-e.in.more:
		case <-timeout:
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// Write writes all of p at once.
func (e *End) Write(p []byte) (int, error) { return e.out.write(p) }

// SetReadDeadline is for the reads that begin after it.
func (e *End) SetReadDeadline(t time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deadline = t
	return nil
}

// Close ends both directions.
func (e *End) Close() error {
	e.in.close()
	e.out.close()
	return nil
}
