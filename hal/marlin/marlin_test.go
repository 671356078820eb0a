package marlin

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

const mm = unit.Millimetre

// rig is a Machine on a simulated printer, both in the fake time of a bubble.
type rig struct {
	*testing.T
	m       *Machine
	printer *sim.Printer
	mu      sync.Mutex
	moves   []sim.Move
}

// inBubble runs f with a machine that was opened on a simulated printer.
func inBubble(t *testing.T, cfg sim.Config, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t}
		cfg.OnMove = func(m sim.Move) {
			r.mu.Lock()
			r.moves = append(r.moves, m)
			r.mu.Unlock()
		}
		printer, err := sim.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		host, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { printer.Serve(ctx, far) })
		defer wg.Wait()
		defer cancel()
		r.printer = printer
		r.m, err = Open(t.Context(), host, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.m.Close()
		f(r)
	})
}

func ops(list ...motion.Op) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for _, op := range list {
			if !yield(op, nil) {
				return
			}
		}
	}
}

func wait(h hal.HeaterID, deg int) motion.Op {
	return motion.Op{Kind: motion.WaitHeater, Heater: h, Temp: unit.Celsius(deg) * unit.Degree}
}

func move(x, y int, e unit.Length) motion.Op {
	return motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, E: e, Feed: 60_000,
		To: [3]unit.Length{unit.Length(x) * mm, unit.Length(y) * mm}}
}

func raise(z unit.Length) motion.Op {
	return motion.Op{Kind: motion.Move, Axes: motion.Z, To: [3]unit.Length{2: z}, Feed: 5000}
}

// square is a small print.
func square(layers int) []motion.Op {
	list := []motion.Op{wait(motion.Bed, 40), wait(motion.HotEnd, 200), {Kind: motion.Home}}
	for l := range layers {
		list = append(list, motion.Op{Kind: motion.BeginLayer, Layer: int32(l)}, raise(unit.Length(l+1)*mm/5))
		for i := range 4 {
			list = append(list, move(20+l+20*(i&1), 20+20*(i>>1), mm/2))
		}
	}
	return list
}

func (r *rig) heater(id hal.HeaterID) hal.HeaterState {
	s := r.m.State()
	h, ok := s.Heater(id)
	if !ok {
		r.Fatalf("no state of heater %d in %+v", id, s)
	}
	return h
}

// printed returns where the moves that fed filament ended.
func (r *rig) printed() (ends [][3]unit.Length) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.moves {
		if m.E > 0 {
			ends = append(ends, m.To)
		}
	}
	return ends
}

func wanted(list []motion.Op) (ends [][3]unit.Length) {
	var at [3]unit.Length
	for _, op := range list {
		if op.Kind != motion.Move {
			continue
		}
		for i, a := range []motion.Axes{motion.X, motion.Y, motion.Z} {
			if op.Has(a) {
				at[i] = op.To[i]
			}
		}
		if op.E > 0 {
			ends = append(ends, at)
		}
	}
	return ends
}

func near(a, b [][3]unit.Length) bool {
	return slices.EqualFunc(a, b, func(a, b [3]unit.Length) bool {
		for i := range a {
			if d := a[i] - b[i]; d > mm/50 || d < -mm/50 {
				return false
			}
		}
		return true
	})
}

func TestInfo(t *testing.T) {
	inBubble(t, sim.Config{EmergencyParser: true}, func(r *rig) {
		i := r.m.Info()
		if i.Dialect != "marlin" || i.Tools != 1 || !i.Has("EMERGENCY_PARSER") || i.Has("SDCARD") || len(i.Firmware) < 6 {
			r.Errorf("got %+v", i)
		}
		if p := r.m.State().Phase; p != hal.PhaseIdle {
			r.Errorf("phase %v", p)
		}
	})
}

func TestProgramRunsOnceInOrder(t *testing.T) {
	for name, cfg := range map[string]sim.Config{
		"plain": {}, "advanced ok": {AdvancedOK: true}, "waits aloud": {Wait: time.Second, HostActions: true},
		"faults": {Seed: 3, Faults: sim.Faults{Corrupt: 30_000, DropOK: 20_000, DupOK: 20_000}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, cfg, func(r *rig) {
				list := square(20)
				if err := r.m.Run(r.Context(), ops(list...)); err != nil {
					r.Fatal(err)
				}
				if s := r.printer.Stats(); s.Moving || s.Overruns > 0 || s.Cold > 0 || s.Unhomed > 0 {
					r.Errorf("%+v", s)
				}
				if !near(r.printed(), wanted(list)) {
					r.Errorf("printed %d moves, want %d", len(r.printed()), len(wanted(list)))
				}
				s := r.m.State()
				if s.Phase != hal.PhaseIdle || s.Fault != hal.FaultNone || s.Lines < 100 {
					r.Errorf("state %+v", s)
				}
				if name == "faults" && s.Resends == 0 {
					r.Error("no fault struck: the test proves nothing")
				}
			})
		})
	}
}

func TestTemperatures(t *testing.T) {
	inBubble(t, sim.Config{}, func(r *rig) {
		if err := r.m.SetHeater(r.Context(), motion.Bed, 50*unit.Degree); err != nil {
			r.Fatal(err)
		}
		if s := r.printer.Stats(); s.BedSet != 50*unit.Degree {
			r.Errorf("SetHeater returned before the controller had taken it: %v", s.BedSet)
		}
		if err := r.m.Run(r.Context(), ops(wait(motion.HotEnd, 200))); err != nil {
			r.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if h := r.heater(motion.HotEnd); h.Actual < 195*unit.Degree || h.Target != 200*unit.Degree || h.Power == 0 {
			r.Errorf("hot end %+v", h)
		}
		if h := r.heater(motion.Bed); h.Target != 50*unit.Degree || h.Actual < 30*unit.Degree {
			r.Errorf("bed %+v", h)
		}
		if age := time.Since(r.m.State().Reported); age > 2*time.Second {
			r.Errorf("last report %v ago", age)
		}
		for _, bad := range []hal.HeaterID{motion.Chamber, motion.HotEnd + 1, 5} {
			if err := r.m.SetHeater(r.Context(), bad, 0); !errors.Is(err, hal.ErrEnvelope) {
				r.Errorf("heater %d: %v", bad, err)
			}
		}
	})
}

// TestCancel ends the context during a print and during a wait for heat. The
// moves that the controller has are finished, and heat stays as it is.
func TestCancel(t *testing.T) {
	inBubble(t, sim.Config{}, func(r *rig) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		if err := r.m.Run(ctx, ops(wait(motion.HotEnd, 240))); !errors.Is(err, context.DeadlineExceeded) {
			r.Fatalf("during heating: %v", err)
		}
		if d := time.Since(begin); d > 9*time.Second {
			r.Errorf("a wait for heat took %v to break off", d)
		}
		if s := r.printer.Stats(); s.HotendSet != 240*unit.Degree {
			r.Errorf("heater was set to %v", s.HotendSet)
		}
		ctx, cancel = context.WithTimeout(r.Context(), 200*time.Second)
		defer cancel()
		if err := r.m.Run(ctx, ops(square(2000)...)); !errors.Is(err, context.DeadlineExceeded) {
			r.Fatalf("during a print: %v", err)
		}
		s := r.printer.Stats()
		if s.Moving || s.Killed || s.HotendSet == 0 || s.Moves < 50 {
			r.Errorf("after the end %+v", s)
		}
		if st := r.m.State(); st.Phase != hal.PhaseIdle || st.LinkError != 0 {
			r.Errorf("state %+v", st)
		}
		if err := r.m.Run(r.Context(), ops(motion.Op{Kind: motion.Home})); err != nil {
			r.Errorf("the machine takes no more work: %v", err)
		}
	})
}

// TestProgramError wants the safe state and the program's own error.
func TestProgramError(t *testing.T) {
	own := errors.New("the slicer gave up")
	inBubble(t, sim.Config{}, func(r *rig) {
		err := r.m.Run(r.Context(), func(yield func(motion.Op, error) bool) {
			for _, op := range square(2) {
				if !yield(op, nil) {
					return
				}
			}
			yield(motion.Op{}, own)
		})
		if !errors.Is(err, own) {
			r.Fatalf("got %v", err)
		}
		if s := r.printer.Stats(); s.HotendSet != 0 || s.BedSet != 0 || s.Fan != unit.FullDuty || s.Killed {
			r.Errorf("not in the safe state: %+v", s)
		}
	})
}

// TestHalt stops the machine while it waits for heat and while the planner is full
// of slow moves, with and without EMERGENCY_PARSER.
func TestHalt(t *testing.T) {
	slow := []motion.Op{{Kind: motion.Home}}
	for i := range 60 {
		op := move(20+10*(i&1), 20, 0)
		op.Feed = 2000 // 5 s each
		slow = append(slow, op)
	}
	for name, list := range map[string][]motion.Op{"heating": {wait(motion.HotEnd, 240)}, "planner full": slow} {
		for _, parser := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, sim.Config{EmergencyParser: parser}, func(r *rig) {
					done := make(chan error, 1)
					go func() { done <- r.m.Run(r.Context(), ops(list...)) }()
					time.Sleep(60 * time.Second)
					begin := time.Now()
					if err := r.m.Halt("test"); err != nil {
						r.Fatal(err)
					}
					if err := <-done; !errors.Is(err, hal.ErrHalted) {
						r.Errorf("Run: %v", err)
					}
					if d := time.Since(begin); d > 100*time.Millisecond {
						r.Errorf("halting took %v", d)
					}
					time.Sleep(time.Second) // Marlin lets a running move go on for 0.6 s
					if s := r.printer.Stats(); !s.Killed || s.HotendSet != 0 || s.Moving {
						r.Errorf("the controller goes on: %+v", s)
					}
					if s := r.m.State(); s.Phase != hal.PhaseHalted || s.Fault != hal.FaultHost {
						r.Errorf("state %+v", s)
					}
					if err := r.m.SetHeater(r.Context(), motion.Bed, 0); !errors.Is(err, hal.ErrHalted) {
						r.Errorf("SetHeater after the halt: %v", err)
					}
				})
			})
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		fault sim.Faults
		want  hal.Fault
	}{
		{sim.Faults{ResetAt: 150 * time.Second}, hal.FaultReset},
		{sim.Faults{ThermistorOpenAt: 150 * time.Second}, hal.FaultSensor},
		{sim.Faults{HeaterDeadAt: 150 * time.Second}, hal.FaultThermal},
		{sim.Faults{UnplugAt: 150 * time.Second}, hal.FaultPort},
	} {
		t.Run(c.want.String(), func(t *testing.T) {
			inBubble(t, sim.Config{Faults: c.fault}, func(r *rig) {
				err := r.m.Run(r.Context(), ops(square(5000)...))
				f, ok := errors.AsType[*hal.FaultError](err)
				if !ok || f.Fault != c.want || !errors.Is(err, hal.ErrHalted) {
					r.Fatalf("got %v", err)
				}
				if (c.want == hal.FaultPort) != errors.Is(err, hal.ErrDisconnected) {
					r.Errorf("got %v", err)
				}
				if st := r.m.State(); st.Fault != c.want || st.Phase < hal.PhaseHalted {
					r.Errorf("state %+v", st)
				}
				time.Sleep(time.Second)
				if s := r.printer.Stats(); c.want != hal.FaultPort && (s.HotendSet != 0 || s.BedSet != 0) {
					r.Errorf("heaters are on: %+v", s)
				}
			})
		})
	}
}

func TestCloseSwitchesOff(t *testing.T) {
	for _, running := range []bool{false, true} {
		inBubble(t, sim.Config{}, func(r *rig) {
			done := make(chan error, 1)
			if running {
				go func() { done <- r.m.Run(r.Context(), ops(wait(motion.HotEnd, 240), wait(motion.Bed, 90))) }()
				time.Sleep(10 * time.Second)
			} else {
				r.m.SetHeater(r.Context(), motion.HotEnd, 200*unit.Degree)
				r.m.SetHeater(r.Context(), motion.Bed, 60*unit.Degree)
			}
			if s := r.printer.Stats(); s.HotendSet == 0 {
				r.Fatal("the heaters were never on: the test proves nothing")
			}
			begin := time.Now()
			if err := r.m.Close(); err != nil {
				r.Fatal(err)
			}
			if running {
				if err := <-done; !errors.Is(err, hal.ErrHalted) {
					r.Errorf("Run: %v", err)
				}
			}
			if s := r.printer.Stats(); s.HotendSet != 0 || s.BedSet != 0 || s.Fan != 0 || s.Killed {
				r.Errorf("running %v: not switched off: %+v", running, s)
			}
			if d := time.Since(begin); d > 5*time.Second {
				r.Errorf("closing took %v", d)
			}
			if err := r.m.Close(); err != nil {
				r.Errorf("second Close: %v", err)
			}
			if err := r.m.Halt("test"); err == nil {
				r.Error("a closed machine says that it was halted")
			}
		})
	}
}

func TestOneRunAtATime(t *testing.T) {
	inBubble(t, sim.Config{}, func(r *rig) {
		ctx, cancel := context.WithCancel(r.Context())
		done := make(chan error, 1)
		go func() { done <- r.m.Run(ctx, ops(motion.Op{Kind: motion.Dwell, Wait: time.Minute})) }()
		time.Sleep(time.Second)
		if p := r.m.State().Phase; p != hal.PhaseRunning {
			r.Errorf("phase %v", p)
		}
		if err := r.m.Run(r.Context(), ops()); !errors.Is(err, ErrRunning) {
			r.Errorf("second Run: %v", err)
		}
		cancel()
		<-done
	})
}

// TestWaitFromBelow waits for 190 °C with a hot end of 230: from either side that takes
// until it has cooled down, from below no longer than firmware looks.
func TestWaitFromBelow(t *testing.T) {
	took := func(index uint8) (d time.Duration) {
		inBubble(t, sim.Config{Hotend: 230 * unit.Degree}, func(r *rig) {
			op := wait(motion.HotEnd, 190)
			op.Index = index
			begin := time.Now()
			if err := r.m.Run(r.Context(), ops(op)); err != nil {
				r.Fatal(err)
			}
			d = time.Since(begin)
			if got := r.printer.Stats().HotendSet; got != 190*unit.Degree {
				r.Errorf("the target is %v", got)
			}
		})
		return d
	}
	both, below := took(0), took(motion.WaitWarm)
	if both < 20*time.Second || below > 5*time.Second {
		t.Errorf("from either side it took %v, from below %v", both, below)
	}
}
