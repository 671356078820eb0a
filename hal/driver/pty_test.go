package driver_test

import (
	"runtime"
	"testing"
	"time"

	"platen/hal/driver"
	"platen/hal/motion"
	"platen/hal/unit"
)

// moves is a program of n short moves.
func moves(n int) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for i := range n {
			op := motion.Op{
				Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, E: unit.Millimetre / 30, Feed: 150 * unit.MillimetrePerSecond,
				To: [3]unit.Length{unit.Length(i%200) * unit.Millimetre, unit.Length(i%190) * unit.Millimetre},
			}
			if !yield(op, nil) {
				return
			}
		}
	}
}

// TestNoAllocationPerLine sends lines through the whole driver and counts.
func TestNoAllocationPerLine(t *testing.T) {
	m := startResponder(t, kindTail).open(t, driver.Pins{})
	defer m.Close()
	const lines = 5000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	if err := m.Run(t.Context(), moves(lines)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; n > lines/50 {
		t.Errorf("%d allocations for %d lines", n, lines)
	}
	if s := m.State(); s.Lines < lines || s.Resends > 0 {
		t.Errorf("state %+v", s)
	}
	t.Logf("%d lines in %v, %v a line", lines, took.Round(time.Millisecond), took/lines)
}
