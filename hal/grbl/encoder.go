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
	machine  machine
	homing   bool // this program has homed
	at       point
	known    motion.Axes
	relative bool // G91 holds
	steps    int  // moves since one that said where it leads; 0 is due for one
	feed     unit.Speed
	moving   bool // feed holds
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
		e.homing, e.known, e.steps, e.relative = true, 0, 0, false
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

// refresh is how many moves there are from one that says where it leads to the next.
// Those between say how far: what damages one of them displaces all that follow, so
// that the guard sees it however short the move was. grbl adds them up in float32, and
// is off by less than 4 µm, a third of a step of most machines, after so many.
const refresh = 256

// move appends a move.
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
	to, changed, known := e.at, motion.Axes(0), e.known
	for i, axis := range axes {
		if !op.Has(axis) {
			continue
		}
		to[i] = int32(op.To[i].Micrometres())
		if to[i] < 0 || to[i] > e.machine.travel[i] {
			return dst, refuse("a move leaves the travel of the controller ($130 to $132)")
		}
		if known&axis == 0 || to[i] != e.at[i] {
			changed |= axis
		}
		known |= axis
	}
	if changed == 0 {
		return dst, nil
	}
	return e.line(dst, to, changed, known, op.Feed), nil
}

var axes = [...]motion.Axes{motion.X, motion.Y, motion.Z}

// line appends the line of a move: how far it leads, or where if that is due or it was
// not known where an axis is.
func (e *encoder) line(dst []byte, to point, changed, known motion.Axes, feed unit.Speed) []byte {
	if known != e.known || e.steps == 0 {
		dst, e.relative, e.steps = append(dst, "G90G1"...), false, 0
		changed = known
	} else if !e.relative {
		dst, e.relative = append(dst, "G91G1"...), true
	} else {
		dst = append(dst, "G1"...)
	}
	e.steps = (e.steps + 1) % refresh
	for i, axis := range axes {
		switch {
		case changed&axis == 0:
		case e.relative:
			dst = appendMicro(append(dst, byte('X'+i)), to[i]-e.at[i])
		default:
			dst = appendMicro(append(dst, byte('X'+i)), to[i]+e.machine.shift[i]-e.machine.work[i])
		}
	}
	e.at, e.known = to, known
	if !e.moving || e.feed != feed {
		e.moving, e.feed = true, feed
		dst = feed.AppendMMPerMin(append(dst, 'F'))
	}
	return append(dst, '\n')
}

// appendMicro appends µm as mm.
func appendMicro(dst []byte, v int32) []byte {
	if v < 0 {
		dst, v = append(dst, '-'), -v
	}
	return thousandths(strconv.AppendInt(dst, int64(v/1000), 10), v%1000)
}
