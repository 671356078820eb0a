//go:build linux

package bootloader

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ServePTY runs the chip on the master of a pseudo terminal. Opening the slave resets
// it, as DTR does on most boards: with boot high, if rom, as on a board that has BOOT0 tied
// to DTR. A host may close the slave and open it again. It returns when ctx ends, or the
// power fails (ErrCut), and leaves the master open.
func (c *Chip) ServePTY(ctx context.Context, master *os.File, rom bool) error {
	// A host that does not read must not hold up the end.
	unblock := context.AfterFunc(ctx, func() { master.SetWriteDeadline(time.Unix(1, 0)) })
	defer unblock()
	for {
		if err := awaitHost(ctx, master); err != nil {
			return err
		}
		c.romAtStart = rom
		err := c.Serve(ctx, &session{f: master})
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// session is the master while one host has the slave open.
type session struct{ f *os.File }

func (s *session) Read(p []byte) (int, error) {
	n, err := s.f.Read(p)
	if errors.Is(err, syscall.EIO) {
		err = io.EOF
	}
	return n, err
}

func (s *session) Write(p []byte) (int, error) { return s.f.Write(p) }

// Close ends a read that is under way.
func (s *session) Close() error { return s.f.SetReadDeadline(time.Unix(1, 0)) }

// awaitHost waits until a host has opened the slave.
func awaitHost(ctx context.Context, master *os.File) error {
	if err := master.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	raw, err := master.SyscallConn()
	if err != nil {
		return err
	}
	for {
		here := false
		err := raw.Control(func(fd uintptr) {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			_, err := unix.Poll(p, 0)
			here = err == nil && p[0].Revents&unix.POLLHUP == 0
		})
		if err != nil {
			return err
		}
		if here {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
