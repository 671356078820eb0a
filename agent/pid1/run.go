package pid1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Places in the root.
const (
	platen     = "/platen"
	configDir  = "/etc/platen"
	configFile = configDir + "/platen.toml"
	stateDir   = "/state"
	slotsDir   = "/slots"
	slotFile   = "/run/slot"
	runDir     = "/run/platen"
	devices    = "/dev/platen"
)

// fatalWait is how long a message stands before the board restarts.
const fatalWait = 3 * time.Second

// Main is the program: the init if it is process 1, else what args ask of that.
func Main(args []string) error {
	if os.Getpid() == 1 {
		Run(os.Stderr)
	}
	switch {
	case len(args) >= 1 && args[0] == "reboot":
		return ask(unix.SIGTERM, strings.Join(args[1:], " "))
	case len(args) == 1 && args[0] == "poweroff":
		return ask(unix.SIGUSR2, "")
	case len(args) == 2 && args[0] == "console":
		return serveConsole(args[1])
	}
	return errors.New("usage: init reboot [ARG] | init poweroff | init console TTY; as process 1 it brings the board up")
}

// Run is process 1. It does not return: it ends in a restart of the board, or in its
// power-off.
func Run(console io.Writer) {
	b := &board{out: console}
	err := b.up()
	if err == nil {
		err = b.serve()
	}
	b.say("FATAL %v", err)
	time.Sleep(fatalWait)
	b.down(unix.LINUX_REBOOT_CMD_RESTART, "")
}

// board is what the init knows.
type board struct {
	out     io.Writer
	cmdline map[string]string
	release release
	aside   aside              // the console
	renew   context.CancelFunc // ends what looks after the network's lease; nil: nothing does
}

func (b *board) say(format string, a ...any) {
	fmt.Fprintf(b.out, "platen-init: "+format+"\n", a...)
}

// up brings the board up to where the agent can start.
func (b *board) up() error {
	os.Clearenv()
	unix.Umask(0o077)
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"mount the kernel's file systems", mountAll},
		{"read the kernel's command line", b.readCmdline},
		{"load modules", b.loadModules},
		{"set limits", limits},
		{"harden the kernel", func() error { return b.sysctls(hardening) }},
		{"find the disk", b.findDisk},
		{"read the configuration", b.configure},
		{"arm the watchdog", b.armWatchdog},
		{"set the clock", b.clock},
		{"open the state", b.openState},
		{"close the kernel", b.close},
		{"connect the network", b.network},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (b *board) readCmdline() error {
	text, err := os.ReadFile("/proc/cmdline")
	b.cmdline = parseCmdline(string(text))
	return err
}

// parseCmdline is the options of a kernel's command line that have a value, or "".
func parseCmdline(text string) map[string]string {
	m := map[string]string{}
	for _, f := range strings.Fields(text) {
		k, v, _ := strings.Cut(f, "=")
		m[k] = v
	}
	return m
}

// release is what /etc/release says.
type release struct {
	number uint64
	built  time.Time
}

func readRelease(text string) (r release, err error) {
	f := strings.Fields(text)
	if len(f) != 2 {
		return r, errors.New("/etc/release is not a number and a time: build the image anew")
	}
	var unixTime int64
	if r.number, err = strconv.ParseUint(f[0], 10, 64); err == nil {
		unixTime, err = strconv.ParseInt(f[1], 10, 64)
	}
	r.built = time.Unix(unixTime, 0)
	return r, err
}

// clock reads what is built in, and sets a clock that stands before that: no board was
// ever started before its image was built.
func (b *board) clock() error {
	text, err := os.ReadFile("/etc/release")
	if err != nil {
		return err
	}
	if b.release, err = readRelease(string(text)); err != nil || !time.Now().Before(b.release.built) {
		return err
	}
	tv := unix.NsecToTimeval(b.release.built.UnixNano())
	return unix.Settimeofday(&tv)
}

// limits are inherited by all that is started.
func limits() error {
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}),
		os.MkdirAll(runDir, 0o755))
}

// close closes what nothing needs any more: modules, kexec, and the root.
func (b *board) close() error {
	if err := b.sysctls(closing); err != nil {
		return err
	}
	// Kernels without it are as they are; doctor tells.
	_ = os.WriteFile("/sys/kernel/security/lockdown", []byte("confidentiality"), 0)
	if err := os.Symlink(resolvConf, "/etc/resolv.conf"); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	return nil
}

// write replaces a file in memory.
func write(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o600)
}
