package logtail

import (
	"strconv"
	"strings"

	"platen/agent/seam"
)

// klipper takes a line of klippy.log. Its "Stats" come once a second (klippy/extras/
// statistics.py); the others are of klippy/klippy.py and klippy/extras/virtual_sdcard.py.
func klipper(s *state, line string) verdict {
	stats, ok := strings.CutPrefix(line, "Stats ")
	if ok {
		return klipperStats(s, stats)
	}
	reason, down := strings.CutPrefix(line, "Transition to shutdown state: ")
	switch {
	case down:
		return s.fail(reason)
	case strings.HasPrefix(line, "Starting Klippy"):
		return s.restart()
	case strings.HasPrefix(line, "Starting SD card print"):
		return s.enter(seam.PhasePrinting)
	case strings.HasPrefix(line, "Finished SD card print"):
		return s.enter(seam.PhaseIdle)
	case strings.HasPrefix(line, "Exiting SD card print"):
		if s.phase == seam.PhasePrinting { // not to its end: paused, or cancelled
			return s.enter(seam.PhasePaused)
		}
		return known
	case strings.HasPrefix(line, "Configured MCU "):
		if s.phase == 0 || s.phase == seam.PhaseConnecting {
			return s.enter(seam.PhaseIdle)
		}
		return known
	case strings.HasPrefix(line, "Unhandled exception"), strings.HasPrefix(line, "Internal error"), strings.HasPrefix(line, "Got error"):
		return failed
	}
	return unknown
}

// klipperStats takes the sections of a line of statistics: a name and a colon, and then
// what is known of it.
func klipperStats(s *state, stats string) verdict {
	section, target := "", ""
	for word := range strings.FieldsSeq(stats) {
		if name, ok := strings.CutSuffix(word, ":"); ok {
			section, target = name, ""
			continue
		}
		if v, ok := strings.CutPrefix(word, "target="); ok {
			target = v
		}
		if v, ok := strings.CutPrefix(word, "temp="); ok && target != "" {
			if id, ok := klipperHeater(section); ok {
				s.heat(id, v, target)
			}
		}
	}
	if s.phase == seam.PhasePaused && s.off() { // it was cancelled
		return s.enter(seam.PhaseIdle)
	}
	return known
}

func klipperHeater(section string) (uint8, bool) {
	switch section {
	case "heater_bed":
		return heaterBed, true
	case "extruder":
		return heaterHotEnd, true
	case "chamber":
		return heaterChamber, true
	}
	digits, ok := strings.CutPrefix(section, "extruder")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return 0, false
	}
	return hotEnd(n)
}

// moonraker takes a line of moonraker.log: time, place in the source, " - ", text
// (moonraker/components/job_state.py, klippy_connection.py, server.py).
func moonraker(s *state, line string) verdict {
	_, text, ok := strings.Cut(line, "] - ")
	if !ok {
		return unknown
	}
	if state, ok := strings.CutPrefix(text, "Job state initialized: "); ok {
		return s.moonrakerJob(state)
	}
	if states, ok := strings.CutPrefix(text, "Job State Changed - "); ok {
		_, state, _ := strings.Cut(states, "New State: ")
		return s.moonrakerJob(state)
	}
	switch {
	case strings.HasPrefix(text, "Job Started: "):
		return s.enter(seam.PhasePrinting)
	case strings.HasPrefix(strings.ToLower(text), "klippy ready"):
		if s.phase == 0 || s.phase == seam.PhaseConnecting || s.phase == seam.PhaseFault {
			return s.enter(seam.PhaseIdle)
		}
		return known
	case strings.HasPrefix(text, "Klippy has shutdown"):
		return s.fail("")
	case strings.HasPrefix(text, "Klippy Disconnected"), strings.HasPrefix(text, "Klippy has disconnected"):
		return s.enter(seam.PhaseConnecting)
	case strings.HasPrefix(text, "Starting Moonraker"):
		return s.restart()
	}
	return unknown
}

// moonrakerJob is a state of a job as Klipper's print_stats name it, and Moonraker's own
// "started" and "resumed".
func (s *state) moonrakerJob(name string) verdict {
	switch strings.TrimSpace(name) {
	case "printing", "started", "resumed":
		return s.enter(seam.PhasePrinting)
	case "paused":
		return s.enter(seam.PhasePaused)
	case "standby", "complete", "cancelled":
		return s.enter(seam.PhaseIdle)
	case "error":
		return s.fail("")
	}
	return unknown
}

// octoprint takes a line of octoprint.log or serial.log (octoprint/util/comm.py).
func octoprint(s *state, line string) verdict {
	if _, change, ok := strings.Cut(line, "Changing monitoring state from "); ok {
		_, to, _ := strings.Cut(change, " to ")
		return s.octoprintState(strings.Trim(to, `"'`))
	}
	if _, said, ok := strings.Cut(line, " - Recv: "); ok {
		return marlin(s, said)
	}
	switch {
	case strings.Contains(line, " - Send: "):
		return known // of which nothing is taken
	case strings.Contains(line, "Starting OctoPrint"):
		return s.restart()
	case strings.Contains(line, " - ERROR - "):
		return failed
	}
	return unknown
}

func (s *state) octoprintState(to string) verdict {
	for _, x := range []struct {
		prefix string
		phase  seam.Phase
	}{
		{"Operational", seam.PhaseIdle}, {"Printing", seam.PhasePrinting}, {"Starting", seam.PhasePrinting}, {"Finishing", seam.PhasePrinting},
		{"Cancelling", seam.PhasePrinting}, {"Resuming", seam.PhasePrinting}, {"Paus", seam.PhasePaused},
		{"Opening", seam.PhaseConnecting}, {"Detecting", seam.PhaseConnecting}, {"Connecting", seam.PhaseConnecting}, {"Closed", seam.PhaseConnecting},
	} {
		if strings.HasPrefix(to, x.prefix) {
			return s.enter(x.phase)
		}
	}
	switch {
	case strings.Contains(to, "rror"): // "Error: …", "Offline after error"
		return s.fail(to)
	case strings.HasPrefix(to, "Offline"):
		return s.enter(seam.PhaseConnecting)
	}
	return unknown
}

// marlin takes a line that a controller has sent, as hosts write them down (Marlin/src/
// module/temperature.cpp, gcode/queue.cpp, feature/host_actions.cpp).
func marlin(s *state, line string) verdict {
	line = strings.TrimSpace(line)
	if text, ok := cutFold(line, "error:"); ok {
		if code := faultOf(text); code != faultController || strings.Contains(text, "halted") || strings.Contains(text, "kill") {
			return s.fail(text)
		}
		return failed
	}
	if action, ok := cutFold(line, "//action:"); ok {
		return s.action(strings.TrimSpace(action))
	}
	switch {
	case line == "start":
		return s.restart()
	case strings.HasPrefix(line, "echo:busy: paused"):
		return s.enter(seam.PhasePaused)
	case strings.HasPrefix(line, "File opened"):
		return s.enter(seam.PhasePrinting)
	case strings.HasPrefix(line, "Done printing file"), strings.HasPrefix(line, "Finished printing file"):
		return s.enter(seam.PhaseIdle)
	case strings.Contains(line, "T:") || strings.Contains(line, "B:"):
		return s.report(line)
	case line == "ok", strings.HasPrefix(line, "ok "), strings.HasPrefix(line, "echo:busy:"), line == "wait":
		return known
	}
	return unknown
}

func (s *state) action(name string) verdict {
	switch name {
	case "pause", "paused":
		return s.enter(seam.PhasePaused)
	case "resume", "resumed":
		return s.enter(seam.PhasePrinting)
	case "cancel", "disconnect":
		return s.enter(seam.PhaseIdle)
	}
	return unknown
}

// report takes a report of temperatures: "T:209.9 /210.0 B:60.1 /60.0 T0:…". A heater
// without a target is none.
func (s *state) report(line string) verdict {
	words := strings.Fields(line)
	said := unknown
	for i, w := range words {
		name, actual, ok := strings.Cut(w, ":")
		if !ok || i+1 >= len(words) {
			continue
		}
		target, ok := strings.CutPrefix(words[i+1], "/")
		if !ok {
			continue
		}
		if id, ok := reported(name); ok && s.heat(id, actual, target) {
			said = known
		}
	}
	return said
}

func reported(name string) (uint8, bool) {
	switch name {
	case "T":
		return heaterHotEnd, true
	case "B":
		return heaterBed, true
	case "C":
		return heaterChamber, true
	}
	digits, ok := strings.CutPrefix(name, "T")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return 0, false
	}
	return hotEnd(n)
}

// duet takes a line of RepRapFirmware's event log: a date or the time since power-up, a
// level in brackets or none, text (src/Platform/Logger.cpp, src/PrintMonitor).
func duet(s *state, line string) verdict {
	text := line
	if strings.HasPrefix(text, "power up + ") {
		text = strings.TrimPrefix(text, "power up + ")
		_, text, _ = strings.Cut(text, " ")
	} else if len(text) > 20 && text[4] == '-' && text[13] == ':' {
		text = text[20:]
	}
	if strings.HasPrefix(text, "[") {
		_, text, _ = strings.Cut(text, "] ")
	}
	switch {
	case strings.HasPrefix(text, "Event logging started"):
		return s.restart()
	case strings.HasPrefix(text, "Started printing file"), strings.HasPrefix(text, "Printing resumed"):
		return s.enter(seam.PhasePrinting)
	case strings.HasPrefix(text, "Printing paused"):
		return s.enter(seam.PhasePaused)
	case strings.HasPrefix(text, "Finished printing file"), strings.HasPrefix(text, "Cancelled printing file"):
		return s.enter(seam.PhaseIdle)
	case strings.HasPrefix(text, "Error: ") || strings.HasPrefix(text, "Heater fault"):
		if faultOf(text) == faultThermal {
			return s.fail(text)
		}
		return failed
	case strings.HasPrefix(text, "Warning: "), strings.HasPrefix(text, "Resume state saved"):
		return known
	}
	return unknown
}

// cutFold cuts a prefix, in capitals or not.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
