package wall

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// sharpest is the tangent of half the turn of a corner that a mitre still reaches: at
// three times the offset.
const sharpest = 2.83

// lost is the area of what is too narrow to come back when inner, which is outer
// moved inward by d, is moved outward again. Nothing is moved for that: what comes
// back is inner, a band along its rings, and what belongs to their corners. The
// corners of outer tell how much of the latter is sharp.
func lost(outer, inner *geom.Region, d unit.Length) float64 {
	if inner.Empty() {
		return math.Abs(float64(outer.Area2()) / 2)
	}
	before, after := measure(outer), measure(inner)
	dd := float64(d) * float64(d)
	band := float64(after.long*float64(d)) + float64(dd*(after.arcs+min(before.tips, after.tips)))
	return float64(outer.Area2()-inner.Area2())/2 - band
}

// form is what counts of the shape of a region.
type form struct {
	long float64 // of its rings
	arcs float64 // sum of half the turns of outer corners, less the tangents of inner ones
	tips float64 // by how much the tangents of the outer ones are more than their arcs
}

// measure rounds each product by itself, the same on every machine.
func measure(r *geom.Region) form {
	var f form
	for i := range r.Len() {
		ring := r.Ring(i)
		a, b := ring[len(ring)-2], ring[len(ring)-1]
		ux, uy, in := direction(a, b)
		for _, c := range ring {
			vx, vy, out := direction(b, c)
			f.long += out
			if in == 0 || out == 0 {
				if out != 0 {
					ux, uy, in = vx, vy, out
				}
				b = c
				continue
			}
			sin, cos := float64(ux*vy)-float64(uy*vx), float64(ux*vx)+float64(uy*vy)
			t := sharpest
			if d := 1 + cos; d*sharpest > math.Abs(sin) {
				t = math.Abs(sin) / d
			}
			if sin > 0 {
				arc := 3 * t / (1 + 2*math.Sqrt(1+float64(t*t))) // within 1/300 of the arc tangent
				f.arcs += arc
				f.tips += t - arc
			} else {
				f.arcs -= t
			}
			ux, uy, in = vx, vy, out
			b = c
		}
	}
	return f
}

// direction is that from a to b, of length 1, and how far it is.
func direction(a, b geom.Point) (x, y, long float64) {
	dx, dy := float64(b.X-a.X), float64(b.Y-a.Y)
	long = math.Sqrt(float64(dx*dx) + float64(dy*dy))
	if long == 0 {
		return 0, 0, 0
	}
	return dx / long, dy / long, long
}
