// Package envelope holds what a machine can do and refuses every program that
// asks for more, before any driver sees it.
//
// [Check] is a filter from Program to Program. It knows nothing of how a program
// came about: a sliced model and a foreign file pass the same gate. It follows the
// program (where the head is, which axes are homed, how hot each heater was told
// to be and whether that was waited for) and lets an operation through only if the
// machine stays inside its [Limits] whatever came before. What it does not know,
// it refuses. The first refused operation ends the program with a [Violation].
//
// # Time while hot
//
// A hot machine that does not print bakes its filament and can burn. While any
// heater is on, the guard adds up the time that passes without fresh filament:
// pauses, travel, and moves so slow that they are pauses. Filament that was drawn
// back and comes again is not fresh; one millimetre that is takes MaxHotDwell off
// the account, and so does a pause with everything off, second for second. Each
// command costs a little by itself. What takes as long as it takes (homing, levelling,
// waiting for a heater) is counted instead: [MaxWaits] between two fresh millimetres.
//
// # Speed
//
// Firmware slows down by itself where a file asks for more than its axes can do.
// [Fit] does the same before the guard: it slows moves down to what the machine can
// do and changes nothing else.
//
// A Violation names the limit and the kind of operation and never a number of the
// program, because a program is design data.
package envelope

import (
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/unit"
)

// Range is a closed range of temperatures. The zero Range means that there is no
// such heater.
type Range struct{ Min, Max unit.Celsius }

// Limits is what one machine can do. Every bound is inclusive. The order of axes
// is X, Y, Z.
type Limits struct {
	Min, Max [3]unit.Length // the volume the nozzle may reach
	HomedAt  [3]unit.Length // where the head is once an axis is homed; need not be inside the volume

	MaxFeed  [3]unit.Speed // fastest speed of each axis
	MaxFeedE unit.Speed    // fastest speed of the filament
	MaxE     unit.Length   // most filament in one operation, either way
	MaxAccel unit.Accel

	HotEnd     Range        // targets of each hot end, apart from zero (off)
	Bed        Range        // targets of the bed, apart from zero
	Chamber    Range        // targets of the chamber, apart from zero
	MinExtrude unit.Celsius // a colder hot end must not move filament

	Tools int // hot ends, 0 to 4; with none there is no filament
	Fans  int // fans that a program may set

	Arcs       bool           // the machine takes arcs
	CanLevel   bool           // the controller can level its bed
	Levelled   bool           // and then is at LevelledAt; else nobody knows where
	KeepsZ     bool           // Z stays where it is while the power is off
	LevelledAt [3]unit.Length // need not be inside the volume
	MaxAdvance time.Duration  // largest pressure advance; zero is none

	MaxDwell    time.Duration // longest pause without a move while everything is cold
	MaxHotDwell time.Duration // longest time without fresh filament while anything is hot
}

// MaxTools bounds [Limits].Tools.
const MaxTools = 4

// Rule names a limit.
type Rule uint8

// The rules, in the order in which [Violation] names them.
const (
	RuleKind     Rule = iota + 1 // an operation, axis, heater, fan or tool the machine does not have
	RuleVolume                   // target outside the volume
	RuleFeed                     // no feed, or an axis faster than it can go
	RuleAccel                    // no acceleration, or more than allowed
	RuleHeat                     // temperature outside the heater's range
	RuleCold                     // filament moved before the hot end was waited for
	RuleHoming                   // moved before the axis was homed
	RuleDwell                    // pause too long or negative, or hot for too long without printing
	RuleFilament                 // more filament in one operation than allowed
	RuleAdvance                  // more pressure advance than allowed
	RuleLost                     // filament along a way that begins nobody knows where
	RuleArc                      // an arc where the machine takes none, or that is no part of a circle
)

// String names the rule in a few words.
func (r Rule) String() string {
	names := [...]string{"none", "what the machine has", "build volume", "speed", "acceleration", "heater range",
		"cold extrusion", "homing first", "longest pause", "filament per move", "pressure advance",
		"filament after levelling or a change of tool only once a travel has led to a known place",
		"arcs"}
	if int(r) < len(names) {
		return names[r]
	}
	return "unknown"
}

// Violation reports an operation that was refused. It matches hal.ErrEnvelope.
type Violation struct {
	Rule Rule
	Kind motion.Kind
}

// Error names the limit and the kind of operation.
func (v *Violation) Error() string {
	return hal.ErrEnvelope.Error() + ": " + v.Kind.String() + " breaks the limit \"" + v.Rule.String() +
		"\": slice for this board, or correct its board file"
}

// Is matches hal.ErrEnvelope.
func (v *Violation) Is(target error) bool { return target == hal.ErrEnvelope }

// MaxWaits is how often a program may home, level and wait for a heater without
// fresh filament in between, while anything is hot.
const MaxWaits = 16

// Fit returns prog with every move slowed down, and every acceleration lowered, to
// what the machine can do, as its firmware would; a feed it lowers is a whole
// number of mm/min. Pressure advance is left out where the machine has none.
// Nothing else changes, so that whatever else breaks a limit is for [Check] to
// refuse.
func Fit(l Limits, prog motion.Program) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		tr := track{limits: &l}
		for op, err := range prog {
			if err == nil {
				if op.Kind == motion.SetAdvance && l.MaxAdvance == 0 {
					continue
				}
				op = tr.fit(op)
				tr.follow(op)
			}
			if !yield(op, err) {
				return
			}
		}
	}
}

// Check returns prog as long as it stays inside l. The first operation that would
// not is replaced by a *[Violation] and ends the program. Errors of prog pass
// through. Each range over the result starts anew: nothing homed, all heaters off.
func Check(l Limits, prog motion.Program) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		g := newGuard(l)
		for op, err := range prog {
			if err != nil {
				yield(motion.Op{}, err)
				return
			}
			if r := g.check(op); r != 0 {
				yield(motion.Op{}, &Violation{Rule: r, Kind: op.Kind})
				return
			}
			if !yield(op, nil) {
				return
			}
		}
	}
}
