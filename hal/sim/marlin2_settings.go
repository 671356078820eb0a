package sim

import (
	"hash/crc32"
	"strconv"
	"time"
)

// commandSetting runs the commands that change or report settings.
func (m *marlin2) commandSetting(c *command) bool {
	switch c.num {
	case 92, 201, 203, 204, 205:
		m.setLimit(c)
	case 206:
		m.homeOffset(c)
	case 211:
		m.softEndstops(c)
	case 220:
		if v, ok := c.value('S'); ok {
			m.pose.percent = max(10, min(v, 999))
		} else {
			m.print("FR:" + strconv.Itoa(int(m.pose.percent)) + "%\n")
		}
	case 221:
		if v, ok := c.value('S'); ok {
			m.plan.flow = max(10, min(v, 999)) / 100
		} else {
			m.print("echo:E0 Flow: " + strconv.Itoa(int(m.plan.flow*100+0.5)) + "%\n")
		}
	case 301:
		m.setPID(c)
	case 303:
		m.tune(c)
	case 500, 501, 502, 503:
		m.settings(c.num)
	default:
		return false
	}
	return true
}

func (m *marlin2) setLimit(c *command) {
	lim := &m.plan.lim
	each := func(dst *[axes]float64) {
		for i, w := range []byte("XYZE") {
			if v, ok := c.value(w); ok && v > 0 {
				dst[i] = v
			}
		}
	}
	one := func(w byte, dst *float64) {
		if v, ok := c.value(w); ok && v > 0 {
			*dst = v
		}
	}
	switch c.num {
	case 92:
		each(&lim.stepsPerMM)
	case 201:
		each(&lim.maxAccel)
	case 203:
		each(&lim.maxFeed)
	case 204:
		one('S', &lim.accel)
		one('S', &lim.travel)
		one('P', &lim.accel)
		one('R', &lim.retract)
		one('T', &lim.travel)
	case 205:
		if v, ok := c.value('J'); ok && v >= 0.01 && v <= 0.3 {
			lim.deviation = v
		}
	}
	lim.sane()
}

// homeOffset is M206: it shifts what coordinates mean.
func (m *marlin2) homeOffset(c *command) {
	p := &m.pose
	set := false
	for i, w := range []byte("XYZ") {
		if v, ok := c.value(w); ok {
			p.shift[i] += m.offset[i] - v
			m.offset[i], set = v, true
		}
	}
	if !set {
		m.print("echo:; Home offset:\necho:  M206" + perAxis3(m.offset))
	}
}

func perAxis3(v [3]float64) string {
	return " X" + two(v[0]) + " Y" + two(v[1]) + " Z" + two(v[2]) + "\n"
}

func (m *marlin2) setPID(c *command) {
	h := m.therm.tool(m.active)
	set := false
	for _, g := range []struct {
		w   byte
		dst *float64
	}{{'P', &h.kp}, {'I', &h.ki}, {'D', &h.kd}} {
		if v, ok := c.value(g.w); ok {
			*g.dst, set = max(0, v), true
		}
	}
	if !set {
		m.print(pidSettings(h))
	}
}

func pidSettings(h *heater) string {
	return "echo:; Hotend PID:\necho:  M301 P" + two(h.kp) + " I" + two(h.ki) + " D" + two(h.kd) + "\n"
}

// settings is M500 to M503.
func (m *marlin2) settings(num int) {
	switch num {
	case 500:
		saved := m.plan.lim
		m.eeprom = &saved
		m.spend(50 * time.Millisecond) // EEPROM is slow
		m.print("echo:Settings Stored (" + m.stored() + ")\n")
	case 501:
		m.retrieve()
	case 502:
		m.plan.lim = defaultLimits()
		m.print("echo:Hardcoded Default Settings Loaded\n")
	case 503:
		m.reportSettings()
	}
}

// stored is the size of what is in EEPROM, and a checksum of it.
func (m *marlin2) stored() string {
	lim := m.eeprom
	sum := crc32.ChecksumIEEE([]byte(perAxis(lim.stepsPerMM) + perAxis(lim.maxFeed) + perAxis(lim.maxAccel) +
		two(lim.accel) + two(lim.retract) + two(lim.travel)))
	return "659 bytes; crc " + strconv.Itoa(int(uint16(sum)))
}

// retrieve loads the settings, as M501 and a restart do.
func (m *marlin2) retrieve() {
	if m.eeprom != nil {
		m.plan.lim = *m.eeprom
		m.print("echo:V86 stored settings retrieved (" + m.stored() + ")\n")
		return
	}
	m.print("echo:EEPROM version mismatch (EEPROM=? Marlin=V86)\n")
	if m.cfg.HostActions {
		m.print("//action:notification EEPROM Version Error\n" +
			"//action:notification EEPROM Version Error\n" +
			"//action:notification Hardcoded Default Settings Loaded\n")
	}
	m.print("echo:Hardcoded Default Settings Loaded\n")
}
