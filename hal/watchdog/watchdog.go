// Package watchdog pets the hardware watchdog of a board, so that the board starts
// again when whoever has to switch heaters off cannot any more.
//
// Start at [Open]. The timer runs from then on; a board that is not petted within its
// timeout restarts. [Dog.Disarm] stops the timer, where the hardware lets it be stopped;
// closing a Dog any other way, or the end of the process, leaves it running, and the
// next owner can open it and go on. A descriptor of it may be handed to another process
// ([Dog.File], [FromFile]): the device counts as open until the last one is closed.
//
// Who pets, and on what conditions, is the caller's business. Sources:
// Documentation/watchdog/watchdog-api.rst of Linux.
package watchdog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Errors a caller branches on.
var (
	// ErrBusy reports that another process has the watchdog.
	ErrBusy = errors.New("watchdog is in use")
	// ErrNone reports that there is no watchdog at the path.
	ErrNone = errors.New("there is no watchdog")
)

// Dog is an open watchdog. Its methods may be called from any goroutine.
type Dog struct {
	f       *os.File
	call    func(call uintptr, arg unsafe.Pointer) error // ioctl of f
	bench   bool
	timeout time.Duration
	info    Info
}

// Info is what a watchdog says of itself.
type Info struct {
	Identity    string // the driver's name, at most 32 bytes
	CanDisarm   bool   // magic close; a kernel built with nowayout ignores it all the same
	CausedBoot  bool   // the last start of the board was the watchdog's doing
	Pretimeout  time.Duration
	HasKeepCall bool
}

// Options of a watchdog.
const (
	optCardReset  = 0x0020 // WDIOF_CARDRESET
	optMagicClose = 0x0100 // WDIOF_MAGICCLOSE
	optKeepalive  = 0x8000 // WDIOF_KEEPALIVEPING
)

// Bounds of a timeout: hardware of boards has 15 s and more, and a minute is long enough
// for everything that is to happen before.
const (
	MinTimeout = 10 * time.Second
	MaxTimeout = 10 * time.Minute
)

// Open opens the watchdog at path, for example "/dev/watchdog", and sets its timeout. One
// that hardware does not take is rounded, or stays what it was: see [Dog.Timeout]. If it can, it also warns (as the kernel is
// set up to, for example by a panic with its traces) at half of the timeout before. A path
// that is a FIFO or a plain file is a test bench: it gets what is written and no calls.
func Open(path string, timeout time.Duration) (*Dog, error) {
	if timeout < MinTimeout || timeout > MaxTimeout {
		return nil, fmt.Errorf("watchdog: a timeout of %v is outside %v to %v", timeout, MinTimeout, MaxTimeout)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("opening %s: %w", path, ErrBusy)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return nil, fmt.Errorf("opening %s: %w", path, ErrNone)
	case err != nil:
		return nil, fmt.Errorf("opening the watchdog: %w", err)
	}
	d, err := FromFile(f)
	switch {
	case err != nil:
	case d.bench:
		d.timeout = timeout
	default:
		err = d.start(timeout)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("setting up %s: %w", path, err), f.Close())
	}
	return d, nil
}

// FromFile makes a Dog of a descriptor that another process opened. It takes f over.
func FromFile(f *os.File) (*Dog, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	d := &Dog{f: f}
	d.call = d.ioctl
	if d.bench, err = isBench(st.Mode()); err != nil {
		return nil, err
	}
	if d.bench {
		d.info = Info{Identity: "test bench", CanDisarm: true}
		return d, nil
	}
	var s support
	if err := d.call(unix.WDIOC_GETSUPPORT, unsafe.Pointer(&s)); err != nil {
		return nil, fmt.Errorf("it is no watchdog: %w", err)
	}
	d.info = Info{Identity: s.name(), CanDisarm: s.options&optMagicClose != 0, HasKeepCall: s.options&optKeepalive != 0}
	var v int32
	if d.call(unix.WDIOC_GETBOOTSTATUS, unsafe.Pointer(&v)) == nil {
		d.info.CausedBoot = v&optCardReset != 0
	}
	if d.call(unix.WDIOC_GETTIMEOUT, unsafe.Pointer(&v)) == nil {
		d.timeout = time.Duration(v) * time.Second
	}
	return d, nil
}

// isBench reports whether a file of a mode stands in for a watchdog. A disk, which is given
// by mistake, does not: petting would write to it.
func isBench(m fs.FileMode) (bool, error) {
	switch {
	case m&fs.ModeCharDevice != 0:
		return false, nil
	case m&fs.ModeType == 0 || m&fs.ModeType == fs.ModeNamedPipe:
		return true, nil
	}
	return false, errors.New("it is no watchdog: correct watchdog in the configuration")
}

// support is struct watchdog_info of linux/watchdog.h.
type support struct {
	options, firmware uint32
	identity          [32]byte
}

func (s *support) name() string {
	for i, c := range s.identity {
		if c == 0 {
			return string(s.identity[:i])
		}
	}
	return string(s.identity[:])
}

// start sets up a timer that runs since it was opened, or stops it: nobody would pet one
// that could not be set up, and a board that restarts every few seconds is of no use.
func (d *Dog) start(timeout time.Duration) error {
	err := d.set(timeout)
	if err != nil {
		_, stop := d.f.Write([]byte{'V'})
		err = errors.Join(err, stop)
	}
	return err
}

// set sets the timeout, and a warning before it.
func (d *Dog) set(timeout time.Duration) error {
	v := int32(timeout / time.Second)
	// EINVAL is hardware that cannot count so far: it has a timeout all the same.
	err := d.call(unix.WDIOC_SETTIMEOUT, unsafe.Pointer(&v))
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("a timeout of %v is not taken: %w", timeout, err)
	}
	if err := d.call(unix.WDIOC_GETTIMEOUT, unsafe.Pointer(&v)); err != nil || v < int32(MinTimeout/time.Second) {
		return fmt.Errorf("its timeout is %d s, which is too short for a board to live by: leave watchdog out of the configuration, or use another one", v)
	}
	d.timeout = time.Duration(v) * time.Second
	pre := v / 2
	if d.call(unix.WDIOC_SETPRETIMEOUT, unsafe.Pointer(&pre)) == nil { // few can
		d.info.Pretimeout = time.Duration(pre) * time.Second
	}
	return nil
}

func (d *Dog) ioctl(call uintptr, arg unsafe.Pointer) error {
	rc, err := d.f.SyscallConn()
	if err != nil {
		return err
	}
	var e unix.Errno
	if err := rc.Control(func(fd uintptr) { _, _, e = unix.Syscall(unix.SYS_IOCTL, fd, call, uintptr(arg)) }); err != nil {
		return err
	}
	if e != 0 {
		return e
	}
	return nil
}

// Info is what the watchdog says of itself.
func (d *Dog) Info() Info { return d.info }

// Timeout is how long the board lives without being petted; 0 if that is not known.
func (d *Dog) Timeout() time.Duration { return d.timeout }

// File is the descriptor, for handing it to another process. It stays the Dog's.
func (d *Dog) File() *os.File { return d.f }

// benchWait is how long a test bench may take to read.
const benchWait = 200 * time.Millisecond

// Pet starts the timer anew. It is a plain write, which any filter on system calls lets
// through that lets a process write at all.
func (d *Dog) Pet() error {
	if d.bench {
		_ = d.f.SetWriteDeadline(time.Now().Add(benchWait)) // a plain file has none and takes everything
	}
	_, err := d.f.Write([]byte{'.'})
	if d.bench && errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // nobody reads the bench
	}
	if err != nil {
		return fmt.Errorf("petting the watchdog: %w", err)
	}
	return nil
}

// Disarm stops the timer, unless the kernel was built not to, and closes the watchdog.
func (d *Dog) Disarm() error {
	if d.bench {
		_ = d.f.SetWriteDeadline(time.Now().Add(time.Second))
	}
	_, err := d.f.Write([]byte{'V'})
	return errors.Join(err, d.f.Close())
}

// Close closes the watchdog and leaves the timer running, if this was the last
// descriptor of it: somebody has to open it again in time, or the board restarts.
func (d *Dog) Close() error { return d.f.Close() }
