package grbl

import "bytes"

// state is what the controller is doing, as far as it matters.
type state uint8

const (
	stateOther state = iota // at work
	stateIdle
	stateStopped // it does nothing until somebody helps
)

// status is one status report.
type status struct {
	state state
	at    point // machine position, or work position if that is what it reports
	isW   bool
	rate  int32 // mm/min
	wco   point
	hasW  bool
}

// readStatus reads a report such as
// "<Run|MPos:1.000,2.000,3.000|Bf:15,128|FS:500,0|WCO:0.000,0.000,0.000>".
func readStatus(line []byte) (s status, ok bool) {
	body, found := bytes.CutSuffix(line[1:], []byte(">"))
	if !found {
		return s, false
	}
	name, rest, _ := bytes.Cut(body, []byte("|"))
	s.state = stateOf(name)
	placed := false
	for len(rest) > 0 {
		var f []byte
		f, rest, _ = bytes.Cut(rest, []byte("|"))
		key, value, _ := bytes.Cut(f, []byte(":"))
		good := true
		switch string(key) {
		case "MPos":
			s.at, good = readPoint(value)
			placed = good
		case "WPos":
			s.at, good = readPoint(value)
			placed, s.isW = good, true
		case "WCO":
			s.wco, good = readPoint(value)
			s.hasW = good
		case "FS", "F":
			value, _, _ = bytes.Cut(value, []byte(","))
			s.rate, good = micro(value)
			s.rate /= 1000
		}
		if !good {
			return s, false
		}
	}
	return s, placed
}

func stateOf(name []byte) state {
	name, _, _ = bytes.Cut(name, []byte(":"))
	switch string(name) {
	case "Idle":
		return stateIdle
	case "Alarm", "Hold", "Door", "Sleep", "Check", "Tool":
		return stateStopped
	}
	return stateOther
}
