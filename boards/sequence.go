package boards

import (
	"errors"
	"fmt"
	"strings"

	"platen/hal/envelope"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/unit"
)

// Sequence is a program of several parts, each of which begins where the one before
// left the machine. A sliced model is printed as macro, model, macro.
type Sequence struct {
	board *Board
	at    gcodefile.State
	parts []part
	now   int               // which part runs
	macro *gcodefile.Parser // of the part that runs, if it is a macro
}

// part is a program, or a macro if there is none.
type part struct {
	macro   Macro
	program motion.Program
}

// Sequence returns an empty sequence for the board, on a machine at at; the zero
// State is nowhere.
func (b *Board) Sequence(at gcodefile.State) *Sequence { return &Sequence{board: b, at: at} }

// Macro adds a macro.
func (s *Sequence) Macro(m Macro) *Sequence {
	s.parts = append(s.parts, part{macro: m})
	return s
}

// Program adds a program.
func (s *Sequence) Program(p motion.Program) *Sequence {
	s.parts = append(s.parts, part{program: p})
	return s
}

// Ops returns the whole sequence as it is written; it still has to be slowed down
// to what the machine can do, and to pass the envelope. It can be ranged over once.
func (s *Sequence) Ops() motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for i := range s.parts {
			s.now = i
			for op, err := range s.begin(s.parts[i]) {
				if err == nil {
					s.at.Follow(op, &s.board.Limits)
				}
				if !yield(op, err) || err != nil {
					return
				}
			}
		}
	}
}

// begin returns the operations of a part that begins here.
func (s *Sequence) begin(p part) motion.Program {
	if s.macro = nil; p.program != nil {
		return p.program
	}
	o := s.board.GCode()
	o.At, o.Macro = s.at, true
	if p.macro == MacroLevel {
		o.Level = "" // what it stands for
	}
	s.macro = gcodefile.New(strings.NewReader(s.board.Macros[p.macro]), o)
	return s.macro.Ops()
}

// checkMacros runs each macro through the envelope as a session uses it: before,
// after and in the middle of prints in the corners of the volume.
func (b *Board) checkMacros() error {
	nowhere := gcodefile.State{}
	if b.Macros[MacroLevel] != "" { // first, because others may use it
		if err := b.try(b.Sequence(nowhere).Program(b.warm).Macro(MacroLevel).Program(b.stroke(0)), false); err != nil {
			return err
		}
	}
	if err := b.try(b.Sequence(nowhere).Macro(MacroStart).Program(b.stroke(0)), false); err != nil {
		return err
	}
	for _, z := range []unit.Length{max(b.Print.FirstLayerHeight, b.Limits.Min[motion.IZ]), b.Limits.Max[motion.IZ]} {
		for _, m := range []Macro{MacroEnd, MacroCancel} {
			if err := b.try(b.Sequence(nowhere).Macro(MacroStart).Program(b.stroke(z)).Macro(m), true); err != nil {
				return err
			}
		}
		if err := b.checkRecover(z); err != nil {
			return err
		}
		paused := b.Sequence(nowhere).Macro(MacroStart).Program(b.stroke(z)).Macro(MacroPause).Macro(MacroResume).Program(b.stroke(z))
		if err := b.try(paused, false); err != nil {
			return err
		}
	}
	return nil
}

// checkRecover takes up a print at the height z, as after a power loss. What has been
// printed stands up to there.
func (b *Board) checkRecover(z unit.Length) error {
	if !b.Recovers() {
		return nil
	}
	s := b.Sequence(gcodefile.State{}).Program(b.Stand(z)).Macro(MacroRecover).Program(b.stroke(z))
	if err := b.try(s, false); err != nil {
		return err
	}
	for op := range b.Sequence(gcodefile.State{}).Program(b.Stand(z)).Macro(MacroRecover).Ops() {
		switch {
		case op.Kind == motion.Home && (op.Axes == 0 || op.Has(motion.Z)):
			return errors.New("macros.recover homes Z into what has been printed: write G28 X Y")
		case op.Moves() && op.Has(motion.Z) && op.To[motion.IZ] < z:
			return errors.New("macros.recover goes below what has been printed")
		}
	}
	return nil
}

// Stand is a program that says where Z stands, and does nothing.
func (b *Board) Stand(z unit.Length) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		yield(motion.Op{Kind: motion.Stand, Axes: motion.Z, To: [3]unit.Length{motion.IZ: z}}, nil)
	}
}

// try runs a sequence through the envelope; if off, it must leave all heaters off.
func (b *Board) try(s *Sequence, off bool) error {
	hot := map[motion.Heater]bool{}
	for op, err := range envelope.Check(b.Limits, envelope.Fit(b.Limits, s.Ops())) {
		if err == nil && s.macro != nil && (op.Kind == motion.Pause || op.Kind == motion.BeginLayer) {
			err = errors.New("a macro has no pauses and no layers")
		}
		if err != nil {
			return s.blame(err)
		}
		if op.Kind == motion.SetHeater || op.Kind == motion.WaitHeater {
			hot[op.Heater] = op.Temp != 0
		}
	}
	for _, on := range hot {
		if on && off {
			return fmt.Errorf("macros.%s leaves a heater on: write M104 S0 and M140 S0", s.parts[s.now].macro)
		}
	}
	return nil
}

// blame names the macro that is to blame for err, and its line: the one that runs,
// or the last one before, which left the machine so that nothing can follow.
func (s *Sequence) blame(err error) error {
	for i := s.now; i >= 0; i-- {
		if s.parts[i].program != nil {
			continue
		}
		name := s.parts[i].macro
		if i != s.now {
			return fmt.Errorf("macros.%s leaves the machine where it cannot print: %w", name, err)
		}
		if _, ok := errors.AsType[*gcodefile.Refusal](err); ok {
			return fmt.Errorf("macros.%s, %w", name, err)
		}
		return fmt.Errorf("macros.%s, line %d: %w", name, s.macro.Line(), err)
	}
	return err
}

// warm homes the machine and, if it has a hot end, heats it.
func (b *Board) warm(yield func(motion.Op, error) bool) {
	if yield(motion.Op{Kind: motion.Home}, nil) && b.Prints() {
		yield(motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: b.Print.FirstHotEnd}, nil)
	}
}

// stroke is a bit of a print at the height z, across the bed; at 0 it is at the
// height of the first layer.
func (b *Board) stroke(z unit.Length) motion.Program {
	p := b.Print
	if z == 0 {
		z = max(p.FirstLayerHeight, b.Limits.Min[motion.IZ])
	}
	ops := []motion.Op{
		{Kind: motion.Move, Axes: motion.Z, To: [3]unit.Length{0, 0, z}, Feed: p.Lift},
		{Kind: motion.Move, Axes: motion.X | motion.Y, To: [3]unit.Length{b.Bed.X, b.Bed.Y}, Feed: p.Travel},
		{Kind: motion.Move, Axes: motion.X | motion.Y, To: [3]unit.Length{b.Bed.X + b.Bed.Width, b.Bed.Y + b.Bed.Depth}, Feed: p.Travel},
	}
	if b.Prints() {
		ops = append(ops, motion.Op{Kind: motion.Move, Axes: motion.E, E: unit.Millimetre, Feed: p.RetractSpeed})
	}
	return func(yield func(motion.Op, error) bool) {
		for _, op := range ops {
			if !yield(op, nil) {
				return
			}
		}
	}
}
