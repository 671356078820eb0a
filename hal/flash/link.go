package flash

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"platen/hal/flash/loader"
	"platen/hal/sensor/gpio"
	"platen/hal/serial"
)

// How long things take.
const (
	comeBack  = 10 * time.Second       // a USB device, after its controller restarted
	settle    = 2 * time.Second        // until its owner is set, and others have had their look at it
	lookAgain = 50 * time.Millisecond  // for it
	writeIn   = 10 * time.Second       // one request, or the line is stuck
	resetFor  = 20 * time.Millisecond  // NRST; 20 µs are enough for every STM32
	bootFor   = 100 * time.Millisecond // BOOT0 stays after the reset; it is read when the reset ends
)

// Restart is how a board lets the host restart its controller.
type Restart interface {
	// Restart restarts it, into the bootloader in its ROM if boot and there is a pin.
	Restart(ctx context.Context, p *serial.Port, boot bool) error
}

// DTR restarts a controller whose reset is wired to DTR, as AVR boards and most with a
// USB bridge have it.
type DTR struct{}

// Restart lowers DTR for a quarter of a second.
func (DTR) Restart(_ context.Context, p *serial.Port, _ bool) error { return p.Reset() }

// Reopen restarts a controller that restarts whenever its device is opened, such as a
// simulated one on a pseudo terminal, which has no DTR.
type Reopen struct{}

// Restart does nothing: SerialLink opens the device again.
func (Reopen) Restart(context.Context, *serial.Port, bool) error { return nil }

// Pins restarts a controller whose NRST, and BOOT0 where it has one, are wired to pins
// of the board. A pin is held only while it is needed, and inactive before it is let go:
// some chips leave it as it was.
type Pins struct {
	Reset gpio.Config // an output; active is reset: low, for NRST
	Boot  gpio.Config // an output; active is the bootloader; no chip: there is no such pin
	// Request takes a pin, inactive.
	Request func(gpio.Config) (gpio.Line, error)
}

// Restart holds the controller in reset for a moment.
func (p Pins) Restart(ctx context.Context, _ *serial.Port, boot bool) (err error) {
	if boot && p.Boot.Chip != "" {
		var letGo func() error
		if letGo, err = p.raise(p.Boot); err != nil {
			return fmt.Errorf("raise BOOT0: %w", err)
		}
		defer func() { err = errors.Join(err, loader.Pause(ctx, bootFor), letGo()) }()
	}
	letGo, err := p.raise(p.Reset)
	if err != nil {
		return fmt.Errorf("lower NRST: %w", err)
	}
	return errors.Join(loader.Pause(ctx, resetFor), letGo())
}

// raise takes a pin and makes it active until letGo.
func (p Pins) raise(c gpio.Config) (letGo func() error, err error) {
	line, err := p.Request(c)
	if err != nil {
		return nil, err
	}
	if err := line.Set(true); err != nil {
		return nil, errors.Join(err, line.Close())
	}
	return func() error { return errors.Join(line.Set(false), line.Close()) }, nil
}

// SerialLink is a link over a serial device.
type SerialLink struct {
	// Find returns the path of the device. It is asked at each opening: a USB device
	// can come back under another name.
	Find    func() (string, error)
	Restart Restart
	Wait    time.Duration // for a device that is not there; 0 is ten seconds
}

// Open opens the device, and waits for one that is not there, and a little for one that
// this user may not open yet or that another program looks at.
func (s SerialLink) Open(ctx context.Context, m loader.Mode) (loader.Port, error) {
	p := &linkPort{link: s, mode: m}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Reset restarts the controller behind a port of this link.
func (s SerialLink) Reset(ctx context.Context, p loader.Port, boot bool) error {
	l, ok := p.(*linkPort)
	if !ok {
		return errors.New("the port is not one of this link")
	}
	if _, again := s.Restart.(Reopen); again {
		if err := l.Close(); err != nil {
			return fmt.Errorf("close the serial port: %w", err)
		}
		// Long enough for the far end to see that nobody is there.
		if err := loader.Pause(ctx, lookAgain); err != nil {
			return err
		}
		return l.open(ctx)
	}
	return s.Restart.Restart(ctx, l.Port, boot)
}

// patience is how long an error of opening is waited out.
func (s SerialLink) patience(err error) time.Duration {
	wait := cmp.Or(s.Wait, comeBack)
	for _, gone := range [...]error{fs.ErrNotExist, unix.EIO, unix.ENXIO, unix.ENODEV} {
		if errors.Is(err, gone) {
			return wait
		}
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, serial.ErrBusy) {
		return min(wait, settle)
	}
	return 0
}

// linkPort is a serial port that can be closed and opened again. While it is closed it
// has the last port, which says so.
type linkPort struct {
	*serial.Port
	link SerialLink
	mode loader.Mode
}

func (p *linkPort) open(ctx context.Context) error {
	begun := time.Now()
	for {
		err := p.try()
		if err == nil || time.Since(begun) >= p.link.patience(err) {
			return err
		}
		if err := loader.Pause(ctx, lookAgain); err != nil {
			return err
		}
	}
}

func (p *linkPort) try() error {
	device, err := p.link.Find()
	if err != nil {
		return err
	}
	cfg := serial.Config{Device: device, Baud: p.mode.Baud}
	if p.mode.Even {
		cfg.Parity = serial.Even
	}
	port, err := serial.Open(cfg)
	if err != nil {
		return err
	}
	p.Port = port
	return nil
}

// Write writes all of b, or fails when the line is stuck.
func (p *linkPort) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(writeIn)); err != nil {
		return 0, err
	}
	return p.Port.Write(b)
}
