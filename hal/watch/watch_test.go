package watch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/unit"
)

// fake is a hal.Machine with plants for heaters, on the test's clock.
type fake struct {
	mu     sync.Mutex
	plants []*plant
	rand   *rand.Rand
	state  hal.State
	halted chan struct{}
	reason string
	closed bool
	quit   chan struct{}
	wg     sync.WaitGroup
	deaf   bool // takes no halt
}

func newFake(plants ...*plant) *fake {
	f := &fake{plants: plants, rand: rand.New(rand.NewPCG(1, 2)), halted: make(chan struct{}), quit: make(chan struct{})}
	f.state.Phase = hal.PhaseIdle
	f.wg.Go(f.live)
	return f
}

// live is physics and reports.
func (f *fake) live() {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-f.quit:
			return
		case now := <-tick.C:
			f.mu.Lock()
			for _, p := range f.plants {
				p.advance()
			}
			if n%5 == 0 {
				f.state.Reported, f.state.NHeaters = now, len(f.plants)
				for i, p := range f.plants {
					f.state.Heaters[i] = p.state(f.rand)
				}
			}
			f.mu.Unlock()
		}
	}
}

func (f *fake) set(id motion.Heater, t unit.Celsius) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.plants {
		if p.id == id {
			p.target = t.Degrees()
			return true
		}
	}
	return false
}

func (f *fake) warm(id motion.Heater, t unit.Celsius) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.plants {
		if p.id == id {
			return p.sensor >= t.Degrees()-2
		}
	}
	return true
}

func (f *fake) Run(ctx context.Context, prog motion.Program) error {
	for op, err := range prog {
		if err != nil {
			return err
		}
		if op.Kind == motion.SetHeater || op.Kind == motion.WaitHeater {
			f.set(op.Heater, op.Temp)
		}
		for {
			select {
			case <-f.halted:
				return &hal.FaultError{Fault: hal.FaultHost}
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
			if op.Kind != motion.WaitHeater || f.warm(op.Heater, op.Temp) {
				break
			}
		}
	}
	return nil
}

func (f *fake) SetHeater(_ context.Context, id hal.HeaterID, t unit.Celsius) error {
	if !f.set(id, t) {
		return fmt.Errorf("set heater: %w", hal.ErrEnvelope)
	}
	return nil
}

func (f *fake) Info() hal.Info {
	return hal.Info{Dialect: "fake", Caps: []string{capAutoReport}, Tools: 1}
}

func (f *fake) State() hal.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

func (f *fake) Halt(reason string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deaf {
		return hal.ErrDisconnected
	}
	if f.state.Phase == hal.PhaseHalted {
		return nil
	}
	f.reason, f.state.Phase, f.state.Fault = reason, hal.PhaseHalted, hal.FaultHost
	for _, p := range f.plants {
		p.target, p.power = 0, 0
	}
	close(f.halted)
	return nil
}

func (f *fake) Close() error {
	close(f.quit)
	f.wg.Wait()
	f.closed = true
	return nil
}

// acts keeps what a supervisor did.
type acts struct {
	mu  sync.Mutex
	all []string
}

func (a *acts) note(r Reason, act Action) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, r.String()+" "+act.String())
}

func (a *acts) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprint(a.all)
}

// heat is a program that heats up and then does something now and then.
func heat(f func(i int)) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		if !yield(motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 200 * unit.Degree}, nil) {
			return
		}
		for i := range 6000 {
			if f != nil {
				f(i)
			}
			if !yield(motion.Op{Kind: motion.Move, Axes: motion.X}, nil) {
				return
			}
		}
		yield(motion.Op{Kind: motion.SetHeater, Heater: motion.HotEnd}, nil)
	}
}

func TestRunUnderSupervision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(hotEnd(), bed())
		var a acts
		w := Over(f, Config{Acted: a.note})
		if err := w.Run(t.Context(), heat(nil)); err != nil {
			t.Errorf("an ordinary program: %v", err)
		}
		if st := w.State(); st.Phase != hal.PhaseIdle || st.Fault != hal.FaultNone || a.String() != "[]" || w.Tripped() != None {
			t.Errorf("afterwards: %v, %v, %s", st.Phase, st.Fault, &a)
		}
		before := w.Beat()
		time.Sleep(10 * time.Second)
		if n := w.Beat() - before; n < 39 || n > 41 {
			t.Errorf("%d rounds in 10 s", n)
		}
		if err := w.Close(); err != nil || !f.closed {
			t.Errorf("close: %v", err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
	})
}

func TestTripHaltsTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(hotEnd())
		var a acts
		w := Over(f, Config{Acted: a.note})
		defer w.Close()
		var broken time.Time
		err := w.Run(t.Context(), heat(func(i int) {
			if i == 3000 {
				f.mu.Lock()
				f.plants[0].dead = true
				f.mu.Unlock()
				broken = time.Now()
			}
		}))
		var fault *hal.FaultError
		if !errors.As(err, &fault) || fault.Fault != hal.FaultThermal || !errors.Is(err, hal.ErrHalted) {
			t.Errorf("run: %v", err)
		}
		took := time.Since(broken)
		synctest.Wait()
		if broken.IsZero() || took > 20*time.Second {
			t.Errorf("halted %v after the heater died", took)
		}
		if f.reason != "thermal-runaway" || a.String() != "[thermal-runaway halt]" || w.Tripped() != Runaway {
			t.Errorf("reason %q, acts %s", f.reason, &a)
		}
		if st := w.State(); st.Phase != hal.PhaseHalted || st.Fault != hal.FaultThermal {
			t.Errorf("state %v, %v", st.Phase, st.Fault)
		}
		for name, err := range map[string]error{"run": w.Run(t.Context(), heat(nil)), "set": w.SetHeater(t.Context(), motion.HotEnd, 0)} {
			if !errors.Is(err, hal.ErrHalted) {
				t.Errorf("%s after a trip: %v", name, err)
			}
		}
	})
}

// A program that is held for too long loses its heat, by the supervisor or by the
// firmware, and gets it back before it goes on.
func TestHotIdleCoolsAndReheats(t *testing.T) {
	t.Run("supervisor", func(t *testing.T) { coolsAndReheats(t, 10*time.Minute, "[hot-idle ignore]") })
	t.Run("firmware", func(t *testing.T) { coolsAndReheats(t, 0, "[]") })
}

func coolsAndReheats(t *testing.T, idle time.Duration, want string) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(hotEnd(), bed())
		var a acts
		w := Over(f, Config{HotIdle: idle, Acted: a.note})
		defer w.Close()
		resume := make(chan struct{})
		var coldest, back float64
		done := make(chan error)
		go func() {
			done <- w.Run(t.Context(), heat(func(i int) {
				f.mu.Lock()
				temp := f.plants[0].temp
				f.mu.Unlock()
				if i == 100 {
					w.Hold(true)
					<-resume
					w.Hold(false)
				}
				if i == 101 {
					back = temp
				}
			}))
		}()
		time.Sleep(20 * time.Minute)
		if idle == 0 {
			f.set(motion.HotEnd, 0)
		}
		time.Sleep(20 * time.Minute)
		f.mu.Lock()
		coldest = f.plants[0].temp
		f.mu.Unlock()
		close(resume)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if coldest > 40 || back < 195 || a.String() != want {
			t.Errorf("%.0f °C while held, %.0f °C when it went on, acts %s", coldest, back, &a)
		}
	})
}

// A heater that the machine does not have is not waited for.
func TestUnknownHeater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := Over(newFake(hotEnd()), Config{})
		defer w.Close()
		if err := w.SetHeater(t.Context(), motion.Chamber, 50*unit.Degree); !errors.Is(err, hal.ErrEnvelope) {
			t.Errorf("%v", err)
		}
		time.Sleep(10 * time.Minute)
		if r := w.Tripped(); r != None {
			t.Errorf("tripped by %v", r)
		}
		if err := w.SetHeater(t.Context(), motion.HotEnd, 50*unit.Degree); err != nil {
			t.Errorf("control: %v", err)
		}
	})
}

// A machine that takes no halt stays tripped, and what it had is not offered again.
func TestDeafMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(hotEnd())
		f.deaf = true
		var a acts
		w := Over(f, Config{Acted: a.note})
		defer w.Close()
		f.mu.Lock()
		f.plants[0].stuckOn = true
		f.mu.Unlock()
		time.Sleep(time.Minute)
		if a.String() != "[heater-stuck-on halt]" || w.State().Fault != hal.FaultThermal {
			t.Errorf("acts %s, state %v", &a, w.State().Fault)
		}
	})
}

func TestDefaultsOfStale(t *testing.T) {
	for _, c := range []struct {
		caps []string
		want time.Duration
	}{{[]string{capAutoReport}, staleAuto}, {nil, staleAsked}} {
		synctest.Test(t, func(t *testing.T) {
			f := &quiet{fake: newFake(), caps: c.caps}
			w := Over(f, Config{})
			defer w.Close()
			if err := w.SetHeater(t.Context(), motion.HotEnd, 100*unit.Degree); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			<-f.halted
			if took := time.Since(begun); took < c.want || took > c.want+2*period || w.Tripped() != Stale {
				t.Errorf("%v after %v, want stale after %v", w.Tripped(), took, c.want)
			}
		})
	}
}

// quiet is a machine that never reports a temperature.
type quiet struct {
	*fake
	caps []string
}

func (q *quiet) Info() hal.Info { return hal.Info{Caps: q.caps} }

func (q *quiet) State() hal.State {
	st := q.fake.State()
	st.Reported = time.Time{}
	return st
}

func (q *quiet) SetHeater(context.Context, hal.HeaterID, unit.Celsius) error { return nil }

// A program costs no allocation for each of its operations.
func TestNoteDoesNotAllocate(t *testing.T) {
	w := Over(newFake(), Config{})
	defer w.Close()
	op := motion.Op{Kind: motion.Move}
	if n := testing.AllocsPerRun(100, func() { w.noteOp(op); w.reheat(nil) }); n != 0 {
		t.Errorf("%v allocations an operation", n)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for r := None; r <= HotIdle; r++ {
		if n := r.String(); n == "" || n == "unknown" || seen[n] {
			t.Errorf("reason %d is called %q", r, n)
		}
		seen[r.String()] = true
		if halts := r.Fault() != hal.FaultNone; halts != (r != None && r < FilamentOut) {
			t.Errorf("%v has fault %v", r, r.Fault())
		}
	}
	if Reason(200).String() != "unknown" || Action(9).String() != "unknown" {
		t.Error("codes beyond the last have names")
	}
}
