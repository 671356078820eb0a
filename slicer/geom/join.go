package geom

import (
	"math"

	"platen/hal/unit"
)

// moveRing appends the moved ring, which may cross itself, to raw. It reports
// whether all of it is within ±unit.MaxCoordinate.
func (k *Kernel) moveRing(ring []Point, delta float64, join Join) bool {
	start := len(k.raw.Pts)
	in := k.sides[len(k.sides)-1]
	for i, p := range ring {
		out := k.sides[i]
		if in.length == 0 || out.length == 0 { // a repeated point
			if out.length != 0 {
				in = out
			}
			continue
		}
		turn := in.normal.cross(out.normal) * delta
		switch {
		case turn > 0 || turn == 0 && in.normal.dot(out.normal) < 0:
			k.joinOuter(p, in.normal, out.normal, delta, join)
		case trimmed(in, out, math.Abs(delta)):
			k.put(p, mitre(in.normal, out.normal, delta))
		default:
			k.put(p, in.normal.times(delta))
			k.put(p, vector{})
			k.put(p, out.normal.times(delta))
		}
		in = out
	}
	if !withinPlane(k.raw.Pts[start:]) {
		return false
	}
	k.raw.Ends = append(k.raw.Ends, int32(len(k.raw.Pts)))
	return true
}

// put appends the point at a displacement from p. The displacement is rounded, not
// the sum, so that both ends of an edge move alike and the quadrilateral between
// an edge and its moved self is a true parallelogram.
func (k *Kernel) put(p Point, d vector) {
	k.raw.Pts = append(k.raw.Pts, Point{p.X + nearest(d.x), p.Y + nearest(d.y)})
}

// nearest rounds to the nearest unit and saturates far outside the plane, but
// where adding a coordinate cannot overflow.
func nearest(v float64) unit.Length {
	const limit = float64(8 * unit.MaxCoordinate)
	return unit.Length(math.Floor(max(-limit, min(limit, v)) + 0.5))
}

// mitre is the displacement of a corner to where the moved sides meet.
func mitre(n1, n2 vector, delta float64) vector {
	return n1.plus(n2).times(delta / (1 + n1.dot(n2)))
}

// trimmed reports whether an inner corner can be mitred at once, which it can if
// the mitre takes off no more than half of either side: the quadrilaterals then
// become trapezoids that meet in the bisector of the corner, and none is turned
// inside out. Nothing is lost either. What a trapezoid lacks of its quadrilateral
// is nearer to the other side of the corner, and that side is long enough for it:
// so no place there has its nearest point on this side.
func trimmed(in, out side, d float64) bool {
	sin, cos := math.Abs(in.normal.cross(out.normal)), in.normal.dot(out.normal)
	if 1+cos < 1e-3 {
		return false
	}
	reach := 2 * d * sin / (1 + cos) // twice d·tan(θ/2)
	return reach <= in.length-4 && reach <= out.length-4
}

// joinOuter closes the gap at an outer corner. A corner so flat that the mitre is
// within the tolerance of the arc gets one point, whatever the join: so a smooth
// contour keeps its number of points.
func (k *Kernel) joinOuter(p Point, n1, n2 vector, delta float64, join Join) {
	d := math.Abs(delta)
	half := math.Sqrt(max(0, (1+n1.dot(n2))/2)) // cos(θ/2)
	if d*(1-half) <= float64(roundTolerance)*half || join == JoinMiter && half*miterLimit >= 1 {
		k.put(p, mitre(n1, n2, delta))
		return
	}
	if join == JoinMiter {
		m := between(n1, n2, delta)
		k.put(p, mitre(n1, m, delta))
		k.put(p, mitre(m, n2, delta))
		return
	}
	k.put(p, n1.times(delta))
	k.arc(p, n1, n2, delta, 12)
	k.put(p, n2.times(delta))
}

// arc appends the points between the displacements n1 and n2, by halving the angle
// until the chord is near enough to the arc.
func (k *Kernel) arc(p Point, n1, n2 vector, delta float64, depth int) {
	half := math.Sqrt(max(0, (1+n1.dot(n2))/2))
	if depth == 0 || math.Abs(delta)*(1-half) <= float64(roundTolerance) {
		return
	}
	m := between(n1, n2, delta)
	k.arc(p, n1, m, delta, depth-1)
	k.put(p, m.times(delta))
	k.arc(p, m, n2, delta, depth-1)
}

// between is the direction halfway from n1 to n2 around an outer corner: to the
// left when growing, to the right when shrinking.
func between(n1, n2 vector, delta float64) vector {
	m := n1.plus(n2)
	if l := m.length(); l > 1e-6 {
		return m.times(1 / l)
	}
	if delta > 0 {
		return vector{-n1.y, n1.x}
	}
	return vector{n1.y, -n1.x}
}

// dropSlivers removes what rounding leaves where sides of the original move onto
// each other: bodies (sign 1, after shrinking) or holes (sign -1, after growing)
// thinner than about four units, 60 nm. It reports whether there were any.
func (r *Region) dropSlivers(sign int64) bool {
	pts, ends := r.Pts[:0], r.Ends[:0]
	start := int32(0)
	for _, end := range r.Ends {
		ring := r.Pts[start:end]
		start = end
		lo, hi := bounds(ring)
		if a := sign * Area2(ring); a > 0 && a <= 8*(int64(hi.X-lo.X)+int64(hi.Y-lo.Y)) {
			continue
		}
		pts = append(pts, ring...)
		ends = append(ends, int32(len(pts)))
	}
	dropped := len(ends) < len(r.Ends)
	r.Pts, r.Ends = pts, ends
	return dropped
}
