package an3155

import (
	"context"
	"os"
	"time"

	"platen/hal/flash/loader"
)

// parrot answers each request with some of the bytes it has left, whatever they are.
type parrot struct {
	left, now []byte
	until     time.Time
}

func (p *parrot) Open(context.Context, loader.Mode) (loader.Port, error) { return p, nil }
func (p *parrot) Reset(context.Context, loader.Port, bool) error         { return nil }
func (p *parrot) Close() error                                           { return nil }
func (p *parrot) SetReadDeadline(t time.Time) error                      { p.until = t; return nil }

func (p *parrot) Write(b []byte) (int, error) {
	n := min(len(p.left), 1+int(b[0])%17)
	p.now, p.left = append(p.now, p.left[:n]...), p.left[n:]
	return len(b), nil
}

func (p *parrot) Read(b []byte) (int, error) {
	if len(p.now) == 0 {
		time.Sleep(time.Until(p.until))
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, p.now)
	p.now = p.now[n:]
	return n, nil
}
