package session

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// trim gives back what only the start of a session needed: pages of the program that is
// run and its constants, most of which the kernel maps though few are touched, and garbage.
// A mapping of which a page was ever written to, as a dynamic linker does, is kept.
// What is needed again comes from the page cache, without a file being opened. It has to
// come before memory is locked.
func trim() error {
	debug.FreeOSMemory()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	var from, to uintptr // of the mapping whose lines come, 0 if it is none of the program
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		line := lines.Text()
		var size int
		if n, _ := fmt.Sscanf(line, "Anonymous: %d kB", &size); n == 1 && from != 0 && size == 0 {
			if err := drop(from, to-from); err != nil {
				return err
			}
		}
		var a, b uintptr
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &a, &b, &mode); n == 3 {
			from, to = a, b
			if !strings.HasSuffix(line, " "+program) || mode[1] != '-' {
				from = 0
			}
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
