package repetier

import (
	"fmt"
	"strconv"

	"platen/hal"
	"platen/hal/gcode"
	"platen/hal/motion"
	"platen/hal/unit"
)

// encoder is gcode.Encoder but for what this firmware puts differently.
type encoder struct {
	gcode.Encoder
	level string // Pins.Level
	tools int
}

// Append appends the commands of op.
func (e *encoder) Append(dst []byte, op motion.Op) ([]byte, error) {
	switch op.Kind {
	case motion.SetHeater, motion.WaitHeater:
		if op.Heater != motion.Bed && (op.Heater < motion.HotEnd || int(op.Heater-motion.HotEnd) >= e.tools) {
			return dst, fmt.Errorf("heater %d: %w", op.Heater, hal.ErrEnvelope)
		}
		return appendHeater(dst, op.Heater, op.Temp, op.Kind == motion.WaitHeater), nil
	case motion.SetAccel: // of printing moves; each axis has its own
		a := strconv.AppendInt(append(dst, "M201 X"...), int64(op.Accel), 10)
		return append(strconv.AppendInt(append(a, " Y"...), int64(op.Accel), 10), '\n'), nil
	case motion.SetFan:
		if op.Index > 1 {
			return dst, fmt.Errorf("fan %d: %w", op.Index, hal.ErrEnvelope)
		}
	case motion.MotorsOff:
		if op.Axes != 0 {
			e.forget(dst)
			return appendOff(dst, op.Axes), nil
		}
	case motion.Level:
		if e.level == "" {
			return dst, fmt.Errorf("levelling: the board names no command for it: %w", hal.ErrEnvelope)
		}
		e.forget(dst)
		return append(append(dst, e.level...), '\n'), nil
	case motion.SetAdvance, motion.Pause:
		return dst, nil // M233 has another meaning in each build
	}
	return e.Encoder.Append(dst, op), nil
}

// forget has the next move name every axis; what it says for that is not kept.
func (e *encoder) forget(scratch []byte) {
	e.Encoder.Append(scratch, motion.Op{Kind: motion.Home})
}

// appendOff releases single motors.
func appendOff(dst []byte, axes motion.Axes) []byte {
	dst = append(dst, "M18"...)
	for i, a := range [...]motion.Axes{motion.X, motion.Y, motion.Z, motion.E} {
		if axes&a != 0 {
			dst = append(dst, ' ', "XYZE"[i], '0')
		}
	}
	return append(dst, '\n')
}

// appendHeater sets a heater, in whole degrees, and waits if wait is set. Waiting
// works in both directions.
func appendHeater(dst []byte, h motion.Heater, t unit.Celsius, wait bool) []byte {
	wait = wait && t > 0
	code := "M104"
	switch {
	case h == motion.Bed && wait:
		code = "M190"
	case h == motion.Bed:
		code = "M140"
	case wait:
		code = "M109"
	}
	dst = append(dst, code...)
	if h >= motion.HotEnd {
		dst = strconv.AppendInt(append(dst, " T"...), int64(h-motion.HotEnd), 10)
	}
	dst = strconv.AppendInt(append(dst, " S"...), int64(t.Rounded()), 10)
	return append(dst, '\n')
}
