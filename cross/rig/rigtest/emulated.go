package rigtest

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Emulated reports whether the test runs under user-mode emulation of another
// processor, which has no seccomp(2) and passes descriptors in its own way.
func Emulated() bool {
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, 0)
	return errors.Is(e, unix.ENOSYS) || errors.Is(e, unix.EINVAL)
}

// Starts skips a test that starts its own binary again where an emulator cannot.
func Starts(t testing.TB) {
	t.Helper()
	if err := exec.Command(os.Args[0], "-test.run=^$").Run(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this user emulation cannot start programs of its own architecture")
	}
}
