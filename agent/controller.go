package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"platen/agent/config"
	"platen/updater"
)

// controller is the motion controller in the eyes of the updater. What it does is done by
// the service commands of this binary, in processes of their own: the agent opens no port.
type controller struct {
	args []string // which controller: board, device, folder of the journal
	dir  string   // for files that only live as long as a command
}

var _ updater.Controller = (*controller)(nil)

// openController is the controller of the configuration, nil if releases do not flash it.
func (a *Agent) openController() *controller {
	c := a.cfg.Update.Controller
	if c == nil {
		return nil
	}
	device := c.Device
	if device == "" {
		device = a.device()
	}
	args := []string{"--board", a.cfg.Board, "--state", journal(a.cfg)}
	if device != "" {
		args = append(args, "--device", device)
	}
	return &controller{args: args, dir: a.cfg.State}
}

// maxReport bounds what a command may print.
const maxReport = 64 << 10

// run runs platen controller and returns what it printed. It ends with the agent.
func (c *controller) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	runtime.LockOSThread() // the parent-death signal follows the thread
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append(append([]string{"controller", name}, args...), c.args...)...)
	cmd.Args[0] = "platen"
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	var out, errs bounded
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("platen controller %s: %w: %s", name, err, lastLine(errs.Bytes()))
	}
	return out.Bytes(), err
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), maxReport-b.Len())])
	return len(p), nil
}

func lastLine(p []byte) string {
	text := strings.TrimSpace(string(p))
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// Installed is the release that the journal says is confirmed, 0 for none.
func (c *controller) Installed(ctx context.Context) (uint64, error) {
	out, failed := c.run(ctx, "status", "-o", "json")
	var r struct {
		Release uint64 `json:"release"`
		Pending bool   `json:"pending"`
	}
	if err := json.Unmarshal(out, &r); err != nil { // it says so of one that is not confirmed, too
		return 0, errors.Join(failed, err)
	}
	if r.Pending {
		return 0, nil
	}
	return r.Release, nil
}

// Install flashes the image read from r.
func (c *controller) Install(ctx context.Context, release uint64, r io.Reader) error {
	return c.withFile(func(f *os.File) error {
		if _, err := io.Copy(f, r); err != nil {
			return err
		}
		_, err := c.run(ctx, "flash", f.Name(), "--yes", "--release", strconv.FormatUint(release, 10))
		return err
	})
}

// Save writes the firmware that is there to w.
func (c *controller) Save(ctx context.Context, w io.Writer) error {
	return c.withFile(func(f *os.File) error {
		if err := os.Remove(f.Name()); err != nil { // the command makes it anew
			return err
		}
		if _, err := c.run(ctx, "save", f.Name()); err != nil {
			return err
		}
		kept, err := os.Open(f.Name())
		if err != nil {
			return err
		}
		defer kept.Close() // only read
		_, err = io.Copy(w, kept)
		return err
	})
}

// withFile lends a file of the state folder.
func (c *controller) withFile(use func(*os.File) error) error {
	name := filepath.Join(c.dir, "controller.tmp")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("making a file for the controller's firmware: %w", err)
	}
	err = errors.Join(use(f), f.Close())
	if gone := os.Remove(name); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// settleTime bounds one try to give the controller its firmware: keeping the old one and
// flashing take minutes each over a slow line.
const settleTime = 15 * time.Minute

// confirmTime is how long a launcher waits for the confirmation of a release that may flash
// the controller first; longer than settleTime and healthTime together.
const confirmTime = settleTime + healthTime + time.Minute

// device is where the controller's firmware is.
func (a *Agent) device() string {
	if a.cfg.Device != "" {
		return a.cfg.Device
	}
	return a.board.Controller.Device
}

// journal is the folder of the journal of controller updates.
func journal(cfg *config.Config) string { return filepath.Join(cfg.State, "controller") }

// settled reports whether the controller has the firmware of this release.
func (a *Agent) settled() bool { return a.updates == nil || a.updates.settled.Load() }

// settle gives the controller the firmware that belongs to the running release. It is
// called before each session is started: until it has succeeded none is, and nothing heats
// or moves.
func (a *Agent) settle(ctx context.Context) error {
	if a.settled() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	stop := a.sup.keepMoving()
	defer stop()
	a.updates.mu.Lock()
	err := a.updates.up.Settle(ctx)
	a.updates.mu.Unlock()
	if err != nil {
		a.updates.tries.Add(1)
		a.updates.unsettled.Store(&err)
		return fmt.Errorf("the controller does not have the firmware of this release: %w", err)
	}
	if err := a.measure(ctx); err != nil {
		return err
	}
	a.updates.settled.Store(true)
	return nil
}

// settling is what is known of the controller's firmware.
type settling struct {
	settled   atomic.Bool
	unsettled atomic.Pointer[error] // why not, since the last try
	tries     atomic.Int32          // that have failed
}

// ConfirmTime is how long the launcher of a configuration waits for a release on trial to
// be confirmed; 0: as long as launchers do.
func ConfirmTime(flashes bool) time.Duration {
	if flashes {
		return confirmTime
	}
	return 0
}
