package sim

import (
	"math"
	"strconv"
	"time"
)

// Waiting for heaters (Configuration.h).
const (
	marlin1Residency = 3 * time.Second // TEMP_RESIDENCY_TIME
	marlin1Window    = 2.0             // TEMP_WINDOW
	marlin1Hyst      = 3.0             // TEMP_HYSTERESIS
)

// commandHeat runs the commands about temperatures; acked is whether the ok was part
// of the answer.
func (m *marlin1) commandHeat(num int, l *oldLine) (acked bool) {
	t := m.active
	if num == 104 || num == 105 || num == 109 {
		if v, ok := l.value('T'); ok {
			if t = int(v); t < 0 || t >= m.therm.tools {
				m.print("echo:M" + strconv.Itoa(num) + " Invalid extruder " + string([]byte{byte(t)}) + "\n")
				return false
			}
		}
	}
	h, bed := m.therm.tool(t), m.therm.bed()
	s, set := l.value('S')
	switch num {
	case 104:
		if set {
			setTarget(h, s, m.now)
		}
	case 105:
		m.reply("ok" + m.temperatures(h) + "\n")
		return true
	case 109:
		if set {
			setTarget(h, s, m.now)
		}
		m.awaitHotend(t, h)
		m.started = m.now
	case 140, 190:
		if set {
			bed.set(s, m.now)
		}
		if num == 190 {
			m.awaitBed(bed)
		}
	case 301:
		for w, dst := range map[byte]*float64{'P': &h.kp, 'I': &h.ki, 'D': &h.kd} {
			if v, ok := l.value(w); ok {
				*dst = v
			}
		}
		m.reply("ok p:" + two(h.kp) + " i:" + two(h.ki) + " d:" + two(h.kd) + "\n")
	case 302:
		m.therm.minExt = s
	}
	return false
}

// setTarget sets a heater; look begins to watch it anew.
func setTarget(h *heater, t float64, now time.Duration) {
	h.set(t, now)
	h.watchAt = 0
}

// temperatures is the report of M105, with the space it begins with.
func (m *marlin1) temperatures(h *heater) string {
	b := m.therm.bed()
	return " T:" + tenth(h.reading()) + " /" + tenth(h.target) + " B:" + tenth(b.reading()) + " /" + tenth(b.target) +
		" @:" + strconv.Itoa(int(h.power)/2) + " B@:" + strconv.Itoa(int(b.power)/2)
}

func tenth(v float64) string {
	if v > -0.05 && v < 0 {
		v = 0
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// awaitHotend is the loop of M109: until the hot end has been near its target for
// three seconds, from below or from above.
func (m *marlin1) awaitHotend(tool int, h *heater) {
	up := h.target > h.reading()
	since, report := never, m.now+time.Second
	for m.up() && (since == never || m.now < since+marlin1Residency) {
		if m.now > report {
			left := "?"
			if since != never {
				left = strconv.Itoa(int((since + marlin1Residency - m.now) / time.Second))
			}
			m.print("T:" + tenth(h.reading()) + " E:" + strconv.Itoa(tool) + " W:" + left + "\n")
			report = m.now + time.Second
		}
		m.hold(report + 1)
		r := h.reading()
		switch {
		case since == never && (up && r >= h.target-marlin1Window || !up && r <= h.target+marlin1Window):
			since = m.now
		case since != never && math.Abs(r-h.target) > marlin1Hyst:
			since = m.now
		}
	}
}

// awaitBed is the loop of M190: it only waits while the bed is too cold.
func (m *marlin1) awaitBed(bed *heater) {
	report := m.now + time.Second
	for m.up() && bed.reading() < bed.target-marlin1Window {
		if m.now > report {
			m.print("T:" + two(m.therm.tool(m.active).reading()) + " E:" + strconv.Itoa(m.active) + " B:" + tenth(bed.reading()) + "\n")
			report = m.now + time.Second
		}
		m.hold(report + 1)
	}
}
