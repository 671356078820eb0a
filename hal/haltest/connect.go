package haltest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"platen/hal"
	"platen/hal/driver"
	"platen/hal/gcode"
	"platen/hal/serial"
	"platen/hal/sim"
)

// Connect starts a printer and returns the near end of its line.
type Connect func(t *testing.T, cfg sim.Config) (driver.Port, *sim.Printer)

// Dial is the Open of a dialect: a machine on a port.
type Dial func(ctx context.Context, port driver.Port, opt driver.Options) (*driver.Machine, error)

// On makes the Open that Run takes from how the line is made and how the dialect opens
// it, with timeouts for printers that run faster than real ones.
func On(connect Connect, dial Dial) Open {
	return func(t *testing.T, cfg sim.Config) (hal.Machine, *sim.Printer) {
		port, p := connect(t, cfg)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		m, err := dial(ctx, port, driver.Options{
			Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Link:   gcode.Config{Stall: 700 * time.Millisecond},
			Settle: 100 * time.Millisecond,
		})
		if err != nil {
			port.Close() // it may be closed already
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() }) // the case has looked at what Close returns, if it is about that
		return m, p
	}
}

// Pipe is a line in memory, with a DTR line that resets the controller.
func Pipe(t *testing.T, cfg sim.Config) (driver.Port, *sim.Printer) {
	host, printer := net.Pipe()
	p := Serve(t, cfg, printer)
	return pipe{host, p}, p
}

type pipe struct {
	net.Conn
	p *sim.Printer
}

// Reset pulses DTR.
func (p pipe) Reset() error {
	p.p.Reset()
	return nil
}

// PTY is a line through the kernel, opened as a serial port. Opening it resets the
// controller.
func PTY(t *testing.T, cfg sim.Config) (driver.Port, *sim.Printer) {
	master, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() }) // what is left in it does not matter
	cfg.ResetOnOpen = true
	p := Serve(t, cfg, master)
	port, err := serial.Open(serial.Config{Device: path, Baud: 250000})
	if err != nil {
		t.Fatal(err)
	}
	return port, p
}

// Serve runs a printer on rw until the test ends.
func Serve(t *testing.T, cfg sim.Config, rw io.ReadWriter) *sim.Printer {
	t.Helper()
	p, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, rw) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("printer: %v", err)
			}
		case <-time.After(patience):
			t.Error("printer did not end")
		}
	})
	return p
}
