package sim

import (
	"strconv"
	"time"

	"platen/hal/unit"
)

// Homing in Marlin's default configuration.
var (
	homeFeed = [3]float64{50, 50, 4} // mm/s, HOMING_FEEDRATE_MM_M
	homeBump = [3]float64{5, 5, 2}   // mm, HOMING_BUMP_MM
	bumpDiv  = [3]float64{2, 2, 4}   // HOMING_BUMP_DIVISOR
)

// pose is where the firmware believes the head to be, and how it reads
// coordinates.
type pose struct {
	at       [3]float64 // mm, machine coordinates, at the end of what is queued
	e        float64
	shift    [3]float64 // G92: what is called 0 stands here
	offset   [3]float64 // where the head really is when at is zero
	homed    [3]bool
	relative bool
	relE     bool
	feed     float64 // mm/s
	percent  float64 // M220
	soft     bool    // M211: software end stops
}

func (p *pose) restart() {
	for i := range p.at {
		p.offset[i] += p.at[i] // the head stays where it is, which is called 0 now
		p.at[i], p.shift[i], p.homed[i] = 0, 0, false
	}
	p.e, p.relative, p.relE = 0, false, false
	p.feed, p.percent, p.soft = 25, 100, true
}

// linear is G0 and G1.
func (m *mcu) linear(c *command) {
	to, e, feed := m.destination(c)
	m.clamp(&to)
	m.drive(to, e, feed, lineNumber(m.queue.cmds[m.queue.head]))
}

// destination reads where a move goes, and at what feed in mm/s.
func (m *mcu) destination(c *command) (to [3]float64, e, feed float64) {
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
func (m *mcu) clamp(to *[3]float64) {
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

// drive queues a move once the planner has room for it.
func (m *mcu) drive(to [3]float64, e, feed float64, line int64) {
	p := &m.pose
	if e != p.e {
		switch {
		case !m.therm.cold && m.therm.hotend.reading() < m.therm.minExt:
			m.plan.setE(e)
			m.stats.Cold++
			m.print("echo: cold extrusion prevented\n")
		case e-p.e > extrudeLong || p.e-e > extrudeLong:
			m.plan.setE(e)
			m.print("echo: too long extrusion prevented\n")
		}
	}
	for i := range to {
		if to[i] != p.at[i] && !p.homed[i] {
			m.stats.Unhomed++
			break
		}
	}
	for m.plan.full() && m.up() {
		m.idle(never)
	}
	if !m.up() {
		return
	}
	p.at, p.e = to, e
	if m.plan.add(m.now, to, e, feed, line) && m.plan.dry {
		m.plan.dry = false
		m.stats.Starved++
	}
}

// synchronize waits until every move has been driven.
func (m *mcu) synchronize() {
	for m.plan.active() && m.up() {
		m.idle(never)
	}
	m.plan.dry = false // it was meant to run empty
}

// pause waits for d.
func (m *mcu) pause(d time.Duration) {
	for end := m.now + d; m.now < end && m.up(); {
		m.idle(end)
	}
}

// quickStop is M410: it throws away what is queued and takes the place where the
// motors stopped for the present one. The planner takes a second to clean up.
func (m *mcu) quickStop() {
	m.abandon()
	m.pose.at, m.pose.e = m.plan.posMM, m.plan.posE
	m.spend(time.Second)
}

// home is G28: for each axis fast to the end stop, back a little, and slowly again.
func (m *mcu) home(c *command) {
	m.synchronize()
	all := !c.seen('X') && !c.seen('Y') && !c.seen('Z')
	p := &m.pose
	for i, w := range []byte("XYZ") {
		if !all && !c.seen(w) {
			continue
		}
		away := max(0, p.at[i]+p.offset[i])
		accel := m.plan.lim.maxAccel[i]
		fast := trapezoid(away, 0, homeFeed[i], 0, accel)
		back := trapezoid(homeBump[i], 0, homeFeed[i], 0, accel)
		slow := trapezoid(homeBump[i], 0, homeFeed[i]/bumpDiv[i], 0, accel)
		m.pause(fast.duration() + back.duration() + slow.duration())
		if !m.up() {
			return
		}
		p.at[i], p.shift[i], p.offset[i], p.homed[i] = 0, 0, 0, true
		m.plan.setPosition(p.at, p.e)
		m.stats.Homes++
	}
	clear(m.layers)
	m.reportPosition()
}

// setPosition is G92. It moves the origin; for the filament, the position itself.
func (m *mcu) setPosition(c *command) {
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
func (m *mcu) reportPosition() {
	p := &m.pose
	s := make([]byte, 0, 80)
	for i, name := range []string{"X:", " Y:", " Z:"} {
		s = fixed(append(s, name...), p.at[i]-p.shift[i])
	}
	s = fixed(append(s, " E:"...), p.e)
	for i, name := range []string{" Count X:", " Y:", " Z:"} {
		s = strconv.AppendInt(append(s, name...), m.plan.pos[i], 10)
	}
	m.print(string(append(s, '\n')))
}

// endstops is M119: an axis stands at its end stop when it is homed and at zero.
func (m *mcu) endstops() {
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
func (m *mcu) setFan(c *command) {
	if v, ok := c.value('P'); ok && v != 0 {
		return // there is one fan
	}
	duty := 255.0
	if v, ok := c.value('S'); ok {
		duty = max(0, min(v, 255))
	}
	m.therm.fan = unit.Duty(duty)
}

func lineNumber(cmd string) int64 {
	if len(cmd) > 1 && cmd[0] == 'N' {
		return leadingInt(cmd[1:])
	}
	return -1
}
