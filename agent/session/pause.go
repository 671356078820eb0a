package session

import (
	"sync"

	"platen/boards"
	"platen/hal/envelope"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/unit"
)

// pause holds a program back between two operations. A machine that is held in the
// middle of a print runs the board's macro for it, keeps its temperatures unless
// that says otherwise, and goes back to where, and to how hot, it was before it goes on.
type pause struct {
	board *boards.Board
	told  func()        // called when the program itself pauses
	park  func(on bool) // called when the nozzle has been sent to where it waits, and before it is sent back; nil for nobody

	mu     sync.Mutex
	resume chan struct{} // closed to go on; nil while not paused

	// Where the program is; touched by whoever pulls it.
	at       gcodefile.State
	tuned    tuned
	printing bool // hot filament was laid down, and may be again
}

// tuned is what a program has set besides where it is.
type tuned struct {
	heat  [16]unit.Celsius // targets, by motion.Heater
	fan   [8]unit.Duty
	accel unit.Accel // 0 if it has set none
}

// follow takes the effect of op.
func (t *tuned) follow(op motion.Op) {
	switch op.Kind {
	case motion.SetHeater, motion.WaitHeater:
		if int(op.Heater) < len(t.heat) {
			t.heat[op.Heater] = op.Temp
		}
	case motion.SetFan:
		if int(op.Index) < len(t.fan) {
			t.fan[op.Index] = op.Fan
		}
	case motion.SetAccel:
		t.accel = op.Accel
	}
}

// until returns what makes to of t.
func (t *tuned) until(to tuned) (ops []motion.Op) {
	for h, temp := range to.heat {
		if op := (motion.Op{Kind: motion.WaitHeater, Heater: motion.Heater(h), Temp: temp}); temp != t.heat[h] {
			if temp == 0 {
				op.Kind = motion.SetHeater
			}
			ops = append(ops, op)
		}
	}
	for i, fan := range to.fan {
		if fan != t.fan[i] {
			ops = append(ops, motion.Op{Kind: motion.SetFan, Index: uint8(i), Fan: fan})
		}
	}
	if to.accel != 0 && to.accel != t.accel {
		ops = append(ops, motion.Op{Kind: motion.SetAccel, Accel: to.accel})
	}
	return ops
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

// hold passes prog on and waits where it is paused, until resumed or done. A Pause of
// the program itself ends here.
func (p *pause) hold(prog motion.Program, done <-chan struct{}) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for op, err := range prog {
			own := err == nil && op.Kind == motion.Pause
			if own && p.set(true) && p.told != nil {
				p.told()
			}
			if gate := p.gate(); gate != nil && err == nil && !p.wait(gate, done, yield) {
				return
			}
			if own {
				continue
			}
			if err == nil {
				p.follow(op)
			}
			if !yield(op, err) {
				return
			}
		}
	}
}

// follow keeps where the machine is, and whether it is printing.
func (p *pause) follow(op motion.Op) {
	p.at.Follow(op, &p.board.Limits)
	p.tuned.follow(op)
	switch {
	case op.Moves() && op.Has(motion.E) && op.Axes != motion.E && op.E > 0:
		p.printing = true
	case (op.Kind == motion.SetHeater || op.Kind == motion.WaitHeater) && op.Heater == motion.HotEnd+motion.Heater(p.at.Tool) &&
		op.Temp < p.board.Limits.MinExtrude, op.Kind == motion.Home, op.Kind == motion.Level, op.Kind == motion.MotorsOff:
		p.printing = false
	}
}

// linear are the axes of a position.
const linear = motion.X | motion.Y | motion.Z

// inPrint reports whether the machine is where a macro may move it and bring it back.
func (p *pause) inPrint() bool {
	inside := p.printing && p.at.Known&linear == linear
	for i, l := range p.at.At { // end stops may lie outside
		inside = inside && l >= p.board.Limits.Min[i] && l <= p.board.Limits.Max[i]
	}
	return inside
}

// wait parks the nozzle if it is printing, waits, and brings it back.
func (p *pause) wait(gate, done <-chan struct{}, yield func(motion.Op, error) bool) bool {
	if !p.inPrint() {
		return waitFor(gate, done)
	}
	before, set, fed := p.at, p.tuned, unit.Length(0)
	macro := func(m boards.Macro) bool {
		for op, err := range p.board.Sequence(p.at).Macro(m).Ops() {
			if err == nil {
				p.at.Follow(op, &p.board.Limits)
				p.tuned.follow(op)
				fed += op.E
			}
			if !yield(op, err) || err != nil {
				return false
			}
		}
		return true
	}
	return macro(boards.MacroPause) && p.parkedUntil(gate, done) && macro(boards.MacroResume) && p.back(before, set, -fed, yield)
}

// parkedUntil waits for gate with the nozzle parked.
func (p *pause) parkedUntil(gate, done <-chan struct{}) bool {
	if p.park != nil {
		p.park(true)
		defer p.park(false)
	}
	return waitFor(gate, done)
}

// waitFor waits for gate; it returns false if done comes first.
func waitFor(gate, done <-chan struct{}) bool {
	select {
	case <-gate:
		return true
	case <-done:
		return false
	}
}

// back gives back what the macros set otherwise, and brings the nozzle back to where it
// was: across, then down, then the filament.
func (p *pause) back(to gcodefile.State, set tuned, e unit.Length, yield func(motion.Op, error) bool) bool {
	ops := p.tuned.until(set)
	if p.at.At[motion.IX] != to.At[motion.IX] || p.at.At[motion.IY] != to.At[motion.IY] || p.at.Known&linear != linear {
		ops = append(ops, motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y, Tool: to.Tool, To: to.At, Feed: p.board.Print.Travel})
	}
	ops = append(ops, motion.Op{Kind: motion.Move, Axes: motion.Z, Tool: to.Tool, To: to.At, Feed: p.board.Print.Lift})
	if e != 0 {
		ops = append(ops, motion.Op{Kind: motion.Move, Axes: motion.E, Role: motion.Retraction, Tool: to.Tool, E: e, Feed: p.board.Print.RetractSpeed})
	}
	for _, op := range ops {
		p.at.Follow(op, &p.board.Limits)
		p.tuned.follow(op)
		if !yield(op, nil) {
			return false
		}
	}
	return true
}

// leave is the board's macro for cancelled jobs, guarded, from where the machine is
// now; nothing if it is not in the middle of a print. Unless the hot end still is hot, it
// moves no filament.
func (p *pause) leave(hot bool) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		if p.board == nil || !p.inPrint() {
			return
		}
		l := p.board.Limits
		here := []motion.Op{ // how the guard gets to where the machine is
			{Kind: motion.Home},
			{Kind: motion.Move, Axes: motion.Z, Tool: p.at.Tool, To: p.at.At, Feed: p.board.Print.Lift},
			{Kind: motion.Move, Axes: motion.X | motion.Y, Tool: p.at.Tool, To: p.at.At, Feed: p.board.Print.Travel},
			{Kind: motion.WaitHeater, Heater: motion.HotEnd + motion.Heater(p.at.Tool), Temp: l.HotEnd.Max}, // last: on the way time passes
		}
		arrive := func(yield func(motion.Op, error) bool) {
			for _, op := range here {
				if !yield(op, nil) {
					return
				}
			}
		}
		seq := p.board.Sequence(p.at).Program(arrive).Macro(boards.MacroCancel)
		n := 0
		for op, err := range envelope.Check(l, envelope.Fit(l, seq.Ops())) {
			if n++; err == nil && n <= len(here) {
				continue
			}
			if err == nil && !hot && op.Has(motion.E) && op.Moves() {
				if op.Axes, op.E = op.Axes&^motion.E, 0; op.Axes == 0 {
					continue
				}
			}
			if !yield(op, err) || err != nil {
				return
			}
		}
	}
}
