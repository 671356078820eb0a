package sim

import (
	"math"
	"strconv"
)

// Bed levelling of a build with AUTO_BED_LEVELING_BILINEAR and a probe.
const (
	gridPoints = 3    // GRID_MAX_POINTS_X and Y
	probeEdge  = 10.0 // mm, PROBING_MARGIN
	probeLift  = 5.0  // mm, Z_CLEARANCE_BETWEEN_PROBES
	probeFeed  = 133.0
	probeDown  = 4.0 // mm/s
)

// levelling is what G29 has found.
type levelling struct {
	grid   [gridPoints][gridPoints]float64
	valid  bool
	active bool
}

// commandLevel runs the commands of a probe; without one they are unknown.
func (m *marlin2) commandLevel(c *command) bool {
	if !m.cfg.Leveling {
		return false
	}
	switch {
	case c.letter == 'G' && c.num == 29:
		m.level()
	case c.letter == 'M' && c.num == 420:
		m.setLeveling(c)
	case c.letter == 'M' && (c.num == 401 || c.num == 402): // deploy and stow
		m.synchronize()
	case c.letter == 'M' && c.num == 851:
		m.print("echo:; Z-Probe Offset:\necho:  M851 X10.00 Y10.00 Z0.00 ; (mm)\n")
	default:
		return false
	}
	return true
}

// level is G29: it touches the bed at nine points. The bed of this printer is a
// little warped, the same way each time.
func (m *marlin2) level() {
	if m.pose.homed != [3]bool{true, true, true} {
		m.print("echo:Home XYZ First\n")
		return
	}
	m.synchronize()
	m.bed.active = false
	m.ownWay = true
	defer func() { m.ownWay = false }()
	for y := range gridPoints {
		for x := range gridPoints {
			if !m.up() {
				return
			}
			to := [3]float64{m.gridAt(axX, x), m.gridAt(axY, y), probeLift}
			m.drive(to, m.pose.e, probeFeed, -1)
			to[axZ] = warp(float64(x)/(gridPoints-1), float64(y)/(gridPoints-1))
			m.drive(to, m.pose.e, probeDown, -1)
			m.synchronize()
			m.bed.grid[y][x] = to[axZ]
		}
	}
	up := m.pose.at
	up[axZ] = probeLift
	m.drive(up, m.pose.e, probeDown, -1)
	m.synchronize()
	m.bed.valid, m.bed.active = true, true
	m.print(m.bed.report())
	m.reportPosition()
}

func (m *marlin2) gridAt(axis, i int) float64 {
	return probeEdge + (m.cfg.Volume[axis].MM()-2*probeEdge)*float64(i)/(gridPoints-1)
}

// warp is how far the bed lies above its plane, in mm; x and y are shares of it.
func warp(x, y float64) float64 { return 0.08 * (math.Sin(2*x+1) - math.Cos(3*y)) }

func (l *levelling) report() string {
	s := "Bilinear Leveling Grid:\n      0      1      2\n"
	for y := range gridPoints {
		s += " " + strconv.Itoa(y)
		for x := range gridPoints {
			v := strconv.FormatFloat(l.grid[y][x], 'f', 3, 64)
			if l.grid[y][x] >= 0 {
				v = "+" + v
			}
			s += " " + v
		}
		s += "\n"
	}
	return s + "\n"
}

// setLeveling is M420.
func (m *marlin2) setLeveling(c *command) {
	if v, ok := c.value('S'); ok {
		m.bed.active = v != 0 && m.bed.valid
		if v != 0 && !m.bed.valid {
			m.print("Error:Failed to enable Bed Leveling\n")
		}
	}
	if c.seen('V') && m.bed.valid {
		m.print(m.bed.report())
	}
	state := "OFF"
	if m.bed.active {
		state = "ON"
	}
	m.print("echo:Bed Leveling " + state + "\necho:Fade Height OFF\n")
}
