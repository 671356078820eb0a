package gcodefile_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"platen/hal/gcodefile"
	"platen/hal/haltest"
	"platen/hal/marlin"
	"platen/hal/sim"
	"platen/hal/unit"
)

// TestThePrinterAgrees prints random files that were accepted on the simulated
// printer, one after the other. A second judge, which shares nothing with the first:
// the firmware, which counts what it had to cut short, to hold back, or did not know.
func TestThePrinterAgrees(t *testing.T) {
	l := limits()
	l.Min, l.HomedAt, l.MaxAdvance = [3]unit.Length{}, [3]unit.Length{}, 0
	var outside atomic.Int64
	m, printer := haltest.On(haltest.Pipe, marlin.Open)(t, sim.Config{
		Speed: sim.Fastest, Volume: l.Max, Extruders: 2, Leveling: true, LineTime: 200 * time.Microsecond,
		OnMove: func(v sim.Move) {
			for i := range v.To {
				if v.To[i] < l.Min[i]-mm/1000 || v.To[i] > l.Max[i]+mm/1000 {
					outside.Add(1)
				}
			}
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	printed := 0
	for seed := uint64(1); printed < max(20, min(1000, programs()/1000)); seed++ {
		s := &source{Rand: rand.New(rand.NewPCG(77, seed))}
		text := bytes.Clone(s.program())
		if bytes.Contains(text, []byte("M601")) { // held by whoever feeds a machine
			continue
		}
		if _, err := gcodefile.Check(bytes.NewReader(text), options(l)); err != nil {
			continue
		}
		if err := m.Run(ctx, gcodefile.Program(bytes.NewReader(text), options(l))); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		printed++
		if st := printer.Stats(); st.Clamped+st.Cold+st.Unhomed+st.Unknown+st.Kills != 0 || outside.Load() != 0 {
			t.Fatalf("seed %d: %d moves cut short, %d cold, %d before homing, %d commands unknown, %d outside\n%s",
				seed, st.Clamped, st.Cold, st.Unhomed, st.Unknown, outside.Load(), text)
		}
	}
	if st := printer.Stats(); st.Moves < uint64(3*printed) || st.Homes == 0 || st.Filament == 0 {
		t.Errorf("%d moves in %d files: the test proves little", st.Moves, printed)
	}
}

// TestThePrinterNotices is the control: what a weak guard lets through, the printer
// counts, and its driver may stop.
func TestThePrinterNotices(t *testing.T) {
	l := limits()
	l.Min, l.HomedAt = [3]unit.Length{}, [3]unit.Length{}
	weak := l
	weak.Max[0] += 100 * mm
	weak.MinExtrude = weak.HotEnd.Min
	for _, text := range []string{"G28\nG1 X300 Y5 Z5 F9000\n", "G28\nM109 S150\nM83\nG1 X10 E5 F600\n"} {
		m, printer := haltest.On(haltest.Pipe, marlin.Open)(t, sim.Config{Speed: sim.Fastest, Volume: l.Max, LineTime: 200 * time.Microsecond})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := m.Run(ctx, gcodefile.Program(strings.NewReader(text), options(weak)))
		cancel()
		if st := printer.Stats(); st.Clamped+st.Cold != 1 {
			t.Errorf("the printer says nothing of %q, its driver %v", text, err)
		}
		if _, err := gcodefile.Check(strings.NewReader(text), options(l)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
