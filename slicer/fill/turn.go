package fill

import (
	"math"

	"platen/slicer/geom"
)

// turn is an angle in 2⁻³² of a full turn; it wraps around.
type turn uint32

const quarter turn = 1 << 30

// Sines and angles are found by CORDIC (J. Volder, "The CORDIC trigonometric
// computing technique", 1959): additions and shifts of integers only, so that they
// are the same to the bit on every processor, which sums of float products are not.

// arctans are the angles with tangents of 2⁻ⁱ, in 2⁻⁴⁸ turns.
var arctans = [...]int64{
	35184372088832, 20770547670515, 10974586953444, 5570871696862, 2796246208089, 1399486241028, 699913886760,
	349978300884, 174991820497, 87496244017, 43748163730, 21874087080, 10937044192, 5468522177, 2734261099,
	1367130551, 683565276, 341782638, 170891319, 85445659, 42722830, 21361415, 10680707, 5340354, 2670177,
	1335088, 667544, 333772, 166886, 83443, 41722, 20861, 10430, 5215, 2608, 1304, 652, 326, 163, 81,
}

// shrunk is what a unit vector begins as, in 2⁻⁴⁶: all the rotations together make it
// longer.
const shrunk = 42731626434776

// sinCos returns sine and cosine in the fixed point of frames, rounded.
func (t turn) sinCos() (s, c int64) {
	// Turn by what is left after whole quarters, within an eighth either way.
	quarters := (t + quarter/2) >> 30
	rest := int64(int32(t-quarters<<30)) << 16
	x, y := int64(shrunk), int64(0)
	for i, a := range arctans {
		dx, dy := y>>i, x>>i
		if rest < 0 {
			x, y, rest = x+dx, y-dy, rest+a
		} else {
			x, y, rest = x-dx, y+dy, rest-a
		}
	}
	const half = 1 << 15
	c, s = (x+half)>>16, (y+half)>>16
	switch quarters & 3 {
	case 1:
		return c, -s
	case 2:
		return -s, -c
	case 3:
		return -c, s
	}
	return s, c
}

// direction returns the angle of the vector (x, y), each within ±2⁴⁰; that of no
// vector is 0.
func direction(y, x int64) turn {
	if x == 0 && y == 0 {
		return 0
	}
	t := int64(0)
	x, y = x<<20, y<<20
	if x < 0 {
		x, y, t = -x, -y, 1<<47
	}
	for i, a := range arctans {
		dx, dy := y>>i, x>>i
		if y > 0 {
			x, y, t = x+dx, y-dy, t+a
		} else {
			x, y, t = x-dx, y+dy, t-a
		}
	}
	return turn((t + 1<<15) >> 16)
}

// root is the square root of n, below 2⁶², rounded down or up.
func root(n int64) int64 { return int64(math.Sqrt(float64(max(n, 0)))) }

// turnOf returns an angle as a part of a full turn.
func turnOf(a Angle) turn {
	const full = int64(360 * Degree)
	m := (int64(a)%full + full) % full
	return turn((m<<32 + full/2) / full)
}

// Direction returns the direction from a to b, from 0 up to a full turn; that from a
// point to itself is 0.
func Direction(a, b geom.Point) Angle {
	const full = int64(360 * Degree)
	t := direction(int64(b.Y)-int64(a.Y), int64(b.X)-int64(a.X))
	return Angle((int64(t)*full + 1<<31) >> 32 % full)
}
