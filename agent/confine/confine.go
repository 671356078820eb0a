// Package confine is what a process gives up before it touches design data, and
// what it checks about the system it runs on.
//
// A session calls [Session] once it has its port and its locked memory, and before
// the first byte of a job: from then on it can open no file, make no socket, run
// no program, cannot be traced and leaves no core. The agent calls [Agent] once
// its local socket stands: from then on it can listen on nothing more. Both report
// what took effect as a set of [Measure]; what the kernel lacks is missing from
// the set and never silently assumed.
//
// Everything applies to all threads of the process and is inherited by its
// children. Nothing can be taken back. Sources: seccomp(2), prctl(2), landlock(7),
// capabilities(7).
package confine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Measure is a set of things that were given up.
type Measure uint16

// The measures. The first five hold on every kernel that Platen supports; a
// session refuses jobs without them.
const (
	NoCore       Measure = 1 << iota // RLIMIT_CORE is 0
	NotDumpable                      // PR_SET_DUMPABLE is 0: no ptrace, no /proc/PID/mem
	NoNewPrivs                       // PR_SET_NO_NEW_PRIVS
	NoCaps                           // no capability is left
	Syscalls                         // the seccomp filter is loaded
	Files                            // Landlock forbids every file
	MemoryLocked                     // the vault is locked; set by who made the vault
	AllLocked                        // every page of the process is locked, working memory too
)

// Required are the measures without which a session takes no job.
const Required = NoCore | NotDumpable | NoNewPrivs | NoCaps | Syscalls | MemoryLocked

var measureNames = []struct {
	m    Measure
	name string
}{
	{NoCore, "no-core"}, {NotDumpable, "not-dumpable"}, {NoNewPrivs, "no-new-privs"}, {NoCaps, "no-capabilities"},
	{Syscalls, "seccomp"}, {Files, "landlock"}, {MemoryLocked, "vault-locked"}, {AllLocked, "all-locked"},
}

// String lists the measures in the set, separated by spaces.
func (m Measure) String() string {
	var names []string
	for _, n := range measureNames {
		if m&n.m != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, " ")
}

// Has reports whether all of x are in the set.
func (m Measure) Has(x Measure) bool { return m&x == x }

// Session confines the calling process as a session. It returns what took effect;
// an error is one that must keep the session from taking a job.
func Session() (Measure, error) {
	var held Measure
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return held, fmt.Errorf("setting RLIMIT_CORE to 0: %w", err)
	}
	held |= NoCore
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return held, fmt.Errorf("making the process undumpable: %w", err)
	}
	held |= NotDumpable
	if lockAll() == nil {
		held |= AllLocked
	}
	if err := noNewPrivs(); err != nil {
		return held, err
	}
	held |= NoNewPrivs
	if landlock.V5.RestrictPaths() == nil {
		held |= Files
	} else if landlock.V1.RestrictPaths() == nil { // older kernels: files, not yet truncation and devices
		held |= Files
	}
	if err := dropCaps(); err != nil {
		return held, err
	}
	held |= NoCaps
	if err := load(sessionFilter(unix.Getpid())); err != nil {
		return held, err
	}
	return held | Syscalls, nil
}

// Agent confines the calling process as an agent: it may connect, but neither
// bind nor listen on any socket that it does not already have. It leaves no core
// and cannot be traced, as the key of a file is in its memory for a moment.
func Agent() (Measure, error) {
	var held Measure
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return held, fmt.Errorf("setting RLIMIT_CORE to 0: %w", err)
	}
	held |= NoCore
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return held, fmt.Errorf("making the process undumpable: %w", err)
	}
	held |= NotDumpable
	if err := noNewPrivs(); err != nil {
		return held, err
	}
	held |= NoNewPrivs
	if err := load(agentFilter()); err != nil {
		return held, err
	}
	return held | Syscalls, nil
}

// lockAll locks what the process has and will touch. It needs a bound on locked
// memory that no working set can reach, or the right to lift it: without either,
// only the vault is locked, and the measure is missing. Pages are locked when they
// are first touched, so that reserved address space costs nothing.
func lockAll() error {
	lim := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil {
		return err
	}
	return unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | mclOnFault)
}

// mclOnFault is MCL_ONFAULT (mlockall(2)), the same on amd64, arm and arm64.
const mclOnFault = 4

// noNewPrivs applies to all threads.
func noNewPrivs() error {
	_, _, e := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	if e != 0 {
		return fmt.Errorf("setting no_new_privs: %w", e)
	}
	return nil
}

// ErrSeccomp reports a kernel without seccomp filters.
var ErrSeccomp = errors.New("the kernel has no seccomp filters: build it with CONFIG_SECCOMP_FILTER=y")
