// Package confine is what a process gives up before it touches design data, and
// what it checks about the system it runs on.
//
// A session calls [Session] once it has its port and its locked memory, and before
// the first byte of a job: from then on it can open no file, make no socket, run
// no program, cannot be traced and leaves no core. The agent calls [Agent] once
// its local socket stands: from then on it can listen on nothing more, and mount
// nothing. Both report what took effect as a set of [Measure]; what the kernel lacks
// is missing from the set and never silently assumed.
//
// Everything applies to all threads of the process and is inherited by its
// children. Nothing can be taken back. Sources: seccomp(2), prctl(2), landlock(7),
// capabilities(7).
package confine

import (
	"errors"
	"fmt"
	"os"
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
	Bounded                          // RLIMIT_DATA and RLIMIT_AS: no more memory than it has and a margin
)

// Required are the measures without which a session takes no job.
const Required = NoCore | NotDumpable | NoNewPrivs | NoCaps | Syscalls | MemoryLocked

var measureNames = []struct {
	m    Measure
	name string
}{
	{NoCore, "no-core"}, {NotDumpable, "not-dumpable"}, {NoNewPrivs, "no-new-privs"}, {NoCaps, "no-capabilities"},
	{Syscalls, "seccomp"}, {Files, "landlock"}, {MemoryLocked, "vault-locked"}, {AllLocked, "all-locked"}, {Bounded, "bounded"},
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
	if bound() == nil {
		held |= Bounded
	}
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
// bind nor listen on any socket that it does not already have, nor mount anything. It
// leaves no core and cannot be traced, as the key of a file is in its memory for a
// moment.
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

// How much a session may take beyond what it has when it is confined, its vault included:
// memory that can be written, for the Go heap, which GOMEMLIMIT keeps far below, and
// address space, of which runtimes reserve far more than they use.
const (
	margin      = 512 << 20
	spaceMargin = 1 << 30 << (^uint(0) >> 63 * 2) // 4 GiB where there is room
)

// bound bounds memory (RLIMIT_DATA) and address space (RLIMIT_AS): whatever a hostile file
// makes of a parser, the session ends, and with it the heat, before the board runs out of
// memory.
func bound() error {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var size, resident, shared, code, lib, data uint64 // in pages (proc_pid_statm(5))
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared, &code, &lib, &data); err != nil {
		return err
	}
	page := uint64(unix.Getpagesize())
	for _, b := range []struct {
		what int
		most uint64
	}{{unix.RLIMIT_DATA, data*page + margin}, {unix.RLIMIT_AS, size*page + spaceMargin}} {
		if err := unix.Setrlimit(b.what, &unix.Rlimit{Cur: b.most, Max: b.most}); err != nil {
			return err
		}
	}
	return nil
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
