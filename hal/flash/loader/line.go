package loader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// slice is the longest wait between two looks at the context.
const slice = 200 * time.Millisecond

// maxBuffered bounds what is kept of bytes that make no message.
const maxBuffered = 4096

// Line reads messages from a port that may lose, damage and invent bytes.
type Line struct {
	Port Port
	buf  []byte
	room [512]byte
}

// NewLine returns a Line that reads from and writes to p.
func NewLine(p Port) *Line { return &Line{Port: p} }

// Split looks for a message at the beginning of buf: the first skip bytes belong to
// none, the size bytes after them are one; size 0 means that more has to come.
type Split func(buf []byte) (skip, size int)

// What the function of [Framed] says of bytes that are no whole message.
const (
	None = 0
	More = -1
)

// Framed is the Split of messages in frames. Of bytes, at least one, that a message may
// begin with, whole says how long it is, None if none begins there, More if that takes
// more bytes to tell.
func Framed(whole func(b []byte) int) Split {
	return func(buf []byte) (skip, size int) {
		for ; skip < len(buf); skip++ {
			switch n := whole(buf[skip:]); n {
			case None:
			case More:
				return skip, 0
			default:
				return skip, n
			}
		}
		return skip, 0
	}
}

// Send writes one request.
func (l *Line) Send(p []byte) error {
	if _, err := l.Port.Write(p); err != nil {
		return fmt.Errorf("write to the bootloader: %w", err)
	}
	return nil
}

// Message reads until split finds a message, which is valid until the next call, or
// within has passed: then the error is ErrLine.
func (l *Line) Message(ctx context.Context, within time.Duration, split Split) ([]byte, error) {
	end := time.Now().Add(within)
	for {
		skip, size := split(l.buf)
		l.buf = l.buf[min(skip, len(l.buf)):]
		if size > 0 {
			m := l.buf[:size]
			l.buf = l.buf[size:]
			return m, nil
		}
		if len(l.buf) > maxBuffered {
			l.buf = l.buf[:0]
		}
		if err := l.more(ctx, end); err != nil {
			return nil, err
		}
	}
}

// Bytes reads exactly len(p) bytes within a time, or fails with ErrLine.
func (l *Line) Bytes(ctx context.Context, within time.Duration, p []byte) error {
	m, err := l.Message(ctx, within, func(buf []byte) (int, int) {
		if len(buf) < len(p) {
			return 0, 0
		}
		return 0, len(p)
	})
	copy(p, m)
	return err
}

// Drain throws away what has come and comes until the line was quiet for a time, for
// at most ten times as long.
func (l *Line) Drain(ctx context.Context, quiet time.Duration) error {
	stop := time.Now().Add(10 * quiet)
	for time.Now().Before(stop) {
		l.buf = l.buf[:0]
		if err := l.more(ctx, time.Now().Add(quiet)); errors.Is(err, ErrLine) {
			return nil
		} else if err != nil {
			return err
		}
	}
	l.buf = l.buf[:0]
	return nil
}

// more reads at least one byte until end.
func (l *Line) more(ctx context.Context, end time.Time) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := time.Now()
		if !now.Before(end) {
			return ErrLine
		}
		next := now.Add(slice)
		if end.Before(next) {
			next = end
		}
		if err := l.Port.SetReadDeadline(next); err != nil {
			return fmt.Errorf("read from the bootloader: %w", err)
		}
		n, err := l.Port.Read(l.room[:])
		if n > 0 {
			l.buf = append(l.buf, l.room[:n]...)
			return nil
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("read from the bootloader: %w", err)
		}
	}
}

// Pause waits, or returns the context's error when that ends first.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Blank reports whether p is what erased flash reads as.
func Blank(p []byte) bool {
	for _, b := range p {
		if b != 0xff {
			return false
		}
	}
	return true
}
