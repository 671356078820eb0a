package session

import (
	"sync"
	"sync/atomic"
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
)

// progress turns layer marks into quarters of the print: nothing finer leaves
// this process.
type progress struct {
	layers  int32
	quarter atomic.Uint32
}

// watch passes prog on and keeps count.
func (p *progress) watch(prog motion.Program) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for op, err := range prog {
			if op.Kind == motion.BeginLayer && p.layers > 0 {
				p.quarter.Store(uint32(min(3, 4*op.Layer/p.layers)))
			}
			if !yield(op, err) {
				return
			}
		}
		p.quarter.Store(4)
	}
}

// percent is 0, 25, 50, 75 or 100.
func (p *progress) percent() uint8 { return uint8(25 * p.quarter.Load()) }

// Where the nozzle waits while a print is paused.
const (
	pauseLift    = 5 * unit.Millimetre
	pauseRetract = 2 * unit.Millimetre
)

// pause holds a program back between two operations. A held machine retracts,
// lifts its nozzle and keeps its temperatures.
type pause struct {
	mu     sync.Mutex
	resume chan struct{} // closed to go on; nil while not paused
	top    unit.Length   // the machine's highest Z
	lift   unit.Speed    // how fast it may go up and down
	feed   unit.Speed    // how fast it draws filament back

	// Where the program is; touched by whoever pulls it.
	at            unit.Length
	known, primed bool
}

// lifted is the move that takes the nozzle off the part, if there can be one under
// it.
func (p *pause) lifted() (motion.Op, bool) {
	if !p.known || !p.primed {
		return motion.Op{}, false
	}
	op := motion.Op{Kind: motion.Move, Axes: motion.Z, Feed: p.lift}
	op.To[motion.IZ] = min(p.at+pauseLift, max(p.at, p.top))
	return op, true
}

// set pauses or resumes; it reports whether that changed anything.
func (p *pause) set(on bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on == (p.resume != nil) {
		return false
	}
	if on {
		p.resume = make(chan struct{})
	} else {
		close(p.resume)
		p.resume = nil
	}
	return true
}

func (p *pause) gate() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resume
}

// hold passes prog on and waits where it is paused, until resumed or done.
func (p *pause) hold(prog motion.Program, done <-chan struct{}) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for op, err := range prog {
			if gate := p.gate(); gate != nil && err == nil {
				if !p.wait(gate, done, yield) {
					return
				}
			}
			if op.Kind == motion.Move && op.Has(motion.Z) {
				p.at, p.known = op.To[motion.IZ], true
			}
			p.primed = p.primed || op.Kind == motion.Move && op.Has(motion.X|motion.E)
			if !yield(op, err) {
				return
			}
		}
	}
}

// wait parks the nozzle if it is printing, waits, and brings it back.
func (p *pause) wait(gate, done <-chan struct{}, yield func(motion.Op, error) bool) bool {
	lift, printing := p.lifted()
	filament := func(e unit.Length) bool {
		return yield(motion.Op{Kind: motion.Move, Axes: motion.E, Role: motion.Retraction, E: e, Feed: p.feed}, nil)
	}
	if printing && !(filament(-pauseRetract) && yield(lift, nil)) {
		return false
	}
	select {
	case <-gate:
	case <-done:
		return false
	}
	lift.To[motion.IZ] = p.at
	return !printing || yield(lift, nil) && filament(pauseRetract)
}

// statusPeriod is how often a session reports to its agent.
const statusPeriod = time.Second
