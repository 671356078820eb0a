package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"platen/agent/seam"
	"platen/agent/seam/link"
)

// process is a session's, a child of this agent or not.
type process interface {
	Kill() error
	Wait() error // until it has ended
}

// child is a process that this agent has started.
type child struct{ *exec.Cmd }

// Kill ends it.
func (c child) Kill() error { return c.Process.Kill() }

// orphan is a process that an earlier agent has started, by its pidfd (pidfd_open(2)).
type orphan struct{ fd int }

// Kill ends it.
func (o orphan) Kill() error { return unix.PidfdSendSignal(o.fd, unix.SIGKILL, nil, 0) }

// Wait waits until it has ended. How is not to be known.
func (o orphan) Wait() error {
	defer unix.Close(o.fd)
	for {
		fds := []unix.PollFd{{Fd: int32(o.fd), Events: unix.POLLIN}}
		switch _, err := unix.Poll(fds, -1); {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("waiting for the session of an earlier agent: %w", err)
		}
	}
}

// doors is how the sockets at which sessions are found are named, in the folder of what
// outlives the agent.
const doors = "session-*.sock"

// openDoor finds the session that an earlier agent has left, and makes the socket at
// which the sessions of this one are found. Sockets that nobody has any more are removed.
// It is called before the agent gives up making sockets.
func openDoor(dir string, log *slog.Logger) (door *os.File, found *link.Conn, err error) {
	old, err := filepath.Glob(filepath.Join(dir, doors))
	if err != nil {
		return nil, nil, err
	}
	for _, path := range old {
		c, err := link.Knock(path)
		switch {
		case errors.Is(err, link.ErrNobody):
			os.Remove(path)
		case err != nil:
			log.Warn("a session of an earlier agent cannot be taken over", "error", err.Error())
		case found != nil:
			c.Close()
		default:
			found = c
		}
	}
	path := filepath.Join(dir, "session-"+strconv.Itoa(os.Getpid())+".sock")
	os.Remove(path) // of an earlier boot, or of another process with this number
	door, err = link.Listen(path)
	return door, found, err
}

// adopt looks after the session that an earlier agent has left.
func (s *supervisor) adopt(ctx context.Context) (wasReady bool, err error) {
	conn := s.found
	s.found = nil
	wait, cancel := context.WithTimeout(ctx, s.bounds.exit)
	defer cancel()
	stop := context.AfterFunc(wait, func() { conn.Close() })
	m, f, err := conn.Receive() // a session says who it is as soon as it has let somebody in
	if f != nil {
		f.Close()
	}
	if err != nil || !stop() {
		conn.Close()
		if errors.Is(err, seam.ErrMessage) {
			return false, errors.New("the session that prints is of another release: it goes on by itself, and the printer is free when it has ended")
		}
		return false, wait.Err() // nil: it has ended meanwhile
	}
	fd, err := unix.PidfdOpen(conn.Peer(), 0)
	if err != nil {
		conn.Close()
		return false, fmt.Errorf("taking over the session of an earlier agent: %w", err)
	}
	s.log.Info("took over the session of an earlier agent")
	return s.attend(ctx, conn, orphan{fd}, s.take(m))
}
