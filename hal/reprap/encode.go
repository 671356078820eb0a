package reprap

import (
	"fmt"
	"strconv"

	"platen/hal"
	"platen/hal/gcode"
	"platen/hal/motion"
	"platen/hal/unit"
)

// Operations of the line engine's own, between the commands: the controller must not be
// made to wait (see the package comment).
const (
	opWait  = "@wait "  // heater, target in 1/1000 °C
	opWarm  = "@warm "  // the same, from below alone
	opDwell = "@dwell " // ms
	opIdle  = "@idle\n" // until the last move has ended
	opBreak = "@break\n"
)

// encoder is gcode.Encoder but for what this firmware puts differently.
type encoder struct {
	gcode.Encoder
	level string // Pins.Level
	tools int
}

// AppendStart appends what a program relies on. The first tool is selected, without its
// macros, because extrusion needs one.
func (e *encoder) AppendStart(dst []byte) []byte {
	if e.tools > 0 {
		dst = append(dst, "T0 P0\n"...)
	}
	return e.Encoder.AppendStart(dst)
}

// AppendEnd appends what waits for the last move.
func (e *encoder) AppendEnd(dst []byte) []byte { return append(append(dst, opIdle...), "M400\n"...) }

// Append appends the commands of op.
func (e *encoder) Append(dst []byte, op motion.Op) ([]byte, error) {
	switch op.Kind {
	case motion.SetHeater:
		return appendHeater(dst, op.Heater, op.Temp), nil
	case motion.WaitHeater:
		dst = appendHeater(dst, op.Heater, op.Temp)
		if op.Temp > 0 {
			wait := opWait
			if op.Index == motion.WaitWarm {
				wait = opWarm
			}
			dst = strconv.AppendInt(append(dst, wait...), int64(op.Heater), 10)
			dst = append(strconv.AppendInt(append(dst, ' '), int64(op.Temp), 10), '\n')
		}
		return dst, nil
	case motion.SetFan:
		return appendFan(dst, op), nil
	case motion.Dwell:
		dst = append(append(dst, opIdle...), opDwell...)
		return append(strconv.AppendInt(dst, op.Wait.Milliseconds(), 10), '\n'), nil
	case motion.SetAdvance:
		dst = strconv.AppendInt(append(dst, "M572 D"...), int64(op.Tool), 10)
		dst = append(dst, " S"...)
		return append(strconv.AppendFloat(dst, op.Wait.Seconds(), 'f', 4, 64), '\n'), nil
	case motion.Level:
		if e.level == "" {
			return dst, fmt.Errorf("levelling: the board names no command for it: %w", hal.ErrEnvelope)
		}
		e.Encoder.Append(dst, motion.Op{Kind: motion.Home}) // forgets where the head stands; what it says is not kept
		return append(append(append(dst, opIdle...), e.level...), '\n'), nil
	case motion.MotorsOff:
		e.Encoder.Append(dst, motion.Op{Kind: motion.Home})
		return appendOff(append(dst, opIdle...), op.Axes), nil
	case motion.Home:
		return e.Encoder.Append(append(dst, opIdle...), op), nil
	case motion.Pause:
		return dst, nil
	}
	return e.Encoder.Append(dst, op), nil
}

// appendOff releases motors.
func appendOff(dst []byte, axes motion.Axes) []byte {
	dst = append(dst, "M84"...)
	for i, a := range [...]motion.Axes{motion.X, motion.Y, motion.Z, motion.E} {
		if axes&a != 0 {
			dst = append(dst, ' ', "XYZE"[i])
		}
	}
	return append(dst, '\n')
}

// appendHeater sets a heater; the tool is always named, or it would be the one that is
// selected.
func appendHeater(dst []byte, h motion.Heater, t unit.Celsius) []byte {
	switch h {
	case motion.Bed:
		dst = append(dst, "M140"...)
	case motion.Chamber:
		dst = append(dst, "M141"...)
	default:
		dst = strconv.AppendInt(append(dst, "M104 T"...), int64(h-motion.HotEnd), 10)
	}
	return append(t.AppendDegrees(append(dst, " S"...), 1), '\n')
}

// appendFan sets a fan. S is a share up to 1, which S1 of 255 would be as well. Fan 0 is
// that of the tool.
func appendFan(dst []byte, op motion.Op) []byte {
	dst = append(dst, "M106"...)
	if op.Index > 0 {
		dst = strconv.AppendInt(append(dst, " P"...), int64(op.Index), 10)
	}
	dst = append(dst, " S"...)
	return append(strconv.AppendFloat(dst, float64(op.Fan)/float64(unit.FullDuty), 'f', 3, 64), '\n')
}
