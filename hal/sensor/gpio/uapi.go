package gpio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"platen/hal/sensor"
)

// What the kernel calls these (include/uapi/linux/gpio.h). All members are aligned as
// they are in C without padding of the compiler's; a test holds sizes and offsets.
type (
	chipInfo struct {
		name, label [32]byte
		lines       uint32
	}
	lineAttr struct {
		id, padding uint32
		value       uint64 // of a union; a debounce period is its first half
	}
	lineConfigAttr struct {
		attr lineAttr
		mask uint64
	}
	lineConfig struct {
		flags    uint64
		numAttrs uint32
		padding  [5]uint32
		attrs    [10]lineConfigAttr
	}
	lineRequest struct {
		offsets  [64]uint32
		consumer [32]byte
		config   lineConfig
		numLines uint32
		buffer   uint32
		padding  [5]uint32
		fd       int32
	}
	lineValues struct{ bits, mask uint64 }
	lineEvent  struct {
		timestamp uint64
		id        uint32
		offset    uint32
		seqno     uint32
		lineSeqno uint32
		padding   [6]uint32
	}
)

// The calls, as _IOR and _IOWR make them (include/uapi/asm-generic/ioctl.h, the same on
// amd64, arm and arm64): direction, size, type 0xB4, number.
const (
	getChipInfo = 2<<30 | 68<<16 | 0xB4<<8 | 0x01
	getLine     = 3<<30 | 592<<16 | 0xB4<<8 | 0x07
	// GetValues and SetValues are all that a line takes once it is requested: what a
	// process that confines itself has to allow.
	GetValues = 3<<30 | 16<<16 | 0xB4<<8 | 0x0E
	SetValues = 3<<30 | 16<<16 | 0xB4<<8 | 0x0F
)

// Flags of a line and numbers of attributes.
const (
	flagActiveLow = 1 << 1
	flagInput     = 1 << 2
	flagOutput    = 1 << 3
	flagRising    = 1 << 4
	flagFalling   = 1 << 5
	flagPullUp    = 1 << 8
	flagPullDown  = 1 << 9
	flagNoPull    = 1 << 10

	attrValues   = 2
	attrDebounce = 3

	eventRising = 1
)

// Chip is an open chip. It is only needed to request lines.
type Chip struct{ f *os.File }

// OpenChip opens the chip with the name or label below root, which is "/dev" on a board.
// One that is not there is sensor.ErrMissing; one that cannot be told apart from those
// that may not be opened is fs.ErrPermission.
func OpenChip(root, chip string) (*Chip, error) {
	paths, err := filepath.Glob(filepath.Join(root, "gpiochip*"))
	if err != nil {
		return nil, fmt.Errorf("looking for a gpio chip: %w", err)
	}
	var denied error
	for _, p := range paths {
		f, err := os.OpenFile(p, os.O_RDWR|unix.O_CLOEXEC, 0)
		if errors.Is(err, fs.ErrPermission) && (denied == nil || filepath.Base(p) == chip) {
			denied = fmt.Errorf("gpio: no chip %s among those that may be opened: %w: add the user to the group of %s", chip, err, p)
		}
		if err != nil {
			continue
		}
		if filepath.Base(p) == chip {
			return &Chip{f}, nil
		}
		var info chipInfo
		if ioctl(f, getChipInfo, unsafe.Pointer(&info)) == nil && cString(info.label[:]) == chip {
			return &Chip{f}, nil
		}
		f.Close()
	}
	if denied != nil {
		return nil, denied
	}
	return nil, fmt.Errorf("gpio: no chip %s below %s: %w", chip, root, sensor.ErrMissing)
}

func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// Close closes the chip; its lines stay.
func (c *Chip) Close() error { return c.f.Close() }

// ioctl makes a call on f without taking it from the poller.
func ioctl(f interface {
	SyscallConn() (syscall.RawConn, error)
}, call uintptr, arg unsafe.Pointer) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var e syscall.Errno
	if err := rc.Control(func(fd uintptr) {
		_, _, e = unix.Syscall(unix.SYS_IOCTL, fd, call, uintptr(arg))
	}); err != nil {
		return err
	}
	if e != 0 {
		return e
	}
	return nil
}

// request is c as the kernel takes it.
func (c Config) request() lineRequest {
	r := lineRequest{numLines: 1, buffer: 64}
	r.offsets[0] = c.Offset
	copy(r.consumer[:31], "platen")
	cfg := &r.config
	cfg.flags = flagInput
	attr := func(id uint32, value uint64) {
		cfg.attrs[cfg.numAttrs] = lineConfigAttr{attr: lineAttr{id: id, value: value}, mask: 1}
		cfg.numAttrs++
	}
	if c.Output {
		cfg.flags = flagOutput
		attr(attrValues, 0)
	}
	if c.ActiveLow {
		cfg.flags |= flagActiveLow
	}
	cfg.flags |= [...]uint64{PullAsIs: 0, PullUp: flagPullUp, PullDown: flagPullDown, PullNone: flagNoPull}[c.Pull]
	cfg.flags |= [...]uint64{NoEdges: 0, Rising: flagRising, BothEdges: flagRising | flagFalling}[c.Edges]
	if c.Debounce > 0 {
		attr(attrDebounce, uint64(c.Debounce.Microseconds())) // a little-endian union
	}
	return r
}

// Request takes a pin. One that another process has is EBUSY.
func (c *Chip) Request(cfg Config) (Line, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	r := cfg.request()
	if err := ioctl(c.f, getLine, unsafe.Pointer(&r)); err != nil {
		return nil, fmt.Errorf("gpio: requesting pin %d of %s: %w", cfg.Offset, cfg.Chip, err)
	}
	if err := unix.SetNonblock(int(r.fd), true); err != nil {
		unix.Close(int(r.fd))
		return nil, fmt.Errorf("gpio: requesting pin %d of %s: %w", cfg.Offset, cfg.Chip, err)
	}
	return &line{f: os.NewFile(uintptr(r.fd), "gpio")}, nil
}

// line is a Line of the kernel.
type line struct {
	f   *os.File
	buf [16 * eventSize]byte
}

const eventSize = int(unsafe.Sizeof(lineEvent{}))

// Value is the level now.
func (l *line) Value() (bool, error) {
	v := lineValues{mask: 1}
	if err := ioctl(l.f, GetValues, unsafe.Pointer(&v)); err != nil {
		return false, fmt.Errorf("gpio: reading a pin: %w", err)
	}
	return v.bits&1 != 0, nil
}

// Set drives the level.
func (l *line) Set(active bool) error {
	v := lineValues{mask: 1}
	if active {
		v.bits = 1
	}
	if err := ioctl(l.f, SetValues, unsafe.Pointer(&v)); err != nil {
		return fmt.Errorf("gpio: driving a pin: %w", err)
	}
	return nil
}

// Events waits for edges.
func (l *line) Events(dst []Event) (int, error) {
	n, err := l.f.Read(l.buf[:min(len(l.buf), len(dst)*eventSize)])
	if err != nil {
		return 0, err
	}
	return decode(l.buf[:n], dst), nil
}

// decode reads whole events.
func decode(b []byte, dst []Event) int {
	n := 0
	for ; len(b) >= eventSize && n < len(dst); b = b[eventSize:] {
		var e lineEvent
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&e)), eventSize), b)
		dst[n] = Event{At: time.Duration(e.timestamp), Rising: e.id == eventRising, Seq: e.lineSeqno}
		n++
	}
	return n
}

// Close lets go of the pin.
func (l *line) Close() error { return l.f.Close() }
