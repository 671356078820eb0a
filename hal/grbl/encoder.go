package grbl

import (
	"fmt"
	"strconv"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/unit"
)

// encoder turns operations into commands of grbl. It holds a position, which is
// design data.
type encoder struct {
	machine machine
	homing  bool // this program has homed
	at      point
	known   motion.Axes
	feed    unit.Speed
	moving  bool // feed holds
}

// String hides the position.
func (e *encoder) String() string { return "grbl encoder" }

// AppendStart states what a program relies on.
func (e *encoder) AppendStart(dst []byte) []byte {
	*e = encoder{machine: e.machine}
	return append(dst, "G21G90G94\n"...)
}

// AppendEnd waits for the last move.
func (e *encoder) AppendEnd(dst []byte) []byte { return append(dst, settle...) }

// Append appends the commands of op. What the machine has not is hal.ErrEnvelope.
func (e *encoder) Append(dst []byte, op motion.Op) ([]byte, error) {
	if op.Tool != 0 {
		return dst, refuse("there is one tool")
	}
	switch op.Kind {
	case motion.Move:
		return e.move(dst, op)
	case motion.Home:
		if all := motion.X | motion.Y | motion.Z; op.Axes != 0 && op.Axes&all != all {
			return dst, refuse("all axes are homed at once")
		}
		e.homing, e.known = true, 0
		return append(dst, "$H\nG21G90G94\n"...), nil
	case motion.Dwell:
		ms := max(op.Wait, 0).Round(time.Millisecond).Milliseconds()
		dst = strconv.AppendInt(append(dst, "G4P"...), ms/1000, 10)
		return append(thousandths(dst, int32(ms%1000)), '\n'), nil
	case motion.SetFan:
		if op.Fan == 0 {
			return dst, nil
		}
		return dst, refuse("there is no fan")
	case motion.SetHeater, motion.WaitHeater:
		return dst, refuse("there is no heater")
	case motion.SetAccel, motion.SetAdvance, motion.BeginLayer, motion.MotorsOff:
		return dst, nil
	}
	return dst, refuse(op.Kind.String() + " is not known")
}

func refuse(why string) error { return fmt.Errorf("grbl controller: %s: %w", why, hal.ErrEnvelope) }

// thousandths appends a fraction without trailing zeros.
func thousandths(dst []byte, v int32) []byte {
	if v == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+v/100), byte('0'+v/10%10), byte('0'+v%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// move appends a move to where it leads, in work coordinates of the controller.
func (e *encoder) move(dst []byte, op motion.Op) ([]byte, error) {
	switch {
	case op.Has(motion.E) && op.E != 0:
		return dst, refuse("no axis feeds filament")
	case op.Axes&(motion.X|motion.Y|motion.Z) == 0:
		return dst, nil
	case op.Feed <= 0:
		return dst, refuse("a move has no feed")
	case !e.homing && !e.machine.homed.Load():
		return dst, refuse("a program has to home before it moves")
	}
	begin := len(dst)
	dst = append(dst, "G1"...)
	words := len(dst)
	for i, axis := range []motion.Axes{motion.X, motion.Y, motion.Z} {
		if !op.Has(axis) {
			continue
		}
		to := int32(op.To[i].Micrometres())
		if to < 0 || to > e.machine.travel[i] {
			return dst[:begin], refuse("a move leaves the travel of the controller ($130 to $132)")
		}
		if e.known&axis != 0 && e.at[i] == to {
			continue
		}
		e.known, e.at[i] = e.known|axis, to
		dst = append(dst, byte('X'+i))
		dst = appendMicro(dst, to+e.machine.shift[i]-e.machine.work[i])
	}
	if len(dst) == words {
		return dst[:begin], nil
	}
	if !e.moving || e.feed != op.Feed {
		e.moving, e.feed = true, op.Feed
		dst = op.Feed.AppendMMPerMin(append(dst, 'F'))
	}
	return append(dst, '\n'), nil
}

// appendMicro appends µm as mm.
func appendMicro(dst []byte, v int32) []byte {
	if v < 0 {
		dst, v = append(dst, '-'), -v
	}
	return thousandths(strconv.AppendInt(dst, int64(v/1000), 10), v%1000)
}
