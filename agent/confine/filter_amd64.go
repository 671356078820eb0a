package confine

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	mmapCall  = unix.SYS_MMAP
)

var fcntlCalls = []uint32{unix.SYS_FCNTL}

// machineCalls are the session's calls that go by another name on other machines.
var machineCalls []uint32
