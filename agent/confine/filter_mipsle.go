package confine

import "golang.org/x/sys/unix"

// The runtime maps memory by the older of two calls, everybody else by mmap2, which is
// among mapCalls by machineMapCalls.
const (
	auditArch = unix.AUDIT_ARCH_MIPSEL
	mmapCall  = unix.SYS_MMAP
)

var machineMapCalls = []uint32{unix.SYS_MMAP2}

var fcntlCalls = []uint32{unix.SYS_FCNTL, unix.SYS_FCNTL64}

// machineCalls are the session's calls that go by another name on other machines.
var machineCalls = []uint32{
	unix.SYS_CLOCK_GETTIME64,
	unix.SYS_FUTEX_TIME64, unix.SYS_SIGRETURN, unix.SYS__NEWSELECT, unix.SYS_CACHEFLUSH,
}
