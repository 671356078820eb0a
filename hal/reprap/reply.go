package reprap

import (
	"bytes"

	"platen/hal"
	"platen/hal/gcode"
)

// kinds are replies that the beginning of a line tells, and found those that a piece of
// it does. Texts are those of GCodes.cpp, GCodes2.cpp, Platform/Event.cpp and
// Tools/Tool.cpp.
var kinds = []struct {
	start string
	fault hal.Fault
}{
	{"Emergency Stop!", hal.FaultController},
	{"Error: Homing failed", hal.FaultEndstop},
	{"Error: G28", hal.FaultEndstop},
	{"Error: G29", hal.FaultEndstop},
	{"Error: G30", hal.FaultEndstop},
	{"Error: G32", hal.FaultEndstop},
	{"Error: G", hal.FaultController}, // a move or the like was not done
	{"Error: Attempting to extrude", hal.FaultController},
	{"Error: Invalid tool", hal.FaultController},
	{"Error: Driver", hal.FaultController},
	{"Error: Heater", hal.FaultThermal},
	{"Warning: Tool", hal.FaultThermal}, // "was not driven because its heater temperatures were not high enough"
}

var found = []struct {
	text  []byte
	fault hal.Fault
}{
	{[]byte(" fault: failed to read sensor"), hal.FaultSensor},
	{[]byte(": Machine is halted"), hal.FaultController},
	{[]byte(": insufficient axes homed"), hal.FaultEndstop},
}

var (
	running = []byte(" is up and running.")
	keyOpen = []byte(`{"key":"`)
	keyEnd  = []byte(`","flags":`)
	status  = []byte(`"result":"`)
)

// Parse reads one line.
func (f *firmware) Parse(line []byte, r *gcode.Reply) {
	*r = gcode.Reply{Line: -1, Queue: -1, Kind: gcode.Note}
	switch {
	case len(line) > 2 && line[0] == '{':
		parseModel(line, r)
		return
	case bytes.HasSuffix(bytes.TrimRight(line, " \r"), running):
		r.Kind = gcode.Start
		return
	case len(line) > 0 && (line[0] == 'E' || line[0] == 'W'):
		if parseTrouble(line, r) {
			return
		}
	}
	gcode.Parse(line, r)
	if r.Kind == gcode.OK && r.Line >= 0 {
		r.Kind, r.Line = gcode.Garbage, -1 // its oks name no line
	}
}

// parseTrouble reads errors and warnings; other text in them means nothing.
func parseTrouble(line []byte, r *gcode.Reply) bool {
	for i := range kinds {
		if s := kinds[i].start; len(line) >= len(s) && string(line[:len(s)]) == s {
			r.Kind, r.Fault = gcode.Fault, kinds[i].fault
		}
		if r.Kind == gcode.Fault {
			break
		}
	}
	known := bytes.HasPrefix(line, []byte("Error: ")) || bytes.HasPrefix(line, []byte("Warning: "))
	if r.Kind == gcode.Fault || known {
		for i := range found {
			if bytes.Contains(line, found[i].text) {
				r.Kind, r.Fault = gcode.Fault, found[i].fault
			}
		}
	}
	return r.Kind == gcode.Fault || known
}

// parseModel reads an answer to M409: the state, or a number of ours as the key.
func parseModel(line []byte, r *gcode.Reply) {
	if !bytes.HasPrefix(line, keyOpen) {
		return
	}
	rest := line[len(keyOpen):]
	end := bytes.Index(rest, keyEnd)
	if end < 0 {
		return
	}
	key := rest[:end]
	switch string(key) {
	case statusKey:
		parseStatus(rest[end:], r)
		return
	case homedKey:
		r.Kind, r.Idle = gcode.Report, bytes.Contains(rest[end:], []byte("true")) && !bytes.Contains(rest[end:], []byte("false"))
		return
	}
	n := int32(0)
	for _, c := range key {
		if c < '0' || c > '9' || len(key) != tagDigits {
			return
		}
		n = n*10 + int32(c-'0')
	}
	if len(key) == tagDigits {
		r.Kind, r.Line = gcode.OK, n
	}
}

func parseStatus(rest []byte, r *gcode.Reply) {
	_, word, ok := bytes.Cut(rest, status)
	if !ok {
		return
	}
	word, _, _ = bytes.Cut(word, []byte(`"`))
	switch string(word) {
	case "halted", "off":
		r.Kind, r.Fault = gcode.Fault, hal.FaultController
	case "idle":
		r.Kind, r.Idle = gcode.Report, true
	default:
		r.Kind = gcode.Report
	}
}
