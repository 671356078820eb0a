// Package motion is the narrow waist between what wants something printed and
// what prints it: a stream of small operations.
//
// A sliced model and a pre-sliced file both become a [Program]; the envelope, a
// dry run, a pause and a time estimate are functions from Program to Program;
// and a machine runs nothing else. An [Op] is a plain value without pointers, so
// that a program of any length costs no memory and leaves nothing behind.
//
// A Program is design data. Neither an Op nor anything summed up from one may
// leave the session process.
package motion

import (
	"iter"
	"log/slog"
	"time"

	"platen/hal/unit"
)

// Kind says what an [Op] does, and with that which of its fields count.
type Kind uint8

// The kinds of operation.
const (
	// Move drives the axes named in Axes to To at Feed, extruding E of filament
	// on the way. With E alone it retracts or primes.
	Move Kind = iota + 1
	// Home drives the axes named in Axes to their end stops; none means all.
	Home
	// SetHeater gives Heater the target Temp and goes on.
	SetHeater
	// WaitHeater gives Heater the target Temp and waits until it is reached: Index 0
	// from either side, WaitWarm only from below, so that a warmer one is not waited for.
	WaitHeater
	// SetFan gives fan Index the duty Fan.
	SetFan
	// Dwell waits for Wait once all moves have ended.
	Dwell
	// SetAccel gives printing moves the acceleration Accel.
	SetAccel
	// BeginLayer marks that layer Layer, whose top is at To[Z], starts here. It
	// moves nothing.
	BeginLayer
	// MotorsOff releases the motors of the axes named in Axes (E is the filament
	// drives) once all moves have ended; none means all.
	MotorsOff
	// Level has the controller level its bed by its own means, once all axes are
	// homed: Index 0 probes the bed, Index 1 takes up what an earlier probing left
	// with the controller. Where the head stands afterwards is not known.
	Level
	// SetAdvance has the filament of Tool run ahead of its motion by the time Wait
	// (pressure advance: K of Marlin's M900, S of RepRapFirmware's M572, both in
	// seconds). A controller that has no such thing ignores it.
	SetAdvance
	// Pause holds the program until its owner lets it go on. It is for whoever
	// feeds a machine and reaches none.
	Pause
	// ArcLeft is a Move whose way in X and Y is a part of a circle around Centre,
	// counter-clockwise from above; Z and E run evenly along it. Where it ends as it
	// begins it is a full turn. Only for machines that take arcs.
	ArcLeft
	// ArcRight is the same clockwise.
	ArcRight
	// Stand says that the axes named in Axes stand at To, and moves nothing: what a
	// machine knew before its power was lost. Only Z, and only where a machine keeps it
	// (see envelope.Limits).
	Stand
)

// Axes is a set of axes.
type Axes uint8

// The axes; E is the filament drive.
const (
	X Axes = 1 << iota
	Y
	Z
	E
)

// Index of an axis in [Op].To.
const (
	IX = iota
	IY
	IZ
)

// Role says what a printing move makes: its speed, acceleration and fan depend on it,
// and so do estimates, pictures and tests. A machine does not look at it.
type Role uint8

// The roles of a move. Travel is the zero value.
const (
	Travel           Role = iota
	OuterWall             // the line that is seen
	InnerWall             // the walls behind it
	OverhangWall          // a piece of wall of which a part has nothing below
	ThinWall              // a line of its own width where no whole one fits: thin walls, gaps
	Infill                // sparse
	SolidInfill           // solid, inside
	TopSkin               // solid, seen from above
	BottomSkin            // solid, on the bed or on support
	Bridge                // over nothing, from one anchor to another
	Ironing               // over what is printed already, with hardly any filament
	Support               // carries what would hang in the air
	SupportInterface      // the part of it that touches
	Skirt                 // around all, touching nothing
	Brim                  // around the first layer, touching it
	Raft                  // below the first layer
	Prime                 // fills the nozzle
	Vase                  // an outer wall that rises all the way around
	Retraction            // filament alone, or drawn back on the way
)

// Roles is how many roles there are.
const Roles = int(Retraction) + 1

// String names the role in lower case.
func (r Role) String() string {
	names := [...]string{"travel", "outer-wall", "inner-wall", "overhang-wall", "thin-wall", "infill", "solid-infill", "top-skin", "bottom-skin",
		"bridge", "ironing", "support", "support-interface", "skirt", "brim", "raft", "prime", "vase", "retraction"}
	if int(r) < len(names) {
		return names[r]
	}
	return "unknown"
}

// WaitWarm is the Index of a WaitHeater that waits for warming up and not for cooling
// down: S of M109, M190 and M191, where 0 is R.
const WaitWarm = 1

// Heater names a heater of a machine.
type Heater uint8

// The heaters a program may set: hot end of tool n is HotEnd+n.
const (
	Bed     Heater = 0
	Chamber Heater = 1
	HotEnd  Heater = 8
)

// Op is one operation: 72 bytes, no pointers. Fields that its Kind does not use
// are zero. Positions are absolute in the machine's coordinates, extrusion is
// relative to where the filament is. Role, Object, Layer, Width and Height are for
// those who look at a program: no machine is told any of them.
type Op struct {
	Kind   Kind
	Axes   Axes // axes that To and E give for a Move, that Home homes or MotorsOff releases
	Role   Role
	Tool   uint8
	Heater Heater
	Index  uint8 // which fan; how to level; how to wait for a heater
	Fan    unit.Duty
	Object uint16 // what the move belongs to, from 1; 0 is nothing in particular
	Layer  int32
	To     [3]unit.Length // absolute target; only the axes in Axes count
	E      unit.Length    // filament to feed; negative retracts
	Feed   unit.Speed     // along the path, or of the filament if only E moves
	Accel  unit.Accel
	Temp   unit.Celsius
	Wait   time.Duration
	Centre [2]unit.Length // of an arc, absolute, in X and Y
	Width  unit.Length    // of the line that a move prints; 0 if it is not known
	Height unit.Length    // of the same, and of the layer that begins
}

// Moves reports whether the op is a Move or an arc.
func (o Op) Moves() bool { return o.Kind == Move || o.Kind == ArcLeft || o.Kind == ArcRight }

// Has reports whether every axis of a is in the op's set.
func (o Op) Has(a Axes) bool { return o.Axes&a == a }

// String names the operation and nothing of its numbers: an Op is design data.
func (o Op) String() string { return o.Kind.String() }

// GoString keeps the numbers of an Op out of formatted text.
func (o Op) GoString() string { return o.Kind.String() }

// LogValue keeps the numbers of an Op out of logs.
func (o Op) LogValue() slog.Value { return slog.StringValue(o.Kind.String()) }

// String names the kind in lower case.
func (k Kind) String() string {
	names := [...]string{"none", "move", "home", "set-heater", "wait-heater", "set-fan", "dwell", "set-accel", "begin-layer", "motors-off",
		"level", "set-advance", "pause", "arc-left", "arc-right", "stand"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Program is a stream of operations, pulled by the machine that runs it. It
// yields at most one error, as its last pair, with a zero Op; an error ends the
// program and the machine goes to its safe state.
type Program = iter.Seq2[Op, error]
