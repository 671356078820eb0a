package session

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// trim gives back what only the start of a session needed: pages of the program that is
// run and its constants, most of which the kernel maps though few are touched, and garbage.
// What is needed again comes from the page cache, without a file being opened. It has to
// come before memory is locked.
func trim() error {
	debug.FreeOSMemory()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var from, to, offset, inode uintptr
		var mode, device, path string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s %x %s %d %s", &from, &to, &mode, &offset, &device, &inode, &path); n != 7 || path != program || mode[1] != '-' {
			continue // written to, or another's
		}
		if err := drop(from, to-from); err != nil {
			return err
		}
	}
	return nil
}

// drop forgets pages that can be read from their file again.
func drop(at, size uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, at, size, unix.MADV_DONTNEED); errno != 0 {
		return errno
	}
	return nil
}
