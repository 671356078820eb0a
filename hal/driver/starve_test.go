package driver_test

import (
	"context"
	"math"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal/driver"
	"platen/hal/marlin"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

// fine is a print of segments of so many millimetres at 150 mm/s, along a spiral without
// corners, for as long as asked: with 0.2 mm, 750 lines a second.
func fine(d time.Duration, segment float64) motion.Program {
	const mm = float64(unit.Millimetre)
	return func(yield func(motion.Op, error) bool) {
		warm := motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 200 * unit.Degree}
		quick := motion.Op{Kind: motion.SetAccel, Accel: 20_000}
		if !yield(warm, nil) || !yield(motion.Op{Kind: motion.Home}, nil) || !yield(quick, nil) {
			return
		}
		angle, radius := 0.0, 40.0
		for range int(d.Seconds() * 150 / segment) {
			angle += segment / radius
			radius = 60 + 30*math.Sin(angle/50)
			x, y := 100+radius*math.Cos(angle), 100+radius*math.Sin(angle)
			op := motion.Op{
				Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, Feed: 150 * unit.MillimetrePerSecond, E: unit.Length(segment * mm / 30),
				To: [3]unit.Length{unit.Length(x * mm), unit.Length(y * mm)},
			}
			if !yield(op, nil) {
				return
			}
		}
	}
}

// board is a 32-bit controller on a UART of 250000 baud, warm enough to extrude.
func board(seed uint64, faults sim.Faults) sim.Config {
	return sim.Config{Baud: 250000, LineTime: 150 * time.Microsecond, Hotend: 201 * unit.Degree, Faults: faults, Seed: seed}
}

// late is a port whose host is late: what is read comes some time after it was there,
// and now and then much later, as when the processor has other things to do.
type late struct {
	net.Conn
	by, spike time.Duration
	reads     int
}

func (l *late) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if n == 0 {
		return n, err
	}
	if l.reads++; l.reads%100 == 0 {
		time.Sleep(l.spike)
	}
	time.Sleep(l.by)
	return n, err
}

// fineness prints fine(d, segment) in fake time and returns what came of it.
func fineness(t *testing.T, d time.Duration, host late, segment float64, seed uint64, faults sim.Faults) (s sim.Stats, lines float64) {
	synctest.Test(t, func(t *testing.T) {
		cfg := board(seed, faults)
		var ends []time.Duration // belongs to Serve until it has ended, as does driven
		var driven []sim.Move
		cfg.OnMove = func(m sim.Move) { ends, driven = append(ends, m.End), append(driven, m) }
		p, err := sim.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		host.Conn = near
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Serve(ctx, far) })
		defer wg.Wait()
		defer cancel()
		// With the default of 3000 mm/s² a planner of 16 blocks would not see far enough
		// ahead to go at 150 mm/s.
		if _, err := near.Write([]byte("M201 X20000 Y20000 E20000\n")); err != nil {
			t.Fatal(err)
		}
		m, err := marlin.Open(t.Context(), &host, driver.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.Run(t.Context(), fine(d, segment)); err != nil {
			t.Fatal(err)
		}
		s = p.Stats()
		m.Close()
		cancel()
		wg.Wait()
		if segment >= 0.2 { // Marlin makes one move of two with less than six steps
			judge(t, driven, fine(d, segment))
		}
		from := len(ends) / 10 // the way to the first circle is longer
		lines = float64(len(ends)-from-1) / (ends[len(ends)-1] - ends[from]).Seconds()
	})
	return s, lines
}

// judge holds what was driven against the moves of prog: each once, in order, to its
// place but for the 5 µm by which such brief moves are rounded.
func judge(t *testing.T, driven []sim.Move, prog motion.Program) {
	t.Helper()
	i, off := 0, unit.Length(0)
	for op := range prog {
		if op.Kind != motion.Move {
			continue
		}
		if i == len(driven) {
			t.Fatalf("only %d moves were driven", i)
		}
		for a := range 2 {
			off = max(off, driven[i].To[a]-op.To[a], op.To[a]-driven[i].To[a])
		}
		if i++; off > 5*unit.Millimetre/1000+2 {
			t.Fatalf("move %d of %d ends off its target by %v", i, len(driven), off)
		}
	}
	if i != len(driven) {
		t.Fatalf("%d moves were driven, %d were asked for", len(driven), i)
	}
}

// TestNeverStarves holds the controller's planner against a print that needs 750 lines a
// second, with a host that is never late, one that is always 0.3 ms late, and one that
// is 10 ms late, half of what a planner of 16 such moves lasts, eight times a second.
func TestNeverStarves(t *testing.T) {
	d := 10 * time.Minute
	if testing.Short() || os.Getenv("PLATEN_BENCH") == "" {
		d = 4 * time.Second
	}
	for _, host := range []late{{}, {by: 300 * time.Microsecond}, {by: 100 * time.Microsecond, spike: 10 * time.Millisecond}} {
		begin := time.Now()
		s, rate := fineness(t, d, host, 0.2, 0, sim.Faults{})
		t.Logf("%v at 150 mm/s, host late by %v, at times by %v: %d moves, %.0f a second, planner dry %d times (took %v)", d, host.by, host.spike, s.Moves, rate, s.Starved, time.Since(begin).Round(time.Millisecond))
		if s.Starved != 0 || s.Resends != 0 || rate < 740 && host.spike == 0 {
			t.Errorf("planner dry %d times, %d lines sent again, %.0f moves a second", s.Starved, s.Resends, rate)
		}
	}
}

// TestCorruptedRate compares the rate of lines with one in a thousand damaged to that of
// a sound line, both as fast as they go: moves of 0.1 mm are more than the wire carries.
func TestCorruptedRate(t *testing.T) {
	_, sound := fineness(t, 5*time.Second, late{by: 100 * time.Microsecond}, 0.1, 0, sim.Faults{})
	s, damaged := fineness(t, 5*time.Second, late{by: 100 * time.Microsecond}, 0.1, 5, sim.Faults{Corrupt: sim.Always / 1000})
	t.Logf("%.0f moves a second on a sound line, %.0f (%.1f %%) with %d of %d lines damaged", sound, damaged, 100*damaged/sound, s.Resends, s.Moves)
	if s.Resends < 3 {
		t.Error("control: hardly a line was damaged")
	}
	if damaged < 0.9*sound {
		t.Errorf("%.0f and %.0f moves a second", sound, damaged)
	}
}

// TestBadLineAtFullSpeed prints as fast as the wire carries it over lines that damage a
// good deal, so that refusals cut what was written ahead at every byte there is. Each move
// is driven once, in order.
func TestBadLineAtFullSpeed(t *testing.T) {
	seeds := uint64(10)
	if testing.Short() {
		seeds = 3
	}
	again := uint64(0)
	for seed := range seeds {
		s, _ := fineness(t, 2*time.Second, late{by: 100 * time.Microsecond}, 0.2, seed, sim.Faults{
			Corrupt: sim.Always / 250, DropByte: sim.Always / 500, CorruptReply: sim.Always / 1000, DropOK: sim.Always / 3000, DupOK: sim.Always / 3000,
		})
		again += s.Resends
	}
	if t.Logf("%d lines again in %d prints", again, seeds); again < seeds {
		t.Error("control: hardly a line was damaged")
	}
}
