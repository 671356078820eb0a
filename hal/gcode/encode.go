package gcode

import (
	"strconv"
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
)

// MaxCommand is the longest command, in bytes without number, checksum and line
// end. No command of an [Encoder] is longer.
const MaxCommand = 64

// maxFilament is how far the absolute filament position runs before G92 sets it
// back to zero: the float32 of 8-bit firmware still resolves 0.03 µm there.
const maxFilament = 500 * unit.Millimetre

// Digits behind the point: 1 µm for axes, 0.1 µm for filament. Filament positions
// are absolute, so that rounding does not add up.
const (
	axisDigits     = 3
	filamentDigits = 4
)

// Encoder turns operations into G-code commands. The zero value is ready to use
// and knows nothing of the machine, so that the first move states everything. An
// Encoder holds a position and with that design data.
type Encoder struct {
	Level string // the command that levels the bed; "" if the machine cannot

	filament int64          // absolute, since the last G92 E0
	at       [3]unit.Length // of axes in known
	known    motion.Axes
	feed     unit.Speed
	tool     uint8
	started  bool
}

// String hides the position.
func (e *Encoder) String() string { return "gcode encoder" }

// AppendStart appends the commands that a program relies on: millimetres, absolute
// positions, filament at zero. Each command ends with a line feed. It resets e.
func (e *Encoder) AppendStart(dst []byte) []byte {
	*e = Encoder{Level: e.Level, started: true}
	return append(dst, "G21\nG90\nM82\nG92 E0\n"...)
}

// AppendEnd appends the command that waits for the last move.
func (e *Encoder) AppendEnd(dst []byte) []byte { return append(dst, "M400\n"...) }

// Append appends the commands of op, each ended by a line feed. A mark such as
// BeginLayer has none; most have one; a change of tool or the setting back of the
// filament position adds one before. It does not allocate when dst has room for
// 128 bytes. op must have passed an envelope: unknown kinds append nothing.
func (e *Encoder) Append(dst []byte, op motion.Op) []byte {
	if !e.started {
		dst = e.AppendStart(dst)
	}
	switch op.Kind {
	case motion.Move:
		return e.move(dst, op)
	case motion.Home:
		e.known = 0
		return appendAxes(append(dst, "G28"...), op.Axes)
	case motion.SetHeater:
		return AppendHeater(dst, op.Heater, op.Temp, false)
	case motion.WaitHeater:
		return AppendHeater(dst, op.Heater, op.Temp, true)
	case motion.SetFan:
		return appendFan(dst, op)
	case motion.Dwell:
		dst = append(dst, "G4 P"...)
		dst = strconv.AppendInt(dst, op.Wait.Milliseconds(), 10)
	case motion.SetAccel:
		dst = append(dst, "M204 P"...)
		dst = strconv.AppendInt(dst, int64(op.Accel), 10)
	case motion.MotorsOff:
		e.known = 0
		return appendMotorsOff(dst, op.Axes)
	case motion.Level:
		e.known = 0
		return e.level(dst, op.Index)
	case motion.SetAdvance:
		return appendAdvance(dst, op)
	default:
		return dst
	}
	return append(dst, '\n')
}

// move writes a G1 with the words that change. G0 is not used, because some
// firmware has a feed of its own for it.
func (e *Encoder) move(dst []byte, op motion.Op) []byte {
	if op.Tool != e.tool {
		e.tool = op.Tool
		dst = strconv.AppendInt(append(dst, 'T'), int64(op.Tool), 10)
		dst = append(dst, '\n')
		e.known = 0 // the offset of the tool moves the axes
		dst = e.resetFilament(dst)
	}
	if e.filament > int64(maxFilament) || e.filament < -int64(maxFilament) {
		dst = e.resetFilament(dst)
	}
	dst = append(dst, "G1"...)
	for i, a := range [...]motion.Axes{motion.X, motion.Y, motion.Z} {
		if !op.Has(a) || e.known&a != 0 && e.at[i] == op.To[i] {
			continue
		}
		e.known |= a
		e.at[i] = op.To[i]
		dst = append(dst, ' ', "XYZ"[i])
		dst = op.To[i].AppendMM(dst, axisDigits)
	}
	if op.Has(motion.E) && op.E != 0 {
		e.filament += int64(op.E)
		dst = append(dst, " E"...)
		dst = unit.Length(e.filament).AppendMM(dst, filamentDigits)
	}
	if op.Feed != e.feed && op.Feed > 0 {
		e.feed = op.Feed
		dst = append(dst, " F"...)
		dst = op.Feed.AppendMMPerMin(dst)
	}
	return append(dst, '\n')
}

// resetFilament sets the absolute position to zero where it stands. The part that
// rounding has not sent yet is kept.
func (e *Encoder) resetFilament(dst []byte) []byte {
	sent := sentFilament(e.filament)
	e.filament -= sent
	return append(dst, "G92 E0\n"...)
}

// sentFilament is the position that the digits sent stand for, in 1/65536 mm.
func sentFilament(v int64) int64 {
	const step = 10_000 // 10^filamentDigits
	one := int64(unit.Millimetre)
	half := one / 2
	if v < 0 {
		half = -half
	}
	digits := (v*step + half) / one
	return digits * one / step
}

// level writes the board's own command to probe the bed, or Marlin's M420 to take up
// what an earlier probing left.
func (e *Encoder) level(dst []byte, how uint8) []byte {
	switch {
	case e.Level == "":
		return dst
	case how > 0:
		return append(dst, "M420 S1\n"...)
	}
	return append(append(dst, e.Level...), '\n')
}

// appendAdvance writes M900, whose K is in seconds.
func appendAdvance(dst []byte, op motion.Op) []byte {
	dst = append(dst, "M900"...)
	if op.Tool > 0 {
		dst = strconv.AppendInt(append(dst, " T"...), int64(op.Tool), 10)
	}
	k := (op.Wait + 50*time.Microsecond) / (100 * time.Microsecond)
	dst = strconv.AppendInt(append(dst, " K"...), int64(k/10_000), 10)
	dst = append(dst, '.')
	for scale := time.Duration(1000); scale > 0; scale /= 10 {
		dst = append(dst, byte('0'+k/scale%10))
	}
	return append(dst, '\n')
}

// appendMotorsOff writes M84, which without axes means all of them.
func appendMotorsOff(dst []byte, axes motion.Axes) []byte {
	dst = append(dst, "M84"...)
	if axes&motion.E != 0 {
		dst = append(dst, " E"...)
	}
	return appendAxes(dst, axes)
}

func appendAxes(dst []byte, axes motion.Axes) []byte {
	for i, a := range [...]motion.Axes{motion.X, motion.Y, motion.Z} {
		if axes&a != 0 {
			dst = append(dst, ' ', "XYZ"[i])
		}
	}
	return append(dst, '\n')
}

// AppendHeater appends the command that gives heater h the target t, and waits for
// it if wait is set, ended by a line feed. Waiting for zero makes no sense and does
// not wait.
func AppendHeater(dst []byte, h motion.Heater, t unit.Celsius, wait bool) []byte {
	wait = wait && t > 0
	code, waitCode := "M104", "M109"
	switch h {
	case motion.Bed:
		code, waitCode = "M140", "M190"
	case motion.Chamber:
		code, waitCode = "M141", "M191"
	}
	if wait {
		code = waitCode
	}
	dst = append(dst, code...)
	if h > motion.HotEnd {
		dst = strconv.AppendInt(append(dst, " T"...), int64(h-motion.HotEnd), 10)
	}
	word := " S"
	if wait {
		word = " R" // S would not wait for cooling down
	}
	dst = append(dst, word...)
	dst = t.AppendDegrees(dst, 1)
	return append(dst, '\n')
}

func appendFan(dst []byte, op motion.Op) []byte {
	if op.Fan == 0 {
		dst = append(dst, "M107"...)
	} else {
		dst = strconv.AppendInt(append(dst, "M106 S"...), int64(op.Fan), 10)
	}
	if op.Index > 0 {
		dst = strconv.AppendInt(append(dst, " P"...), int64(op.Index), 10)
	}
	return append(dst, '\n')
}
