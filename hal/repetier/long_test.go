package repetier

import (
	"os"
	"slices"
	"strconv"
	"testing"

	"platen/hal/sim"
	"platen/hal/unit"
)

// TestEveryFault prints over a line with every fault there is, bursts among them.
// PLATEN_SOAK says how often 100,000 moves, each time with a seed of its own.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	n, seeds := 10_000, 1
	if testing.Short() {
		n = 2000
	}
	if s, err := strconv.Atoi(os.Getenv("PLATEN_SOAK")); err == nil && s > 0 {
		n, seeds = 100_000, s
	}
	for seed := range seeds {
		list := zigzag(n)
		want := wanted(list)
		inBubble(t, sim.Config{Seed: 1000 + uint64(seed), Speed: sim.Fastest, Hotend: 195 * unit.Degree, Faults: everything, Checked: true}, func(r *rig) {
			if err := r.m.Run(r.Context(), program(list)); err != nil {
				r.Fatalf("seed %d: %v; %+v", seed, err, r.m.State())
			}
			s := r.printer.Stats()
			if got := r.printed(); !slices.EqualFunc(got, want, same) || s.Cold+s.Clamped+s.Unhomed > 0 {
				r.Errorf("seed %d: printed %d moves, want %d; %+v", seed, len(got), len(want), s)
			}
			if s.Injected < uint64(n/1000) {
				r.Errorf("seed %d: control: only %d faults struck", seed, s.Injected)
			}
		})
	}
}
