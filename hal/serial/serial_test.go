package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"
	"unsafe"

	"platen/hal"

	"golang.org/x/sys/unix"
)

// openPTY returns the master of a new pty, raw, and the path of its slave.
func openPTY(t *testing.T) (*os.File, string) {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatalf("no pty: %v", err)
	}
	t.Cleanup(func() { m.Close() })
	raw, err := m.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, fmt.Sprintf("/dev/pts/%d", n)
}

func open(t *testing.T, device string, baud int) *Port {
	t.Helper()
	p, err := Open(Config{Device: device, Baud: baud})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestLineIsRaw sends every byte both ways and expects it unchanged, unechoed.
func TestLineIsRaw(t *testing.T) {
	m, slave := openPTY(t)
	p := open(t, slave, 250000)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, way := range []struct {
		name string
		from func([]byte) (int, error)
		to   func([]byte) (int, error)
	}{{"out", p.Write, m.Read}, {"in", m.Write, p.Read}} {
		m.SetReadDeadline(time.Now().Add(time.Minute))
		p.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := way.from(all); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 0, 512)
		for len(got) < len(all) {
			buf := make([]byte, 512)
			n, err := way.to(buf)
			if err != nil {
				t.Fatalf("%s: after %d bytes: %v", way.name, len(got), err)
			}
			got = append(got, buf[:n]...)
		}
		if string(got) != string(all) {
			t.Errorf("%s: bytes changed on the way", way.name)
		}
	}
}

// TestRates opens at rates tarm/serial knows and at rates that it does not, and
// reads them back from the tty.
func TestRates(t *testing.T) {
	for _, baud := range []int{9600, 115200, 250000, 256000, 1_234_567} {
		_, slave := openPTY(t)
		p := open(t, slave, baud)
		var got *unix.Termios
		err := p.control(func(fd int) (err error) { got, err = unix.IoctlGetTermios(fd, unix.TCGETS2); return })
		if errors.Is(err, unix.ENOSYS) {
			t.Skip("this emulator has no TCGETS2")
		}
		if err != nil {
			t.Fatal(err)
		}
		if got.Ospeed != uint32(baud) || got.Ispeed != uint32(baud) {
			t.Errorf("asked for %d, line runs at %d out and %d in", baud, got.Ospeed, got.Ispeed)
		}
		if got.Lflag != 0 || got.Oflag != 0 || got.Cflag&(unix.CSIZE|unix.PARENB|unix.CSTOPB|unix.CRTSCTS) != unix.CS8 {
			t.Errorf("%d baud: not raw 8N1: %+v", baud, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	_, slave := openPTY(t)
	for _, baud := range []int{-1, 0, 299, 4_000_001} {
		if p, err := Open(Config{Device: slave, Baud: baud}); err == nil {
			p.Close()
			t.Errorf("%d baud was taken", baud)
		}
	}
	if _, err := Open(Config{Device: "/dev/platen-none", Baud: 115200}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing device: %v", err)
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, []byte("not a tty"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := Open(Config{Device: file, Baud: 115200}); err == nil {
		p.Close()
		t.Error("a plain file was taken for a port")
	}
}

func TestOnePortOneOwner(t *testing.T) {
	_, slave := openPTY(t)
	p := open(t, slave, 250000)
	if _, err := Open(Config{Device: slave, Baud: 115200}); !errors.Is(err, ErrBusy) {
		t.Fatalf("second open: %v, want ErrBusy", err)
	}
	var got *unix.Termios
	err := p.control(func(fd int) (err error) { got, err = unix.IoctlGetTermios(fd, unix.TCGETS2); return })
	if !errors.Is(err, unix.ENOSYS) && (got == nil || got.Ospeed != 250000) {
		t.Error("the refused open changed the line of the owner")
	}
	p.Close()
	open(t, slave, 115200) // control: once let go, it can be had
}

// TestExclusiveFlag sets the kernel's own lock the way a real tty has it set, and
// sees it gone after Close.
func TestExclusiveFlag(t *testing.T) {
	_, slave := openPTY(t)
	p := open(t, slave, 115200)
	peek := open2(t, slave)
	if p.exclusive {
		t.Error("a pty got TIOCEXCL")
	}
	if _, err := unix.IoctlGetInt(peek, unix.TIOCGEXCL); errors.Is(err, unix.ENOSYS) {
		t.Skip("this emulator has no TIOCGEXCL")
	}
	p.exclusive = true
	err := p.control(func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCEXCL, 0) })
	if err != nil {
		t.Fatal(err)
	}
	if flag(t, peek) == 0 {
		t.Fatal("TIOCEXCL had no effect: the test proves nothing")
	}
	p.Close()
	if flag(t, peek) != 0 {
		t.Error("TIOCEXCL outlived Close")
	}
}

func open2(t *testing.T, slave string) int {
	t.Helper()
	fd, err := unix.Open(slave, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func flag(t *testing.T, fd int) int {
	t.Helper()
	v, err := unix.IoctlGetInt(fd, unix.TIOCGEXCL)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDeadline(t *testing.T) {
	m, slave := openPTY(t)
	p := open(t, slave, 115200)
	p.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := p.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	p.SetReadDeadline(time.Time{})
	m.Write([]byte("ok\n"))
	if n, err := p.Read(make([]byte, 8)); err != nil || n != 3 {
		t.Fatalf("control: %d, %v", n, err)
	}
}

func TestCloseEndsRead(t *testing.T) {
	_, slave := openPTY(t)
	p := open(t, slave, 115200)
	done := make(chan error, 1)
	go func() {
		_, err := p.Read(make([]byte, 8))
		done <- err
	}()
	time.Sleep(10 * time.Millisecond)
	p.Close()
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Close did not end the read")
	}
}

// TestUnplug closes the master, which hangs up the slave as unplugging does.
func TestUnplug(t *testing.T) {
	m, slave := openPTY(t)
	p := open(t, slave, 115200)
	m.Close()
	p.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := p.Read(make([]byte, 8)); !errors.Is(err, hal.ErrDisconnected) {
		t.Errorf("read: %v", err)
	}
	if _, err := p.Write([]byte("M105\n")); !errors.Is(err, hal.ErrDisconnected) {
		t.Errorf("write: %v", err)
	}
}

func TestResetNeedsDTR(t *testing.T) {
	_, slave := openPTY(t)
	p := open(t, slave, 115200)
	if err := p.Reset(); err == nil {
		t.Error("a pty claims to have a DTR line")
	}
}

// TestSerialStruct holds the size against what the kernel copies: a smaller one
// would be overrun.
func TestSerialStruct(t *testing.T) {
	want := map[uintptr]uintptr{4: 60, 8: 72}[unsafe.Sizeof(uintptr(0))]
	if got := unsafe.Sizeof(serialStruct{}); got != want {
		t.Errorf("%d bytes, the kernel has %d", got, want)
	}
}

// TestEvenParity opens a pty with parity: it has none to give, and carries every byte.
func TestEvenParity(t *testing.T) {
	m, slave := openPTY(t)
	p, err := Open(Config{Device: slave, Baud: 115200, Parity: Even})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := m.Write([]byte{0x79, 0x1f, 0x00, 0xff}); err != nil {
		t.Fatal(err)
	}
	p.SetReadDeadline(time.Now().Add(time.Minute))
	var got []byte
	for len(got) < 4 {
		buf := make([]byte, 4)
		n, err := p.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	if string(got) != "\x79\x1f\x00\xff" {
		t.Errorf("got %x", got)
	}
}
