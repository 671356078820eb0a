// Package serial opens the serial port of a motion controller: raw, eight data
// bits, no parity unless asked for, one stop bit, no flow control, at any rate the
// hardware can make, and for one process only.
//
// Start at [Open], or at [Await] for a device that comes and goes. Open takes three steps on the same tty, because no single one
// does everything:
//
//  1. We open the device ourselves, without waiting for a carrier. It is locked with
//     flock before anything about the line is changed.
//  2. tarm/serial opens the device once more and sets up the line at a rate that it
//     has a constant for, and its descriptor is closed again. The line keeps the
//     settings as long as ours is open.
//  3. TCSETS2 with BOTHER on our descriptor sets the rate in bits per second, which
//     is how 250000 baud, the usual rate of Marlin, comes about. The rate is read
//     back: a device that took another one is refused.
//
// # Reading and writing
//
// A port has two descriptors, of which neither is known to Go's poller. One writes and
// never blocks. The other reads and blocks in the kernel, on the thread of whoever
// reads, so that a line and its answer cost one write and one read and no change of
// thread: a third of what they cost through the poller. A deadline or Close makes
// that descriptor one that does not block, and then interrupts the thread by SIGURG,
// which Go's own runtime sends and ignores: the kernel begins the read again, and that
// finds nothing to wait for.
//
// Only Linux has these calls; the package builds nowhere else.
package serial

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"platen/hal"

	tarm "github.com/tarm/serial"
	"golang.org/x/sys/unix"
)

// ErrBusy reports that another process has the port.
var ErrBusy = errors.New("serial port is in use: end the program that holds it")

// Config says which port and how fast.
type Config struct {
	Device string // path of the tty, for example /dev/ttyACM0
	Baud   int    // bits per second, 300 to 4,000,000
	Parity Parity // None unless a bootloader wants it
}

// Parity is the parity bit behind each byte.
type Parity uint8

// The parities.
const (
	None Parity = iota
	Even        // a byte that arrives with the wrong parity reads as 0
)

// Port is an open serial port. Read and Write may be called by one goroutine each
// at the same time, Close by any.
//
// WriteNow is the exception: any goroutine may call it at any time.
type Port struct {
	exclusive bool

	mu    sync.RWMutex // held for writing by Close alone
	fd    int          // writes, and never blocks; -1 once it is closed
	until atomic.Int64 // when writes end, in Unix nanoseconds; 0 is never

	in reader
}

// minBaud and maxBaud bound what controllers use; tarm/serial knows up to 4 MBaud.
const (
	minBaud = 300
	maxBaud = 4_000_000
)

// Open opens the port of c. Opening raises DTR, which resets many controllers:
// what they say after that is the first to be read. A port that another process
// holds is [ErrBusy]; a device that is not there is fs.ErrNotExist.
func Open(c Config) (*Port, error) {
	if c.Baud < minBaud || c.Baud > maxBaud {
		return nil, fmt.Errorf("open serial port: %d baud is outside %d to %d: correct the board file", c.Baud, minBaud, maxBaud)
	}
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := openTTY(c.Device, flags)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("open serial port %s: %w", c.Device, ErrBusy)
	}
	if err != nil {
		return nil, fmt.Errorf("open serial port: %w", &fs.PathError{Op: "open", Path: c.Device, Err: err})
	}
	p := &Port{fd: fd}
	p.in.fd = -1
	if err := p.setUp(c); err != nil {
		p.Close()
		return nil, fmt.Errorf("open serial port %s: %w", c.Device, err)
	}
	return p, nil
}

// openTTY opens a device in spite of signals, which Go sends itself.
func openTTY(device string, flags int) (int, error) {
	for {
		fd, err := unix.Open(device, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func (p *Port) setUp(c Config) error {
	err := p.control(func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := basics(c.Device); err != nil {
		return err
	}
	if err := p.in.open(c.Device, p.fd); err != nil { // before TIOCEXCL
		return err
	}
	return p.control(func(fd int) error {
		pty, err := isPTY(fd)
		if err != nil {
			return fmt.Errorf("look at the device: %w", err)
		}
		if err := setRate(fd, uint32(c.Baud), c.Parity, pty); err != nil && !(pty && errors.Is(err, unix.ENOSYS)) {
			return err // a pty has no rate, and user-mode emulators no call to set it
		}
		if pty {
			// Its other end may hold this side open, and TIOCEXCL would then outlive
			// us. The lock alone keeps others out.
			return nil
		}
		p.exclusive = true
		lowLatency(fd)
		return unix.IoctlSetInt(fd, unix.TIOCEXCL, 0)
	})
}

// basics has tarm/serial set up the line: raw, 8N1, receiver on.
func basics(device string) error {
	t, err := tarm.OpenPort(&tarm.Config{Name: device, Baud: 115200})
	if err != nil {
		return fmt.Errorf("set up the line: %w", err)
	}
	return t.Close()
}

// setRate sets parity and both rates, and reads them back (termios2, see ioctl_tty(2)
// and asm-generic/termbits.h of Linux). A pty has no parity.
func setRate(fd int, baud uint32, parity Parity, pty bool) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		return fmt.Errorf("read line settings: %w", err)
	}
	t.Cflag &^= unix.CBAUD | unix.CBAUD<<unix.IBSHIFT | unix.HUPCL
	t.Cflag |= unix.BOTHER
	t.Ispeed, t.Ospeed = baud, baud
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if parity == Even {
		t.Cflag = t.Cflag&^unix.PARODD | unix.PARENB
		t.Iflag = t.Iflag&^(unix.IGNPAR|unix.PARMRK) | unix.INPCK
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS2, t); err != nil {
		return fmt.Errorf("set %d baud: %w", baud, err)
	}
	got, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		return fmt.Errorf("read line settings: %w", err)
	}
	// A UART tolerates about 2 % in all; drivers report the rate their divisor makes.
	if off := int64(got.Ospeed) - int64(baud); off*50 > int64(baud) || off*50 < -int64(baud) {
		return fmt.Errorf("the port runs at %d baud instead of %d: use another adapter or another rate", got.Ospeed, baud)
	}
	if parity == Even && !pty && got.Cflag&(unix.PARENB|unix.PARODD) != unix.PARENB {
		return errors.New("the port has no even parity: use another adapter")
	}
	return nil
}

// isPTY reports whether fd is the slave of a Unix98 pseudoterminal: majors 136 to
// 143 (admin-guide/devices.txt of Linux).
func isPTY(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	major := unix.Major(uint64(st.Rdev))
	return major >= 136 && major <= 143, nil
}

// control runs f on the descriptor.
func (p *Port) control(f func(fd int) error) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.fd < 0 {
		return os.ErrClosed
	}
	return f(p.fd)
}

// Read reads at least one byte. It ends with os.ErrDeadlineExceeded after the
// deadline, os.ErrClosed after Close, and hal.ErrDisconnected when the device is
// gone.
func (p *Port) Read(b []byte) (int, error) {
	n, err := p.in.read(b)
	if err != nil {
		err = translate(err)
	}
	return n, err
}

// writeLook is how often a write that the tty does not take looks after Close and its
// deadline.
const writeLook = 20 * time.Millisecond

// Write writes all of b, with the same errors as Read.
func (p *Port) Write(b []byte) (int, error) {
	done := 0
	for {
		n, err := p.WriteNow(b[done:])
		done += n
		if err != nil || done == len(b) {
			return done, err
		}
		if t := p.until.Load(); t != 0 && time.Now().UnixNano() >= t {
			return done, os.ErrDeadlineExceeded
		}
		if err := p.control(awaitRoom); err != nil {
			return done, err
		}
	}
}

// awaitRoom waits until fd takes more, for a moment at most.
func awaitRoom(fd int) error {
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(writeLook/time.Millisecond))
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("wait for the serial port: %w", err)
	}
	return nil
}

// WriteNow writes as much of b as the tty takes without waiting: all of it, unless
// flow control or a stuck device has filled its buffer of some KiB. The kernel keeps
// the bytes of one call together. It takes one system call and no allocation.
func (p *Port) WriteNow(b []byte) (int, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.fd < 0 {
		return 0, os.ErrClosed
	}
	for {
		n, err := writeFast(p.fd, b)
		switch {
		case err == nil:
			return n, nil
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, nil
		default:
			return 0, translate(err)
		}
	}
}

// writeFast is write(2) on a descriptor that does not block, without telling Go's
// scheduler that it might.
func writeFast(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// translate maps what a tty says when its device is unplugged: end of file after a
// hang-up, or an error of the driver.
func translate(err error) error {
	for _, gone := range [...]error{io.EOF, syscall.EIO, syscall.ENXIO, syscall.ENODEV, syscall.EPIPE} {
		if errors.Is(err, gone) {
			return fmt.Errorf("%w: %v", hal.ErrDisconnected, gone)
		}
	}
	return err
}

// Own says that from now on the calling goroutine alone reads. It has locked itself to
// its thread (runtime.LockOSThread), and stays so.
func (p *Port) Own() { p.in.own() }

// SetReadDeadline ends reads at t, also one that is under way; the zero time means
// never.
func (p *Port) SetReadDeadline(t time.Time) error { return p.in.setDeadline(t) }

// SetWriteDeadline ends writes at t, up to 20 ms late; the zero time means never.
func (p *Port) SetWriteDeadline(t time.Time) error {
	ns := int64(0)
	if !t.IsZero() {
		ns = t.UnixNano()
	}
	p.until.Store(ns)
	return nil
}

// Reset drops DTR for a quarter of a second. On boards with an AVR or a USB bridge
// that resets the controller; on others nothing happens. A port without a DTR line,
// such as a pty, returns an error.
func (p *Port) Reset() error {
	set := func(req uint) error {
		err := p.control(func(fd int) error { return unix.IoctlSetPointerInt(fd, req, unix.TIOCM_DTR) })
		if err != nil {
			return fmt.Errorf("reset the controller by DTR: %w", err)
		}
		return nil
	}
	if err := set(unix.TIOCMBIC); err != nil {
		return err
	}
	time.Sleep(250 * time.Millisecond)
	return set(unix.TIOCMBIS)
}

// Close ends reads and writes that are under way and lets go of the port. The
// second Close returns os.ErrClosed.
func (p *Port) Close() error {
	if p.exclusive {
		// Another descriptor may keep the tty alive, and the flag with it. Failing is
		// no reason not to close.
		_ = p.control(func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCNXCL, 0) })
	}
	if err := p.in.close(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fd := p.fd
	p.fd = -1
	return unix.Close(fd)
}
