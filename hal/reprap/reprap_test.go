package reprap

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"platen/hal/driver"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

const mm = unit.Millimetre

// rig is a machine on a simulated printer, both in the fake time of a bubble.
type rig struct {
	*testing.T
	m       *driver.Machine
	printer *sim.Printer
	mu      sync.Mutex
	moves   []sim.Move
}

func inBubble(t *testing.T, cfg sim.Config, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t}
		cfg.Firmware = sim.RepRap
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
		r.m, err = Open(t.Context(), host, driver.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.m.Close()
		f(r)
	})
}

func program(list []motion.Op) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for _, op := range list {
			if !yield(op, nil) {
				return
			}
		}
	}
}

// zigzag is n printing moves, all different from their neighbours.
func zigzag(n int) []motion.Op {
	list := []motion.Op{{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 200 * unit.Degree}, {Kind: motion.Home},
		{Kind: motion.Move, Axes: motion.Z, To: [3]unit.Length{2: mm / 5}, Feed: 5000}}
	for i := range n {
		list = append(list, motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, E: mm / 50, Feed: 150_000,
			To: [3]unit.Length{unit.Length(20+i%7) * mm, unit.Length(20+i%11)*mm + unit.Length(i%13)*mm/16}})
	}
	return list
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
	for _, op := range list {
		if op.Kind == motion.Move && op.E > 0 {
			ends = append(ends, [3]unit.Length{op.To[0], op.To[1], mm / 5})
		}
	}
	return ends
}

func same(a, b [3]unit.Length) bool {
	for i := range a {
		if d := a[i] - b[i]; d > mm/20 || d < -mm/20 {
			return false
		}
	}
	return true
}

// everything is every fault that a print has to survive.
var everything = sim.Faults{
	Corrupt: 2000, CorruptReply: 2000, DropByte: 1000, Burst: 300, Garbage: 1000, HalfLine: 300, Delay: 200,
	DropOK: 1000, DupOK: 1000, FakeOK: 500, ResendStorm: 50,
}

// TestEveryMoveOnceInOrder prints over a line that does everything to its bytes.
func TestEveryMoveOnceInOrder(t *testing.T) {
	t.Parallel()
	n, seeds := 3000, 12
	if testing.Short() {
		n, seeds = 600, 3
	}
	var injected, resends uint64
	for seed := range seeds {
		inBubble(t, sim.Config{Seed: uint64(seed), Speed: sim.Fastest, Hotend: 195 * unit.Degree, Faults: everything, Checked: true}, func(r *rig) {
			list := zigzag(n)
			if err := r.m.Run(r.Context(), program(list)); err != nil {
				r.Fatalf("seed %d: %v; %+v", seed, err, r.m.State())
			}
			s := r.printer.Stats()
			if got, want := r.printed(), wanted(list); !slices.EqualFunc(got, want, same) || s.Cold+s.Clamped+s.Unhomed > 0 {
				r.Errorf("seed %d: printed %d moves, want %d; %+v", seed, len(got), len(want), s)
			}
			injected, resends = injected+s.Injected, resends+s.Resends
		})
	}
	if injected == 0 || resends == 0 {
		t.Errorf("control: no fault struck: %d injected, %d resends", injected, resends)
	}
}
