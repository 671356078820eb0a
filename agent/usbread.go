package agent

import (
	"context"
	"io"
	"os"

	"platen/agent/intake/stick"
)

// errSlowStick is of a stick of which nothing more came in the time it was given.
var errSlowStick = &refusal{"usb-slow", "the stick does not answer: pull it out, and use another one"}

// inTime returns what f does, or errSlowStick once ctx has ended: a stick that hangs holds a
// system call for as long as it likes, and nothing can end that. Then late is given what f
// returns, whenever that is. It is the one goroutine here that nobody waits for; none follows it,
// as long as it has the stick.
func inTime[T any](ctx context.Context, f func() (T, error), late func(T)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result)
	go func() {
		v, err := f()
		select {
		case done <- result{v, err}:
		case <-ctx.Done():
			late(v)
		}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, errSlowStick
	}
}

// opened is what stick.Device.Open returns.
type opened struct {
	file         *os.File
	size, sector int64
}

// openInTime opens a stick.
func openInTime(ctx context.Context, d stick.Device) (opened, error) {
	return inTime(ctx, func() (o opened, err error) {
		o.file, o.size, o.sector, err = d.Open()
		return o, err
	}, func(o opened) {
		if o.file != nil {
			o.file.Close()
		}
	})
}

// punctual reads from a stick; a read ends with ctx.
type punctual struct {
	ctx context.Context
	r   io.ReaderAt
}

// ReadAt reads into memory of its own first: a read that nobody waits for any more may still
// write to it.
func (p punctual) ReadAt(to []byte, off int64) (int, error) {
	got, err := inTime(p.ctx, func() ([]byte, error) {
		b := make([]byte, len(to))
		n, err := p.r.ReadAt(b, off)
		return b[:n], err
	}, func([]byte) {})
	return copy(to, got), err
}
