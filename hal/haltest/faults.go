package haltest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

// stillWarm is a hot end that does not take long to be ready.
const stillWarm = 188 * unit.Degree

var errProgram = errors.New("the program cannot go on")

// slowMoves is motion that takes long: n moves of 5 s each.
func slowMoves(n int) []motion.Op {
	var ops []motion.Op
	for i := range n {
		ops = append(ops, to(unit.Length(20+50*(i%2))*mm, 20*mm, mm/5, mm/10, 10))
	}
	return ops
}

// halted checks a machine that has stopped itself or was stopped.
func (r *rig) halted(fault hal.Fault) {
	r.t.Helper()
	s := r.m.State()
	if s.Phase != hal.PhaseHalted || s.Fault != fault {
		r.t.Errorf("state is %v with fault %v, want halted with fault %v", s.Phase, s.Fault, fault)
	}
	if err := r.run(to(50*mm, 50*mm, 5*mm, 0, 50)); !errors.Is(err, hal.ErrHalted) {
		r.t.Errorf("Run on a halted machine: %v", err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	if err := r.m.SetHeater(ctx, motion.Bed, 60*unit.Degree); !r.NoHeaters && !errors.Is(err, hal.ErrHalted) {
		r.t.Errorf("SetHeater on a halted machine: %v", err)
	}
	if !r.cold() {
		r.t.Errorf("heaters of a halted machine are on: %+v", r.p.Stats())
	}
}

// still checks that nothing is driven any more, over real time in which a machine at
// this speed would have driven much.
func (r *rig) still() {
	r.t.Helper()
	before := len(r.driven())
	time.Sleep(300 * time.Millisecond)
	if n := len(r.driven()) - before; n != 0 || r.p.Stats().Moving {
		r.t.Errorf("%d more moves ended, moving %v", n, r.p.Stats().Moving)
	}
}

// caseHaltMoving halts out of another goroutine while planner and queue are full,
// with and without a firmware that looks for M112 in its receive buffer.
func caseHaltMoving(t *testing.T, on suite) {
	for _, emergency := range []bool{true, false} {
		if on.NoBuilds && !emergency {
			continue
		}
		name := map[bool]string{true: "emergency parser", false: "plain"}[emergency]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, on, sim.Config{Speed: 20, EmergencyParser: emergency, Hotend: stillWarm})
			r.mustRun(append(warmUp(), heat(motion.Bed, 40, false))...)
			done := r.start(t.Context(), Program(r.fit(slowMoves(200))))
			r.eventually("the program moves", func() bool { return len(r.driven()) >= 2 })
			if !r.warm() {
				t.Fatal("control: heaters are off before the halt")
			}
			before, start := r.p.Stats().SimTime, time.Now()
			if err := r.m.Halt("a test halts"); err != nil {
				t.Fatalf("Halt: %v", err)
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("Halt took %v", d)
			}
			if err := r.wait(done, patience/2); !errors.Is(err, hal.ErrHalted) {
				t.Errorf("Run after a halt: %v", err)
			}
			r.eventually("the printer halts", func() bool { s := r.p.Stats(); return r.cold() && !s.Moving })
			moves := r.driven()
			if last := moves[len(moves)-1]; !last.Cut || last.End > before+10*time.Second {
				t.Errorf("the last move ended %v after the halt, cut %v", last.End-before, last.Cut)
			}
			r.halted(hal.FaultHost)
			r.still()
		})
	}
}

// caseHaltHeating halts while the controller waits for a heater and reads nothing
// else.
func caseHaltHeating(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: 10})
	done := r.start(t.Context(), Program([]motion.Op{home(), heat(motion.HotEnd, 240, true), to(10*mm, 10*mm, mm, 0, 50)}))
	r.eventually("the hot end heats", func() bool { s := r.p.Stats(); return s.HotendSet > 0 && s.Hotend > 40*unit.Degree })
	if err := r.m.Halt("a test halts"); err != nil {
		t.Fatalf("Halt: %v", err)
	}
	if err := r.wait(done, patience/2); !errors.Is(err, hal.ErrHalted) {
		t.Errorf("Run after a halt: %v", err)
	}
	r.eventually("heaters go off", r.cold)
	r.halted(hal.FaultHost)
	if n := len(r.driven()); n != 0 {
		t.Errorf("%d moves were driven", n)
	}
}

// caseProgramError ends a program with an error of its own.
func caseProgramError(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: sim.Fastest})
	ops := r.fit(append(append(warmUp(), heat(motion.Bed, 50, false)), spiral(100)...))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := r.m.Run(ctx, func(yield func(motion.Op, error) bool) {
		for _, op := range ops {
			if !yield(op, nil) {
				return
			}
		}
		yield(motion.Op{}, errProgram)
	})
	if !errors.Is(err, errProgram) {
		t.Errorf("Run: %v", err)
	}
	r.eventually("heaters go off", r.cold)
	r.eventually("motion ends", func() bool { return !r.p.Stats().Moving })
	r.judge(ops, false)
	r.still()
}

// caseClose checks that closing is safe, and that a port that is closed stays so.
func caseClose(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: sim.Fastest})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, h := range []motion.Heater{motion.Bed, motion.HotEnd} {
		if err := r.m.SetHeater(ctx, h, 60*unit.Degree); err != nil {
			t.Fatal(err)
		}
	}
	if r.cold() {
		t.Fatal("control: heaters are off before Close")
	}
	if err := r.m.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	r.eventually("heaters go off", r.cold)
	if err := r.run(home()); err == nil {
		t.Error("Run works on a closed machine")
	}
	if n := r.p.Stats().Homes; n != 0 {
		t.Errorf("a closed machine homed %d axes", n)
	}
	r.m.Close() // again: has nothing to do and must not hang
}

// caseDamage prints over lines that lose, repeat and change things: every move is
// driven once, in order, and nothing else is. The control counts over all of them: how
// often a fault strikes one print is chance.
func caseDamage(t *testing.T, on suite) {
	var injected, again atomic.Uint64
	t.Cleanup(func() { // once all of them have ended
		if !t.Failed() && (injected.Load() == 0 || again.Load() == 0) {
			t.Errorf("control: %d faults struck, %d lines were asked for again", injected.Load(), again.Load())
		}
	})
	for name, f := range map[string]sim.Faults{
		"damaged lines": {Corrupt: sim.Always / 50},
		"lost oks":      {DropOK: sim.Always / 100},
		"doubled oks":   {DupOK: sim.Always / 50},
		"all of them":   {Corrupt: sim.Always / 100, DropOK: sim.Always / 200, DupOK: sim.Always / 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, on, sim.Config{Speed: sim.Fastest, Seed: 7, Faults: f})
			ops := append(warmUp(), spiral(400)...)
			r.mustRun(ops...)
			r.judge(ops, true)
			s := r.p.Stats()
			injected.Add(s.Injected)
			again.Add(s.Resends)
			if s.Cold != 0 || s.Clamped != 0 || s.Unhomed != 0 || s.Kills != 0 {
				t.Errorf("the printer had to hold something back: %+v", s)
			}
		})
	}
}

// caseReset restarts the controller in the middle of a print: the print has to end,
// and nothing may be driven by a controller that has forgotten where it is.
func caseReset(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: 50, Hotend: stillWarm})
	r.mustRun(append(warmUp(), heat(motion.Bed, 40, false))...)
	done := r.start(t.Context(), Program(r.fit(slowMoves(200))))
	r.eventually("the program moves", func() bool { return len(r.driven()) >= 2 })
	r.p.Reset()
	r.eventually("the controller restarts", func() bool { return r.p.Stats().Resets > 0 })
	restart := r.p.Stats().SimTime
	err := r.wait(done, patience)
	if fe, ok := errors.AsType[*hal.FaultError](err); !ok || fe.Fault != hal.FaultReset || !errors.Is(err, hal.ErrHalted) {
		t.Errorf("Run after a reset: %v", err)
	}
	r.eventually("heaters are off", r.cold)
	moves := r.driven()
	// The one that it cut short is the last; between two moves there is none to cut.
	if last := moves[len(moves)-1]; !last.Cut && last.End > restart {
		t.Errorf("a move was driven after the reset: %+v", last)
	}
	r.halted(hal.FaultReset)
	r.still()
}

// fails runs a print until what the printer is to suffer stops it, by the firmware's
// own doing or by the driver's.
func (r *rig) fails(want hal.Fault) {
	r.t.Helper()
	ops := append(warmUp(), slowMoves(60)...)
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	err := r.m.Run(ctx, Program(r.fit(ops)))
	if fe, ok := errors.AsType[*hal.FaultError](err); !ok || fe.Fault != want {
		r.t.Errorf("Run: %v, want fault %v", err, want)
	}
	if r.p.Stats().Injected == 0 {
		r.t.Error("control: nothing has failed")
	}
	r.eventually("the printer stops", func() bool { s := r.p.Stats(); return r.cold() && !s.Moving })
	r.halted(want)
	r.still()
}

func or(f, otherwise hal.Fault) hal.Fault {
	if f != hal.FaultNone {
		return f
	}
	return otherwise
}

func caseSensor(t *testing.T, on suite) {
	newRig(t, on, sim.Config{Speed: 200, Faults: sim.Faults{ThermistorOpenAt: 200 * time.Second}}).fails(or(on.SensorFault, hal.FaultSensor))
}

// caseUnplugged pulls the cable.
func caseUnplugged(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: 50, Hotend: stillWarm})
	r.mustRun(warmUp()...)
	done := r.start(t.Context(), Program(r.fit(slowMoves(200))))
	r.eventually("the program moves", func() bool { return len(r.driven()) >= 2 })
	r.p.Unplug()
	if err := r.wait(done, patience); !errors.Is(err, hal.ErrDisconnected) {
		t.Errorf("Run without a cable: %v", err)
	}
	if s := r.m.State(); s.Phase != hal.PhaseLost || s.Fault != hal.FaultPort {
		t.Errorf("state is %v with fault %v", s.Phase, s.Fault)
	}
	if err := r.run(home()); !errors.Is(err, hal.ErrDisconnected) {
		t.Errorf("Run on a lost machine: %v", err)
	}
	done2 := make(chan struct{})
	go func() { defer close(done2); r.m.Close() }()
	select {
	case <-done2:
	case <-time.After(patience):
		t.Error("Close of a lost machine hangs")
	}
}
