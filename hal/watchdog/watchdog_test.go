package watchdog

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bench makes a FIFO in place of a watchdog and returns its path and its far end.
func bench(t *testing.T) (string, *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "watchdog")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return path, r
}

func read(t *testing.T, r *os.File) string {
	t.Helper()
	buf := make([]byte, 64)
	r.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := r.Read(buf)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestPetAndDisarm(t *testing.T) {
	path, r := bench(t)
	d, err := Open(path, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if d.Timeout() != 30*time.Second {
		t.Errorf("timeout %v", d.Timeout())
	}
	for range 2 {
		if err := d.Pet(); err != nil {
			t.Fatal(err)
		}
	}
	for got := read(t, r); got != ".."; got += read(t, r) {
		if len(got) > 2 {
			t.Fatalf("petted with %q", got)
		}
	}
	time.Sleep(benchWait + benchWait/2) // the time that petting had is over
	if err := d.Disarm(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, r); got != "V" {
		t.Errorf("disarmed with %q", got)
	}
	if err := d.Pet(); err == nil {
		t.Error("a closed watchdog is petted")
	}
}

// A second process has the same watchdog: what it does arrives, and closing one of two
// disarms nothing.
func TestTwoOwners(t *testing.T) {
	path, r := bench(t)
	first, err := Open(path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(first.File().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	second, err := FromFile(os.NewFile(uintptr(fd), "watchdog"))
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if err := second.Pet(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, r); got != "." {
		t.Errorf("%q", got)
	}
	second.Close()
	if got := read(t, r); got != "" {
		t.Errorf("closing writes %q", got)
	}
}

// A bench that nobody reads does not stop its owner.
func TestFullBench(t *testing.T) {
	path, _ := bench(t)
	d, err := Open(path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.f.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	if n, err := d.f.Write(make([]byte, 1<<20)); err == nil {
		t.Fatalf("the pipe has room for %d bytes: this proves nothing", n)
	}
	done := make(chan error, 1)
	go func() { done <- errors.Join(d.Pet(), d.Pet()) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("petting waits")
	}
}

func TestOpenErrors(t *testing.T) {
	path, _ := bench(t)
	for _, bad := range []time.Duration{0, time.Second, time.Hour} {
		if _, err := Open(path, bad); err == nil {
			t.Errorf("a timeout of %v is taken", bad)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), time.Minute); !errors.Is(err, ErrNone) {
		t.Errorf("none: %v", err)
	}
	if d, err := Open("/dev/null", time.Minute); err == nil {
		d.Close()
		t.Error("/dev/null is a watchdog")
	}
}

// TestBench: nothing but a FIFO or a plain file stands in for a watchdog.
func TestBench(t *testing.T) {
	for mode, want := range map[fs.FileMode]bool{0o600: true, fs.ModeNamedPipe | 0o600: true, fs.ModeDevice | fs.ModeCharDevice: false} {
		if got, err := isBench(mode); got != want || err != nil {
			t.Errorf("%v: %t, %v", mode, got, err)
		}
	}
	for _, mode := range []fs.FileMode{fs.ModeDevice | 0o660, fs.ModeSocket, fs.ModeDir} {
		if _, err := isBench(mode); err == nil {
			t.Errorf("%v is a watchdog", mode)
		}
	}
}

func TestLayout(t *testing.T) {
	if n := unsafe.Sizeof(support{}); n != 40 {
		t.Errorf("struct watchdog_info has %d bytes, want 40 (linux/watchdog.h)", n)
	}
}

func TestLook(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "class/watchdog/watchdog0")
	os.MkdirAll(dir, 0o700)
	for name, text := range map[string]string{"identity": "Broadcom BCM2835 Watchdog timer\n", "state": "active\n", "nowayout": "0\n", "timeout": "15\n"} {
		os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
	}
	for _, path := range []string{"/dev/watchdog", "/dev/watchdog0"} {
		s, ok := Look(root, path)
		if !ok || !s.Active || s.NoWayOut || s.Timeout != 15*time.Second || s.Identity == "" {
			t.Errorf("%s: %+v, %t", path, s, ok)
		}
	}
	if _, ok := Look(root, "/dev/watchdog1"); ok {
		t.Error("a watchdog that is not there is shown")
	}
}

// TestShortHardware has hardware that counts to 15 s, and none to 5 s.
func TestShortHardware(t *testing.T) {
	for _, c := range []struct {
		has, want time.Duration
		says      unix.Errno
	}{{15 * time.Second, 15 * time.Second, unix.EINVAL}, {15 * time.Second, 15 * time.Second, unix.EOPNOTSUPP}, {5 * time.Second, 0, unix.EINVAL}, {15 * time.Second, 0, unix.EIO}} {
		d := &Dog{call: func(call uintptr, arg unsafe.Pointer) error {
			switch call {
			case unix.WDIOC_SETTIMEOUT:
				return c.says
			case unix.WDIOC_GETTIMEOUT:
				*(*int32)(arg) = int32(c.has / time.Second)
				return nil
			}
			return unix.EOPNOTSUPP
		}}
		err := d.set(time.Minute)
		if d.Timeout() != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("%+v: %v, %v", c, d.Timeout(), err)
		}
	}
}

// TestNotLeftRunning: what cannot be set up is told to stop, and not left to restart the
// board.
func TestNotLeftRunning(t *testing.T) {
	path, r := bench(t)
	d, err := Open(path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.call = func(uintptr, unsafe.Pointer) error { return unix.EIO }
	if err := d.start(time.Minute); !errors.Is(err, unix.EIO) {
		t.Errorf("it is set up: %v", err)
	}
	if got := read(t, r); got != "V" {
		t.Errorf("it was told %q", got)
	}
}
