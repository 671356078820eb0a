package confine

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// KeepInherited keeps to this process what its parent left open beyond the standard
// streams: no program that it starts later gets these descriptors. What this process
// opens itself is closed on exec anyway.
func KeepInherited() error {
	err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) { // before Linux 5.11
		err = closeOnExec()
	}
	if err != nil {
		return fmt.Errorf("keeping inherited descriptors: %w", err)
	}
	return nil
}

// closeOnExec marks one descriptor after the other.
func closeOnExec() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil && !errors.Is(err, unix.EBADF) {
			return err // EBADF is the descriptor of the folder itself
		}
	}
	return nil
}
