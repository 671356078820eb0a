package link

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Door is where a session lets in an agent that comes after the one that started it.
// It is a unix socket at a path: the agent makes it with [Listen], the session has it
// from its agent, and a later agent goes to it with [Knock].
type Door struct {
	f   *os.File
	rc  syscall.RawConn
	own uint32 // user; a confined session cannot ask any more
}

// Listen makes the socket of a door at path, which must be free, mode 0600.
func Listen(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("making the door of sessions: %w", err)
	}
	f := os.NewFile(uintptr(fd), "door")
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	if err == nil {
		err = errors.Join(os.Chmod(path, 0o600), unix.Listen(fd, 1))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("making the door of sessions: %w", err)
	}
	return f, nil
}

// OpenDoor makes a door of a socket that was inherited. It takes the file over.
func OpenDoor(f *os.File) (*Door, error) {
	nf, rc, err := pollable(f)
	if err != nil {
		return nil, fmt.Errorf("opening the door of the session: %w", err)
	}
	return &Door{nf, rc, uint32(os.Getuid())}, nil
}

// Accept waits for an agent, a process of root or of the session's own user, and
// returns the session's end. Others are turned away. Once the door is closed it is
// io.EOF.
func (d *Door) Accept() (*Conn, error) {
	for {
		var fd int
		var aerr error
		err := d.rc.Read(func(l uintptr) bool {
			fd, _, aerr = unix.Accept4(int(l), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return aerr != unix.EAGAIN
		})
		switch {
		case err != nil:
			return nil, io.EOF
		case aerr == unix.ECONNABORTED || aerr == unix.EINTR:
			continue
		case aerr != nil:
			return nil, fmt.Errorf("letting an agent in: %w", aerr)
		}
		peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil || peer.Uid != 0 && peer.Uid != d.own {
			unix.Close(fd)
			continue
		}
		f := os.NewFile(uintptr(fd), "seam")
		rc, err := f.SyscallConn()
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("letting an agent in: %w", err)
		}
		return &Conn{f: f, rc: rc}, nil
	}
}

// Close closes the door; an Accept that waits returns io.EOF.
func (d *Door) Close() error { return d.f.Close() }

// Knock connects to the door at path. The end that it returns knows who is at the other:
// see [Conn.Peer]. ErrNobody says that no session has the door any more.
func Knock(path string) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("knocking at a session: %w", err)
	}
	f := os.NewFile(uintptr(fd), "seam")
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
			return nil, ErrNobody
		}
		return nil, fmt.Errorf("knocking at a session: %w", err)
	}
	rc, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("knocking at a session: %w", err)
	}
	return &Conn{f: f, rc: rc}, nil
}

// ErrNobody reports a door that no session has.
var ErrNobody = errors.New("no session is there")

// Peer is the process that sent the message received last, as the kernel says; 0 if it
// is not known, as at the ends of a pair.
func (c *Conn) Peer() int { return c.peer }

// credentials looks for the process that sent a packet in its control messages.
func credentials(oob []byte) int {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range msgs {
		if u, err := unix.ParseUnixCredentials(&m); err == nil {
			return int(u.Pid)
		}
	}
	return 0
}
