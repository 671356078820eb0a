package confine

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets into struct seccomp_data (linux/seccomp.h); arguments are 64 bits wide,
// low half first on the little-endian machines Platen runs on.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// verdicts of a filter.
var (
	allow  = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	refuse = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	absent = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
	kill   = bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS}
)

// agentFilter refuses bind and listen, and all that mounts a file system, and allows
// the rest. Go connects without binding, so that nothing outbound is lost. An io_uring
// can bind and listen too, and Go uses none. What is on a USB stick is read without the
// kernel's file systems, and is to stay so.
func agentFilter() []bpf.Instruction {
	return filter([]uint32{unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_IO_URING_SETUP,
		unix.SYS_MOUNT, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_FSMOUNT, unix.SYS_OPEN_TREE}, nil, refuse, allow)
}

// sessionFilter allows the process pid what a session needs while it reads a job it
// was handed, slices and talks to an open port; everything else fails with EPERM.
// So does a clone that does not make a thread of this process, a signal to any
// other process, by tgkill or by what fcntl and ioctl can set on a descriptor, and
// memory that can be executed.
func sessionFilter(pid int) []bpf.Instruction {
	special := threadsOnly()
	special = append(special, argument(unix.SYS_TGKILL, 0, uint32(pid))...)
	special = append(special, argument(unix.SYS_IOCTL, 1, unix.TIOCMBIS, unix.TIOCMBIC, unix.TIOCNXCL, gpioGet, gpioSet)...) // of the port and of pins
	for _, nr := range fcntlCalls {
		special = append(special, argument(nr, 1, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL)...)
	}
	for _, nr := range mapCalls() {
		special = append(special, noExec(nr)...)
	}
	return filter(sessionCalls, special, allow, refuse)
}

// gpioGet and gpioSet read and drive pins that were requested before
// (GPIO_V2_LINE_GET_VALUES_IOCTL and _SET_VALUES_IOCTL of linux/gpio.h).
const (
	gpioGet = 0xc010b40e
	gpioSet = 0xc010b40f
)

// sessionCalls are the system calls of a confined session, one line a purpose. A runtime
// that looks again at how many processors there are is not among them: a session sets
// that number itself. "make prove-ram" holds the list against what sessions call.
var sessionCalls = append([]uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_PREAD64, unix.SYS_CLOSE, // the port, the job's descriptor, the log
	unix.SYS_RECVMSG, unix.SYS_SENDMSG, // the seam, which is an open socket
	unix.SYS_ACCEPT4, unix.SYS_GETSOCKOPT, // a later agent at the door, which listens already; and who it is
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_GETTID, unix.SYS_GETPID, // the Go scheduler
	unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, // its network poller, already made
	unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MUNLOCK, // memory; for what maps it see mapCalls
	unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK, // signals
	unix.SYS_CLOCK_GETTIME, unix.SYS_RESTART_SYSCALL, unix.SYS_GETRANDOM,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}, append(machineCalls, libcCalls...)...)

// mapCalls are the calls that say what memory may be used for.
func mapCalls() []uint32 { return slices.Concat([]uint32{mmapCall}, machineMapCalls, libcMapCalls) }

// threadsOnly loads the first argument of clone and refuses the call unless it has
// CLONE_THREAD. clone3 hides its flags behind a pointer: it is said not to exist,
// so that a caller falls back to clone.
func threadsOnly() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE3, SkipTrue: 1},
		absent,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE, SkipTrue: 4},
		bpf.LoadAbsolute{Off: offArgs, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.CLONE_THREAD, SkipTrue: 1},
		refuse,
		allow,
	}
}

// argument allows call nr if the low half of its argument n, an int to the kernel,
// is one of values, and else refuses it.
func argument(nr uint32, n int, values ...uint32) []bpf.Instruction {
	p := []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: uint8(2*len(values) + 2)},
		bpf.LoadAbsolute{Off: uint32(offArgs + 8*n), Size: 4},
	}
	for _, v := range values {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: v, SkipTrue: 1}, allow)
	}
	return append(p, refuse)
}

// noExec allows call nr, mmap or mprotect, unless its third argument has PROT_EXEC.
func noExec(nr uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 4},
		bpf.LoadAbsolute{Off: offArgs + 8*2, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: unix.PROT_EXEC, SkipTrue: 1},
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
