package session

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
)

func layers(n int32) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for l := range n {
			z := motion.Op{Kind: motion.Move, Axes: motion.Z, Feed: 1000}
			z.To[motion.IZ] = unit.Length(l+1) * unit.Millimetre
			line := motion.Op{Kind: motion.Move, Axes: motion.X | motion.E, E: 1, Feed: 1000}
			if !yield(motion.Op{Kind: motion.BeginLayer, Layer: l}, nil) || !yield(z, nil) || !yield(line, nil) {
				return
			}
		}
	}
}

func TestProgressInQuarters(t *testing.T) {
	p := progress{layers: 40}
	var seen []uint8
	for range p.watch(layers(40)) {
		seen = append(seen, p.percent())
	}
	seen = slices.Compact(append(seen, p.percent()))
	if want := []uint8{0, 25, 50, 75, 100}; !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}

func TestPauseParksAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pause{top: 100 * unit.Millimetre}
		var ops []motion.Op
		for op := range p.hold(layers(2), nil) {
			ops = append(ops, op)
			if len(ops) == 3 { // first layer is printed
				p.set(true)
				go func() { time.Sleep(time.Minute); p.set(false) }()
			}
		}
		if got := len(ops); got != 10 {
			t.Fatalf("%d operations, want 6 and 4 of the pause", got)
		}
		park, back := ops[3:5], ops[5:7]
		if park[0].E != -pauseRetract || park[1].To[motion.IZ] != unit.Millimetre+pauseLift {
			t.Errorf("parks by %+v", park)
		}
		if back[0].To[motion.IZ] != unit.Millimetre || back[1].E != pauseRetract {
			t.Errorf("returns by %+v", back)
		}
		var e unit.Length
		for _, op := range ops {
			e += op.E
		}
		if e != 2 {
			t.Errorf("filament is off by %d", e-2)
		}
	})
}

func TestPauseEndsWithTheJob(t *testing.T) {
	p := pause{}
	p.set(true)
	done := make(chan struct{})
	close(done)
	for op := range p.hold(layers(2), done) {
		t.Fatalf("%v after the job ended", op)
	}
}

func TestPauseNearTheTop(t *testing.T) {
	p := pause{top: 2 * unit.Millimetre}
	var highest unit.Length
	n := 0
	for op := range p.hold(layers(2), nil) {
		if n++; n == 6 {
			p.set(true)
			p.set(false)
		}
		highest = max(highest, op.To[motion.IZ])
	}
	if highest > 2*unit.Millimetre {
		t.Errorf("lifts to %v, beyond the machine", highest)
	}
}
