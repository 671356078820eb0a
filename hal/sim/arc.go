package sim

import "math"

const (
	arcSegment   = 1.0 // mm, MM_PER_ARC_SEGMENT
	minArcPieces = 1
)

// arcPath is an arc in the plane of the bed: straight pieces of a millimetre, as
// Marlin/src/gcode/motion/G2_G3.cpp drives it.
type arcPath struct {
	from, to  [3]float64
	e0, e     float64
	dx, dy    float64 // of the middle, from the start
	clockwise bool
}

// pieces calls drive for each piece in turn, until it returns false.
func (a *arcPath) pieces(drive func(to [3]float64, e float64) bool) {
	cx, cy := a.from[axX]+a.dx, a.from[axY]+a.dy
	radius := math.Hypot(a.dx, a.dy)
	from := math.Atan2(-a.dy, -a.dx)
	turn := math.Atan2(a.to[axY]-cy, a.to[axX]-cx) - from
	if a.clockwise && turn >= 0 {
		turn -= 2 * math.Pi
	}
	if !a.clockwise && turn <= 0 {
		turn += 2 * math.Pi
	}
	n := max(minArcPieces, int(radius*math.Abs(turn)/arcSegment))
	for i := 1; i < n; i++ {
		share := float64(i) / float64(n)
		at := from + turn*share
		p := [3]float64{cx + radius*math.Cos(at), cy + radius*math.Sin(at), a.from[axZ] + (a.to[axZ]-a.from[axZ])*share}
		if !drive(p, a.e0+(a.e-a.e0)*share) {
			return
		}
	}
	drive(a.to, a.e)
}

// arc is G2 and G3.
func (m *marlin2) arc(c *command) {
	to, e, feed := m.destination(c)
	dx, dy, ok := center(c, m.pose.at, to)
	if !ok {
		m.print("Error:G2/G3 bad parameters\n")
		return
	}
	a := arcPath{from: m.pose.at, to: to, e0: m.pose.e, e: e, dx: dx, dy: dy, clockwise: c.num == 2}
	a.pieces(func(to [3]float64, e float64) bool {
		m.clamp(&to)
		m.extrude(to, e, feed)
		return m.up()
	})
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
