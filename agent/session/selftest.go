package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"platen/agent/catalog"
	"platen/agent/seam"
	"platen/hal"
	"platen/hal/envelope"
	"platen/hal/selftest"
	"platen/hal/unit"
	"platen/hal/watch"
)

// warm is the temperature from which a machine is not at rest: what it heated for the job
// before would show in its figures.
const warm = 50 * unit.Degree

// errWarm reports a machine that is not as a self-test needs it.
var errWarm = errors.New("the machine is warm, or its door is open")

// selfTest runs the self-test. The session ends with it, as with a job.
func (s *session) selfTest(ctx context.Context, t *seam.Test) error {
	report, err := s.measure(ctx)
	if err == nil {
		m := Told(t.Job, report)
		if err := s.conn.Load().Send(&m, nil); err != nil {
			s.log.Warn("figures of the self-test not delivered")
		}
	}
	return s.conclude(ctx, seam.Receipt{Job: t.Job}, err)
}

// measure moves the machine, once it is known to be at rest. The heaters' supply stays off.
func (s *session) measure(ctx context.Context) (r selftest.Report, err error) {
	plan, err := selftest.Parse(catalog.Motion, s.cfg.Board.Limits, s.cfg.Board.Controller.Dialect != "grbl")
	if err != nil {
		return r, fmt.Errorf("the self-test on this board: %w", err)
	}
	s.setPhase(seam.PhaseTesting)
	if err := s.rested(ctx); err != nil {
		return r, err
	}
	if r, err = plan.Run(ctx, s.machine); err != nil && !errors.Is(err, hal.ErrHalted) {
		s.cool()
	}
	return r, err
}

// firstReport bounds the wait for a report of temperatures.
const firstReport = 30 * time.Second

// rested is errWarm unless the machine is cold, by a report that comes from now on, and shut.
func (s *session) rested(ctx context.Context) error {
	if s.cfg.Board.Watch.Door != watch.Ignore && s.box.opened() {
		return errWarm
	}
	l := s.cfg.Board.Limits
	if none := (envelope.Range{}); l.HotEnd == none && l.Bed == none && l.Chamber == none {
		return nil
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	begun, limit := time.Now(), time.After(firstReport)
	for {
		st := s.machine.State()
		if st.Reported.After(begun) {
			return cold(&st)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit:
			return errWarm
		case <-tick.C:
		}
	}
}

// cold is errWarm if a heater is on or not cold.
func cold(st *hal.State) error {
	for _, h := range st.Heaters[:st.NHeaters] {
		if h.Target > 0 || h.Actual >= warm {
			return errWarm
		}
	}
	return nil
}

// Told is a report of the self-test job as it crosses the seam.
func Told(job [16]byte, r selftest.Report) seam.Tested {
	m := seam.Tested{
		Job: job, Half: micros(r.Half), Most: micros(r.Most), Longest: micros(r.Longest),
		Noise: uint32(max(r.Noise, 0)), Resends: uint32(r.Resends), Errors: uint32(r.Errors),
	}
	for i, a := range r.Axes {
		m.Axes[i] = seam.TestedAxis{Sweep: uint32(a.Sweep / time.Millisecond), Felt: a.Felt, Spread: uint32(a.Spread.Micrometres()), Shift: int32(a.Shift.Micrometres())}
	}
	return m
}

// micros is d in µs; a self-test is over long before that does not fit.
func micros(d time.Duration) uint32 { return uint32(d / time.Microsecond) }
