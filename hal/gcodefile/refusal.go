package gcodefile

import (
	"errors"
	"strconv"

	"platen/hal"
	"platen/hal/envelope"
	"platen/hal/motion"
)

// Reason says why a line was refused.
type Reason uint8

// The reasons, in the order in which a line is looked at.
const (
	ReasonRead     Reason = iota + 1 // the file could not be read to its end
	ReasonControl                    // a control byte, a NUL or a carriage return inside a line
	ReasonLong                       // more than 256 bytes of commands in one line
	ReasonNumbered                   // a line number or a checksum
	ReasonSyntax                     // not a command with its words
	ReasonNumber                     // a number that is none, is too large or has an exponent
	ReasonWord                       // a word that the command does not take, takes once, or needs
	ReasonCommand                    // a command that is not known
	ReasonDanger                     // a command for whoever sets up a machine, which no print may use
	ReasonOffset                     // a command that shifts the origin
	ReasonMode                       // filament after G90 or G91 and M82 or M83 that firmwares read in two ways
	ReasonRelative                   // a relative move or an arc from where it is not known where the head is
	ReasonArc                        // an arc that does not end on its circle, or a circle without a centre
	ReasonMachine                    // made for another printer or nozzle
	ReasonEnvelope                   // the machine cannot do it; see Refusal.Rule
)

// String says what is wrong and what to do about it.
func (r Reason) String() string {
	texts := [...]string{
		"no reason",
		"the file could not be read to its end",
		"a control byte in the file: export it again",
		"the line is longer than a command can be: export the file again",
		"line numbers and checksums belong on the wire: export the file without them",
		"not G-code: a line is one command and its words in capital letters",
		"a number that is none, is too large or has an exponent",
		"the command does not take a word of this line, or takes it once, or lacks one: take the line out of the slicer's custom G-code",
		"the command is not known here: take it out of the slicer's custom G-code",
		"the command is for setting up a machine, no print may use it: take it out of the slicer's custom G-code",
		"the command shifts the origin: slice for where the bed is",
		"firmwares read this filament move in two ways: write M82 or M83 after G90 or G91",
		"relative to an unknown position: home, or write an absolute move first",
		"the arc does not end on its circle: switch arcs off in the slicer",
		"made for another printer or nozzle: slice for this board",
		"the machine cannot do this: slice for this board, or correct its board file",
	}
	if int(r) < len(texts) {
		return texts[r]
	}
	return "unknown reason"
}

// Code names the reason for programs, in kebab-case.
func (r Reason) Code() string {
	codes := [...]string{"none", "read", "control", "long", "numbered", "syntax", "number", "word", "command", "danger",
		"offset", "mode", "relative", "arc", "machine", "envelope"}
	if int(r) < len(codes) {
		return codes[r]
	}
	return "unknown"
}

// Refusal is why a file is not a program for a machine. It holds the number of a
// line and nothing of its text. It matches hal.ErrEnvelope, but for ReasonRead.
type Refusal struct {
	Line   int
	Reason Reason
	Rule   envelope.Rule // for ReasonEnvelope
	Kind   motion.Kind   // of operation, for ReasonEnvelope
	err    error         // for ReasonRead
}

// Error says where, why and what to do.
func (r *Refusal) Error() string {
	text := "line " + strconv.Itoa(r.Line) + ": " + r.Reason.String()
	switch {
	case r.Rule != 0:
		text += " (" + r.Kind.String() + ": limit \"" + r.Rule.String() + "\")"
	case r.err != nil:
		text += ": " + r.err.Error()
	}
	return text
}

// ErrorCode names the reason for programs, such as "gcode-danger".
func (r *Refusal) ErrorCode() string { return "gcode-" + r.Reason.Code() }

// Is matches hal.ErrEnvelope.
func (r *Refusal) Is(target error) bool { return target == hal.ErrEnvelope && r.Reason != ReasonRead }

// Unwrap returns the error of the reader, if that is why.
func (r *Refusal) Unwrap() error { return r.err }

// refuse turns err, if any, into a Refusal of line.
func refuse(line int, err error) error {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	if v, ok := errors.AsType[*envelope.Violation](err); ok {
		return &Refusal{Line: line, Reason: ReasonEnvelope, Rule: v.Rule, Kind: v.Kind}
	}
	return &Refusal{Line: line, Reason: ReasonRead, err: err}
}
