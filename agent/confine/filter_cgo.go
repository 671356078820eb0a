//go:build cgo

package confine

import "golang.org/x/sys/unix"

// libcCalls are what the C library needs to start a thread. Devices are built
// without cgo; the race detector is not.
var libcCalls = []uint32{unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_SET_TID_ADDRESS, unix.SYS_GETTIMEOFDAY}

// libcMapCalls guard the stack of such a thread.
var libcMapCalls = []uint32{unix.SYS_MPROTECT}
