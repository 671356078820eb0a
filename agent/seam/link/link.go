// Package link carries seam messages between an agent and a session over a
// SOCK_SEQPACKET socket pair, one message a packet, with at most one descriptor
// beside it. It is all that the two processes share.
//
// The agent makes a [Pair], gives the session its end when it starts it, and both
// sides then [Conn.Send] and [Conn.Receive]. Source: unix(7).
package link

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/seam"
)

// Conn is one end. Receive belongs to one goroutine; Send may be called from any,
// as a packet is written whole or not at all.
type Conn struct {
	f      *os.File
	rc     syscall.RawConn
	closed atomic.Bool
	peer   int // see Peer
	in     [seam.MaxMessage + 1]byte
}

// Pair makes a connected pair: the agent's end, and the session's end as a file to
// be inherited.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making the seam: %w", err)
	}
	c, err := FromFile(os.NewFile(uintptr(fds[0]), "seam"))
	if err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	return c, os.NewFile(uintptr(fds[1]), "seam"), nil
}

// FromFile makes an end of a file that was inherited. It takes the file over.
func FromFile(f *os.File) (*Conn, error) {
	nf, rc, err := pollable(f)
	if err != nil {
		return nil, fmt.Errorf("opening the seam: %w", err)
	}
	return &Conn{f: nf, rc: rc}, nil
}

// pollable makes a file of an inherited socket in which waiting parks a goroutine and
// Close wakes it. It takes the file over.
func pollable(f *os.File) (*os.File, syscall.RawConn, error) {
	// Fd makes a file blocking for the runtime: the descriptor is wrapped anew.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	f.Close()
	if err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, nil, err
	}
	nf := os.NewFile(uintptr(fd), "seam")
	rc, err := nf.SyscallConn()
	if err != nil {
		nf.Close()
		return nil, nil, err
	}
	return nf, rc, nil
}

// Send sends m, with file beside it if it is not nil; the file stays the caller's.
// It waits at most 5 s for a peer that does not read.
func (c *Conn) Send(m seam.Message, file *os.File) error {
	var buf [seam.MaxMessage]byte
	p := seam.Append(buf[:0], m)
	var oob []byte
	if file != nil {
		oob = unix.UnixRights(int(file.Fd()))
	}
	if err := c.f.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return fmt.Errorf("sending over the seam: %w", err)
	}
	var serr error
	err := c.rc.Write(func(fd uintptr) bool {
		serr = unix.Sendmsg(int(fd), p, oob, nil, unix.MSG_NOSIGNAL)
		return serr != unix.EAGAIN
	})
	clear(p)
	if err = errors.Join(err, serr); err != nil {
		return fmt.Errorf("sending over the seam: %w", err)
	}
	return nil
}

// Receive waits for the next message. The file is nil unless one came with it. At
// the end of the peer it returns io.EOF; a packet that is no message is an error
// that matches seam.ErrMessage, after which the next can be received.
func (c *Conn) Receive() (seam.Message, *os.File, error) {
	var n, oobn int
	var rerr error
	oob := make([]byte, unix.CmsgSpace(4)+unix.CmsgSpace(unix.SizeofUcred))
	err := c.rc.Read(func(fd uintptr) bool {
		n, oobn, _, _, rerr = unix.Recvmsg(int(fd), c.in[:], oob, unix.MSG_CMSG_CLOEXEC)
		return rerr != unix.EAGAIN
	})
	if err == nil {
		err = rerr
	}
	if c.closed.Load() || errors.Is(err, unix.ECONNRESET) || err == nil && n == 0 {
		return nil, nil, io.EOF
	}
	if err != nil {
		return nil, nil, fmt.Errorf("receiving from the seam: %w", err)
	}
	file := Descriptor(oob[:oobn])
	c.peer = credentials(oob[:oobn])
	m, err := seam.Parse(c.in[:n])
	clear(c.in[:n])
	if err != nil {
		if file != nil {
			file.Close()
		}
		return nil, nil, err
	}
	return m, file, nil
}

// Descriptor takes the first descriptor out of the control messages that came with
// a packet, nil if there is none; further ones are closed.
func Descriptor(oob []byte) *os.File {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var file *os.File
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if file == nil {
				file = os.NewFile(uintptr(fd), "job")
			} else {
				unix.Close(fd)
			}
		}
	}
	return file
}

// Close closes this end; a Receive that waits returns io.EOF.
func (c *Conn) Close() error {
	c.closed.Store(true)
	return c.f.Close()
}
