package confine

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// machineCalls are the session's calls that go by another name on other machines.
var machineCalls = []uint32{unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_EPOLL_WAIT}
