package repetier

import (
	"bytes"

	"platen/hal"
	"platen/hal/gcode"
	"platen/hal/motion"
	"platen/hal/unit"
)

// kinds are replies that the beginning of a line tells. Texts are those of
// Communication.cpp, gcode.cpp and Extruder.cpp.
var kinds = []struct {
	start string
	kind  gcode.ReplyKind
	fault hal.Fault
}{
	{"Got:", gcode.Note, 0}, // echoes, in which nothing means anything
	{"Echo:", gcode.Note, 0},
	{"Unknown command:", gcode.Note, 0},
	{"skip ", gcode.Note, 0},
	{"start", gcode.Start, 0},
	{"Info:External Reset", gcode.Start, 0},
	{"Info:PowerUp", gcode.Start, 0},
	{"Detected EEPROM version", gcode.Start, 0},
	{"Free RAM:", gcode.Start, 0},
	{"busy:", gcode.Busy, 0},
	{"Error:Wrong checksum", gcode.Refusal, 0},
	{"Error:expected line", gcode.Refusal, 0},
	{"Error:Format error", gcode.Refusal, 0},
	{"Error:Checksum required", gcode.Refusal, 0},
	{"fatal:Heater/sensor", gcode.Fault, hal.FaultSensor},
	{"fatal:Heater decoupled", gcode.Fault, hal.FaultThermal},
	{"fatal:G", gcode.Fault, hal.FaultEndstop},
	{"fatal:", gcode.Fault, hal.FaultController},
	{"Error:One heater seems decoupled", gcode.Fault, hal.FaultThermal},
	{"Error:Temp. raised", gcode.Fault, hal.FaultThermal},
	{"Error:Could not hold", gcode.Fault, hal.FaultThermal},
	{"Error:Heated bed exceeded", gcode.Fault, hal.FaultThermal},
	{"Error:Printer set into dry run", gcode.Fault, hal.FaultSensor},
	{"Disabling all heaters", gcode.Fault, hal.FaultSensor},
	{"RequestStop:", gcode.Fault, hal.FaultController},
}

var defect = []byte(": temp sensor defect")

// Parse reads one line.
func (f *firmware) Parse(line []byte, r *gcode.Reply) {
	if len(line) >= 2 && line[0] == 'o' && line[1] == 'k' {
		parseOK(line[2:], r)
		return
	}
	for i := range kinds {
		if k := &kinds[i]; len(line) >= len(k.start) && string(line[:len(k.start)]) == k.start {
			*r = gcode.Reply{Line: -1, Queue: -1, Kind: k.kind, Fault: k.fault}
			return
		}
	}
	if len(line) > 2 && line[0] == 'T' && line[1] == ':' {
		*r = gcode.Reply{Line: -1, Queue: -1, Kind: gcode.Report}
		if parseReport(line, r) {
			return
		}
	}
	gcode.Parse(line, r)
	switch {
	case r.Kind == gcode.OK:
		r.Kind = gcode.Note // not one of this firmware's
	case r.Kind == gcode.Note && bytes.Contains(line, defect):
		r.Kind, r.Fault = gcode.Fault, hal.FaultSensor
	}
}

// parseOK reads "ok 12". An ok without a name says nothing about a line.
func parseOK(rest []byte, r *gcode.Reply) {
	*r = gcode.Reply{Line: -1, Queue: -1, Kind: gcode.Note}
	rest = bytes.TrimRight(rest, " \r")
	if len(rest) < 2 || len(rest) > 7 || rest[0] != ' ' {
		return
	}
	n := int32(0)
	for _, c := range rest[1:] {
		if c < '0' || c > '9' {
			r.Kind = gcode.Garbage
			return
		}
		n = n*10 + int32(c-'0')
	}
	r.Kind, r.Line = gcode.OK, n
}

// parseReport reads "T:22.78 /0 B:NAN /0 B@:0 @:0" with "T0:22.78 /0 @0:0" for each
// tool if there are several; powers are of 255. It reports whether it made sense. A
// sensor that says nothing the firmware knows (NAN) is left out.
func parseReport(line []byte, r *gcode.Reply) bool {
	for len(line) > 0 {
		var word []byte
		word, line = cutWord(line)
		key, value, found := bytes.Cut(word, []byte(":"))
		if !found || len(key) == 0 {
			if len(word) > 0 && word[0] == '/' {
				continue // of a heater that is left out
			}
			return false
		}
		id, power, known := heaterOf(key)
		if !known {
			continue
		}
		if power {
			if t := entry(r, id, false); t != nil {
				t.HasPower, t.Power = true, duty(value)
			}
			continue
		}
		actual, ok := celsius(value)
		if !ok && string(value) != "NAN" {
			return false
		}
		if !ok {
			continue
		}
		t := entry(r, id, true)
		if t == nil {
			continue
		}
		t.Actual = actual
		if len(line) > 0 && line[0] == '/' {
			word, line = cutWord(line)
			if t.Target, t.HasTarget = celsius(word[1:]); !t.HasTarget {
				return false
			}
		}
	}
	return r.NTemps > 0
}

func cutWord(b []byte) (word, rest []byte) {
	i := bytes.IndexByte(b, ' ')
	if i < 0 {
		return bytes.TrimRight(b, "\r"), nil
	}
	return b[:i], bytes.TrimLeft(b[i:], " ")
}

// heaterOf reads T, B, C, T0 to T7 and, for powers, @, B@ and @0 to @7.
func heaterOf(key []byte) (id hal.HeaterID, power, known bool) {
	digit := func(c byte) bool { return c >= '0' && c <= '7' }
	switch {
	case string(key) == "T":
		return motion.HotEnd, false, true
	case string(key) == "B":
		return motion.Bed, false, true
	case string(key) == "C":
		return motion.Chamber, false, true
	case string(key) == "@":
		return motion.HotEnd, true, true
	case string(key) == "B@":
		return motion.Bed, true, true
	case len(key) == 2 && key[0] == 'T' && digit(key[1]):
		return motion.HotEnd + hal.HeaterID(key[1]-'0'), false, true
	case len(key) == 2 && key[0] == '@' && digit(key[1]):
		return motion.HotEnd + hal.HeaterID(key[1]-'0'), true, true
	}
	return 0, false, false
}

// entry is the heater's entry in r, made if there is none and make says so.
func entry(r *gcode.Reply, id hal.HeaterID, make bool) *gcode.Temp {
	for i := range r.Temps[:r.NTemps] {
		if r.Temps[i].ID == id {
			return &r.Temps[i]
		}
	}
	if !make || r.NTemps == len(r.Temps) {
		return nil
	}
	r.NTemps++
	t := &r.Temps[r.NTemps-1]
	*t = gcode.Temp{ID: id}
	return t
}

func duty(b []byte) unit.Duty {
	v := 0
	for _, c := range b {
		if c < '0' || c > '9' || v > 255 {
			return 0
		}
		v = v*10 + int(c-'0')
	}
	return unit.Duty(min(v, 255))
}

// celsius reads a decimal; what no sensor can mean is refused.
func celsius(b []byte) (unit.Celsius, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	v, scale, digits := int32(0), int32(0), 0
	for _, c := range b {
		switch {
		case c == '.' && scale == 0:
			scale = int32(unit.Degree)
		case c < '0' || c > '9' || digits > 8:
			return 0, false
		case scale == 0:
			v = v*10 + int32(c-'0')*int32(unit.Degree)
			digits++
			if v > 1500*int32(unit.Degree) {
				return 0, false
			}
		default:
			scale /= 10
			v += int32(c-'0') * scale
			digits++
		}
	}
	if neg {
		v = -v
	}
	return unit.Celsius(v), digits > 0
}
