package session

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/seam"
	"platen/agent/seam/link"
	"platen/boards"
	"platen/hal"
	"platen/hal/motion"
	"platen/hal/selftest"
	"platen/hal/sim"
	"platen/hal/unit"
	"platen/hal/watch"
)

// TestSelfTest: a session runs the self-test of a cold machine and ends with it; a machine that is
// warm does not move.
func TestSelfTest(t *testing.T) {
	job := [16]byte{4, 2}
	c := startSession(t, sim.Config{Speed: sim.Fastest})
	if err := c.conn.Send(&seam.Test{Job: job}, nil); err != nil {
		t.Fatal(err)
	}
	got := *await[*seam.Tested](c)
	if r := *await[*seam.Receipt](c); got.Job != job || r.Job != job || r.Code != seam.CodeDone || r.Material != 0 {
		t.Errorf("%+v, and %+v", r, got)
	}
	if got.Longest == 0 || got.Longest < got.Most || got.Most < got.Half {
		t.Errorf("figures: %+v", got)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the session: %v", err)
	}
	if st := c.printer.Stats(); st.Moves < 30 || st.Filament != 0 || st.Homes < 9 {
		t.Errorf("the printer: %+v", st)
	}

	hot := startSession(t, sim.Config{Hotend: 240 * unit.Degree}) // and cools for minutes
	if err := hot.conn.Send(&seam.Test{Job: job}, nil); err != nil {
		t.Fatal(err)
	}
	if r := *await[*seam.Receipt](hot); r.Code != seam.CodeRefused || r.Reason != seam.ReasonWarm {
		t.Errorf("a warm machine: %+v", r)
	}
	if st := hot.printer.Stats(); st.Moves+st.Homes != 0 {
		t.Errorf("it moved: %+v", st)
	}
}

// TestRested says which machines are left alone.
func TestRested(t *testing.T) {
	state := func(target, actual unit.Celsius) hal.State {
		st := hal.State{NHeaters: 2}
		st.Heaters[0] = hal.HeaterState{ID: motion.Bed, Actual: 22 * unit.Degree}
		st.Heaters[1] = hal.HeaterState{ID: motion.HotEnd, Actual: actual, Target: target}
		return st
	}
	for _, c := range []struct {
		st   hal.State
		want error
	}{
		{state(0, 22*unit.Degree), nil}, {state(0, 50*unit.Degree-1), nil}, {state(0, 50*unit.Degree), errWarm}, {state(200*unit.Degree, 22*unit.Degree), errWarm},
	} {
		if err := cold(&c.st); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%+v: %v, want %v", c.st.Heaters[1], err, c.want)
		}
	}
	b, err := boards.Load("sim-grbl") // it has nothing that could be warm
	if err != nil {
		t.Fatal(err)
	}
	for act, want := range map[watch.Action]error{watch.Halt: errWarm, watch.Pause: errWarm, watch.Ignore: nil} {
		open := *b
		open.Watch.Door = act
		x := &box{sensors: []boards.Sensor{{Role: boards.RoleDoor}}, log: slog.New(slog.DiscardHandler)}
		x.values[0] = reading{0, time.Now().Add(time.Hour)} // open for as long as the test takes
		s := &session{cfg: Config{Board: &open}, box: x}
		if err := s.rested(t.Context()); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("door open, %v: %v, want %v", act, err, want)
		}
		x.values[0] = reading{} // it cannot be read any more
		if err := s.rested(t.Context()); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("door lost, %v: %v, want %v", act, err, want)
		}
		x.values[0] = reading{1, time.Now().Add(time.Hour)}
		if err := s.rested(t.Context()); err != nil {
			t.Errorf("control, door shut: %v", err)
		}
	}
}

// moving is a machine that is told of its first move, and takes it until first returns.
type moving struct {
	idle
	first  func() error
	moves  int
	halted chan struct{}
}

func (m *moving) Halt(string) error {
	close(m.halted) // once: one that is halted is not supervised
	return nil
}

func (m *moving) State() hal.State {
	select {
	case <-m.halted:
		return hal.State{Phase: hal.PhaseHalted}
	default:
		return hal.State{Phase: hal.PhaseIdle}
	}
}

func (m *moving) Run(_ context.Context, prog motion.Program) error {
	for op := range prog {
		if !op.Moves() {
			continue
		}
		if m.moves++; m.moves > 1 {
			continue
		}
		if err := m.first(); err != nil {
			return err
		}
	}
	return nil
}

// TestSelfTestStops: a door that opens while a self-test moves the machine halts it, though a print
// would be paused; what says that there is no filament does neither.
func TestSelfTestStops(t *testing.T) {
	b, err := boards.Load("sim-grbl")
	if err != nil {
		t.Fatal(err)
	}
	b.Watch.Door, b.Watch.Filament = watch.Pause, watch.Pause
	for role, want := range map[boards.Role]error{boards.RoleDoor: hal.ErrHalted, boards.RoleFilament: nil} {
		conn, end, err := link.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		defer end.Close()
		x := &box{sensors: []boards.Sensor{{Role: role}}, log: slog.New(slog.DiscardHandler)}
		x.values[0] = reading{1, time.Now().Add(time.Hour)} // holds for as long as the test takes
		s := &session{cfg: Config{Board: b}, box: x, log: x.log}
		s.conn.Store(conn)
		m := &moving{halted: make(chan struct{})}
		m.first = func() error {
			x.mu.Lock()
			x.values[0].value = 0
			x.mu.Unlock()
			looked := s.watch.Beat()
			eventually(t, "the machine is halted, or looked at for long enough", func() bool { // a second of looks is enough for both
				return m.State().Phase == hal.PhaseHalted || want == nil && s.watch.Beat()-looked >= 6
			})
			if m.State().Phase == hal.PhaseHalted {
				return hal.ErrHalted
			}
			return nil
		}
		s.supervise(m)
		_, err = s.measure(t.Context())
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%v: %v, want %v", role, err, want)
		}
		if s.phase != seam.PhaseTesting || s.pause.gate() != nil || (m.moves == 1) != (want != nil) {
			t.Errorf("%v: phase %v, %d moves", role, s.phase, m.moves)
		}
		s.setPhase(seam.PhasePrinting)
		if w := s.sensed(); (w.Filament == watch.Bad) != (role == boards.RoleFilament) || (w.Door == watch.Bad) != (role == boards.RoleDoor) {
			t.Errorf("control: in a print it is %+v", w)
		}
		s.machine.Close()
	}
}

// reporting is a machine that reports temperatures after a while.
type reporting struct {
	hal.Machine
	before, after hal.State
	at            time.Time
}

func (r *reporting) State() hal.State {
	if time.Now().Before(r.at) {
		return r.before
	}
	r.after.Reported = r.at
	return r.after
}

// TestRestedAsksAnew: how warm a machine was once says nothing of how warm it is.
func TestRestedAsksAnew(t *testing.T) {
	b, err := boards.Load("sim")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		before, after unit.Celsius
		in            time.Duration
		want          error
	}{
		{20 * unit.Degree, 20 * unit.Degree, 2 * time.Second, nil},
		{20 * unit.Degree, 90 * unit.Degree, 2 * time.Second, errWarm},
		{90 * unit.Degree, 20 * unit.Degree, 2 * time.Second, nil},
		{20 * unit.Degree, 20 * unit.Degree, 2 * firstReport, errWarm}, // it has fallen silent
	} {
		synctest.Test(t, func(t *testing.T) {
			state := func(actual unit.Celsius, at time.Time) hal.State {
				st := hal.State{NHeaters: 1, Reported: at}
				st.Heaters[0].Actual = actual
				return st
			}
			now := time.Now()
			m := &reporting{before: state(c.before, now.Add(-time.Hour)), after: state(c.after, now), at: now.Add(c.in)}
			s := &session{cfg: Config{Board: b}, machine: m}
			if err := s.rested(t.Context()); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("%+v: %v", c, err)
			}
		})
	}
}

// TestDutyIsShares: what is said of heaters' power is the shares of a whole job, in tenths.
func TestDutyIsShares(t *testing.T) {
	var d duty
	state := func(target unit.Celsius, power unit.Duty) *hal.State {
		st := &hal.State{NHeaters: 2}
		st.Heaters[0] = hal.HeaterState{ID: motion.Bed, Target: 60 * unit.Degree} // its power is not told
		st.Heaters[1] = hal.HeaterState{ID: motion.HotEnd, Target: target, Power: power}
		return st
	}
	for range 900 {
		d.note(state(200*unit.Degree, 255))
		d.note(state(200*unit.Degree, 64))
		d.note(state(200*unit.Degree, 63))
		d.note(state(200*unit.Degree, 0))
		d.note(state(0, 0)) // off: not its time
	}
	for range 1800 {
		d.note(state(200*unit.Degree, 128))
	}
	want := seam.Duty{N: 1}
	want.Heaters[0] = seam.HeaterDuty{ID: uint8(motion.HotEnd), Hours: 2, Share: [seam.DutyBins]uint8{2, 2, 2, 3, 2}}
	if got := d.told(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for seconds, want := range map[uint32]uint8{0: 0, 1: 1, 3600: 1, 3601: 2, 7200: 2, 128 * 3600: 8, 1 << 31: 8} {
		if n := seam.HoursBucket(seconds); n != want {
			t.Errorf("%d s are in bucket %d, want %d", seconds, n, want)
		}
	}
	var none duty
	if got := none.told(); got.N != 0 {
		t.Errorf("nothing was heated: %+v", got)
	}
}

// TestToldFits: figures that do not fit are not made others.
func TestToldFits(t *testing.T) {
	var r selftest.Report
	r.Longest, r.Resends = time.Hour, 3
	r.Axes[1] = selftest.Axis{Sweep: 90 * time.Second, Felt: true, Spread: unit.Millimetre, Shift: -2 * unit.Millimetre}
	m := Told([16]byte{1}, r)
	if m.Longest != 3_600_000_000 || m.Resends != 3 || m.Axes[1] != (seam.TestedAxis{Sweep: 90_000, Felt: true, Spread: 1000, Shift: -2000}) {
		t.Errorf("%+v", m)
	}
}
