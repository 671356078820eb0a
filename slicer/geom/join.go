package geom

import (
	"math"

	"platen/hal/unit"
)

// moveRing appends the moved ring, which may cross itself, to raw. It reports
// whether all of it is within ±unit.MaxCoordinate.
func (k *Kernel) moveRing(delta float64, join Join) bool {
	start := len(k.raw.Pts)
	first := int32(0)
	for k.sides[first].corner == cornerGone {
		first++
	}
	for i := first; ; {
		out := &k.sides[i]
		in := &k.sides[out.prev]
		switch out.corner {
		case cornerOuter:
			k.joinOuter(out.p, in.normal, out.normal, delta, join)
		case cornerInner:
			k.put(out.p, mitre(in.normal, out.normal, delta))
		case cornerFar:
			k.put(out.p, out.normal.times(delta).plus(out.direction().times(out.from)))
		default:
			k.put(out.p, in.normal.times(delta))
			k.put(out.p, vector{})
			k.put(out.p, out.normal.times(delta))
		}
		if i = out.next; i == first {
			break
		}
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

// onePoint reports whether an outer corner stays a corner. One so flat that the mitre
// is within the tolerance of the arc does, whatever the join: so a smooth contour
// keeps its number of points.
func onePoint(n1, n2 vector, delta float64, join Join) bool {
	half := math.Sqrt(max(0, (1+n1.dot(n2))/2)) // cos(θ/2)
	return math.Abs(delta)*(1-half) <= float64(roundTolerance)*half || join == JoinMiter && half*miterLimit >= 1 || join == JoinBlunt && half >= bluntHalf
}

// outerReach is how far the sides at an outer corner are longer once they have moved.
func outerReach(n1, n2 vector, delta float64, join Join) float64 {
	if !onePoint(n1, n2, delta, join) {
		return 0
	}
	return math.Abs(delta) * math.Abs(n1.cross(n2)) / (1 + n1.dot(n2))
}

// joinOuter closes the gap at an outer corner.
func (k *Kernel) joinOuter(p Point, n1, n2 vector, delta float64, join Join) {
	if onePoint(n1, n2, delta, join) {
		k.put(p, mitre(n1, n2, delta))
		return
	}
	switch m := between(n1, n2, delta); join {
	case JoinMiter:
		k.put(p, mitre(n1, m, delta))
		k.put(p, mitre(m, n2, delta))
	case JoinBlunt:
		k.joinOuter(p, n1, m, delta, join)
		k.joinOuter(p, m, n2, delta, join)
	default:
		k.put(p, n1.times(delta))
		k.arc(p, n1, n2, delta, 12)
		k.put(p, n2.times(delta))
	}
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
