package fill

import (
	"platen/hal/unit"
	"platen/slicer/geom"
)

// one is 1 in the fixed point of frames.
const one = 1 << 30

// sqrt2 is the square root of 2 in the fixed point of frames.
const sqrt2 = 1518500250

// frame turns machine coordinates into (u, v), u along the lines and v across
// them. The matrix is (c s; -s c). At odd multiples of 45° it consists of ones
// only, which makes (u, v) larger by √2 but exact; otherwise it is in fixed point
// and one stands for 1<<30.
type frame struct {
	c, s  int64
	scale int64 // length of the unit vector, in fixed point
	kind  kind
}

type kind uint8

const (
	square   kind = iota // c and s are -1, 0 or 1, exactly one of them 0
	diagonal             // c and s are -1 or 1
	oblique              // c and s in fixed point
)

const halfTurn = 180 * Degree

func newFrame(a Angle) frame {
	a = (a%halfTurn + halfTurn) % halfTurn
	switch a {
	case 0:
		return frame{1, 0, one, square}
	case 45 * Degree:
		return frame{1, 1, sqrt2, diagonal}
	case 90 * Degree:
		return frame{0, 1, one, square}
	case 135 * Degree:
		return frame{-1, 1, sqrt2, diagonal}
	}
	s, c := turnOf(a).sinCos()
	return frame{c, s, one, oblique}
}

// into returns p in the frame.
func (f *frame) into(p geom.Point) (u, v int32) {
	x, y := int64(p.X), int64(p.Y)
	a, b := x*f.c+y*f.s, y*f.c-x*f.s
	if f.kind == oblique {
		return int32((a + one/2) >> 30), int32((b + one/2) >> 30)
	}
	return int32(a), int32(b)
}

// back returns the point at (u, v) in machine coordinates, within the plane.
func (f *frame) back(u, v int32) geom.Point {
	a, b := int64(u)*f.c-int64(v)*f.s, int64(u)*f.s+int64(v)*f.c
	switch f.kind {
	case oblique:
		a, b = (a+one/2)>>30, (b+one/2)>>30
	case diagonal:
		a, b = (a+1)>>1, (b+1)>>1
	}
	return geom.Point{X: clamp(a), Y: clamp(b)}
}

func clamp(v int64) unit.Length {
	return unit.Length(max(-int64(unit.MaxCoordinate), min(int64(unit.MaxCoordinate), v)))
}

// raster is the set of scan lines, in a frame's v.
type raster struct {
	spacing, phase, scale int64
}

// at returns the position of scan line n: rounded from the origin, so that errors
// do not add up.
func (r *raster) at(n int32) int32 {
	return int32(((int64(n)*r.spacing+r.phase)*r.scale + one/2) >> 30)
}

// first returns the number of the first scan line at or above v.
func (r *raster) first(v int32) int32 {
	q := int64(v)<<30/r.scale - r.phase
	n := int32(q / r.spacing)
	for r.at(n) >= v {
		n--
	}
	for r.at(n) < v {
		n++
	}
	return n
}
