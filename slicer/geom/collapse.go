package geom

import "math"

// corner8 is what becomes of a corner when its sides move.
type corner8 uint8

const (
	cornerOuter corner8 = iota // a gap opens, which a join closes
	cornerInner                // the sides are cut off where they meet
	cornerFar                  // the same for sides that come to be neighbours
	cornerSharp                // the sides stay whole, and cross
	cornerGone                 // of a side of which nothing is left
)

// least is the length below which a side counts as gone: what roundings amount to.
const least = 4

// direction is that of the side, length 1.
func (s *side) direction() vector { return vector{-s.normal.y, s.normal.x} }

// turnCorners says what becomes of each corner by itself, and what is left of the
// sides.
func (k *Kernel) turnCorners(delta float64) {
	n := int32(len(k.sides))
	for i := range k.sides {
		s := &k.sides[i]
		s.from, s.to = 0, s.length
		s.prev, s.next = int32(i)-1, int32(i)+1
	}
	k.sides[0].prev, k.sides[n-1].next = n-1, 0
	k.outers = 0
	for i := range k.sides {
		out := &k.sides[i]
		in := &k.sides[out.prev]
		sin, cos := in.normal.cross(out.normal), in.normal.dot(out.normal)
		switch turn := sin * delta; {
		case turn > 0 || turn == 0 && cos < 0:
			out.corner = cornerOuter
			k.outers++
		case 1+cos < 1e-3:
			out.corner = cornerSharp
			k.outers++
		default:
			out.corner = cornerInner
			trim := math.Abs(delta) * math.Abs(sin) / (1 + cos) // d·tan(θ/2)
			in.to -= trim
			out.from = trim
		}
	}
}

// collapse takes out the sides of which nothing is left, and reports whether
// anything is left of the ring.
//
// Where sides are cut off at inner corners, the quadrilaterals between them and
// their moved selves become trapezoids that meet in the bisectors of the corners, as
// long as something is left of each side: none is turned inside out, and nothing is
// lost, for what a trapezoid lacks of its quadrilateral is nearer to the other side
// of the corner. Of a side between two inner corners of which nothing is left, all
// places that it reaches are nearer to the sides around it: it goes, and they are
// neighbours. So it is if one of its corners is an outer one, when the sides around it
// meet before the join there ends. Where they do not, the two sides at an inner corner
// stay whole, and cross: that is exact as well, but leaves more to the kernel.
func (k *Kernel) collapse(delta float64, join Join) bool {
	left := len(k.sides)
	k.stack = k.stack[:0]
	for i := range k.sides {
		k.stack = append(k.stack, int32(i))
	}
	for len(k.stack) > 0 {
		i := k.stack[len(k.stack)-1]
		k.stack = k.stack[:len(k.stack)-1]
		s := &k.sides[i]
		if s.corner == cornerGone || s.to-s.from >= least {
			continue
		}
		prev, next := &k.sides[s.prev], &k.sides[s.next]
		turn := -delta * prev.normal.cross(next.normal)
		if (left <= 3 || turn < 0) && k.outers == 0 {
			return false // a convex ring that is too narrow somewhere is so everywhere
		}
		if left > 3 && turn > 1e-3*math.Abs(delta) && k.joinFar(s.prev, i, s.next, delta, join) {
			s.corner = cornerGone
			prev.next, next.prev = s.next, s.prev
			k.stack = append(k.stack, s.prev, s.next)
			left--
		}
	}
	for i := range k.sides {
		if s := &k.sides[i]; s.corner != cornerGone && s.to-s.from < least && !(k.sharpen(int32(i)) && k.sharpen(s.next)) {
			k.restore(delta)
			break
		}
	}
	return true
}

// joinFar makes side h end where it meets side j, and j begin there, in the place of
// side i. It reports false if they do not meet on what is left of them, and of the
// joins at their ends.
func (k *Kernel) joinFar(h, i, j int32, delta float64, join Join) bool {
	a, s, b := &k.sides[h], &k.sides[i], &k.sides[j]
	end := k.sides[b.next].corner
	if s.corner == cornerSharp || b.corner == cornerSharp || !meets(s.corner) && !meets(b.corner) {
		return false
	}
	most, first := a.to+least, b.from-least
	if s.corner == cornerOuter {
		most += outerReach(a.normal, s.normal, delta, join)
		first = 0
	}
	if b.corner == cornerOuter {
		most = a.length
		first -= outerReach(s.normal, b.normal, delta, join)
	}
	// Beyond an outer corner a side has nothing more to take away from others.
	if meets(s.corner) && !meets(a.corner) && a.to < 0 || meets(b.corner) && !meets(end) && b.from > b.length {
		return false
	}
	// A point at t along a has moved to a.p + a.normal·delta + a.direction·t; it is on b
	// if (that - b.p)·b.normal is delta.
	apart := vector{float64(a.p.X) - float64(b.p.X), float64(a.p.Y) - float64(b.p.Y)}
	at := apart.plus(a.normal.times(delta))
	t := (delta - at.dot(b.normal)) / a.direction().dot(b.normal)
	u := at.plus(a.direction().times(t)).dot(b.direction())
	if t > most || u < first || t < 0 && !meets(a.corner) || u > b.length && !meets(end) {
		return false
	}
	a.to, b.from, b.corner = t, u, cornerFar
	return true
}

// meets reports whether the sides at a corner are cut off there.
func meets(c corner8) bool { return c == cornerInner || c == cornerFar }

// sharpen leaves the sides at the start of side i whole, and reports false if there
// was a side between them.
func (k *Kernel) sharpen(i int32) bool {
	s := &k.sides[i]
	switch s.corner {
	case cornerFar:
		return false
	case cornerInner:
		s.corner, s.from = cornerSharp, 0
		k.outers++
		k.sides[s.prev].to = k.sides[s.prev].length
	}
	return true
}

// restore brings back all sides, and cuts those off only that keep the half of
// themselves on either side.
func (k *Kernel) restore(delta float64) {
	k.turnCorners(delta)
	for i := range k.sides {
		out := &k.sides[i]
		in := &k.sides[out.prev]
		if trim := 2 * out.from; out.corner == cornerInner && (trim > out.length-least || trim > in.length-least) {
			k.sharpen(int32(i))
		}
	}
}
