// Package haltest is the contract of hal.Machine as a test: every driver passes it
// against a printer that knows what was really done.
//
// A dialect's test calls [Run] with its [Traits] and a function that opens a machine on
// a simulated printer, which [On] makes of a line ([Pipe], [PTY]) and the dialect's Open:
//
//	haltest.Run(t, haltest.Traits{Firmware: sim.Repetier}, haltest.On(haltest.Pipe, repetier.Open))
//
// The judge is the printer's journal, not the driver's word: what was
// driven, in which order, how warm things were, whether anything moved afterwards.
// A case that says that something never happens also shows, in the same run or in
// one beside it, that the judge would have seen it.
package haltest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

// Open starts a printer with cfg, opens a machine on it and cleans both up when the
// test ends. The machine has to be ready: idle, nothing sent to it but what its
// driver asks when it opens.
type Open func(t *testing.T, cfg sim.Config) (hal.Machine, *sim.Printer)

// Run runs every case of the contract, each on a machine of its own and beside the
// others.
func Run(t *testing.T, traits Traits, open Open) {
	s := suite{traits, open}
	for _, c := range []struct {
		name string
		run  func(*testing.T, suite)
		not  bool // it is about what the machine does not have
	}{
		{"info", caseInfo, false},
		{"program", caseProgram, false},
		{"long program", caseLong, false},
		{"builds", caseBuilds, traits.NoBuilds},
		{"temperatures", caseTemperatures, traits.NoHeaters},
		{"dwell and acceleration", caseDwell, false},
		{"set heater while running", caseBeside, traits.NoHeaters},
		{"cancel", caseCancel, false},
		{"halt while moving", caseHaltMoving, false},
		{"halt while heating", caseHaltHeating, traits.NoHeaters},
		{"program error", caseProgramError, false},
		{"stand", caseStand, traits.NoHeaters},
		{"close", caseClose, traits.NoHeaters},
		{"damaged line", caseDamage, traits.Unchecked},
		{"reset", caseReset, false},
		{"sensor", caseSensor, traits.NoHeaters},
		{"unplugged", caseUnplugged, false},
	} {
		if c.not {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of a case is waiting
			c.run(t, s)
		})
	}
}

// patience bounds every program of a case, in real time: a guard against hanging, for machines that are emulated and busy.
const patience = 5 * time.Minute

// within is d, or less if the test has to end sooner, so that what does not happen
// is reported by its case.
func within(t *testing.T, d time.Duration) time.Duration {
	if end, ok := t.Deadline(); ok {
		return min(d, time.Until(end)/3)
	}
	return d
}

// suite is what every case works on.
type suite struct {
	Traits
	open Open
}

// rig is a machine, its printer and the journal of what was driven.
type rig struct {
	Traits
	t *testing.T
	m hal.Machine
	p *sim.Printer

	unknown uint64 // commands that it did not know while it was opened

	mu    sync.Mutex
	moves []sim.Move
	temps []unit.Celsius // of the hot end when each move ended
}

func newRig(t *testing.T, s suite, cfg sim.Config) *rig {
	t.Helper()
	r := &rig{Traits: s.Traits, t: t}
	var ready sync.WaitGroup // the printer moves only once r.p is set
	ready.Add(1)
	cfg.OnMove = func(m sim.Move) {
		ready.Wait()
		temp := r.p.Stats().Hotend
		r.mu.Lock()
		r.moves = append(r.moves, m)
		r.temps = append(r.temps, temp)
		r.mu.Unlock()
	}
	r.m, r.p = s.open(t, s.config(cfg))
	r.unknown = r.p.Stats().Unknown
	ready.Done()
	return r
}

// run runs ops to their end and returns the error of Run.
func (r *rig) run(ops ...motion.Op) error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), within(r.t, patience))
	defer cancel()
	err := r.m.Run(ctx, Program(r.fit(ops)))
	if errors.Is(err, context.DeadlineExceeded) {
		r.t.Fatalf("the program did not end in time; printer: %+v", r.p.Stats())
	}
	return err
}

// mustRun runs ops and fails the test if that does not work.
func (r *rig) mustRun(ops ...motion.Op) {
	r.t.Helper()
	if err := r.run(ops...); err != nil {
		r.t.Fatalf("Run: %v; state %+v", err, r.m.State())
	}
}

// start runs ops in the background; the error of Run comes on the channel.
func (r *rig) start(ctx context.Context, prog motion.Program) <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.m.Run(ctx, prog) }()
	return done
}

// wait waits for a Run that was started.
func (r *rig) wait(done <-chan error, limit time.Duration) error {
	r.t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(within(r.t, limit)):
		r.t.Fatalf("Run did not return within %v; state %+v, printer %+v", limit, r.m.State(), r.p.Stats())
		return nil
	}
}

// eventually waits until cond holds.
func (r *rig) eventually(what string, cond func() bool) {
	r.t.Helper()
	for end := time.Now().Add(within(r.t, patience/2)); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s: did not happen; state %+v, printer %+v", what, r.m.State(), r.p.Stats())
		}
	}
}

// judge fails the test unless what was driven is what ops ask for; see compare.
func (r *rig) judge(ops []motion.Op, whole bool) {
	r.t.Helper()
	judge(r.t, r.driven(), expect(r.fit(ops)), whole)
}

// clean checks that nothing was driven that the printer had to hold back.
func (r *rig) clean(s sim.Stats) {
	r.t.Helper()
	if s.Cold != 0 || s.Clamped != 0 || s.Unhomed != 0 || s.Kills != 0 || s.Unknown != r.unknown {
		r.t.Errorf("the printer had to hold something back: %+v", s)
	}
}

// driven is the journal so far.
func (r *rig) driven() []sim.Move {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]sim.Move(nil), r.moves...)
}

// cold reports whether the printer has been told to heat nothing.
func (r *rig) cold() bool {
	s := r.p.Stats()
	return s.HotendSet == 0 && s.BedSet == 0
}

// warm reports whether a heater is on, which is the control of tests that want them
// off. A machine without heaters is as good as warm.
func (r *rig) warm() bool { return r.NoHeaters || !r.cold() }

// Program makes a program of ops.
func Program(ops []motion.Op) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for _, op := range ops {
			if !yield(op, nil) {
				return
			}
		}
	}
}
