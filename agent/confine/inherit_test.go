package confine

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKeepInherited(t *testing.T) {
	for name, keep := range map[string]func() error{"KeepInherited": KeepInherited, "one by one": closeOnExec} {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fd := f.Fd()
		closes := func() bool {
			flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
			if err != nil {
				t.Fatal(err)
			}
			return flags&unix.FD_CLOEXEC != 0
		}
		if _, err := unix.FcntlInt(fd, unix.F_SETFD, 0); err != nil || closes() {
			t.Fatalf("control: the descriptor cannot be inherited: %v", err)
		}
		if err := keep(); err != nil || !closes() {
			t.Errorf("%s: closed on exec %t, %v", name, closes(), err)
		}
	}
}
