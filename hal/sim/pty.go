//go:build linux

package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// OpenPTY makes a pseudo terminal whose slave, at the path it returns, is the
// serial port of a simulated printer; the master is the rw of [Printer.Serve]. The
// slave is raw, and stays so. Hosts may open and close it as often as they like,
// one after the other; Serve sees each of them come. Closing the master ends it.
func OpenPTY() (master *os.File, slave string, err error) {
	// O_NONBLOCK is what os.OpenFile sets as well, once it polls the file.
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", fmt.Errorf("making a pseudo terminal: %w", err)
	}
	var n int
	err = onDescriptor(master, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err == nil {
		slave = fmt.Sprintf("/dev/pts/%d", n)
		err = makeRaw(slave)
	}
	if err != nil {
		master.Close() // nothing was written to it
		return nil, "", fmt.Errorf("making a pseudo terminal: %w", err)
	}
	return master, slave, nil
}

// makeRaw opens and closes the slave, which turns echo and line editing off for
// every later opener, and lets the master see that no host is there.
func makeRaw(slave string) error {
	f, err := os.OpenFile(slave, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer f.Close() // nothing was written to it
	return onDescriptor(f, func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		return unix.IoctlSetTermios(fd, unix.TCSETS, t)
	})
}

// onDescriptor runs do on the descriptor of f without taking it from the poller.
func onDescriptor(f syscall.Conn, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// hostGone reports the error of a pty that no host has open.
func hostGone(err error) bool { return errors.Is(err, syscall.EIO) }

// awaitHost waits, after a read failed with err, until a host opens the pty again.
// It returns false if the line has ended for good.
func awaitHost(ctx context.Context, rw io.ReadWriter, err error) bool {
	f, ok := rw.(syscall.Conn)
	if !ok || !hostGone(err) {
		return false
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		gone, err := hungUp(f)
		if err != nil {
			return false
		}
		if !gone {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// hungUp reports whether no host has the pty open.
func hungUp(f syscall.Conn) (bool, error) {
	gone := false
	err := onDescriptor(f, func(fd int) error {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		_, err := unix.Poll(p, 0)
		gone = err != nil || p[0].Revents&unix.POLLHUP != 0
		return err
	})
	if errors.Is(err, syscall.EINTR) {
		return true, nil // asked again soon
	}
	return gone, err
}

// absent reports whether rw is a pty that no host has open yet.
func absent(rw io.ReadWriter) bool {
	f, ok := rw.(syscall.Conn)
	if !ok {
		return false
	}
	gone, err := hungUp(f)
	return err == nil && gone
}
