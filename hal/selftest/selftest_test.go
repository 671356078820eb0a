package selftest_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/boards"
	"platen/hal"
	"platen/hal/driver"
	"platen/hal/envelope"
	"platen/hal/grbl"
	"platen/hal/marlin"
	"platen/hal/repetier"
	"platen/hal/reprap"
	"platen/hal/selftest"
	"platen/hal/sim"
	"platen/hal/unit"
)

// cable is a line whose other end needs no reset.
type cable struct{ net.Conn }

// machines are the boards that a self-test is tried on, with what the simulator runs there.
var machines = []struct {
	board string
	fw    sim.Firmware
	make  func(driver.Options) driver.Firmware
}{
	{"sim", sim.Marlin2, marlin.New},
	{"sim-repetier", sim.Repetier, repetier.New},
	{"sim-reprap", sim.RepRap, reprap.New},
	{"sim-grbl", sim.GRBL, grbl.New},
}

// opened is how long a machine is left alone after it was opened.
const opened = 20 * time.Second

// tested opens a machine in a bubble and runs the published self-test on it.
func tested(t *testing.T, n int, cfg sim.Config, during func(hal.Machine, *sim.Printer)) (r selftest.Report, st sim.Stats, took time.Duration, err error) {
	t.Helper()
	b, lerr := boards.Load(machines[n].board)
	if lerr != nil {
		t.Fatal(lerr)
	}
	plan, perr := selftest.Parse(catalog.Motion, b.Limits, machines[n].fw != sim.GRBL)
	if perr != nil {
		t.Fatal(perr)
	}
	synctest.Test(t, func(t *testing.T) {
		cfg.Firmware, cfg.Volume = machines[n].fw, b.Limits.Max
		if machines[n].fw == sim.GRBL {
			cfg.Settings = "22=1,23=7,110=18000,111=18000,112=1200,120=1000,121=1000,122=1000"
		}
		p, serr := sim.New(cfg)
		if serr != nil {
			t.Fatal(serr)
		}
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Serve(ctx, far) }) // ends with the bubble
		defer wg.Wait()
		defer cancel()
		opt := driver.Options{Pins: driver.Pins{USB: b.Controller.Link == "usb"}}
		m, oerr := driver.Open(t.Context(), cable{near}, machines[n].make(opt), opt)
		if oerr != nil {
			t.Fatal(oerr)
		}
		defer m.Close()
		time.Sleep(opened)
		if during != nil {
			wg.Go(func() { during(m, p) })
		}
		begin := time.Now()
		r, err = plan.Run(t.Context(), m)
		took, st = time.Since(begin), p.Stats()
	})
	return r, st, took, err
}

// The published motion runs on every kind of machine, and its figures are those of a machine
// in order.
func TestMachineInOrder(t *testing.T) {
	for n, mc := range machines {
		t.Run(mc.board, func(t *testing.T) {
			r, st, took, err := tested(t, n, sim.Config{Seed: 1, Noise: unit.Degree / 20}, nil)
			if err != nil {
				t.Fatalf("%v; printer %+v", err, st)
			}
			t.Logf("%v: %+v", took, r)
			if r.Half <= 0 || r.Half > r.Most || r.Most > r.Longest || r.Resends != 0 || r.Errors != 0 {
				t.Errorf("answers within %v, %v, %v, %d resends, %d errors", r.Half, r.Most, r.Longest, r.Resends, r.Errors)
			}
			for i, a := range r.Axes {
				if !a.Felt || a.Sweep <= 0 || a.Spread > 300*unit.Millimetre/1000 || max(a.Shift, -a.Shift) > 100*unit.Millimetre/1000 {
					t.Errorf("axis %d of a machine in order: %+v", i, a)
				}
			}
			if st.Unhomed+st.Clamped+st.Unknown+st.Kills != 0 || st.Filament != 0 || st.HotendSet != 0 || st.BedSet != 0 {
				t.Errorf("the printer: %+v", st)
			}
		})
	}
}

// inOrder is a self-test of a machine in order, which several tests are held against.
var inOrder struct {
	once sync.Once
	r    selftest.Report
	st   sim.Stats
	took time.Duration
	err  error
}

func healthy(t *testing.T) (selftest.Report, sim.Stats, time.Duration) {
	t.Helper()
	inOrder.once.Do(func() {
		inOrder.r, inOrder.st, inOrder.took, inOrder.err = tested(t, 0, sim.Config{Seed: 1}, nil)
	})
	if inOrder.err != nil || inOrder.took == 0 {
		t.Fatalf("a machine in order: %v", inOrder.err)
	}
	return inOrder.r, inOrder.st, inOrder.took
}

// A belt that slips shows on its axis alone; so do sensors that flutter and a line that
// damages bytes.
func TestWornMachine(t *testing.T) {
	good, _, _ := healthy(t)
	worn, _, _, err := tested(t, 0, sim.Config{Seed: 1, Noise: unit.Degree, Faults: sim.Faults{SlipAt: time.Second}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Three ways of 80 % of 220 mm, a thousandth each.
	if s := worn.Axes[0].Shift.Micrometres(); s > -450 || s < -600 {
		t.Errorf("X has slipped by %d µm", s)
	}
	if y, z := worn.Axes[1].Shift.Micrometres(), worn.Axes[2].Shift.Micrometres(); max(y, -y, z, -z) > 100 {
		t.Errorf("Y and Z have slipped by %d and %d µm", y, z)
	}
	bad, _, _, err := tested(t, 0, sim.Config{Seed: 1, Faults: sim.Faults{Corrupt: sim.Always / 20}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if worn.Noise < 3*unit.Degree/10 || bad.Resends == 0 || bad.Longest <= good.Longest {
		t.Errorf("%v of noise, %d resends, answers within %v", worn.Noise, bad.Resends, bad.Longest)
	}
	if s := good.Axes[0].Shift.Micrometres(); good.Noise != 0 || good.Resends != 0 || max(s, -s) > 100 {
		t.Errorf("control: %+v", good)
	}
}

// A fault ends a self-test at once, and so does its owner.
func TestEndsAtOnce(t *testing.T) {
	_, whole, took := healthy(t)
	_, st, _, err := tested(t, 0, sim.Config{Seed: 1, Faults: sim.Faults{ResetAt: opened + took/2}}, nil)
	if fault, ok := errors.AsType[*hal.FaultError](err); !ok || fault.Fault != hal.FaultReset || st.Moves >= whole.Moves {
		t.Errorf("a controller that restarts: %v, %d moves of %d", err, st.Moves, whole.Moves)
	}
	_, st, _, err = tested(t, 0, sim.Config{Seed: 1}, func(m hal.Machine, _ *sim.Printer) {
		time.Sleep(took / 2)
		_ = m.Halt("test") // the run ends, and closes the machine, while this returns
	})
	if !errors.Is(err, hal.ErrHalted) || st.Moves >= whole.Moves || st.Moves == 0 {
		t.Errorf("halted: %v, %d moves of %d", err, st.Moves, whole.Moves)
	}
}

// What a machine cannot do is refused before anything moves, and so is a text that is not
// understood.
func TestParse(t *testing.T) {
	b, err := boards.Load("sim")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := selftest.Parse(catalog.Motion, b.Limits, true); err != nil {
		t.Fatalf("control: %v", err)
	}
	beyond := strings.Replace(catalog.Motion, "home\n", "", 1)
	if _, err := selftest.Parse(beyond, b.Limits, true); !errors.Is(err, hal.ErrEnvelope) {
		t.Errorf("a motion that does not home: %v", err)
	}
	for _, line := range []string{
		"", "heat 200", "ping", "ping x", "ping 1000", "ping -1", "to 50 50", "to 50 50 120", "accel 0", "home x", "off now",
		"axis e near 10 far 40 sweep 10 90 times 4 homed 3", "axis x near 40 far 10 sweep 10 90 times 4 homed 3", "axis x near 10 far 140 sweep 10 90 times 4 homed 3",
		"axis x near 10 far 40 sweep 90 10 times 4 homed 3", "axis x near 10 far 40 sweep 10 90 times 400 homed 3", "axis x near 10 far 40 sweep 10 90 times 4 homed 1", "axis x near 10 far 40 sweep 10 90 times 4",
		"axis  near 10 far 40 sweep 10 90 times 4 homed 3", "axis xy near 10 far 40 sweep 10 90 times 4 homed 3",
	} {
		text := strings.Replace(catalog.Motion, "off\n", line+"\noff\n", 1)
		if _, err := selftest.Parse(text, b.Limits, true); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
	if _, err := selftest.Parse("home\n", b.Limits, true); err == nil {
		t.Error("a text without its title was taken")
	}
}

// On every board of this release that moves, the motion is within the envelope, in whatever
// way it is homed, and neither heats nor feeds.
func TestEveryBoard(t *testing.T) {
	for _, id := range boards.List() {
		b, err := boards.Load(id)
		if err != nil {
			t.Fatal(err)
		}
		if !b.Driven() {
			continue
		}
		if _, err := selftest.Parse(catalog.Motion, b.Limits, b.Controller.Dialect != "grbl"); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	// Control: a machine whose volume is nothing cannot do it.
	if _, err := selftest.Parse(catalog.Motion, envelope.Limits{MaxAccel: 1000}, true); err == nil {
		t.Error("control: it was taken by a machine that cannot move")
	}
}
