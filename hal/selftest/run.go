package selftest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/unit"
)

// Report is what a self-test has measured.
type Report struct {
	Half, Most, Longest time.Duration // within which half, nine tenths and all of the pings were answered
	Noise               unit.Celsius  // of the noisiest sensor of a heater; 0 without any
	Axes                [3]Axis
	Resends, Errors     uint64 // of the self-test alone
}

// Axis is what was measured of one axis, of the shortest times. Spread and Shift hold if Felt: the end stop was found
// later from afar than from near by, as it has to be.
type Axis struct {
	Sweep  time.Duration
	Felt   bool
	Spread unit.Length // between two homings from one place, not below zero
	Shift  unit.Length // of where the axis stood after its sweeps, away from its end stop
}

// homings is how long it took to home an axis, and from where.
type homings struct {
	near, far, sweep, again shortest
	nearBy, afar            unit.Length
}

// shortest is the shortest of times of the same, and the next longer one: what holds up a
// host, or a line, only adds to a time.
type shortest struct{ least, next time.Duration }

func (s *shortest) take(d time.Duration) {
	switch {
	case s.least == 0 || d < s.least:
		s.least, s.next = d, s.least
	case s.next == 0 || d < s.next:
		s.next = d
	}
}

// restTime bounds the wait for one report of temperatures.
const restTime = 30 * time.Second

// look is how often reports are looked for.
const look = 10 * time.Millisecond

// Run runs the plan on m, which has to be cold and idle. An error of the machine ends it, and
// so does ctx: the machine then stands with its motors on, as after any program.
func (p *Plan) Run(ctx context.Context, m hal.Machine) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, Longest)
	defer cancel()
	before := m.State()
	r := run{Machine: m}
	for i := range p.steps {
		if err := r.step(ctx, &p.steps[i]); err != nil {
			return Report{}, fmt.Errorf("self-test: %w", err)
		}
	}
	for i := range r.homed {
		r.report.Axes[i].judge(&r.homed[i])
	}
	after := m.State()
	r.report.Resends, r.report.Errors = after.Resends-before.Resends, after.LinkError-before.LinkError
	return r.report, nil
}

// run is one self-test.
type run struct {
	hal.Machine
	report Report
	homed  [3]homings
}

// step runs one step.
func (r *run) step(ctx context.Context, s *step) error {
	switch s.what {
	case pings:
		return r.ping(ctx, s.n)
	case rest:
		return r.rest(ctx, s.n)
	}
	took, err := r.timed(ctx, s.ops)
	h := &r.homed[s.axis]
	switch s.what {
	case near:
		h.near.take(took)
		h.nearBy = s.width
	case far:
		h.far.take(took)
		h.afar = s.width
	case sweep:
		h.sweep.take(took)
	case again:
		h.again.take(took)
	}
	return err
}

// timed runs operations until the machine stands and returns how long that took.
func (r *run) timed(ctx context.Context, ops []motion.Op) (time.Duration, error) {
	begin := time.Now()
	err := r.Run(ctx, func(yield func(motion.Op, error) bool) {
		for _, op := range ops {
			if !yield(op, nil) {
				return
			}
		}
	})
	return time.Since(begin), err
}

// ping runs n empty programs.
func (r *run) ping(ctx context.Context, n int) error {
	all := make([]time.Duration, n)
	for i := range all {
		var err error
		if all[i], err = r.timed(ctx, nil); err != nil {
			return err
		}
	}
	slices.Sort(all)
	if n > 0 {
		r.report.Half, r.report.Most, r.report.Longest = all[(n-1)/2], all[(n-1)*9/10], all[n-1]
	}
	return nil
}

// rest takes n reports of temperatures, and how far each is off the line between its neighbours:
// what cools evenly has no noise by that. A machine that reports none has none.
func (r *run) rest(ctx context.Context, n int) error {
	first := r.State()
	var reports []hal.State
	for last := first.Reported; first.NHeaters > 0 && len(reports) < n; {
		st, err := next(ctx, r, last)
		if err != nil || st.Reported.Equal(last) { // the driver judges one that has fallen silent
			return err
		}
		last, reports = st.Reported, append(reports, st)
	}
	for i := 2; i < len(reports); i++ {
		for h := range reports[i].Heaters[:reports[i].NHeaters] {
			id := reports[i].Heaters[h].ID
			a, b, c := at(&reports[i-2], id), at(&reports[i-1], id), reports[i].Heaters[h].Actual
			off := (a - 2*b + c) / 2
			r.report.Noise = max(r.report.Noise, off, -off)
		}
	}
	return nil
}

// at is what a report says of a heater.
func at(st *hal.State, id hal.HeaterID) unit.Celsius {
	h, _ := st.Heater(id)
	return h.Actual
}

// next is the state at the report after the one at last, or the last state if none comes.
func next(ctx context.Context, m hal.Machine, last time.Time) (hal.State, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	limit := time.After(restTime)
	for {
		st := m.State()
		switch {
		case st.Phase == hal.PhaseHalted || st.Phase == hal.PhaseLost:
			return st, &hal.FaultError{Fault: cmp.Or(st.Fault, hal.FaultPort)}
		case st.Reported.After(last):
			return st, nil
		}
		select {
		case <-ctx.Done():
			return st, ctx.Err()
		case <-limit:
			return st, nil
		case <-tick.C:
		}
	}
}

// judge makes lengths of times. The speed at which an axis is homed is how much farther it was
// in how much longer; what homing has besides is the same each time, and drops out.
func (a *Axis) judge(h *homings) {
	a.Sweep = h.sweep.least
	longer, farther := h.far.least-h.near.least, int64(h.afar-h.nearBy)
	if longer < time.Millisecond || farther <= 0 {
		return
	}
	way := func(d time.Duration) unit.Length {
		most := int64(unit.MaxCoordinate)
		return unit.Length(min(max(int64(d/time.Microsecond)*farther/int64(longer/time.Microsecond), -most), most))
	}
	a.Felt = true
	a.Spread = way(h.near.next - h.near.least)
	a.Shift = way(h.again.least - h.near.least)
}
