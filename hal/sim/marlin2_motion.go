package sim

import (
	"strconv"

	"platen/hal/unit"
)

// marlin2Homing is HOMING_FEEDRATE_MM_M, HOMING_BUMP_MM and HOMING_BUMP_DIVISOR.
var marlin2Homing = homing{
	feed: [3]float64{50, 50, 4}, bump: [3]float64{5, 5, 2}, slow: [3]float64{25, 25, 1},
}

// linear is G0 and G1.
func (m *marlin2) linear(c *command) {
	to, e, feed := m.destination(c)
	m.clamp(&to)
	m.extrude(to, e, feed)
}

// extrude drives a move; filament is held back where the firmware does that.
func (m *marlin2) extrude(to [3]float64, e, feed float64) {
	p := &m.pose
	if e != p.e {
		switch {
		case !m.therm.cold && m.therm.tool(m.active).reading() < m.therm.minExt:
			m.plan.setE(e)
			m.stats.Cold++
			m.print("echo: cold extrusion prevented\n")
		case e-p.e > extrudeLong || p.e-e > extrudeLong:
			m.plan.setE(e)
			m.print("echo: too long extrusion prevented\n")
		}
	}
	m.drive(to, e, feed, lineNumber(m.queue.cmds[m.queue.head]))
}

// destination reads where a move goes, and at what feed in mm/s.
func (m *marlin2) destination(c *command) (to [3]float64, e, feed float64) {
	p := &m.pose
	to, e = p.at, p.e
	for i, w := range []byte("XYZ") {
		if v, ok := c.value(w); ok {
			to[i] = v + p.shift[i]
			if p.relative {
				to[i] = v + p.at[i]
			}
		}
	}
	if v, ok := c.value('E'); ok {
		e = v
		if p.relE {
			e += p.e
		}
	}
	if f, ok := c.value('F'); ok && f > 0 {
		p.feed = f / 60
	}
	return to, e, p.feed * p.percent / 100
}

// clamp keeps a target within the software end stops of the axes that were homed.
func (m *marlin2) clamp(to *[3]float64) {
	clamped := false
	for i := range to {
		reach := m.cfg.Volume[i].MM()
		if m.pose.soft && m.pose.homed[i] && (to[i] < 0 || to[i] > reach) {
			to[i] = max(0, min(to[i], reach))
			clamped = true
		}
	}
	if clamped {
		m.stats.Clamped++
	}
}

// home is G28: for each axis fast to the end stop, back a little, and slowly again.
func (m *marlin2) home(c *command) {
	m.synchronize()
	all := !c.seen('X') && !c.seen('Y') && !c.seen('Z')
	p := &m.pose
	for i, w := range []byte("XYZ") {
		if !all && !c.seen(w) {
			continue
		}
		m.pause(marlin2Homing.time(i, p.at[i]+p.offset[i], m.plan.lim.maxAccel[i]))
		if !m.up() {
			return
		}
		p.at[i], p.shift[i], p.offset[i], p.homed[i] = 0, -m.offset[i], 0, true
		m.plan.setPosition(p.at, p.e)
		m.stats.Homes++
	}
	clear(m.layers)
	m.reportPosition()
}

// setPosition is G92. It moves the origin; for the filament, the position itself.
func (m *marlin2) setPosition(c *command) {
	p := &m.pose
	for i, w := range []byte("XYZ") {
		if v, ok := c.value(w); ok {
			p.shift[i] = p.at[i] - v
		}
	}
	if v, ok := c.value('E'); ok {
		p.e = v
		m.plan.setE(v)
	}
	m.reportPosition()
}

// reportPosition is the report of M114.
func (m *marlin2) reportPosition() {
	p := &m.pose
	s := make([]byte, 0, 80)
	for i, name := range []string{"X:", " Y:", " Z:"} {
		s = fixed(append(s, name...), p.at[i]-p.shift[i])
	}
	s = fixed(append(s, " E:"...), p.e)
	at := m.plan.stepsAt(m.now)
	for i, name := range []string{" Count X:", " Y:", " Z:"} {
		s = strconv.AppendInt(append(s, name...), at[i], 10)
	}
	m.print(string(append(s, '\n')))
}

// endstops is M119: an axis stands at its end stop when it is homed and at zero.
func (m *marlin2) endstops() {
	m.print("Reporting endstop status\n")
	for i, name := range []string{"x_min: ", "y_min: ", "z_min: "} {
		state := "open\n"
		if m.pose.at[i]+m.pose.offset[i] <= 0 {
			state = "TRIGGERED\n"
		}
		m.print(name + state)
	}
}

// setFan is M106.
func (m *marlin2) setFan(c *command) {
	if v, ok := c.value('P'); ok && v != 0 {
		return // there is one fan
	}
	duty := 255.0
	if v, ok := c.value('S'); ok {
		duty = max(0, min(v, 255))
	}
	if m.cfg.HostActions && unit.Duty(duty) != m.therm.fan { // REPORT_FAN_CHANGE
		m.print("M106 P0 S" + strconv.Itoa(int(duty)) + "\n")
	}
	m.setDuty(duty)
}

func lineNumber(cmd string) int64 {
	if len(cmd) > 1 && cmd[0] == 'N' {
		return leadingInt(cmd[1:])
	}
	return -1
}
