package sim

import (
	"math"
	"strconv"
	"time"
)

// manageHeaters acts on sensors and heaters that fail, and on what the emergency
// parser has found.
func (m *marlin2) manageHeaters() {
	e := &m.parser
	switch {
	case e.killed:
		m.kill("M112 Shutdown")
		return
	case e.quick:
		e.quick = false
		m.quickStop()
	case e.cancel:
		e.cancel = false
		m.therm.waiting, m.user.waiting = false, false
	case e.answered:
		e.answered = false
		m.user.waiting, m.user.answer = false, e.answer
	}
	for _, h := range m.therm.all {
		if serial, last := h.failing(m.now); serial != "" {
			m.therm.off()
			m.print("Error:" + serial + ", system stopped! Heater_ID: " + h.id + "\n\n")
			m.kill(last)
			return
		}
	}
}

// failing is why the heater has to be stopped: the text for the host and the one
// for the display, empty if all is well.
func (h *heater) failing(now time.Duration) (serial, display string) {
	r := h.reading()
	switch {
	case r > h.maxTemp:
		return "MAXTEMP triggered", "Err: MAXTEMP" + h.suffix
	case r < h.minTemp && h.target > 0:
		return "MINTEMP triggered", "Err: MINTEMP" + h.suffix
	}
	if h.watchAt > 0 && now >= h.watchAt {
		if r < h.watchTemp {
			if h.id == "bed" {
				return "Heating failed", "Heating Failed Bed"
			}
			return "Heating failed", "Heating Failed"
		}
		h.watch(now)
	}
	return h.runaway(r, now)
}

// runaway is the state machine of thermal runaway protection: once at its target, a
// heater may not stay away from it.
func (h *heater) runaway(r float64, now time.Duration) (serial, display string) {
	switch {
	case h.target == 0:
		h.stable = false
	case !h.stable || h.runTarget != h.target:
		h.stable = r >= h.target
		h.runTarget = h.target
		h.runAt = now + h.runFor
	case r >= h.target-h.runHyst:
		h.runAt = now + h.runFor
	case now >= h.runAt:
		if h.id == "bed" {
			return "Thermal Runaway", "BED THERMAL RUNAWAY"
		}
		return "Thermal Runaway", "THERMAL RUNAWAY"
	}
	return "", ""
}

// await is the loop of M109 and M190: a report a second until the heater has kept
// its temperature for a while.
func (m *marlin2) await(h *heater, cooling bool) {
	t := &m.therm
	t.waiting = true
	if !cooling && h.reading() > h.target {
		return // only heating is waited for
	}
	var since time.Duration // when the window was entered; 0 is not yet
	report := m.now
	for first := true; m.up() && t.waiting && (since == 0 || m.now < since+residency); first = false {
		if m.now >= report {
			report = m.now + time.Second
			m.print(m.temperatures() + " W:" + left(since, m.now) + "\n")
		}
		m.hold(report)
		off := math.Abs(h.target - h.reading())
		switch {
		case since == 0 && off < window:
			since = m.now
			if first {
				since += residency / 3
			}
		case since != 0 && off > waitHyst:
			since = m.now
		}
	}
}

func left(since, now time.Duration) string {
	if since == 0 {
		return "?"
	}
	return strconv.Itoa(int((since + residency - now) / time.Second))
}

// temperatures is the report of M105, with the space it begins with.
func (m *marlin2) temperatures() string {
	t := &m.therm
	s := make([]byte, 0, 128)
	state := func(name string, h *heater) {
		s = fixed(append(s, name...), h.reading())
		s = fixed(append(s, " /"...), h.target)
	}
	power := func(name string, h *heater) { s = strconv.AppendInt(append(s, name...), int64(h.power)/2, 10) }
	state(" T:", t.tool(m.active))
	state(" B:", t.bed())
	if c := t.chamber(); c != nil {
		state(" C:", c)
	}
	for i := range t.tools {
		if t.tools > 1 {
			state(" T"+strconv.Itoa(i)+":", t.tool(i))
		}
	}
	power(" @:", t.tool(m.active))
	power(" B@:", t.bed())
	if c := t.chamber(); c != nil {
		power(" C@:", c)
	}
	for i := range t.tools {
		if t.tools > 1 {
			power(" @"+strconv.Itoa(i)+":", t.tool(i))
		}
	}
	return string(s)
}

// fixed appends v with two decimals, never as -0.00.
func fixed(s []byte, v float64) []byte {
	if v > -0.005 && v < 0 {
		v = 0
	}
	return strconv.AppendFloat(s, v, 'f', 2, 64)
}
