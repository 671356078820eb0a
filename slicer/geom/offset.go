package geom

import (
	"math"

	"platen/hal/unit"
)

// Join says how [Kernel.Offset] closes the gap that opens where a contour turns
// away from the side towards which it is moved.
type Join uint8

const (
	// JoinRound closes the gap with an arc of chords that stay within 3 µm of it.
	JoinRound Join = iota
	// JoinMiter extends the two sides until they meet, or, where that would be
	// farther than three times the offset from the corner, until they meet the line
	// across at the distance of the offset.
	JoinMiter
	// JoinBlunt is JoinMiter for slight turns; a sharper one becomes several of at most
	// 30°, so that the corners stay within a thirtieth of the offset of the arc.
	JoinBlunt
)

// bluntHalf is the cosine of half the turn that JoinBlunt leaves as it is.
const bluntHalf = 0.9659

// roundTolerance is how far the chords of a round join may be from the true arc.
const roundTolerance = 3 * unit.Millimetre / 1000

// miterLimit is how far a mitred corner may be from the original one, in offsets.
const miterLimit = 3

// Offset sets dst to src grown by delta (delta > 0) or shrunk by -delta. src is a
// region as [Kernel.Union] leaves it: simple rings that wind once. Thin parts that
// close or break vanish, holes move the other way. dst may be src. A result that
// would reach beyond ±[unit.MaxCoordinate] is [ErrOutside]; after an error dst is
// empty.
//
// The contour of the result is composed so that its winding number is that of src
// plus (growing) one for each quadrilateral between an edge and its moved self and
// one for each wedge between two of them, all of them counter-clockwise: so it is
// at least 1 exactly in their union, which is the grown region. Shrinking is the
// same for the complement. At inner corners the quadrilaterals are cut off where
// they meet (see collapse), so that most contours do not cross themselves.
func (k *Kernel) Offset(dst, src *Region, delta unit.Length, join Join) error {
	return k.offset(dst, src, delta, join, maxHalvings)
}

// maxHalvings is how often an offset that is too complex is split into two steps.
const maxHalvings = 4

func (k *Kernel) offset(dst, src *Region, delta unit.Length, join Join, halvings int) error {
	if delta == 0 {
		return k.Union(dst, src)
	}
	err := k.move(src, delta, join)
	if err == nil {
		err = k.combine(dst, &k.raw, nil, opUnion)
	}
	if err == ErrComplex && halvings > 0 {
		// Sides that are short against delta cross all others near them. Two steps of
		// half the size amount to the same and cross much less.
		if err = k.offset(dst, src, delta/2, join, halvings-1); err != nil {
			return err
		}
		return k.offset(dst, dst, delta-delta/2, join, halvings-1)
	}
	if err != nil {
		dst.Reset()
		return err
	}
	sign := int64(1)
	if delta > 0 {
		sign = -1
	}
	if dst.dropSlivers(sign) {
		return k.Union(dst, dst) // so that nothing is left of what was inside them
	}
	return nil
}

// move sets raw to the rings that wind around the moved region.
func (k *Kernel) move(src *Region, delta unit.Length, join Join) error {
	k.raw.Reset()
	if !withinPlane(src.Pts) {
		return ErrOutside
	}
	if delta < 0 && !outlasts(src, delta) {
		return nil
	}
	for i := range src.Ends {
		ring := src.Ring(i)
		if len(ring) < 3 || closes(ring, delta) {
			continue
		}
		if k.measure(ring); len(k.sides) < 3 {
			continue
		}
		k.turnCorners(float64(delta))
		if k.collapse(float64(delta), join) && !k.moveRing(float64(delta), join) {
			return ErrOutside
		}
	}
	return nil
}

// withinPlane reports whether all points are within ±unit.MaxCoordinate.
func withinPlane(pts []Point) bool {
	for _, p := range pts {
		if max(p.X, p.Y) > unit.MaxCoordinate || min(p.X, p.Y) < -unit.MaxCoordinate {
			return false
		}
	}
	return true
}

// closes reports whether a hole is so narrow that growing fills it, or a body so
// narrow that shrinking leaves nothing: every point inside is within |delta| of the
// ring then. Where the ring is left out, nothing else of the result changes.
func closes(ring []Point, delta unit.Length) bool {
	if (Area2(ring) > 0) == (delta > 0) {
		return false
	}
	lo, hi := bounds(ring)
	d := 2 * abs(int64(delta))
	return int64(hi.X)-int64(lo.X) <= d || int64(hi.Y)-int64(lo.Y) <= d
}

// outlasts reports whether any body of src is wide enough to be left after
// shrinking. If none is, there is no use in growing its holes.
func outlasts(src *Region, delta unit.Length) bool {
	for i := range src.Ends {
		if ring := src.Ring(i); Area2(ring) > 0 && !closes(ring, delta) {
			return true
		}
	}
	return false
}

func bounds(ring []Point) (lo, hi Point) {
	lo, hi = ring[0], ring[0]
	for _, p := range ring[1:] {
		lo.X, hi.X = min(lo.X, p.X), max(hi.X, p.X)
		lo.Y, hi.Y = min(lo.Y, p.Y), max(hi.Y, p.Y)
	}
	return lo, hi
}

// vector is a direction or displacement in units of [unit.Length].
type vector struct{ x, y float64 }

// dot is the scalar product, of unit vectors the cosine of the angle between them.
//
// Products are converted before they are added so that no processor may fuse the
// two operations: results are the same to the bit everywhere.
func (a vector) dot(b vector) float64 { return float64(a.x*b.x) + float64(a.y*b.y) }

func (a vector) cross(b vector) float64 { return float64(a.x*b.y) - float64(a.y*b.x) }
func (a vector) times(f float64) vector { return vector{float64(a.x * f), float64(a.y * f)} }
func (a vector) plus(b vector) vector   { return vector{a.x + b.x, a.y + b.y} }
func (a vector) length() float64        { return math.Sqrt(a.dot(a)) }

// side is an edge of the ring being moved.
type side struct {
	p          Point   // where it starts
	normal     vector  // to its right, length 1
	length     float64 // in units of unit.Length
	from, to   float64 // what of it is left once it has moved, as distances from p
	corner     corner8 // what becomes of the corner at p
	prev, next int32   // sides beside it
}

// measure fills sides for a ring, without repeated points.
func (k *Kernel) measure(ring []Point) {
	k.sides = k.sides[:0]
	for i, p := range ring {
		q := ring[0]
		if i+1 < len(ring) {
			q = ring[i+1]
		}
		if p == q {
			continue
		}
		d := vector{float64(q.X - p.X), float64(q.Y - p.Y)}
		l := d.length()
		k.sides = append(k.sides, side{p: p, normal: vector{d.y / l, -d.x / l}, length: l})
	}
}
