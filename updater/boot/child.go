package boot

import (
	"context"
	"errors"
	"fmt"

	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"platen/updater/slot"
)

// ending is how a child ended.
type ending struct {
	code     int // exit code, -1 if a signal ended it
	ran      time.Duration
	timedOut bool // it was stopped because nobody confirmed it in time
}

// child is a running child; done is closed after it was awaited.
type child struct {
	cmd   *exec.Cmd
	begun time.Time
	done  chan struct{}
}

// execFD is the lowest number for the descriptor a binary is executed from: above
// everything a child is given, which os/exec moves around before it executes.
const execFD = 256

// pollEvery is how often the record is looked at for the confirmation.
const pollEvery = 200 * time.Millisecond

// start executes the open file that was hashed, so that nobody can put another one
// in its place in between.
func (l *launcher) start(c Choice) (*child, error) {
	f, ok := c.file.(interface {
		Fd() uintptr
		Name() string
	})
	if !ok {
		return nil, errors.New("the chosen file has no descriptor")
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, execFD)
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor: %w", err)
	}
	defer unix.Close(fd)
	cmd := &exec.Cmd{
		Path:       fmt.Sprintf("/proc/self/fd/%d", fd),
		Args:       append([]string{f.Name()}, l.cfg.Args...),
		Env:        environ(l.cfg.Env, c.Slot),
		Stdin:      l.cfg.Stdin,
		Stdout:     l.cfg.Stdout,
		Stderr:     l.cfg.Stderr,
		ExtraFiles: l.cfg.ExtraFiles,
		// A session that outlives the agent may keep its output open.
		WaitDelay: 2 * time.Second,
		SysProcAttr: &syscall.SysProcAttr{
			Setpgid:   true,
			Pdeathsig: syscall.SIGTERM,
		},
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l.cfg.Logger.Info("agent started", "slot", c.Slot.String(), "release", c.Entry.Release,
		"trial", c.Trial, "pid", cmd.Process.Pid)
	run := &child{cmd: cmd, begun: time.Now(), done: make(chan struct{})}
	go func() {
		defer close(run.done)
		_ = cmd.Wait() // what it says is read from ProcessState
	}()
	return run, nil
}

// await returns once the child has ended and was awaited. It passes signals on,
// stops the child when ctx ends, and when nobody confirms a trial in time.
func (l *launcher) await(ctx context.Context, run *child, c Choice) ending {
	var end ending
	stop := func() <-chan time.Time {
		_ = run.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		return time.After(l.cfg.StopGrace)
	}
	var poll, deadline, kill <-chan time.Time
	if c.Trial {
		ticker := time.NewTicker(pollEvery)
		defer ticker.Stop()
		poll, deadline = ticker.C, time.After(l.cfg.ConfirmTimeout)
	}
	ended := ctx.Done()
	for {
		select {
		case <-run.done:
			end.code, end.ran = run.cmd.ProcessState.ExitCode(), time.Since(run.begun)
			return end
		case s := <-l.signals:
			_ = run.cmd.Process.Signal(s)
		case <-ended:
			ended, kill = nil, stop()
		case <-poll:
			if l.confirmed(c.Slot) {
				poll, deadline = nil, nil
				l.cfg.Logger.Info("release confirmed", "slot", c.Slot.String(), "release", c.Entry.Release)
			}
		case <-deadline:
			poll, deadline = nil, nil
			if kill == nil && !l.confirmed(c.Slot) {
				l.cfg.Logger.Warn("release not confirmed in time", "slot", c.Slot.String(), "release", c.Entry.Release)
				end.timedOut, kill = true, stop()
			}
		case <-kill:
			kill = nil
			_ = run.cmd.Process.Kill()
		}
	}
}

// confirmed reports whether the record says that slot n passed its trial.
func (l *launcher) confirmed(n slot.Name) bool {
	rec, err := l.log.Load()
	return err == nil && rec.Active == n && rec.Trying != n
}

var _ slot.File = factoryFile{}
