package pid1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/console"
	"platen/agent/pid1/dm"
	"platen/hal/watchdog"
	"platen/updater/slot"
)

const (
	stopTime  = 30 * time.Second // from the order to end to the end of the launcher
	firstWait = time.Second
	maxWait   = 30 * time.Second
	maxStarts = 8               // of a launcher that does not live longWait, before the board restarts
	longWait  = 2 * time.Minute // it lives
	rebootArg = "/run/reboot-arg"
)

// serve installs the first release if the state is new, and keeps the launcher running.
func (b *board) serve() error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGUSR2, unix.SIGINT)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)
	slots, err := hasSlots(configFile)
	if err != nil {
		return err
	}
	if slots {
		if err := b.install(); err != nil {
			return err
		}
	}
	args := []string{platen, "run", "--config", configFile}
	if slots {
		args = []string{platen, "boot", "--config", configFile, "--factory", platen}
	}
	b.aside.args = b.console()
	b.startAside()
	return b.keep(args, signals)
}

func (b *board) startAside() {
	if err := b.aside.start(); err != nil {
		b.say("no console: %v", err)
	}
}

// console is the program that answers at the serial line; nil: none does, unless the
// kernel's command line, which is signed and measured, asks for it.
func (b *board) console() []string {
	if tty := b.cmdline["platen.console"]; tty != "" {
		return []string{"/init", "console", tty}
	}
	return nil
}

// hasSlots reports whether a configuration has the table of updates.
func hasSlots(path string) (bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "[update]" || strings.HasPrefix(line, "[update.") {
			return true, nil
		}
	}
	return false, nil
}

// bootTime is how long the board may take until the agent has the watchdog.
const bootTime = 5 * time.Minute

// armWatchdog starts the watchdog that the configuration names: a start that hangs is ended
// by it, and the bootloader counts a failed one. The agent takes it over.
func (b *board) armWatchdog() error {
	text, err := os.ReadFile(configFile)
	if err != nil {
		return err
	}
	path := watchdogOf(string(text))
	if path == "" {
		return nil
	}
	dog, err := watchdog.Open(path, bootTime)
	if err == nil {
		err = dog.Close() // it runs on
	}
	if err != nil {
		b.say("no watchdog: %v", err)
	}
	return nil
}

// watchdogOf is the key "watchdog" of a configuration, "" if it is not there.
func watchdogOf(text string) string {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		k, v, _ := strings.Cut(line, "=")
		switch k = strings.TrimSpace(k); {
		case strings.HasPrefix(k, "["):
			return ""
		case k == "watchdog":
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

// install puts the image's agent into the first slot, unless a release is there already.
func (b *board) install() error {
	if empty, err := unfilled(slotsDir); err != nil || !empty {
		return err
	}
	cmd := exec.Command(platen, "install", "--config", configFile, "--release", strconv.FormatUint(b.release.number, 10), platen)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install the image's release: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// unfilled reports whether nothing was ever installed in the slots of dir: the record is not
// there, or it is of an install during which the power was cut. With a record that is damaged
// the launcher runs the image's agent, which stages an update.
func unfilled(dir string) (bool, error) {
	d, err := slot.OpenDir(dir)
	if err != nil {
		return false, err
	}
	rec, err := slot.NewLog(d).Load()
	if err = errors.Join(err, d.Close()); errors.Is(err, slot.ErrRecord) {
		return false, nil
	}
	return rec.Active == slot.None && rec.Trying == slot.None, err
}

func start(args []string) (pid int, err error) {
	p, err := os.StartProcess(args[0], args, &os.ProcAttr{Env: []string{"PATH=/", "HOME=/run"}, Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", args[0], err)
	}
	pid = p.Pid // Release forgets it
	return pid, p.Release()
}

// keep starts the launcher, reaps whatever ends, and restarts the board or switches it off
// when it is told to, or when the launcher does not stay.
func (b *board) keep(args []string, signals <-chan os.Signal) error {
	var timer <-chan time.Time
	begun, wait, short := time.Now(), firstWait, 0
	pid, err := start(args)
	if err != nil {
		return err
	}
	b.say("agent started %s", usage("/proc"))
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		b.awaitReady()
	}()
	for {
		select {
		case <-timer:
			timer, begun = nil, time.Now()
			if pid, err = start(args); err != nil {
				return err
			}
		case <-b.aside.again:
			b.startAside()
		case s := <-signals:
			switch s {
			case unix.SIGCHLD:
				ended := reap()
				b.aside.ended(ended)
				status, gone := ended[pid]
				if !gone {
					continue
				}
				pid = 0
				if time.Since(begun) > longWait {
					wait, short = firstWait, 0
				}
				if short++; short >= maxStarts {
					return errors.New("the launcher does not stay")
				}
				b.say("the launcher has ended (%s): started again in %v", status, wait)
				timer, wait = time.After(wait), min(2*wait, maxWait)
			case unix.SIGUSR2:
				b.stop(pid)
				b.down(unix.LINUX_REBOOT_CMD_POWER_OFF, "")
			default:
				arg, _ := os.ReadFile(rebootArg)
				b.stop(pid)
				b.down(unix.LINUX_REBOOT_CMD_RESTART, string(arg))
			}
		}
	}
}

// reap awaits whatever has ended, and says how each of them did.
func reap() map[int]string {
	ended := map[int]string{}
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || got <= 0 {
			return ended
		}
		if ended[got] = fmt.Sprintf("exit code %d", ws.ExitStatus()); ws.Signaled() {
			ended[got] = ws.Signal().String()
		}
	}
}

// stop has the launcher end, which has the agent end.
func (b *board) stop(pid int) {
	if pid <= 1 { // 0: none runs; and never a group, or everybody
		return
	}
	_ = unix.Kill(pid, unix.SIGTERM)
	for end := time.Now().Add(stopTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, gone := reap()[pid]; gone {
			return
		}
	}
	b.say("the launcher does not end: killed")
}

// down ends everything and gives the board to its firmware. It is for process 1 alone: for
// any other, everything is its neighbours.
func (b *board) down(how int, arg string) {
	if os.Getpid() != 1 {
		panic("not process 1")
	}
	if b.renew != nil {
		b.renew()
	}
	_ = unix.Kill(-1, unix.SIGKILL)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); errors.Is(err, unix.ECHILD) {
			break
		}
	}
	unix.Sync()
	for _, at := range []string{slotsDir, stateDir} {
		if err := unix.Unmount(at, 0); err != nil {
			_ = unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_RDONLY, "") // as far as it can be
		}
	}
	_ = dm.Remove("platen-state")
	unix.Sync()
	if arg != "" && how == unix.LINUX_REBOOT_CMD_RESTART {
		_ = restart2(arg)
	}
	_ = unix.Reboot(how)
	select {} // the kernel takes its time
}

// ask tells process 1 to end the board.
func ask(sig unix.Signal, arg string) error {
	if arg != "" {
		if err := os.WriteFile(rebootArg, []byte(arg), 0o600); err != nil {
			return fmt.Errorf("say what the restart is told: %w", err)
		}
	}
	if err := unix.Kill(1, sig); err != nil {
		return fmt.Errorf("ask the init: %w", err)
	}
	return nil
}

// serveConsole answers at a terminal, raw and without echo.
func serveConsole(tty string) error {
	if tty == "" || strings.ContainsAny(tty, "/.") {
		return fmt.Errorf("%q is not a terminal", tty)
	}
	f, err := os.OpenFile("/dev/"+tty, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("%s: %w", tty, err)
	}
	t.Iflag = unix.IGNBRK
	t.Lflag = 0
	t.Oflag = unix.OPOST | unix.ONLCR
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
		return fmt.Errorf("%s: %w", tty, err)
	}
	run := console.Exec(platen, "/run")
	return console.Serve(context.Background(), f, func(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
		if args[0] == "usage" {
			fmt.Fprintln(out, usage("/proc"))
			return 0
		}
		return run(ctx, append([]string{"--config", configFile}, args...), in, out, errs)
	})
}
