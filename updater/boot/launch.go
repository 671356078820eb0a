package boot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"platen/updater/slot"
)

// ExitRestart is the exit code by which the agent asks its launcher to start it
// again at once, usually into the slot it has just put on trial.
const ExitRestart = 75

// ErrNothing reports that neither slot holds what the record says and that there is
// no factory binary to run instead.
var ErrNothing = errors.New("nothing to start: neither slot is intact and no factory binary is given; install a release")

// LaunchConfig is what the launcher works with. Dir is needed; zero values elsewhere
// stand for the defaults.
type LaunchConfig struct {
	Dir     string   // folder of the slots
	Factory string   // binary that runs if neither slot can; "" for none
	Args    []string // arguments of the child, without its name
	Env     []string // environment of the child; nil: the launcher's own

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	ExtraFiles     []*os.File // become the child's descriptors 3 and up

	// Measure is told what is about to run, before it starts, whenever that changes:
	// the SHA-256 of the binary, and its slot. A failure is logged; it is not a reason
	// to leave a printer without firmware, and whoever verifies will miss the entry.
	Measure func(digest [32]byte, n slot.Name) error

	// Root, if the root file system is updated as well, is brought in line with the slot
	// that starts, by restarts of the board: Reboot is told what the restart has to be told,
	// and returns once it is under way.
	Root   *Root
	Reboot func(ctx context.Context, arg string) error
	Boot   [16]byte // names this start of the board; zero: the kernel's boot id

	ConfirmTimeout time.Duration // a release on trial has to be confirmed in it; 5 min
	StopGrace      time.Duration // from SIGTERM to SIGKILL; 20 s
	Backoff        time.Duration // before the second start after a crash, doubles up to 60 s; 1 s
	Logger         *slog.Logger  // nil: none
}

func (c LaunchConfig) defaults() LaunchConfig {
	if c.ConfirmTimeout <= 0 {
		c.ConfirmTimeout = 5 * time.Minute
	}
	if c.StopGrace <= 0 {
		c.StopGrace = 20 * time.Second
	}
	if c.Backoff <= 0 {
		c.Backoff = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	if c.Boot == [16]byte{} {
		c.Boot = bootID()
	}
	return c
}

const (
	maxBackoff   = 60 * time.Second
	rebootWithin = 5 * time.Minute // from the order to restart to the end of everything
	healthyAfter = time.Minute     // a run this long resets the backoff
)

// Run starts the right binary and keeps one running until ctx ends or the child ends
// with exit code 0; then it returns nil. It returns ErrNothing if there is nothing
// to start. The child has a process group of its own, gets SIGTERM when ctx ends or
// the launcher dies, and every SIGHUP, SIGUSR1 and SIGUSR2 that the launcher gets.
func Run(ctx context.Context, cfg LaunchConfig) error {
	cfg = cfg.defaults()
	dir, err := slot.OpenDir(cfg.Dir, "a", "b")
	if err != nil {
		return err
	}
	defer dir.Close()
	// The child's parent-death signal follows the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if cfg.Root != nil && cfg.Reboot == nil {
		return errors.New("a launcher of root file systems needs a way to restart the board")
	}
	l := &launcher{cfg: cfg, fs: dir, log: slot.NewLog(dir), wait: cfg.Backoff}
	l.signals = make(chan os.Signal, 8)
	signal.Notify(l.signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(l.signals)
	for {
		done, err := l.once(ctx)
		if done || err != nil {
			return err
		}
	}
}

type launcher struct {
	cfg      LaunchConfig
	fs       slot.FS
	log      *slot.Log
	signals  chan os.Signal
	skip     []slot.Name // confirmed slots that could not be started
	measured [32]byte    // the last digest given to Measure
	wait     time.Duration
}

// once picks, starts and awaits one child; done says that the launcher's work ends.
func (l *launcher) once(ctx context.Context) (done bool, err error) {
	c := Pick(l.fs, l.cfg.Logger, l.skip...)
	if c.Slot == slot.None {
		if c, err = factory(l.cfg.Factory); err != nil {
			return true, err
		}
	}
	defer c.Close()
	if ctx.Err() != nil {
		return l.after(ctx, c, ending{code: -1})
	}
	if again, done := l.align(ctx, c); again {
		return done, nil
	}
	l.measure(c)
	run, err := l.start(c)
	if err != nil {
		return l.notStarted(ctx, c, err)
	}
	end := l.await(ctx, run, c)
	l.cfg.Logger.Info("agent ended", "slot", c.Slot.String(), "exit_code", end.code,
		"timed_out", end.timedOut, "ran_s", int(end.ran.Seconds()))
	return l.after(ctx, c, end)
}

// align gets the root file system of the choice running; again says that this start ends
// here, done that the launcher's work does.
func (l *launcher) align(ctx context.Context, c Choice) (again, done bool) {
	if l.cfg.Root == nil {
		return false, false
	}
	turn, arg, err := l.cfg.Root.Align(c, l.cfg.Boot)
	if err != nil {
		l.cfg.Logger.Error("root file system out of line", "slot", c.Slot.String(), "reason", err.Error())
	}
	switch turn {
	case PickAgain:
		return true, err != nil && l.pause(ctx)
	case Reboot:
		l.cfg.Logger.Info("board restarts into the other root file system", "slot", c.Slot.String(), "release", c.Entry.Release)
		if err := l.cfg.Reboot(ctx, arg); err != nil && ctx.Err() == nil { // the shutdown may end it, as us
			l.cfg.Logger.Error("board does not restart", "reason", err.Error())
			return true, l.pause(ctx)
		}
		select {
		case <-ctx.Done(): // told to end by the shutdown
			return true, true
		case <-time.After(rebootWithin):
			return true, false
		}
	}
	return false, false
}

// after decides what the end of a child means.
func (l *launcher) after(ctx context.Context, c Choice, end ending) (done bool, err error) {
	stopped := ctx.Err() != nil && !end.timedOut
	if c.Trial {
		rec, err := l.log.Update(func(r *slot.Record) error {
			switch {
			case r.Trying != c.Slot: // confirmed meanwhile
			case stopped:
				r.Tries++ // stopped on purpose: this start does not count
			case end.timedOut:
				r.FallBack(slot.Late)
			default:
				r.FallBack(slot.Crashed)
			}
			return nil
		})
		if err != nil {
			l.cfg.Logger.Error("end of trial cannot be recorded", "slot", c.Slot.String(), "reason", err.Error())
			return stopped || l.pause(ctx), nil
		}
		if !stopped && rec.Active != c.Slot {
			l.cfg.Logger.Warn("release failed its trial", "slot", c.Slot.String(), "release", c.Entry.Release)
			return false, nil
		}
	}
	if stopped || end.code == 0 {
		return true, nil
	}
	if end.ran >= healthyAfter {
		l.wait = l.cfg.Backoff
	}
	if end.code == ExitRestart && l.pending(c.Slot) {
		return false, nil
	}
	return l.pause(ctx), nil
}

// pending reports whether another slot than n waits for its trial.
func (l *launcher) pending(n slot.Name) bool {
	rec, err := l.log.Load()
	return err == nil && rec.Trying != slot.None && rec.Trying != n
}

// pause waits the backoff and reports whether ctx ended in it.
func (l *launcher) pause(ctx context.Context) bool {
	t := time.NewTimer(l.wait)
	defer t.Stop()
	l.wait = min(2*l.wait, maxBackoff)
	select {
	case <-ctx.Done():
		return true
	case <-t.C:
		return false
	}
}

// notStarted handles a binary the system refuses to execute.
func (l *launcher) notStarted(ctx context.Context, c Choice, err error) (bool, error) {
	l.cfg.Logger.Error("agent not started", "slot", c.Slot.String(), "reason", err.Error())
	switch {
	case c.Slot == slot.None:
		return true, fmt.Errorf("start factory binary: %w", err)
	case c.Trial:
		_, err := l.log.Update(func(r *slot.Record) error {
			if r.Trying == c.Slot {
				r.FallBack(slot.NotStarted)
			}
			return nil
		})
		if err != nil {
			l.cfg.Logger.Error("end of trial cannot be recorded", "slot", c.Slot.String(), "reason", err.Error())
			return l.pause(ctx), nil
		}
		return false, nil
	}
	l.skip = append(l.skip, c.Slot)
	return false, nil
}

func (l *launcher) measure(c Choice) {
	if l.cfg.Measure == nil || c.Entry.Digest == l.measured {
		return
	}
	if err := l.cfg.Measure(c.Entry.Digest, c.Slot); err != nil {
		l.cfg.Logger.Error("agent could not be measured", "slot", c.Slot.String(), "reason", err.Error())
		return
	}
	l.measured = c.Entry.Digest
}

// factory opens and hashes the factory binary.
func factory(path string) (Choice, error) {
	if path == "" {
		return Choice{}, ErrNothing
	}
	f, err := os.Open(path)
	if err != nil {
		return Choice{}, fmt.Errorf("open factory binary: %w", err)
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return Choice{}, fmt.Errorf("read factory binary: %w", errors.Join(err, f.Close()))
	}
	return Choice{Entry: slot.Slot{Size: uint64(n), Digest: [32]byte(h.Sum(nil))}, file: factoryFile{f}}, nil
}

// factoryFile makes a file of the system a slot.File; nobody writes it.
type factoryFile struct{ *os.File }

func (f factoryFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// environ is the child's environment: the given one, with the slot it runs from.
func environ(env []string, n slot.Name) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(s string) bool { return strings.HasPrefix(s, EnvSlot+"=") })
	return append(env, EnvSlot+"="+n.String())
}
