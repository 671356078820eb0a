package serial

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// reader is the descriptor that reads. It blocks in the kernel; see the package comment.
type reader struct {
	reading sync.Mutex   // held by read, and by close to wait for its end
	fd      int          // -1 until it is open; changed only with both mutexes held
	thread  atomic.Int32 // that may be in the kernel's read; 0 is none
	owned   bool         // it is always the same; as reading

	mu       sync.Mutex
	deadline time.Time // zero is never
	timer    *time.Timer
	ended    bool // the deadline has passed: the descriptor does not block
	closed   bool
}

// open opens the device a second time and makes sure that it is the one behind fd.
func (r *reader) open(device string, fd int) error {
	in, err := openTTY(device, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open for reading: %w", err)
	}
	var a, b unix.Stat_t
	err = unix.Fstat(fd, &a)
	if err == nil {
		err = unix.Fstat(in, &b)
	}
	if err == nil && a.Rdev != b.Rdev {
		err = unix.ENODEV
	}
	if err == nil {
		err = unix.SetNonblock(in, false)
	}
	if err != nil {
		unix.Close(in) // nothing was written to it
		return fmt.Errorf("open for reading: %w", err)
	}
	r.fd = in
	return nil
}

// read reads at least one byte, or says why not.
func (r *reader) read(b []byte) (int, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	if r.fd < 0 {
		return 0, os.ErrClosed
	}
	if len(b) == 0 {
		return 0, nil
	}
	if !r.owned {
		runtime.LockOSThread() // interrupt means this thread
		defer runtime.UnlockOSThread()
		// The thread is known before the kernel looks whether the descriptor blocks, and
		// interrupt looks for it after it has changed that: whichever comes first, the read
		// ends.
		r.thread.Store(int32(unix.Gettid()))
		defer r.thread.Store(0)
	}
	for {
		n, err := unix.Read(r.fd, b)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err == unix.EAGAIN:
			return 0, r.why()
		case err != unix.EINTR:
			return 0, err
		}
	}
}

// own has the thread of the caller be the one that reads, for ever.
func (r *reader) own() {
	r.reading.Lock()
	defer r.reading.Unlock()
	r.thread.Store(int32(unix.Gettid()))
	r.owned = true
}

// why is why a read did not block.
func (r *reader) why() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return os.ErrClosed
	}
	return os.ErrDeadlineExceeded
}

// interrupt ends a read that is under way, and those to come. r.mu is held.
func (r *reader) interrupt() error {
	if err := unix.SetNonblock(r.fd, true); err != nil {
		return err
	}
	if tid := r.thread.Load(); tid != 0 {
		// A thread that has gone reads no more.
		_ = unix.Tgkill(os.Getpid(), int(tid), unix.SIGURG)
	}
	return nil
}

func (r *reader) setDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.fd < 0 {
		return os.ErrClosed
	}
	r.deadline = t
	var wait time.Duration
	if !t.IsZero() {
		if wait = time.Until(t); wait <= 0 {
			return r.end()
		}
	}
	if r.ended {
		if err := unix.SetNonblock(r.fd, false); err != nil {
			return err
		}
		r.ended = false
	}
	switch {
	case t.IsZero():
		if r.timer != nil {
			r.timer.Stop()
		}
	case r.timer == nil:
		r.timer = time.AfterFunc(wait, r.expire)
	default:
		r.timer.Reset(wait)
	}
	return nil
}

// end ends reads because of the deadline. r.mu is held.
func (r *reader) end() error {
	if r.ended {
		return nil
	}
	r.ended = true
	return r.interrupt()
}

// expire is called by the timer, perhaps late: the deadline may be another by then.
func (r *reader) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.deadline.IsZero() {
		return
	}
	if left := time.Until(r.deadline); left > 0 {
		r.timer.Reset(left)
		return
	}
	_ = r.end() // of a descriptor that is open nothing else is asked than its flags
}

// close ends a read that is under way, waits for it, and closes the descriptor. The
// second time it returns os.ErrClosed.
func (r *reader) close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return os.ErrClosed
	}
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
	if r.fd >= 0 {
		_ = r.interrupt() // as in expire
	}
	r.mu.Unlock()
	r.reading.Lock()
	defer r.reading.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fd < 0 {
		return nil
	}
	fd := r.fd
	r.fd = -1
	return unix.Close(fd)
}
