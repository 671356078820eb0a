package sim

import (
	"math"
	"time"
)

// mk3Homing is HOMING_FEEDRATE; X and Y feel the end of their axis by the load of
// the motor.
var mk3Homing = homing{
	feed: [3]float64{50, 50, 13}, bump: [3]float64{10, 10, 2}, slow: [3]float64{50, 50, 4},
}

// home is G28. Z is felt by the probe, above a point of the bed. Without axes and
// without W it measures the bed as well.
func (m *mk3) home(l *oldLine) {
	m.synchronize()
	all := !l.seen('X') && !l.seen('Y') && !l.seen('Z')
	p := &m.pose
	m.print("tmc2130_home_enter(axes_mask=0x04)\n") // Z is raised first
	m.pause(1050 * time.Millisecond)
	m.print("tmc2130_home_exit tmc2130_sg_homing_axes_mask=0x04\n")
	for i, w := range []byte("XYZ") {
		if !m.waits() || !all && !l.seen(w) {
			continue
		}
		mask := []string{"0x01", "0x02", ""}[i]
		if mask != "" {
			m.print("tmc2130_home_enter(axes_mask=" + mask + ")\n")
		}
		m.pause(mk3Homing.time(i, math.Abs(p.at[i]+p.offset[i]), m.plan.lim.maxAccel[i]))
		if !m.waits() {
			return
		}
		if mask != "" {
			m.print("  0 step= 0 mscnt=   0\ntmc2130_home_exit tmc2130_sg_homing_axes_mask=" + mask + "\n")
		}
		p.at[i], p.offset[i], p.homed[i] = [3]float64{0, 0, mk3BedZ}[i], 0, true
		m.stats.Homes++
		if i == axZ { // above the point where the probe feels the bed
			p.at[axX], p.at[axY] = 12, 6
		}
		m.plan.setPosition(p.at, p.e)
	}
	clear(m.layers)
	if all && !l.seen('W') && m.waits() {
		m.level()
	}
}

// level is G80: it feels the bed at nine points.
func (m *mk3) level() {
	if m.pose.homed != [3]bool{true, true, true} {
		m.home(&oldLine{text: "G28 W"})
	}
	m.ownWay = true
	defer func() { m.ownWay = false }()
	const points = 3
	for i := range points * points {
		if !m.waits() {
			return
		}
		at := [3]float64{24 + 90*float64(i%points), 6 + 96*float64(i/points), 5}
		m.drive(at, m.pose.e, 60, -1)
		at[axZ] = mk3BedZ
		m.drive(at, m.pose.e, 10, -1)
		m.synchronize()
	}
	up := m.pose.at
	up[axZ] = 5
	m.drive(up, m.pose.e, 10, -1)
	m.synchronize()
}
