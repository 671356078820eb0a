package gcode

import (
	"bytes"
	"strconv"
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
)

// MaxCommand is the longest command, in bytes without number, checksum and line
// end. No command of an [Encoder] is longer.
const MaxCommand = 80

// maxFilament is how far the absolute filament position runs before G92 sets it
// back to zero: the float32 of 8-bit firmware still resolves 0.01 µm there.
const maxFilament = 100 * unit.Millimetre

// Digits behind the point: 1 µm for axes, 10 nm for filament, which a line of 0.1 mm
// takes 4 µm of. Filament positions are absolute, so that rounding does not add up.
const (
	axisDigits     = 3
	filamentDigits = 5
)

// Encoder turns operations into G-code commands. The zero value is ready to use
// and knows nothing of the machine, so that the first move states everything. An
// Encoder holds a position and with that design data.
type Encoder struct {
	Level string // the command that levels the bed; "" if the machine cannot
	// Compact leaves out what costs time on the wire: blanks, zeros before the point,
	// decimals that such a short move does not need, and digits of the filament
	// position, which is set back to zero more often.
	Compact bool
	// Apart keeps the blank before E in a compact line: firmware that reads numbers with
	// strtod, such as Marlin 1, would take "1E2" for a hundred.
	Apart bool

	filament int64          // absolute, since the last G92 E0
	sent     int64          // what the last filament word stands for
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
	*e = Encoder{Level: e.Level, Compact: e.Compact, Apart: e.Apart, started: true}
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
	case motion.Move, motion.ArcLeft, motion.ArcRight:
		return e.move(dst, op)
	case motion.Home:
		e.known = 0
		return appendAxes(append(dst, "G28"...), op.Axes)
	case motion.SetHeater:
		return AppendHeater(dst, op.Heater, op.Temp, false)
	case motion.WaitHeater:
		start := len(dst)
		dst = AppendHeater(dst, op.Heater, op.Temp, true)
		if i := bytes.LastIndex(dst[start:], []byte(" R")); i >= 0 && op.Index == motion.WaitWarm {
			dst[start+i+1] = 'S'
		}
		return dst
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
	case motion.Stand: // Marlin, Repetier-Firmware and RepRapFirmware alike
		e.known &^= motion.Z
		dst = op.To[motion.IZ].AppendMM(append(dst, "G92 Z"...), axisDigits)
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
	if limit := e.maxFilament(); e.filament > limit || e.filament < -limit {
		dst = e.resetFilament(dst)
	}
	axis, filament := axisDigits, e.filamentDigits()
	if op.Arc() {
		return e.arc(dst, op)
	}
	if e.Compact && e.brief(op) {
		axis, filament = axis-1, filament-1
	}
	dst = append(dst, "G1"...)
	for i, a := range [...]motion.Axes{motion.X, motion.Y, motion.Z} {
		if !op.Has(a) || e.known&a != 0 && e.at[i] == op.To[i] {
			continue
		}
		e.known |= a
		e.at[i] = op.To[i]
		dst = e.word(dst, "XYZ"[i], op.To[i], axis)
	}
	return e.rest(dst, op, filament)
}

// arc writes G2 or G3 with the way from the start to the centre. The end is always
// stated, and the start must be known.
func (e *Encoder) arc(dst []byte, op motion.Op) []byte {
	name := "G3"
	if op.Kind == motion.ArcRight {
		name = "G2"
	}
	dst = append(dst, name...)
	var centre [2]unit.Length
	for i := range centre {
		// From where the machine is told to be, so that the circle goes through there.
		centre[i] = op.Centre[i] - e.at[i]
	}
	for i, a := range [...]motion.Axes{motion.X, motion.Y, motion.Z} {
		if op.Has(a) && (a != motion.Z || e.known&a == 0 || e.at[i] != op.To[i]) {
			e.known |= a
			e.at[i] = op.To[i]
			dst = e.word(dst, "XYZ"[i], op.To[i], axisDigits)
		}
	}
	for i, c := range centre {
		dst = e.word(dst, "IJ"[i], c, axisDigits)
	}
	return e.rest(dst, op, e.filamentDigits())
}

// rest writes filament and feed, where they change, and ends the line.
func (e *Encoder) rest(dst []byte, op motion.Op, filament int) []byte {
	if op.Has(motion.E) && op.E != 0 {
		e.filament += int64(op.E)
		e.sent = rounded(e.filament, filament)
		if e.Compact && e.Apart {
			dst = append(dst, ' ')
		}
		dst = e.word(dst, 'E', unit.Length(e.filament), filament)
	}
	if op.Feed != e.feed && op.Feed > 0 {
		e.feed = op.Feed
		if !e.Compact {
			dst = append(dst, ' ')
		}
		dst = append(dst, 'F')
		dst = op.Feed.AppendMMPerMin(dst)
	}
	return append(dst, '\n')
}

// word appends one word with a length.
func (e *Encoder) word(dst []byte, name byte, v unit.Length, digits int) []byte {
	if !e.Compact {
		return v.AppendMM(append(dst, ' ', name), digits)
	}
	dst = append(dst, name)
	start := len(dst)
	dst = v.AppendMM(dst, digits)
	if dst[start] == '-' {
		start++
	}
	if len(dst)-start > 2 && dst[start] == '0' {
		dst = append(dst[:start], dst[start+1:]...)
	}
	return dst
}

// brief reports whether a move takes less than 1.6 ms, which is what a line of 40 bytes
// takes at 250000 baud: then 10 µm, less than a step of most printers, have to do. The
// positions are absolute, so that nothing adds up.
func (e *Encoder) brief(op motion.Op) bool {
	longest := int64(0)
	for i, a := range [...]motion.Axes{motion.X, motion.Y, motion.Z} {
		if !op.Has(a) {
			continue
		}
		if e.known&a == 0 {
			return false
		}
		longest = max(longest, int64(op.To[i]-e.at[i]), int64(e.at[i]-op.To[i]))
	}
	return longest > 0 && longest*1000*625 < int64(op.Feed)*int64(unit.Millimetre)
}

// maxFilament is how far the filament position runs before it is set back to zero.
func (e *Encoder) maxFilament() int64 {
	if e.Compact {
		return 10 * int64(unit.Millimetre)
	}
	return int64(maxFilament)
}

// filamentDigits are those of filament behind the point.
func (e *Encoder) filamentDigits() int {
	if e.Compact {
		return filamentDigits - 1
	}
	return filamentDigits
}

// resetFilament sets the absolute position to zero where it stands. The part that
// rounding has not sent yet is kept.
func (e *Encoder) resetFilament(dst []byte) []byte {
	e.filament -= e.sent
	e.sent = 0
	return append(dst, "G92 E0\n"...)
}

// rounded is the length that v rounded to so many decimals stands for, in 1/65536 mm.
func rounded(v int64, digits int) int64 {
	step := int64(1)
	for range digits {
		step *= 10
	}
	one := int64(unit.Millimetre)
	half := one / 2
	if v < 0 {
		half = -half
	}
	return (v*step + half) / one * one / step
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
// it from either side if wait is set, ended by a line feed. Waiting for zero makes no sense and does
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
