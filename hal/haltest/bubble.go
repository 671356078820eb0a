package haltest

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal"
	"platen/hal/driver"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

// cable is a line between a printer and the hosts that open it one after the other, with
// a DTR line that resets the controller.
type cable struct {
	net.Conn
	p *sim.Printer
}

// Close leaves the cable where it is.
func (c cable) Close() error { return c.SetReadDeadline(time.Unix(1, 0)) }

// Reset pulses DTR.
func (c cable) Reset() error {
	c.p.Reset()
	time.Sleep(250 * time.Millisecond)
	return nil
}

// world is a printer in the fake time of a bubble, where waiting costs nothing and every
// run is the same.
type world struct {
	Traits
	*testing.T
	dial  Dial
	p     *sim.Printer
	port  cable
	m     *driver.Machine
	mu    sync.Mutex
	moves []sim.Move
}

// inBubble runs f with a machine of the dialect on a printer with cfg.
func inBubble(t *testing.T, tr Traits, dial Dial, cfg sim.Config, f func(w *world)) {
	t.Helper()
	inBubbleThrough(t, tr, dial, func(c net.Conn) net.Conn { return c }, cfg, f)
}

// inBubbleThrough is inBubble with a line that through makes of the host's end.
func inBubbleThrough(t *testing.T, tr Traits, dial Dial, through func(net.Conn) net.Conn, cfg sim.Config, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{Traits: tr, T: t, dial: dial}
		cfg.OnMove = func(m sim.Move) {
			w.mu.Lock()
			w.moves = append(w.moves, m)
			w.mu.Unlock()
		}
		p, err := sim.New(tr.config(cfg))
		if err != nil {
			t.Fatal(err)
		}
		host, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Serve(ctx, far) }) // it ends with the bubble, or is unplugged
		defer wg.Wait()
		defer cancel()
		w.p, w.port = p, cable{through(host), p}
		w.open()
		defer func() { w.m.Close() }()
		f(w)
	})
}

// open opens the machine, anew if it was open before.
func (w *world) open() {
	w.Helper()
	if err := w.port.SetReadDeadline(time.Time{}); err != nil {
		w.Fatal(err)
	}
	m, err := w.dial(w.Context(), w.port, driver.Options{})
	if err != nil {
		w.Fatalf("open: %v; printer %+v", err, w.p.Stats())
	}
	w.m = m
}

// Faults of a bad day: everything that a line suffers now and then, but for bursts, whose
// damage an eight-bit checksum cannot be trusted to find.
func (tr Traits) badDay() sim.Faults {
	f := sim.Faults{HalfLine: sim.Always / 3000, Delay: sim.Always / 6000}
	if !tr.Unchecked {
		f.Corrupt, f.CorruptReply, f.DropByte = sim.Always/1000, sim.Always/2000, sim.Always/3000
		f.Garbage, f.DropOK, f.DupOK, f.FakeOK = sim.Always/3000, sim.Always/3000, sim.Always/3000, sim.Always/6000
		f.ResendStorm, f.ActionAt = sim.Always/20000, 10*time.Minute
	}
	return f
}

// Print prints 100,000 lines on a bad day (3,000 with -short or -race), and holds the printer's
// journal against the program: every move once, in order, to its place, and nothing else.
func Print(t *testing.T, tr Traits, dial Dial) {
	lines := 100_000
	if testing.Short() || raced {
		lines = 3000
	}
	cfg := sim.Config{Seed: 11, LineTime: 150 * time.Microsecond, Faults: tr.badDay(), Hotend: stillWarm}
	inBubble(t, tr, dial, cfg, func(w *world) {
		ops := w.fit(append(warmUp(), spiral(lines-lines/10)...)) // a tenth of it are retractions
		begin := time.Now()
		err := w.m.Run(w.Context(), Program(ops))
		s, st := w.p.Stats(), w.m.State()
		w.Logf("%d lines in %v, %d faults, %d lines again; %+v", s.Lines, time.Since(begin).Round(time.Second), s.Injected, s.Resends, st.LinkError)
		if err != nil {
			w.Fatalf("Run: %v after %d moves; %+v", err, len(w.moves), s)
		}
		judge(w.T, w.moves, expect(ops), true)
		if s.Injected < uint64(lines/1000) {
			w.Errorf("control: only %d faults happened", s.Injected)
		}
		if s.Cold != 0 || s.Clamped != 0 || s.Unhomed != 0 || s.Kills != 0 {
			w.Errorf("the printer had to hold something back: %+v", s)
		}
	})
}

// safeWithin is how soon after it is noticed, or could be, a machine has to be safe.
const (
	safeWithin  = 10 * time.Second
	coolingTime = 2 * time.Minute
)

// within is how soon a machine has to be safe after f. Firmware that never reports by
// itself is silent through long moves, and that it has fallen silent for good is noticed
// only after eight times as long.
func (tr Traits) within(f sim.Faults) time.Duration {
	if f.HeaterDeadAt > 0 {
		return coolingTime // until it is cold enough for firmware to notice
	}
	if tr.Quiet && (f.SilentAt > 0 || f.WrongBaudAt > 0) {
		return 8 * safeWithin
	}
	return safeWithin
}

// Hostile lets everything happen that ends a print (T18, and Halt): the machine is in its safe state
// within ten seconds, nothing is driven after that, and once the cause is gone the same
// port can be opened again and prints.
func Hostile(t *testing.T, tr Traits, dial Dial) {
	const at = 400 * time.Second
	for name, f := range map[string]sim.Faults{
		"reset":            {ResetAt: at},
		"brown-out":        {BrownOutAt: at},
		"silent":           {SilentAt: at},
		"wrong baud":       {WrongBaudAt: at},
		"thermistor open":  {ThermistorOpenAt: at},
		"thermistor short": {ThermistorShortAt: at},
		"heater dead":      {HeaterDeadAt: at},
		"halt":             {},
	} {
		if tr.NoHeaters && (f.ThermistorOpenAt > 0 || f.ThermistorShortAt > 0 || f.HeaterDeadAt > 0) {
			continue
		}
		t.Run(name, func(t *testing.T) { hostile(t, tr, dial, f, at) })
	}
}

func hostile(t *testing.T, tr Traits, dial Dial, f sim.Faults, at time.Duration) {
	inBubble(t, tr, dial, sim.Config{Faults: f, Hotend: stillWarm}, func(w *world) {
		ops := w.fit(append(append(warmUp(), heat(motion.Bed, 50, false)), slowMoves(2000)...))
		done := make(chan error, 1)
		go func() { done <- w.m.Run(w.Context(), Program(ops)) }()
		for w.p.Stats().SimTime < at-time.Second {
			time.Sleep(100 * time.Millisecond)
		}
		if s := w.p.Stats(); !w.NoHeaters && s.HotendSet == 0 || !s.Moving {
			w.Fatalf("control: the print is not under way before the fault: %+v", s)
		}
		if f == (sim.Faults{}) {
			if err := w.m.Halt("a test halts"); err != nil {
				w.Errorf("Halt: %v", err)
			}
		}
		err := <-done
		if s := w.m.State(); !errors.Is(err, hal.ErrHalted) || s.Fault == hal.FaultNone || s.Phase < hal.PhaseHalted {
			w.Errorf("Run: %v, state %v, fault %v", err, s.Phase, s.Fault)
		} else if want := or(tr.HeaterFault, hal.FaultThermal); f.HeaterDeadAt > 0 && s.Fault != want {
			w.Errorf("a dead heater is fault %v, want %v", s.Fault, want)
		}
		for {
			s := w.p.Stats()
			if s.HotendSet == 0 && s.BedSet == 0 && !s.Moving {
				break
			}
			if s.SimTime > at+w.within(f) {
				w.Fatalf("%v after the fault: %+v, state %+v", s.SimTime-at, s, w.m.State())
			}
			time.Sleep(50 * time.Millisecond)
		}
		driven := len(w.moves)
		time.Sleep(20 * time.Second)
		if s := w.p.Stats(); len(w.moves) != driven || s.HotendSet != 0 || s.Hotend > 250*unit.Degree {
			w.Errorf("%d more moves, %+v", len(w.moves)-driven, s)
		}
		w.m.Close() // it is dead: there is nothing that could fail
		if f.ThermistorOpenAt > 0 || f.ThermistorShortAt > 0 || f.WrongBaudAt > 0 || f.HeaterDeadAt > 0 {
			return // the cause is still there
		}
		w.open()
		if err := w.m.Run(w.Context(), Program(w.fit([]motion.Op{home(), to(20*mm, 20*mm, mm, 0, 50)}))); err != nil {
			w.Errorf("opened again: %v", err)
		}
	})
}
