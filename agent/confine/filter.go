package confine

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets into struct seccomp_data (linux/seccomp.h); arguments are 64 bits wide,
// low half first on the little-endian machines Platen runs on.
const (
	offNr   = 0
	offArch = 4
	offArg0 = 16
)

// verdicts of a filter.
var (
	allow  = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	refuse = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	absent = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
	kill   = bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS}
)

// agentFilter refuses bind and listen and allows the rest. Go connects without
// binding, so that nothing outbound is lost.
func agentFilter() []bpf.Instruction {
	return filter([]uint32{unix.SYS_BIND, unix.SYS_LISTEN}, nil, refuse, allow)
}

// sessionFilter allows what a session needs while it reads a job it was handed,
// slices and talks to an open port; everything else fails with EPERM. A clone
// that does not make a thread of this process is refused.
func sessionFilter() []bpf.Instruction {
	return filter(sessionCalls, threadsOnly(), allow, refuse)
}

// sessionCalls are the system calls of a confined session, one line a purpose.
var sessionCalls = append([]uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_PREAD64, unix.SYS_CLOSE, // the port, the job's descriptor, the log
	unix.SYS_RECVMSG, unix.SYS_SENDMSG, // the seam, which is an open socket
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_TGKILL, // the Go scheduler
	unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, // its network poller, already made
	unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MUNLOCK, // memory; mmap and mprotect are per machine
	unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK, // signals
	unix.SYS_CLOCK_GETTIME, unix.SYS_RESTART_SYSCALL, unix.SYS_GETRANDOM,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	unix.SYS_IOCTL, // the port's modem lines
	unix.SYS_FCNTL,
}, append(machineCalls, libcCalls...)...)

// threadsOnly loads the first argument of clone and refuses the call unless it has
// CLONE_THREAD. clone3 hides its flags behind a pointer: it is said not to exist,
// so that a caller falls back to clone.
func threadsOnly() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE3, SkipTrue: 1},
		absent,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE, SkipTrue: 4},
		bpf.LoadAbsolute{Off: offArg0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.CLONE_THREAD, SkipTrue: 1},
		refuse,
		allow,
	}
}

// filter makes a program that returns hit for the calls listed, after special,
// and miss for all others. A call of another machine's ABI kills the process.
func filter(calls []uint32, special []bpf.Instruction, hit, miss bpf.RetConstant) []bpf.Instruction {
	p := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		kill,
		bpf.LoadAbsolute{Off: offNr, Size: 4},
	}
	if runtime.GOARCH == "amd64" { // the x32 ABI shares the architecture word
		p = append(p, bpf.JumpIf{Cond: bpf.JumpLessThan, Val: 0x40000000, SkipTrue: 1}, kill)
	}
	p = append(p, special...)
	for _, nr := range calls {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 1}, hit)
	}
	return append(p, miss)
}

// load installs a filter on all threads of the process.
func load(p []bpf.Instruction) error {
	raw, err := bpf.Assemble(p)
	if err != nil {
		return fmt.Errorf("assembling the seccomp filter: %w", err)
	}
	prog := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		prog[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	tid, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(prog)
	switch {
	case errors.Is(e, unix.ENOSYS) || errors.Is(e, unix.EINVAL):
		return ErrSeccomp
	case e != 0:
		return fmt.Errorf("loading the seccomp filter: %w", e)
	case tid != 0:
		return fmt.Errorf("loading the seccomp filter: thread %d did not follow", tid)
	}
	return nil
}
