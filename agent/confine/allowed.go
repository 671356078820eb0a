package confine

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Allowed lists the numbers of all system calls of this machine that a confined session
// may make, with any arguments or with some, in order and each once.
func Allowed() []int {
	all := []uint32{unix.SYS_CLONE, unix.SYS_TGKILL, unix.SYS_IOCTL}
	all = append(append(append(all, mapCalls()...), fcntlCalls...), sessionCalls...)
	out := make([]int, len(all))
	for i, nr := range all {
		out[i] = int(nr)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
