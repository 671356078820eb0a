package confine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// Level grades a finding.
type Level uint8

// The levels.
const (
	OK Level = iota
	Warn
	Fail
)

// String is the word people read.
func (l Level) String() string { return [...]string{"ok", "warn", "fail"}[l] }

// Finding is one check of the system, with its remedy.
type Finding struct {
	Name   string
	Level  Level
	What   string
	Remedy string // empty if OK
}

// System checks what a session needs of the system: proc is the root of /proc,
// given so that tests give their own; vault is the locked memory wanted in bytes.
// A Fail keeps a session from taking jobs.
func System(proc fs.FS, vault int64) []Finding {
	return []Finding{swap(proc), corePattern(proc), memlock(proc, vault), seccompStatus(proc)}
}

// ErrUnfit reports a system on which no job is taken; the text says what to change.
var ErrUnfit = errors.New("this system may not hold a model")

// Fit is ErrUnfit if a finding of [System] keeps a session from taking jobs. swapped
// leaves swap out of it: what a session has is locked as far as that is allowed, so that
// a desk whose swap is on can be told to go without.
func Fit(proc fs.FS, vault int64, swapped bool) error {
	for _, f := range System(proc, vault) {
		if f.Level == Fail && !(swapped && f.Name == swapName) {
			return fmt.Errorf("%w: %s: %s", ErrUnfit, f.What, f.Remedy)
		}
	}
	return nil
}

const swapName = "swap"

func swap(proc fs.FS) Finding {
	f := Finding{Name: swapName}
	text, err := readAll(proc, "swaps")
	if err != nil {
		f.Level, f.What, f.Remedy = Warn, "cannot be read", "mount /proc"
		return f
	}
	sc := bufio.NewScanner(strings.NewReader(text))
	sc.Scan() // heading
	for sc.Scan() {
		if name := strings.Fields(sc.Text()); len(name) > 0 && !strings.HasPrefix(name[0], "/dev/zram") {
			f.Level, f.What, f.Remedy = Fail, "swap other than zram is on", "swapoff -a, and remove swap from /etc/fstab (at a desk: allow_swap = true)"
			return f
		}
	}
	f.What = "no swap that reaches a disk"
	return f
}

func corePattern(proc fs.FS) Finding {
	f := Finding{Name: "core_pattern"}
	text, err := readAll(proc, "sys/kernel/core_pattern")
	switch text = strings.TrimSpace(text); {
	case err != nil:
		f.Level, f.What, f.Remedy = Warn, "cannot be read", "mount /proc"
	case strings.HasPrefix(text, "|"):
		// A pipe helper is run even for RLIMIT_CORE 0 (core(5)); an undumpable process
		// is not dumped at all, so that this is a warning.
		f.Level, f.What, f.Remedy = Warn, "core dumps go to a helper program", "sysctl kernel.core_pattern=core"
	default:
		f.What = "core dumps obey RLIMIT_CORE"
	}
	return f
}

func memlock(proc fs.FS, want int64) Finding {
	f := Finding{Name: "memlock"}
	status, _ := readAll(proc, "self/status")
	if capable(status, unix.CAP_IPC_LOCK) {
		f.What = "CAP_IPC_LOCK: no bound"
		return f
	}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil {
		f.Level, f.What = Warn, "RLIMIT_MEMLOCK cannot be read"
		return f
	}
	f.What = fmt.Sprintf("up to %d MiB may be locked", lim.Max>>20)
	if lim.Max < uint64(want) {
		f.Level = Fail
		f.Remedy = fmt.Sprintf("LimitMEMLOCK=%dM in the unit, or ulimit -l %d", want>>20, want>>10)
	}
	return f
}

func seccompStatus(proc fs.FS) Finding {
	f := Finding{Name: "seccomp", What: "filters are available"}
	text, err := readAll(proc, "sys/kernel/seccomp/actions_avail")
	if err != nil || !strings.Contains(text, "kill_process") {
		f.Level, f.What, f.Remedy = Fail, "the kernel has no seccomp filters", "use a kernel with CONFIG_SECCOMP_FILTER=y"
	}
	return f
}

// capable reports whether the text of a /proc/PID/status has capability c in its
// effective set.
func capable(status string, c uint) bool {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			var set uint64
			_, err := fmt.Sscanf(strings.TrimSpace(hex), "%x", &set)
			return err == nil && set&(1<<c) != 0
		}
	}
	return false
}

func readAll(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(b), err
}
