package watch

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"platen/hal"
	"platen/hal/unit"
)

// TestNoFalseTrips prints on machines of many kinds, in many rooms, and nothing may be
// found wrong with any.
func TestNoFalseTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := func(name string, lo, hi float64) float64 { return rapid.Float64Range(lo, hi).Draw(t, name) }
		ambient := f("ambient", 3, 45)
		h := &plant{id: 8, gain: f("gain", 2.8, 10), fanLoss: f("fan loss", 0, 0.6), lag: f("lag", 0.3, 4),
			noise: f("noise", 0.08, 0.6), step: f("step", 0, 0.5), ambient: ambient, noPower: rapid.Bool().Draw(t, "no power")}
		h.tau = (275 - ambient) * (1 + h.fanLoss) / (0.9 * h.gain) * f("reserve", 1.05, 3) // it can hold 275 °C at full fan and flow
		h.kp, h.ki = f("kp", 0.05, 0.12), f("ki", 0.002, 0.006)
		h.tuned = f("tuned", 0.6, 1.2)
		b := &plant{id: 0, gain: f("bed gain", 0.15, 1.2), lag: f("bed lag", 1, 15), noise: f("bed noise", 0.03, 0.3), step: f("bed step", 0, 0.6),
			bang: rapid.Bool().Draw(t, "bang"), kp: 0.05, ki: 0.001, tuned: 1, ambient: ambient, noPower: h.noPower}
		b.tau = 140 / b.gain * f("bed reserve", 1.1, 3)
		for _, p := range []*plant{h, b} {
			p.temp = ambient + f("still warm", 0, 60)
			p.sensor = p.temp
		}
		w := newBench(rapid.Uint64().Draw(t, "seed"), h, b)
		w.jitter = f("jitter", 0, 1.5)
		wait := func(what string, d time.Duration) {
			if r, a, at := w.run(d); r != None {
				t.Fatalf("%s: %v (%v) at %v: hot end %.1f of %.0f at %.2f, bed %.1f of %.0f", what, r, a, at, h.sensor, h.target, h.power, b.sensor, b.target)
			}
		}
		wait("cold", time.Minute)
		w.set(b, f("bed", 45, 110))
		wait("bed", 8*time.Minute)
		w.set(h, f("first", 190, 260))
		wait("heating", 4*time.Minute)
		for range rapid.IntRange(2, 6).Draw(t, "events") {
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0:
				h.fan = f("fan", 0, 1)
				w.j.setFan(0, unit.Duty(255*h.fan))
			case 1:
				h.flow = f("flow", 0, 0.1) * h.gain
			case 2:
				w.set(h, f("next", 180, 260))
			case 3:
				w.set(b, f("next bed", 45, 110))
			}
			wait("printing", time.Duration(rapid.IntRange(5, 240).Draw(t, "for"))*time.Second)
		}
		w.set(h, 0)
		wait("bed only", 30*time.Second)
		w.set(b, 0)
		w.d = doing{}
		if testing.Short() {
			wait("cooling", 5*time.Minute)
			return
		}
		wait("cooling", 40*time.Minute)
	})
}

// TestTrips breaks one thing at a time in an ordinary print. Without a fault the same
// print ends well.
func TestTrips(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  func(w *bench, h, b *plant)
		want   Reason
		within time.Duration // of the fault
	}{
		{"control", func(*bench, *plant, *plant) {}, None, 0},
		{"hot end dead", func(_ *bench, h, _ *plant) { h.dead = true }, Runaway, 20 * time.Second},
		{"bed dead", func(_ *bench, _, b *plant) { b.dead = true }, Runaway, 120 * time.Second},
		{"hot end stuck on", func(_ *bench, h, _ *plant) { h.stuckOn = true }, StuckOn, 25 * time.Second},
		{"bed stuck on", func(_ *bench, _, b *plant) { b.stuckOn = true }, StuckOn, 60 * time.Second},
		{"thermistor falls out", func(_ *bench, h, _ *plant) { h.lag, h.ambient = 8, 22; h.offset = -4; h.temp = 205; h.dead = true }, Runaway, 30 * time.Second},
		{"thermistor open", func(_ *bench, h, _ *plant) { h.frozen, h.sensor = true, -15 }, SensorJump, 5 * time.Second},
		{"thermistor short", func(_ *bench, h, _ *plant) { h.frozen, h.sensor = true, 400 }, SensorJump, 5 * time.Second},
		{"thermistor stuck below", func(_ *bench, h, _ *plant) { h.frozen, h.sensor, h.step = true, 209.2, 0 }, SensorDrift, 4 * time.Minute},
		{"thermistor stuck above", func(_ *bench, h, _ *plant) { h.frozen, h.sensor, h.step = true, 210.8, 0 }, SensorStuck, 4 * time.Minute},
		{"thermistor drifts", func(_ *bench, h, _ *plant) { h.drift = -0.5 }, SensorDrift, 4 * time.Minute},
		{"target from nowhere", func(_ *bench, h, _ *plant) { h.target = 250 }, ForeignTarget, 10 * time.Second},
		{"target lost", func(_ *bench, h, _ *plant) { h.target = 0 }, ForeignTarget, 40 * time.Second},
		{"reports end", func(w *bench, _, _ *plant) { w.dumb = true }, Stale, 12 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, b := hotEnd(), bed()
			w := newBench(7, h, b)
			w.set(b, 60)
			w.set(h, 210)
			if r, _, at := w.run(8 * time.Minute); r != None {
				t.Fatalf("%v at %v before the fault", r, at)
			}
			c.fault(w, h, b)
			from := w.at
			r, a, at := w.run(10 * time.Minute)
			if r != c.want || c.want != None && (at-from > c.within || a != Halt) {
				t.Errorf("%v, %v after %v; want %v within %v", r, a, at-from, c.want, c.within)
			}
			t.Logf("%v after %v", r, at-from)
		})
	}
}

// TestTripsFromCold breaks things before or while the machine heats.
func TestTripsFromCold(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  func(w *bench, h, b *plant)
		heat   bool
		want   Reason
		within time.Duration
	}{
		{"control", func(*bench, *plant, *plant) {}, true, None, 0},
		{"control, off", func(*bench, *plant, *plant) {}, false, None, 0},
		{"dead from the start", func(_ *bench, h, _ *plant) { h.dead = true }, true, HeatingFailed, 25 * time.Second},
		{"bed dead from the start", func(_ *bench, _, b *plant) { b.dead = true }, true, HeatingFailed, 70 * time.Second},
		{"sensor at room temperature", func(_ *bench, h, _ *plant) { h.frozen = true }, true, HeatingFailed, 25 * time.Second},
		{"on while off", func(_ *bench, h, _ *plant) { h.stuckOn = true }, false, StuckOn, 15 * time.Second},
		{"bed on while off", func(_ *bench, _, b *plant) { b.stuckOn = true }, false, StuckOn, 40 * time.Second},
		{"open", func(_ *bench, h, _ *plant) { h.frozen, h.sensor = true, -15 }, true, SensorRange, 5 * time.Second},
		{"short", func(_ *bench, h, _ *plant) { h.frozen, h.sensor = true, 400 }, false, SensorRange, 5 * time.Second},
		{"does not cool", func(_ *bench, h, _ *plant) { h.frozen, h.sensor, h.step = true, 140, 0 }, false, SensorStuck, 65 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, b := hotEnd(), bed()
			w := newBench(7, h, b)
			if r, _, at := w.run(2 * time.Minute); r != None {
				t.Fatalf("%v at %v before the fault", r, at)
			}
			c.fault(w, h, b)
			if c.heat {
				w.set(b, 60)
				w.set(h, 210)
			}
			from := w.at
			r, _, at := w.run(10 * time.Minute)
			if r != c.want || c.want != None && at-from > c.within {
				t.Errorf("%v after %v, want %v within %v", r, at-from, c.want, c.within)
			}
			t.Logf("%v after %v", r, at-from)
		})
	}
}

// TestDisagreement leaves a machine off for an hour. A reading far from the others is
// held against it when it is to heat, and not before.
func TestDisagreement(t *testing.T) {
	for _, c := range []struct {
		name    string
		offset  float64
		ambient bool
		want    Reason
	}{
		{"control", 8, true, None}, {"far above", 60, false, SensorDisagrees}, {"far below", -40, true, SensorDisagrees},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, b := hotEnd(), bed()
			h.temp, h.sensor, h.offset = 25, 25, c.offset
			w := newBench(3, h, b)
			w.cfg.HotEnd.Min = -100 * unit.Degree // so that the other rule is silent
			w.d = doing{}
			w.box.HasAmbient, w.box.Ambient = c.ambient, 22*unit.Degree
			if r, _, at := w.run(time.Hour); r != None {
				t.Fatalf("%v at %v while off", r, at)
			}
			w.set(h, 200)
			if r, _, _ := w.run(3 * time.Minute); r != c.want {
				t.Errorf("%v, want %v", r, c.want)
			}
		})
	}
}

// TestGlitch lets a reading jump and come back: once is nothing, often is a loose plug.
func TestGlitch(t *testing.T) {
	w := newBench(1, hotEnd())
	h := w.plants[0]
	w.set(h, 210)
	w.run(5 * time.Minute)
	jump := func() Reason {
		h.offset = 120
		w.next = w.at
		r, _, _ := w.run(500 * time.Millisecond)
		h.offset = 0
		if r == None {
			r, _, _ = w.run(15 * time.Second)
		}
		return r
	}
	if r := jump(); r != None {
		t.Fatalf("one glitch: %v", r)
	}
	if r := jump(); r != None {
		t.Fatalf("two glitches: %v", r)
	}
	if r := jump(); r != SensorJump {
		t.Errorf("three in a minute: %v", r)
	}
}

// TestBox opens doors, ends filament and stops fans.
func TestBox(t *testing.T) {
	fan := []Fan{{Index: 0, LeastDuty: 64, LeastRPM: 500, Action: Pause}, {Cools: true, Of: 8, LeastRPM: 1000, Action: Halt}}
	for _, c := range []struct {
		name   string
		change func(w *bench)
		want   Reason
		act    Action
	}{
		{"control", func(*bench) {}, None, Ignore},
		{"door pauses", func(w *bench) { w.cfg.Door = Pause; w.box.Door = Bad }, DoorOpen, Pause},
		{"door halts", func(w *bench) { w.cfg.Door = Halt; w.box.Door = Bad }, DoorOpen, Halt},
		{"door ignored", func(w *bench) { w.box.Door = Bad }, None, Ignore},
		{"door while held", func(w *bench) { w.cfg.Door = Pause; w.box.Door = Bad; w.d.held = true }, None, Ignore},
		{"door unknown", func(w *bench) { w.cfg.Door = Halt; w.box.Door = Unknown }, None, Ignore},
		{"filament", func(w *bench) { w.cfg.Filament = Pause; w.box.Filament = Bad }, FilamentOut, Pause},
		{"no filament, no program", func(w *bench) { w.cfg.Filament = Pause; w.box.Filament = Bad; w.d = doing{} }, None, Ignore},
		{"part fan", func(w *bench) { w.box.Fans[0].RPM = 0 }, FanStopped, Pause},
		{"part fan off", func(w *bench) { w.box.Fans[0].RPM = 0; w.j.setFan(0, 0) }, None, Ignore},
		{"part fan unknown", func(w *bench) { w.box.Fans[0] = Tach{} }, None, Ignore},
		{"hot end fan", func(w *bench) { w.box.Fans[1].RPM = 300 }, FanStopped, Halt},
		{"both fans", func(w *bench) { w.box.Fans[0].RPM = 0; w.box.Fans[1].RPM = 0 }, FanStopped, Halt},
	} {
		w := newBench(1, hotEnd())
		w.cfg.Fans = fan
		w.j.setFan(0, 255)
		w.box = Box{Door: Good, Filament: Good, Fans: [MaxFans]Tach{{4000, true}, {5000, true}}}
		w.set(w.plants[0], 200)
		if r, _, at := w.run(4 * time.Minute); r != None {
			t.Fatalf("%s: %v at %v before the change", c.name, r, at)
		}
		c.change(w)
		from := w.at
		r, a, at := w.run(time.Minute)
		if r != c.want || a != c.act || r != None && at-from > 5*time.Second {
			t.Errorf("%s: %v, %v after %v; want %v, %v", c.name, r, a, at-from, c.want, c.act)
		}
	}
}

// TestHotIdle keeps a heater on with nothing to do, and with a held program.
func TestHotIdle(t *testing.T) {
	for _, c := range []struct {
		d    doing
		want Reason
	}{{doing{}, HotIdle}, {doing{running: true, held: true}, HotIdle}, {doing{running: true}, None}} {
		w := newBench(1, hotEnd())
		w.cfg.HotIdle = 10 * time.Minute
		w.d = c.d
		w.set(w.plants[0], 200)
		r, _, at := w.run(30 * time.Minute)
		if r != c.want || r != None && (at < 10*time.Minute || at > 11*time.Minute) {
			t.Errorf("%+v: %v at %v, want %v", c.d, r, at, c.want)
		}
	}
}

// TestOffRules switches rules off: what would have tripped does not.
func TestOffRules(t *testing.T) {
	w := newBench(1, hotEnd())
	w.cfg.HotEnd = Tuning{Deficit: -1, StillTime: -1, FullTime: -1}
	w.plants[0].dead = true
	w.set(w.plants[0], 200)
	if r, _, _ := w.run(10 * time.Minute); r != None {
		t.Errorf("%v", r)
	}
}

// TestLookDoesNotAllocate: it runs four times a second for as long as there is power.
func TestLookDoesNotAllocate(t *testing.T) {
	w := newBench(1, hotEnd(), bed())
	w.set(w.plants[0], 200)
	st := hal.State{NHeaters: 2}
	r := rand.New(rand.NewPCG(1, 1))
	at := time.Duration(0)
	if n := testing.AllocsPerRun(500, func() {
		at += time.Second
		for i, p := range w.plants {
			p.advance()
			st.Heaters[i] = p.state(r)
		}
		st.Reported = time.Unix(0, int64(at))
		w.j.look(at, &st, &w.box, w.d)
	}); n != 0 {
		t.Errorf("%v allocations a look", n)
	}
}
