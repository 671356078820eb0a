package confine

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_ARM
	mmapCall  = unix.SYS_MMAP2
)

var fcntlCalls = []uint32{unix.SYS_FCNTL, unix.SYS_FCNTL64}

// machineCalls are the session's calls that go by another name on other machines.
// 0xf0002 is cacheflush, which the 32-bit runtime may call (arch/arm/include/uapi/asm/unistd.h).
var machineCalls = []uint32{
	unix.SYS_CLOCK_GETTIME64,
	unix.SYS_FUTEX_TIME64, unix.SYS_SIGRETURN, unix.SYS__NEWSELECT, 0xf0002,
}
