package logtail

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"platen/agent/seam"
)

// verdict is what a line was.
type verdict uint8

const (
	unknown   verdict = iota // nothing that a parser knows
	known                    // it said something, or nothing of consequence
	failed                   // an error
	restarted                // the software was started
)

// parser takes one line, without its end, into a state.
type parser func(*state, string) verdict

// families are the kinds of logs.
var families = map[string]parser{
	"klipper": klipper, "moonraker": moonraker, "octoprint": octoprint, "marlin": marlin, "duet": duet,
}

// steady is the family whose software writes a line each second as long as it runs.
const steady = "klipper"

// Families names the kinds of logs that can be followed: "klipper" is klippy.log,
// "moonraker" moonraker.log, "octoprint" octoprint.log and serial.log, "marlin" what any
// host has written down of a serial line to Marlin and its kin, "duet" the event log of
// RepRapFirmware.
func Families() []string { return slices.Sorted(maps.Keys(families)) }

func names() string { return strings.Join(Families(), ", ") }

// Codes of hal.Fault, which a log's errors are sorted into.
const (
	faultThermal    = 2
	faultSensor     = 3
	faultEndstop    = 4
	faultTimeout    = 7
	faultController = 10
)

// Numbers of heaters as sessions give them.
const (
	heaterBed     = 0
	heaterChamber = 1
	heaterHotEnd  = 8
)

// state is what a log has said of the printer.
type state struct {
	phase   seam.Phase // 0 is not known
	fault   uint8
	heaters []seam.Heater // by number
}

// status is the state as a session would report it. One that is not known is that of a
// printer which is being connected: a job may be loaded.
func (s *state) status() seam.Status {
	st := seam.Status{Phase: cmp.Or(s.phase, seam.PhaseConnecting), Fault: s.fault, Ambient: seam.NoAmbient}
	st.NHeaters = uint8(copy(st.Heaters[:], s.heaters))
	return st
}

// loaded reports whether a job is open, or may be because nothing is known yet.
func (s *state) loaded() bool {
	return s.phase == 0 || s.phase == seam.PhaseLoading || s.phase == seam.PhasePrinting || s.phase == seam.PhasePaused
}

// enter is a change of the phase; a fault is over with it.
func (s *state) enter(p seam.Phase) verdict {
	s.phase = p
	if p != seam.PhaseFault {
		s.fault = 0
	}
	return known
}

// fail is a printer that has stopped.
func (s *state) fail(text string) verdict {
	s.phase, s.fault = seam.PhaseFault, faultOf(text)
	return failed
}

// restart is a printer whose software begins anew.
func (s *state) restart() verdict {
	*s = state{phase: seam.PhaseConnecting}
	return restarted
}

// heat notes a heater, in °C as text. What is no temperature leaves all as it was.
func (s *state) heat(id uint8, actual, target string) bool {
	a, okA := celsius(actual)
	t, okT := celsius(target)
	if !okA || !okT {
		return false
	}
	i, found := slices.BinarySearchFunc(s.heaters, id, func(h seam.Heater, id uint8) int { return cmp.Compare(h.ID, id) })
	if !found {
		if len(s.heaters) == seam.MaxHeaters {
			return false
		}
		s.heaters = slices.Insert(s.heaters, i, seam.Heater{ID: id})
	}
	s.heaters[i].Actual, s.heaters[i].Target = a, t
	return true
}

// off reports whether no heater has a target.
func (s *state) off() bool {
	return !slices.ContainsFunc(s.heaters, func(h seam.Heater) bool { return h.Target > 0 })
}

// celsius reads a temperature in °C as 1/1000 °C.
func celsius(text string) (int32, bool) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= -50 && v <= 500) {
		return 0, false
	}
	return int32(v * 1000), true
}

// faultOf sorts the text of an error into the codes of hal.Fault.
func faultOf(text string) uint8 {
	text = strings.ToLower(text)
	for _, f := range []struct {
		code  uint8
		words []string
	}{
		{faultThermal, []string{"not heating at expected rate", "heating failed", "thermal runaway", "heater fault", "thermal"}},
		{faultSensor, []string{"adc out of range", "mintemp", "maxtemp", "thermistor", "temperature sensor"}},
		{faultEndstop, []string{"endstop", "homing failed", "failed to home", "no trigger"}},
		{faultTimeout, []string{"lost communication", "timeout", "timer too close", "disconnected"}},
	} {
		if slices.ContainsFunc(f.words, func(w string) bool { return strings.Contains(text, w) }) {
			return f.code
		}
	}
	return faultController
}

// hotEnd is the number of hot end n, if it is one that has an item.
func hotEnd(n int) (uint8, bool) { return uint8(heaterHotEnd + n), n >= 0 && n < 8 }
