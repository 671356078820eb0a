package haltest_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"

	"platen/cross/rig/rigtest"
	"platen/hal"
	"platen/hal/haltest"
	"platen/hal/marlin"
	"platen/hal/motion"
	"platen/hal/sim"
)

// TestMain lets more cases run side by side than there are processors: they mostly
// wait for simulated heat.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err) // the flag is the testing package's own
	}
	os.Exit(m.Run())
}

// marlin2 is the default build of Marlin 2.
var marlin2 = haltest.Traits{Has: []string{"AUTOREPORT_TEMP"}, HasNot: []string{"EMERGENCY_PARSER"}}

var (
	overPipe = haltest.On(haltest.Pipe, marlin.Open)
	overPTY  = haltest.On(haltest.PTY, marlin.Open)
)

func TestMarlinOverPipe(t *testing.T) {
	t.Parallel()
	haltest.Run(t, marlin2, overPipe)
}

func TestMarlinOverPTY(t *testing.T) {
	t.Parallel()
	haltest.Run(t, marlin2, overPTY)
}

func TestMarlinPrint(t *testing.T) { t.Parallel(); haltest.Print(t, marlin2, marlin.Open) }

func TestMarlinHostile(t *testing.T) { t.Parallel(); haltest.Hostile(t, marlin2, marlin.Open) }

func TestMarlinCrash(t *testing.T) { t.Parallel(); haltest.Crash(t, marlin2, marlin.Open) }

func TestMarlinSound(t *testing.T) { t.Parallel(); haltest.Sound(t, marlin2, marlin.Open) }

// others are the relatives of Marlin 2.
var others = map[string]haltest.Traits{
	"ultimaker": {Firmware: sim.Marlin1, NoBuilds: true, Quiet: true},
	"prusa":     {Firmware: sim.PrusaMK3, NoBuilds: true, HeaterFault: hal.FaultController, Has: []string{"AUTOREPORT_TEMP"}},
}

func TestOtherMarlins(t *testing.T) {
	t.Parallel()
	for name, traits := range others {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			haltest.Run(t, traits, overPipe)
			t.Run("print", func(t *testing.T) { haltest.Print(t, traits, marlin.Open) })
			t.Run("hostile", func(t *testing.T) { haltest.Hostile(t, traits, marlin.Open) })
			t.Run("sound", func(t *testing.T) { haltest.Sound(t, traits, marlin.Open) })
			t.Run("crash", func(t *testing.T) { haltest.Crash(t, traits, marlin.Open) })
		})
	}
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
	haltest.Run(t, marlin2, func(t *testing.T, cfg sim.Config) (hal.Machine, *sim.Printer) {
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
