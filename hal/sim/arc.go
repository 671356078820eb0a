package sim

import "math"

const (
	arcSegment   = 1.0 // mm, MM_PER_ARC_SEGMENT
	minArcPieces = 1
)

// arc is G2 and G3 in the plane of the bed: straight pieces of a millimetre, as
// Marlin/src/gcode/motion/G2_G3.cpp drives it.
func (m *marlin2) arc(c *command) {
	to, e, feed := m.destination(c)
	start := m.pose.at
	dx, dy, ok := center(c, start, to)
	if !ok {
		m.print("Error:G2/G3 bad parameters\n")
		return
	}
	cx, cy := start[axX]+dx, start[axY]+dy
	radius := math.Hypot(dx, dy)
	from := math.Atan2(-dy, -dx)
	turn := math.Atan2(to[axY]-cy, to[axX]-cx) - from
	if c.num == 2 && turn >= 0 {
		turn -= 2 * math.Pi
	}
	if c.num == 3 && turn <= 0 {
		turn += 2 * math.Pi
	}
	pieces := max(minArcPieces, int(radius*math.Abs(turn)/arcSegment))
	e0 := m.pose.e
	for i := 1; i < pieces && m.up(); i++ {
		share := float64(i) / float64(pieces)
		at := from + turn*share
		p := [3]float64{cx + radius*math.Cos(at), cy + radius*math.Sin(at), start[axZ] + (to[axZ]-start[axZ])*share}
		m.clamp(&p)
		m.extrude(p, e0+(e-e0)*share, feed)
	}
	if m.up() {
		m.clamp(&to)
		m.extrude(to, e, feed)
	}
}

// center finds the middle of an arc, relative to its start, from I and J or R.
func center(c *command, from, to [3]float64) (dx, dy float64, ok bool) {
	if r, seen := c.value('R'); seen {
		mx, my := (to[axX]-from[axX])/2, (to[axY]-from[axY])/2
		half := math.Hypot(mx, my)
		if r == 0 || half == 0 || math.Abs(r) < half {
			return 0, 0, false
		}
		h := math.Sqrt(r*r - half*half)
		if (c.num == 2) != (r < 0) {
			h = -h
		}
		return mx - my/half*h, my + mx/half*h, true
	}
	dx, okX := c.value('I')
	dy, okY := c.value('J')
	return dx, dy, (okX || okY) && (dx != 0 || dy != 0)
}
