package gcode

import (
	"bytes"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/unit"
)

// ReplyKind says what a line from the controller is.
type ReplyKind uint8

// The kinds of reply.
const (
	Empty    ReplyKind = iota // nothing but blanks
	OK                        // a line was taken; Line names it under ADVANCED_OK
	Resend                    // line Line is wanted again
	Refusal                   // the Error text before a Resend
	Report                    // temperatures that nobody waits for
	Busy                      // at work on a long command
	Start                     // the controller has just started
	Wait                      // the controller has nothing to do
	Fault                     // the controller stopped, or did not do what it was told; see Reply.Fault
	Firmware                  // answer to M115; see ParseFirmware
	Cap                       // a capability; see ParseCap
	Action                    // a //action: line, which nobody obeys here
	Note                      // any other text
	Garbage                   // bytes that no firmware sends, or a line longer than the Splitter holds
)

// Temp is one heater in a report.
type Temp struct {
	ID        hal.HeaterID
	Actual    unit.Celsius
	Target    unit.Celsius
	Power     unit.Duty
	HasTarget bool
	HasPower  bool
}

// Reply is one line from the controller, understood. It holds no text of the line.
type Reply struct {
	Kind    ReplyKind
	Line    int32 // OK: the line named, or -1. Resend: the line wanted. Refusal: the same if no Resend follows for sure, or -1
	Queue   int16 // OK: free slots in the command queue, or -1
	Waiting bool  // a report of a command that waits for heat, which is then busy
	Idle    bool  // a report of a controller whose buffers are empty and that does nothing
	Fault   hal.Fault
	NTemps  int
	Temps   [hal.MaxHeaters]Temp
}

// Parse reads one line, without its line end, into r. It accepts any bytes and
// never fails: what it does not know is a Note or Garbage.
func Parse(line []byte, r *Reply) {
	*r = Reply{Line: -1, Queue: -1}
	for _, b := range line {
		if b < ' ' && b != '\t' || b >= 0x7f {
			r.Kind = Garbage
			return
		}
	}
	line = bytes.TrimSpace(line)
	switch rest, word := line, firstWord(line); {
	case len(line) == 0:
	case word == "ok":
		r.Kind = OK
		parseOK(rest[2:], r)
	case hasPrefix(&rest, "Resend:"), hasPrefix(&rest, "rs "):
		parseResend(rest, r)
	case word == "start":
		r.Kind = Start
	case word == "wait":
		r.Kind = Wait
	case hasPrefix(&rest, "echo:busy:"), hasPrefix(&rest, "busy:"):
		r.Kind = Busy
	case hasPrefix(&rest, "//"):
		r.Kind = Action
	case hasPrefix(&rest, "echo:Unknown command"):
		r.Kind = Note // it repeats what was sent, so that nothing in it means anything
	case hasPrefix(&rest, "FIRMWARE_NAME:"):
		r.Kind = Firmware
	case hasPrefix(&rest, "Cap:"):
		r.Kind = Cap
	case (line[0] == 'T' || line[0] == 'B') && parseTemps(line, r):
		r.Kind = Report
	default:
		parseText(line, r)
	}
}

// firstWord returns line up to the first blank, but "ok" for everything that must
// not be taken for one of the short words is returned as it is.
func firstWord(line []byte) string {
	end := bytes.IndexByte(line, ' ')
	if end < 0 {
		end = len(line)
	}
	switch w := line[:end]; {
	case string(w) == "ok":
		return "ok"
	case string(w) == "start" && end == len(line):
		return "start"
	case string(w) == "wait" && end == len(line):
		return "wait"
	}
	return ""
}

func hasPrefix(line *[]byte, prefix string) bool {
	if len(*line) < len(prefix) || string((*line)[:len(prefix)]) != prefix {
		return false
	}
	*line = (*line)[len(prefix):]
	return true
}

// parseOK reads what follows an ok: temperatures, or N, P and B of ADVANCED_OK.
func parseOK(rest []byte, r *Reply) {
	rest = bytes.TrimLeft(rest, " ")
	if len(rest) == 0 {
		return
	}
	if parseTemps(rest, r) {
		return
	}
	for len(rest) > 0 {
		key := rest[0]
		v, n := digits(rest[1:])
		if n == 0 || 1+n < len(rest) && rest[1+n] != ' ' {
			r.Line, r.Queue = -1, -1
			return
		}
		switch key {
		case 'N':
			r.Line = v
		case 'B':
			r.Queue = int16(min(v, 255))
		}
		rest = bytes.TrimLeft(rest[1+n:], " ")
	}
}

func parseResend(rest []byte, r *Reply) {
	rest = bytes.TrimLeft(rest, " N")
	v, n := digits(rest)
	if n == 0 || n != len(bytes.TrimRight(rest, " ")) {
		r.Kind = Garbage
		return
	}
	r.Kind, r.Line = Resend, v
}

// digits reads a decimal of up to nine digits and returns how many it has.
func digits(b []byte) (v int32, n int) {
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		if n == 9 {
			return 0, 0
		}
		v = v*10 + int32(b[n]-'0')
		n++
	}
	return v, n
}

// faults maps pieces of text to faults, the telling ones first. Texts: Marlin
// 2.0.9 language_en.h and temperature.cpp, Prusa 3.14 messages.cpp, Marlin 1.0
// language.h.
var faults = [...]struct {
	text  string
	fault hal.Fault
}{
	{"thermal runaway", hal.FaultThermal},
	{"thermal anomaly", hal.FaultThermal},
	{"heating failed", hal.FaultThermal},
	{"preheat error", hal.FaultThermal},
	{"mintemp", hal.FaultSensor},
	{"maxtemp", hal.FaultSensor},
	{"homing failed", hal.FaultEndstop},
	{"probing failed", hal.FaultEndstop},
	{"cold extrusion prevented", hal.FaultThermal}, // the program was hot enough, the hot end is not
	{"extrusion prevented", hal.FaultController},
	{"m112 ", hal.FaultController},
	{"emergency stop", hal.FaultController},
	{"printer halted", hal.FaultController},
	{"kill() called", hal.FaultController},
	{"system stopped", hal.FaultController},
	{"printer stopped", hal.FaultController},
}

// parseText sorts free text: a refusal of a line, a fault, or a note.
func parseText(line []byte, r *Reply) {
	r.Kind = Note
	var low [96]byte
	n := copy(low[:], line)
	for i, b := range low[:n] {
		if b >= 'A' && b <= 'Z' {
			low[i] = b + 'a' - 'A'
		}
	}
	text := low[:n]
	if bytes.HasPrefix(text, []byte("error:")) && (bytes.Contains(text, []byte("checksum")) || bytes.Contains(text, []byte("line number"))) {
		r.Kind = Refusal
		if i := bytes.LastIndex(text, []byte("last line:")); i >= 0 && bytes.Contains(text, []byte("no line number")) {
			if v, n := digits(bytes.TrimLeft(text[i+len("last line:"):], " ")); n > 0 {
				r.Line = v + 1
			}
		}
		return
	}
	if bytes.HasPrefix(text, []byte("!!")) {
		r.Kind, r.Fault = Fault, hal.FaultController
	}
	for i := range faults {
		if bytes.Contains(text, []byte(faults[i].text)) {
			r.Kind, r.Fault = Fault, faults[i].fault
			return
		}
	}
}

// parseTemps reads a report such as "T:21.87 /0.00 B:21.87 /60.00 @:0 B@:127 W:?"
// and reports whether it had at least one heater and no nonsense.
func parseTemps(line []byte, r *Reply) bool {
	numbered := false
	for len(line) > 0 {
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || colon > 3 {
			r.NTemps = 0
			return false
		}
		key := line[:colon]
		value, rest := cutValue(line[colon+1:])
		switch {
		case key[0] == 'W' || key[0] == 'E':
			r.Waiting = true
		case key[len(key)-1] == '@' || key[0] == '@':
			setPower(r, key, value)
		case key[0] == 'T' || key[0] == 'B' || key[0] == 'C':
			id, ok := heaterOf(key)
			if !ok || !setTemp(r, id, value, &rest) {
				r.NTemps = 0
				return false
			}
			numbered = numbered || key[0] == 'T' && len(key) == 2
		}
		// A target may follow any key, for example those of probes that nobody reads.
		if len(rest) > 0 && rest[0] == '/' {
			_, rest = cutValue(rest[1:])
		}
		line = rest
	}
	return r.NTemps > 0
}

// cutValue returns the text up to the next blank and what follows the blanks.
func cutValue(b []byte) (value, rest []byte) {
	b = bytes.TrimLeft(b, " ")
	end := bytes.IndexByte(b, ' ')
	if end < 0 {
		return b, nil
	}
	return b[:end], bytes.TrimLeft(b[end:], " ")
}

func heaterOf(key []byte) (hal.HeaterID, bool) {
	switch {
	case len(key) == 1 && key[0] == 'B':
		return motion.Bed, true
	case len(key) == 1 && key[0] == 'C':
		return motion.Chamber, true
	case len(key) == 1: // T: the tool in use; a T0 that follows takes its place
		return motion.HotEnd, true
	case key[0] == 'T' && len(key) == 2 && key[1] >= '0' && key[1] <= '7':
		return motion.HotEnd + hal.HeaterID(key[1]-'0'), true
	}
	return 0, false
}

// slot returns the entry of heater id in r, making one if there is room.
func slot(r *Reply, id hal.HeaterID) *Temp {
	for i := range r.Temps[:r.NTemps] {
		if r.Temps[i].ID == id {
			return &r.Temps[i]
		}
	}
	if r.NTemps == len(r.Temps) {
		return nil
	}
	r.NTemps++
	t := &r.Temps[r.NTemps-1]
	*t = Temp{ID: id}
	return t
}

func setTemp(r *Reply, id hal.HeaterID, value []byte, rest *[]byte) bool {
	// "T:21.8/0.0" is written by some firmware without the blank.
	if cut := bytes.IndexByte(value, '/'); cut >= 0 {
		return setTemp2(r, id, value[:cut], value[cut+1:])
	}
	if len(*rest) > 0 && (*rest)[0] == '/' {
		var target []byte
		target, *rest = cutValue((*rest)[1:])
		return setTemp2(r, id, value, target)
	}
	return setTemp2(r, id, value, nil)
}

func setTemp2(r *Reply, id hal.HeaterID, actual, target []byte) bool {
	a, ok := celsius(actual)
	if !ok {
		return false
	}
	t := slot(r, id)
	if t == nil {
		return true
	}
	t.Actual = a
	if target != nil {
		if t.Target, t.HasTarget = celsius(target); !t.HasTarget {
			return false
		}
	}
	return true
}

// setPower reads @:, B@: or @0:, which count 0 to 127 (soft PWM of Marlin).
func setPower(r *Reply, key, value []byte) {
	id := motion.HotEnd
	switch {
	case len(key) == 2 && key[0] == 'B':
		id = motion.Bed
	case len(key) == 2 && key[0] == 'C':
		id = motion.Chamber
	case len(key) == 2 && key[0] == '@' && key[1] >= '0' && key[1] <= '7':
		id = motion.HotEnd + hal.HeaterID(key[1]-'0')
	case len(key) != 1:
		return
	}
	v, n := digits(value)
	if n == 0 || n != len(value) {
		return
	}
	for i := range r.Temps[:r.NTemps] {
		if t := &r.Temps[i]; t.ID == id {
			t.Power, t.HasPower = unit.Duty(min(v*255/127, 255)), true
		}
	}
}

// celsius reads a decimal such as "-12.34". What no sensor can mean is refused.
func celsius(b []byte) (unit.Celsius, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	whole, n := digits(b)
	if n == 0 || n > 4 {
		return 0, false
	}
	v := whole * int32(unit.Degree)
	if b = b[n:]; len(b) > 0 {
		if b[0] != '.' {
			return 0, false
		}
		scale := int32(100)
		for _, c := range b[1:] {
			if c < '0' || c > '9' {
				return 0, false
			}
			v += int32(c-'0') * scale
			scale /= 10
		}
	}
	if v > 1500*int32(unit.Degree) {
		return 0, false
	}
	if neg {
		v = -v
	}
	return unit.Celsius(v), true
}
