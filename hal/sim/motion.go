package sim

import (
	"time"

	"platen/hal/unit"
)

// homing is how a firmware looks for its end stops, for each axis.
type homing struct {
	feed [3]float64 // mm/s
	bump [3]float64 // mm back for the second touch
	slow [3]float64 // mm/s of the second touch
}

// time is how long it takes to home an axis that stands away mm from its end stop:
// fast to it, back a little, and slowly again.
func (h *homing) time(axis int, away, accel float64) time.Duration {
	fast := trapezoid(max(0, away), 0, h.feed[axis], 0, accel)
	back := trapezoid(h.bump[axis], 0, h.feed[axis], 0, accel)
	slow := trapezoid(h.bump[axis], 0, h.slow[axis], 0, accel)
	return fast.duration() + back.duration() + slow.duration()
}

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

// drive queues a move once the planner has room for it.
func (m *mcu) drive(to [3]float64, e, feed float64, line int64) {
	p := &m.pose
	for i := range to {
		if to[i] != p.at[i] && !p.homed[i] {
			m.stats.Unhomed++
			break
		}
	}
	for m.plan.full() && m.up() {
		m.hold(never)
	}
	if !m.up() {
		return
	}
	if m.slips {
		p.offset[axX] -= max(0, to[axX]-p.at[axX]) / 1000
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
		m.hold(never)
	}
	m.plan.dry = false // it was meant to run empty
}

// pause waits for d.
func (m *mcu) pause(d time.Duration) {
	for end := m.now + d; m.now < end && m.up(); {
		m.hold(end)
	}
}

// quickStop is M410: it throws away what is queued and takes the place where the
// motors stopped for the present one. The planner takes a second to clean up.
func (m *mcu) quickStop() {
	m.abandon()
	m.pose.at, m.pose.e = m.plan.posMM, m.plan.posE
	m.spend(time.Second)
}

// clampAlways keeps a target within the reach of the axes, homed or not.
func (m *mcu) clampAlways(to *[3]float64) {
	clamped := false
	for i := range to {
		if reach := m.cfg.Volume[i].MM(); to[i] < 0 || to[i] > reach {
			to[i], clamped = max(0, min(to[i], reach)), true
		}
	}
	if clamped {
		m.stats.Clamped++
	}
}

// cost is how long the processor works on a command.
func (m *mcu) cost(move bool) time.Duration {
	if move {
		return m.cfg.LineTime
	}
	return m.cfg.LineTime / 6
}

// setDuty sets the fan.
func (m *mcu) setDuty(duty float64) { m.therm.fan = unit.Duty(max(0, min(duty, 255))) }
