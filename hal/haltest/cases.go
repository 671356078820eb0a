package haltest

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

func caseInfo(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: sim.Fastest})
	info := r.m.Info()
	if info.Dialect == "" || info.Firmware == "" || len(info.Firmware) > 64 || info.Tools < 1 && !on.NoFilament {
		t.Errorf("info %+v", info)
	}
	for _, c := range []byte(info.Firmware) {
		if c < ' ' || c > '~' {
			t.Errorf("firmware name %q is not printable ASCII", info.Firmware)
		}
	}
	for _, c := range on.Has {
		if !info.Has(c) {
			t.Errorf("capabilities %v lack %s", info.Caps, c)
		}
	}
	for _, c := range on.HasNot {
		if info.Has(c) {
			t.Errorf("capabilities %v do not match the build: %s", info.Caps, c)
		}
	}
	if s := r.m.State(); s.Phase != hal.PhaseIdle || s.Fault != hal.FaultNone {
		t.Errorf("state after opening %+v", s)
	}
	if n := len(r.driven()); n != 0 || !r.cold() {
		t.Errorf("opening drove %d moves or heated", n)
	}
}

// caseProgram runs each kind of operation and looks at what came of it.
func caseProgram(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: sim.Fastest})
	ops := append(warmUp(),
		heat(motion.Bed, 55, false),
		motion.Op{Kind: motion.SetFan, Fan: 128},
		motion.Op{Kind: motion.SetAccel, Accel: 1500},
		motion.Op{Kind: motion.BeginLayer, Layer: 0, To: [3]unit.Length{motion.IZ: mm / 5}},
		to(10*mm, 12*mm, mm/5, 0, 100),
		to(60*mm, 12*mm, mm/5, 2*mm, 60),
		motion.Op{Kind: motion.Move, Axes: motion.Y | motion.E, To: [3]unit.Length{motion.IY: 70 * mm}, E: mm, Feed: 60 * unit.MillimetrePerSecond},
		feedOnly(-2*mm),
		motion.Op{Kind: motion.Move, Axes: motion.Z, To: [3]unit.Length{motion.IZ: mm}, Feed: 4 * unit.MillimetrePerSecond},
		feedOnly(2*mm),
	)
	r.mustRun(ops...)
	r.judge(ops, true)
	s := r.p.Stats()
	r.clean(s)
	if s.Moving {
		t.Error("Run returned before the last move had ended")
	}
	if !r.NoFan && s.Fan != 128 || !r.NoHeaters && (s.BedSet != 55*unit.Degree || s.HotendSet != 190*unit.Degree) {
		t.Errorf("fans and heaters after the program: %+v", s)
	}
	if s.Homes != 3 || !r.NoFilament && s.Layers != 1 {
		t.Errorf("printer after the program: %+v", s)
	}
	st := r.m.State()
	if st.Phase != hal.PhaseIdle || st.Fault != hal.FaultNone || st.Lines == 0 {
		t.Errorf("state after the program: %+v", st)
	}
	r.mustRun(append([]motion.Op{to(20*mm, 20*mm, 2*mm, 0, 100)}, motion.Op{Kind: motion.MotorsOff})...)
	if n := len(r.driven()); n != len(expect(r.fit(ops)))+1 {
		t.Errorf("%d moves after a second program", n)
	}
}

func caseLong(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: sim.Fastest})
	ops := append(warmUp(), spiral(3000)...)
	before := r.p.Stats()
	r.mustRun(ops...)
	r.judge(ops, true)
	s := r.p.Stats()
	r.clean(s)
	// Lines sent again are counted by Sound, in fake time: here Stall is 0.7 s, and a host
	// that does not come to its turn for so long takes the printer for silent and asks by a
	// line that is refused.
	if s.Overruns != before.Overruns {
		t.Errorf("a sound line lost %d bytes", s.Overruns-before.Overruns)
	}
	if !r.NoFilament && s.Layers != 60 {
		t.Errorf("%d layers, want 60", s.Layers)
	}
}

// caseBuilds runs a program on firmware that was built with other options.
func caseBuilds(t *testing.T, on suite) {
	for name, cfg := range map[string]sim.Config{
		"advanced ok": {AdvancedOK: true},
		"talkative":   {AdvancedOK: true, EmergencyParser: true, HostActions: true, Wait: time.Second},
		"slow line":   {Baud: 115200},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Speed = sim.Fastest
			r := newRig(t, on, cfg)
			ops := append(warmUp(), spiral(300)...)
			r.mustRun(ops...)
			r.judge(ops, true)
			r.clean(r.p.Stats())
			if r.m.Info().Has("EMERGENCY_PARSER") != cfg.EmergencyParser {
				t.Errorf("capabilities %v do not match the build", r.m.Info().Caps)
			}
		})
	}
}

// caseTemperatures checks that waiting waits, that targets arrive and that reports
// come back.
func caseTemperatures(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: sim.Fastest})
	ops := []motion.Op{
		home(), heat(motion.Bed, 50, true), heat(motion.HotEnd, 205, true),
		to(10*mm, 10*mm, mm/5, 0, 100), to(40*mm, 10*mm, mm/5, mm, 50),
	}
	r.mustRun(ops...)
	r.judge(ops, true)
	r.clean(r.p.Stats())
	for i, temp := range r.temps {
		if temp < 200*unit.Degree {
			t.Errorf("move %d was driven at %v, before the hot end was warm", i, temp)
		}
	}
	r.eventually("temperatures are reported", func() bool {
		s := r.m.State()
		hot, okHot := s.Heater(motion.HotEnd)
		bed, okBed := s.Heater(motion.Bed)
		return okHot && okBed && hot.Target == 205*unit.Degree && bed.Target == 50*unit.Degree &&
			hot.Actual > 195*unit.Degree && bed.Actual > 45*unit.Degree && !s.Reported.IsZero()
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.m.SetHeater(ctx, motion.Bed, 45*unit.Degree); err != nil {
		t.Fatal(err)
	}
	if got := r.p.Stats().BedSet; got != 45*unit.Degree {
		t.Errorf("SetHeater returned with the bed set to %v", got)
	}
	if err := r.m.SetHeater(ctx, motion.HotEnd, 0); err != nil {
		t.Fatal(err)
	}
	if got := r.p.Stats().HotendSet; got != 0 {
		t.Errorf("the hot end is set to %v, not off", got)
	}
}

// caseDwell checks that a pause lies between the moves around it, and that the
// acceleration of printing moves is the one asked for.
func caseDwell(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: sim.Fastest})
	ops := append(warmUp(), to(10*mm, 10*mm, mm/5, 0, 100), dwell(1500*time.Millisecond),
		motion.Op{Kind: motion.SetAccel, Accel: 500}, to(60*mm, 10*mm, mm/5, mm, 100), dwell(0),
		motion.Op{Kind: motion.SetAccel, Accel: 2000}, to(10*mm, 10*mm, mm/5, mm, 100))
	r.mustRun(ops...)
	moves := r.driven()
	r.judge(ops, true)
	if gap := moves[1].Start - moves[0].End; gap < 1500*time.Millisecond || gap > 10*time.Second { // a loaded host is late with what it says around it
		t.Errorf("a pause of 1.5 s took %v", gap)
	}
	if r.NoAccel {
		return
	}
	for i, accel := range []float64{500, 2000} { // 50 mm: up to 100 mm/s if there is room for it
		want := 2 * math.Sqrt(50/accel)
		if v := 100.0; v*v/accel < 50 {
			want = 50/v + v/accel
		}
		// Firmware with classic jerk begins and ends at a few mm/s.
		if got := (moves[i+1].End - moves[i+1].Start).Seconds(); math.Abs(got-want) > 0.04 {
			t.Errorf("a move at %v mm/s² took %.3f s, want %.3f", accel, got, want)
		}
	}
}

// caseBeside calls the other methods while a program runs.
func caseBeside(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: sim.Fastest})
	r.mustRun(warmUp()...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ops := spiral(1500)
	done := r.start(ctx, Program(r.fit(ops)))
	for i := range unit.Celsius(10) {
		if err := r.m.SetHeater(ctx, motion.Bed, (40+i)*unit.Degree); err != nil {
			t.Fatalf("SetHeater while running: %v", err)
		}
		if s := r.m.State(); s.Phase != hal.PhaseRunning && s.Phase != hal.PhaseIdle {
			t.Errorf("phase %v", s.Phase)
		}
	}
	if err := r.wait(done, patience); err != nil {
		t.Fatal(err)
	}
	r.judge(ops, true)
	if got := r.p.Stats().BedSet; got != 49*unit.Degree {
		t.Errorf("bed set to %v", got)
	}
}

// caseCancel ends a program early: what the controller has is finished, and the
// machine goes on to work.
func caseCancel(t *testing.T, on suite) {
	r := newRig(t, on, sim.Config{Speed: 50, Hotend: stillWarm})
	r.mustRun(append(warmUp(), heat(motion.Bed, 40, false))...)
	ctx, cancel := context.WithCancel(t.Context())
	ops := spiral(5000)
	done := r.start(ctx, Program(r.fit(ops)))
	r.eventually("the program moves", func() bool { return len(r.driven()) > 20 })
	cancel()
	if err := r.wait(done, patience); !errors.Is(err, context.Canceled) {
		t.Fatalf("Run after a cancel: %v", err)
	}
	r.eventually("the last move ends", func() bool { return !r.p.Stats().Moving })
	n := len(r.driven())
	r.judge(ops, false)
	s := r.p.Stats()
	r.clean(s)
	if s.Cuts != 0 || n == len(expect(r.fit(ops))) {
		t.Errorf("%d moves of %d, %d cut short", n, len(expect(r.fit(ops))), s.Cuts)
	}
	if !r.NoHeaters && (s.HotendSet == 0 || s.BedSet == 0) {
		t.Error("a cancel switched heaters off; that is for the caller")
	}
	next := []motion.Op{to(100*mm, 100*mm, 50*mm, 0, 100)}
	r.mustRun(next...)
	if all := r.driven(); len(all) != n+1 || all[n].To != next[0].To {
		t.Errorf("after the cancel %d moves were driven, one was asked for", len(all)-n)
	}
	judge(t, r.driven()[:n], expect(r.fit(ops)), false)
}
