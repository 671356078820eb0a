package wall

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// Lines are round at corners, and those beside them are not: where a wall turns,
// a gap stays between it and the wall outside of it. What is needed for it is there,
// but it is laid elsewhere. So inner walls reach into such corners a little: where they
// turn inward; where they turn outward only if nothing fits closely to their inside.
const (
	// cornerShare of the gap, along the bisector of the corner, is reached into.
	cornerShare = 1.1
	// cornerCos is the cosine of the least turn of a corner.
	cornerCos = 0.7
)

// corners moves the corners of wall i of w, all but the outermost, into what is open
// beside them. The edges bend a line width before and behind a corner.
func (n *narrower) corners(w *Walls, i int, width unit.Length) {
	line := &w.lines[i]
	if len(line.Pts) == 0 {
		return
	}
	all := w.Widths(i)
	free := i == w.n-1 && w.gaps[w.n].Empty()
	n.rings.Reset()
	n.widths = n.widths[:0]
	for r := range line.Len() {
		ring := line.Ring(r)
		start := int(line.Ends[r]) - len(ring)
		for k, p := range ring {
			wide := width
			if all != nil {
				wide = all[start+k]
			}
			prev := (k + len(ring) - 1) % len(ring)
			if all != nil && all[start+prev] != wide || !n.corner(ring[prev], p, ring[(k+1)%len(ring)], wide, width, free) {
				n.add(p, wide)
			}
		}
		n.rings.Ends = append(n.rings.Ends, int32(len(n.rings.Pts)))
	}
	if len(n.rings.Pts) == len(line.Pts) {
		return
	}
	line.Reset()
	line.Append(&n.rings)
	if all != nil {
		w.widths[i] = append(w.widths[i][:0], n.widths...)
	}
}

func (n *narrower) add(p geom.Point, wide unit.Length) {
	n.rings.Pts = append(n.rings.Pts, p)
	n.widths = append(n.widths, wide)
}

// corner appends the point p of a ring, between a and b, if it is moved, and reports
// whether it is; else it looks for a pocket in front of it, unless the line is not as wide
// as asked for: then that has been done. free says that outward turns count as well.
func (n *narrower) corner(a, p, b geom.Point, wide, width unit.Length, free bool) bool {
	ux, uy, in := direction(a, p)
	vx, vy, out := direction(p, b)
	sin, cos := float64(ux*vy)-float64(uy*vx), float64(ux*vx)+float64(uy*vy)
	if bend := float64(wide); sin < 0 && !free || cos > cornerCos || cos < -0.9 || min(in, out) < 2.5*bend {
		if wide == width {
			n.pocket(p, ux, uy, vx, vy, width, p, p, float64(wide))
		}
		return false
	}
	// The bisector, as long as the mitre of an offset by 1: it points outward.
	half := math.Sqrt((1 + cos) / 2)
	mx, my := (uy+vy)/(2*half*half), -(ux+vx)/(2*half*half)
	by := cornerShare * float64(wide) / 2 * (1 - half)
	move := func(x, y float64) geom.Point {
		return geom.Point{X: p.X + unit.Length(math.Round(x)), Y: p.Y + unit.Length(math.Round(y))}
	}
	w := float64(wide)
	n.add(move(-w*ux, -w*uy), wide)
	n.add(move(mx*by, my*by), wide)
	n.add(move(w*vx, w*vy), wide)
	return true
}
