package wall

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/geom"
)

const (
	// pocketCos is the cosine of the least turn of a tip in front of which a pocket is
	// looked for.
	pocketCos = 0.25
	// leastPocket is how much smaller a pocket may be than the square of a line's width.
	leastPocket = 10
)

// Pockets returns what stays open for being too small, where lines meet that do not become
// wider: between three of them, and, once [Builder.Narrow] has been there, in front of
// sharp tips, inside of the wall before. It shares the memory of w.
func (w *Walls) Pockets() *geom.Region { return &w.pockets }

// Reset empties w and keeps its memory.
func (w *Walls) Reset() {
	w.n = 0
	w.inner.Reset()
	w.rest.Reset()
	w.pockets.Reset()
	w.level(0)
}

// pockets takes out of a gap what is shared out to the lines beside it, but for small
// places as there are in corners, where those do not become wider. Larger ones that are
// not long are noted as pockets.
func (b *Builder) pockets(dst *Walls, gap *geom.Region, p Params) error {
	small, large := &b.reached, &b.large
	small.Reset()
	large.Reset()
	for i := range gap.Len() {
		ring := gap.Ring(i)
		if a := geom.Area2(ring); a > 0 && a < int64(p.Width)*int64(p.Width) {
			small.Add(ring)
		} else {
			large.Add(ring)
		}
	}
	compact := &b.compact
	compact.Reset()
	for i := range large.Len() {
		if ring := large.Ring(i); isCompact(ring, p.Width) {
			compact.Add(ring)
		}
	}
	if err := b.without(large, p.Wider); err != nil {
		return err
	}
	for i := range compact.Len() {
		if ring := compact.Ring(i); !meets(large, ring) {
			dst.pockets.Add(ring)
		}
	}
	gap.Reset()
	gap.Append(large)
	gap.Append(small)
	return nil
}

// without takes out of r what is narrower than least.
func (b *Builder) without(r *geom.Region, least unit.Length) error {
	if err := b.Kernel.Offset(r, r, -least/2, geom.JoinMiter); err != nil {
		return err
	}
	return b.Kernel.Offset(r, r, least/2, geom.JoinMiter)
}

// pocket notes what stays open in front of a sharp corner of a wall as wide as width, at
// corner, between directions u and v: a kite from where the sides of the wall outside
// of it meet to the line at hand, which has been moved to a and b and is as wide there as
// wide.
func (n *narrower) pocket(corner geom.Point, ux, uy, vx, vy float64, width unit.Length, a, b geom.Point, wide float64) {
	sin, cos := float64(ux*vy)-float64(uy*vx), float64(ux*vx)+float64(uy*vy)
	if sin < 0.2 || cos > pocketCos {
		return
	}
	half, turn := math.Sqrt((1+cos)/2), math.Sqrt((1-cos)/2)
	bx, by := (uy+vy)/(2*half), -(ux+vx)/(2*half) // the bisector, outward
	far := float64(width) / 2 / half
	tip := geom.Point{X: corner.X + unit.Length(math.Round(far*bx)), Y: corner.Y + unit.Length(math.Round(far*by))}
	long := min(distance(tip, a), distance(tip, b)) - wide/2
	if long <= 0 || float64(long*long)*half*leastPocket < float64(width)*float64(width)*turn {
		return
	}
	side := long * half / turn // half as wide as the pocket is there
	to := func(along, aside float64) geom.Point {
		return geom.Point{
			X: tip.X - unit.Length(math.Round(float64(along*bx)-float64(aside*by))),
			Y: tip.Y - unit.Length(math.Round(float64(along*by)+float64(aside*bx))),
		}
	}
	n.kites.Add([]geom.Point{tip, to(long, -side), to(1.4*long, 0), to(long, side)})
}

// takePockets adds to those of w what has been found in front of wall i, but for what is
// in a gap that is known.
func (n *narrower) takePockets(w *Walls, i int) {
	for k := range n.kites.Len() {
		ring := n.kites.Ring(k)
		if m := middle(ring[0], ring[2]); !w.gaps[i].Holds(m) && !w.pockets.Holds(m) {
			w.pockets.Add(ring)
		}
	}
}

// isCompact reports whether a place in a gap is larger than those that count as small,
// but not by much, and not long: lines beside it do not become wider for it.
func isCompact(ring []geom.Point, width unit.Length) bool {
	area, square := geom.Area2(ring), int64(width)*int64(width)
	if area < square || area > 3*square {
		return false
	}
	long := 0.0
	a := ring[len(ring)-1]
	for _, b := range ring {
		long += distance(a, b)
		a = b
	}
	return float64(long*long) < compact*float64(area)/2
}

// compact is what the square of the edge of a compact place is of its area at most; of a
// square it is 16.
const compact = 28

// meets reports whether a ring of r begins in another ring.
func meets(r *geom.Region, ring []geom.Point) bool {
	for i := range r.Len() {
		if geom.Inside(ring, r.Ring(i)[0]) {
			return true
		}
	}
	return false
}
