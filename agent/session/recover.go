package session

import (
	"context"
	"errors"
	"time"

	"platen/boards"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/unit"
)

// errRecover reports a broken print that cannot go on where it was.
var errRecover = errors.New("the broken print cannot go on")

// place is where a print goes on that a power loss broke.
type place struct {
	layer  int32
	parked bool // it was paused there
}

// behind is the part of a program that is printed already, as far as it matters to what
// comes after it.
type behind struct {
	pause                 // where the machine was and what had been set
	drawn   unit.Length   // filament drawn back
	advance time.Duration // of tool 0
	level   bool          // the controller had levelled its bed
	top     unit.Length   // of the highest layer
}

// follow takes the effect of op.
func (w *behind) follow(op motion.Op) {
	w.pause.follow(op)
	switch op.Kind {
	case motion.Move, motion.ArcLeft, motion.ArcRight:
		w.drawn = max(0, w.drawn-op.E)
	case motion.SetAdvance:
		if op.Tool == 0 {
			w.advance = op.Wait
		}
	case motion.Level:
		w.level = true
	case motion.BeginLayer:
		w.top = max(w.top, op.To[motion.IZ])
	}
}

// goOn is prog from the beginning of a layer on, for a machine that has lost its power
// there: all before is left out, and in its place comes what brings the machine to where it
// was and to how it was set. That is said without a number of the print in it but the height
// at which the nozzle stands.
func goOn(ctx context.Context, b *boards.Board, prog motion.Program, from place) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		was, found := behind{pause: pause{board: b}}, false
		for op, err := range prog {
			switch {
			case found || err != nil:
			case op.Kind == motion.BeginLayer && op.Layer >= from.layer:
				found = true
				if ctx.Err() != nil || op.Layer != from.layer || !was.takeUp(op.To[motion.IZ]) {
					yield(motion.Op{}, errors.Join(ctx.Err(), errRecover))
					return
				}
				if !was.back(op.To[motion.IZ], from.parked, yield) {
					return
				}
			default:
				was.follow(op)
				continue
			}
			if !yield(op, err) {
				return
			}
		}
		if !found {
			yield(motion.Op{}, errRecover)
		}
	}
}

// takeUp reports whether a print can go on at the height z: what a controller has measured
// of its bed is gone with its power, other tools stand elsewhere than the first, and what
// is higher than the nozzle is in its way.
func (w *behind) takeUp(z unit.Length) bool {
	return w.board.Recovers() && !w.level && w.at.Tool == 0 && w.top <= z && w.at.Known&linear == linear
}

// back brings the machine, of which nothing is known but that its nozzle stands at the
// height z or where a pause has parked it, to where it was when the layer at z began.
func (w *behind) back(z unit.Length, parked bool, yield func(motion.Op, error) bool) bool {
	to := w.at
	to.At[motion.IZ] = max(to.At[motion.IZ], z) // below, there is what had been printed of the layer
	stands := z
	if parked {
		at := to
		for op, err := range w.board.Sequence(to).Macro(boards.MacroPause).Ops() {
			if err == nil {
				at.Follow(op, &w.board.Limits)
			}
		}
		stands = max(z, at.At[motion.IZ])
	}
	now := behind{pause: pause{board: w.board}}
	for op, err := range w.board.Sequence(gcodefile.State{}).Program(w.board.Stand(stands)).Macro(boards.MacroRecover).Ops() {
		if err == nil {
			now.follow(op)
		}
		if !yield(op, err) || err != nil {
			return false
		}
	}
	if w.advance != 0 && !yield(motion.Op{Kind: motion.SetAdvance, Wait: w.advance}, nil) {
		return false
	}
	return now.pause.back(to, w.tuned, now.drawn-w.drawn, yield)
}
