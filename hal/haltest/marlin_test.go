package haltest_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"platen/cross/rig/rigtest"
	"platen/hal"
	"platen/hal/driver"
	"platen/hal/gcode"
	"platen/hal/haltest"
	"platen/hal/marlin"
	"platen/hal/motion"
	"platen/hal/serial"
	"platen/hal/sim"
)

// TestMain lets more cases run side by side than there are processors: they mostly
// wait for simulated heat.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err) // the flag is the testing package's own
	}
	os.Exit(m.Run())
}

// serve runs a printer on rw until the test ends.
func serve(t *testing.T, cfg sim.Config, rw io.ReadWriter) *sim.Printer {
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
		case <-time.After(10 * time.Second):
			t.Error("printer did not end")
		}
	})
	return p
}

// drive opens the driver on a port that a printer serves.
func drive(t *testing.T, port driver.Port) hal.Machine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m, err := marlin.Open(ctx, port, marlin.Options{
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Link:   gcode.Config{Stall: 300 * time.Millisecond}, // the printer runs faster than real ones
		Settle: 100 * time.Millisecond,
	})
	if err != nil {
		port.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func overPipe(t *testing.T, cfg sim.Config) (hal.Machine, *sim.Printer) {
	host, printer := net.Pipe()
	p := serve(t, cfg, printer)
	return drive(t, host), p
}

func overPTY(t *testing.T, cfg sim.Config) (hal.Machine, *sim.Printer) {
	master, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	cfg.ResetOnOpen = true
	p := serve(t, cfg, master)
	port, err := serial.Open(serial.Config{Device: path, Baud: 250000})
	if err != nil {
		t.Fatal(err)
	}
	return drive(t, port), p
}

func TestMarlinOverPipe(t *testing.T) {
	t.Parallel()
	haltest.Run(t, overPipe)
}

func TestMarlinOverPTY(t *testing.T) {
	t.Parallel()
	haltest.Run(t, overPTY)
}

// flawed is a machine with one flaw.
type flawed struct {
	hal.Machine
	flaw string
}

// flaws names each flaw and the case of the suite that has to find it.
var flaws = map[string]string{
	"loses a move":               "program",
	"doubles a move":             "program",
	"returns early":              "program",
	"does not wait for heat":     "temperatures",
	"does not halt":              "halt_while_moving/plain",
	"forgets that it was halted": "halt_while_heating",
	"ignores a cancel":           "cancel",
	"hides a program's error":    "program_error",
	"leaves heaters on":          "close",
}

func (f *flawed) Run(ctx context.Context, prog motion.Program) error {
	switch f.flaw {
	case "returns early":
		go f.Machine.Run(ctx, prog)
		return nil
	case "ignores a cancel":
		ctx = context.WithoutCancel(ctx)
	}
	err := f.Machine.Run(ctx, f.spoil(prog))
	if errors.Is(err, hal.ErrHalted) && f.flaw == "forgets that it was halted" {
		return nil
	}
	return err
}

func (f *flawed) spoil(prog motion.Program) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		moves := 0
		for op, err := range prog {
			if err != nil && f.flaw == "hides a program's error" {
				return
			}
			if op.Kind == motion.WaitHeater && f.flaw == "does not wait for heat" {
				op.Kind = motion.SetHeater
			}
			if op.Kind == motion.Move {
				moves++
			}
			if moves == 3 && op.Kind == motion.Move && f.flaw == "loses a move" {
				continue
			}
			if !yield(op, err) {
				return
			}
			if moves == 3 && op.Kind == motion.Move && f.flaw == "doubles a move" && !yield(op, nil) {
				return
			}
		}
	}
}

func (f *flawed) Halt(reason string) error {
	if f.flaw == "does not halt" {
		return nil
	}
	return f.Machine.Halt(reason)
}

func (f *flawed) Close() error {
	if f.flaw == "leaves heaters on" {
		return nil
	}
	return f.Machine.Close()
}

// TestFlawed is the suite on a flawed machine: TestSuiteFindsFlaws runs it in a
// process of its own and sees to it that it fails.
func TestFlawed(t *testing.T) {
	flaw := os.Getenv("HALTEST_FLAW")
	if flaw == "" {
		return
	}
	haltest.Run(t, func(t *testing.T, cfg sim.Config) (hal.Machine, *sim.Printer) {
		m, p := overPipe(t, cfg)
		return &flawed{m, flaw}, p
	})
}

// TestSuiteFindsFlaws runs the suite on machines with a flaw: each has to fail, in
// the case that is about it.
func TestSuiteFindsFlaws(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rigtest.Starts(t)
	for flaw, where := range flaws {
		t.Run(flaw, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), exe, "-test.run", "^TestFlawed$/"+where, "-test.timeout", "20s")
			cmd.Env = append(os.Environ(), "HALTEST_FLAW="+flaw)
			out, err := cmd.CombinedOutput()
			if _, failed := errors.AsType[*exec.ExitError](err); !failed || !strings.Contains(string(out), "--- FAIL: TestFlawed/"+where) {
				t.Errorf("a machine that %s passed: %v\n%s", flaw, err, out)
			}
		})
	}
}
