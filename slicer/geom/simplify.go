package geom

import (
	"slices"

	"platen/hal/unit"
)

// Simplify sets dst to src with points left out: every one that is left out was
// within tol of the line between those that stay (Douglas and Peucker). The result
// goes through [Kernel.Union], so that lines which come to cross each other do not
// stay so. Rings of less than about tol vanish. dst may be src.
func (k *Kernel) Simplify(dst, src *Region, tol unit.Length) error {
	if err := k.Thin(&k.raw, src, tol); err != nil {
		dst.Reset()
		return err
	}
	return k.Union(dst, &k.raw)
}

// Thin is Simplify before the union: its rings may cross each other. dst must not be src.
func (k *Kernel) Thin(dst, src *Region, tol unit.Length) error {
	dst.Reset()
	if !withinPlane(src.Pts) {
		return ErrOutside
	}
	for i := range src.Ends {
		ring := src.Ring(i)
		if tol > 0 {
			ring = k.straighten(ring)
		}
		k.thin(dst, ring, max(tol, 0))
	}
	return nil
}

// longest is how many points in a row straighten leaves out at most, so that what it
// does to them stays within 1/4 µm.
const longest = 16

// straighten returns the ring from its lowest point on, without those points that are
// on a straight line but for rounding. A section has such points where it crosses
// the diagonals of flat faces, others on each layer: without them upright faces give
// the same ring on all layers.
func (k *Kernel) straighten(ring []Point) []Point {
	if len(ring) < 4 {
		return ring
	}
	low := 0
	for i := range ring {
		if before(ring[i], ring[low]) {
			low = i
		}
	}
	k.line = append(k.line[:0], ring[low])
	last, p, left := ring[low], ring[(low+1)%len(ring)], 0
	for i := 2; i <= len(ring); i++ {
		next := ring[(low+i)%len(ring)]
		if left < longest && between2(last, p, next) {
			left++
		} else {
			k.line = append(k.line, p)
			last, left = p, 0
		}
		p = next
	}
	return k.line
}

// between2 reports whether p is on the line from a to b, but for its rounding to the
// grid, and not beyond its ends.
func between2(a, p, b Point) bool {
	lx, ly := int64(b.X)-int64(a.X), int64(b.Y)-int64(a.Y)
	px, py := int64(p.X)-int64(a.X), int64(p.Y)-int64(a.Y)
	if c := lx*py - ly*px; abs(c) > (abs(lx)+abs(ly))/2 {
		return false
	}
	along := lx*px + ly*py
	return along >= 0 && along <= lx*lx+ly*ly
}

// thin appends the simplified ring to dst.
func (k *Kernel) thin(dst *Region, ring []Point, tol unit.Length) {
	n := len(ring)
	if n < 3 {
		return
	}
	k.choose(ring, tol)
	start := len(dst.Pts)
	for i, p := range ring {
		if k.keep[i] {
			dst.Pts = append(dst.Pts, p)
		}
	}
	if len(dst.Pts)-start < 3 {
		dst.Pts = dst.Pts[:start]
		return
	}
	dst.Ends = append(dst.Ends, int32(len(dst.Pts)))
}

// chunk bounds the work on rings made to be slow: every chunk-th point stays.
const chunk = 1024

// choose marks in keep the points that stay: the lowest, the one farthest from it,
// and then, between two that stay, the one farthest from the line between them, as
// long as that is more than tol.
func (k *Kernel) choose(ring []Point, tol unit.Length) {
	n := int32(len(ring))
	k.keep = slices.Grow(k.keep[:0], int(n))[:n]
	clear(k.keep)
	lowest, far := int32(0), int32(0)
	for i := range ring {
		if before(ring[i], ring[lowest]) {
			lowest = int32(i)
		}
	}
	at := func(i int32) Point { return ring[(lowest+i)%n] }
	for i := range n {
		if distance2(at(0), at(i)) > distance2(at(0), at(far)) {
			far = i
		}
	}
	k.stack = k.stack[:0]
	for i := int32(0); i < n; {
		next := min(i+chunk, n)
		if i < far {
			next = min(next, far)
		}
		k.keep[(lowest+i)%n] = true
		k.stack = append(k.stack, i, next)
		i = next
	}
	for len(k.stack) > 0 {
		from, to := k.stack[len(k.stack)-2], k.stack[len(k.stack)-1]
		k.stack = k.stack[:len(k.stack)-2]
		worst, dist := int32(none), float64(tol)*float64(tol)
		for i := from + 1; i < to; i++ {
			if d := fromLine2(at(i), at(from), at(to)); d > dist {
				worst, dist = i, d
			}
		}
		if worst != none {
			k.keep[(lowest+worst)%n] = true
			k.stack = append(k.stack, from, worst, worst, to)
		}
	}
}

func distance2(a, b Point) int64 {
	dx, dy := int64(a.X)-int64(b.X), int64(a.Y)-int64(b.Y)
	return dx*dx + dy*dy
}

// fromLine2 is the squared distance of p from the line segment ab.
func fromLine2(p, a, b Point) float64 {
	l := vector{float64(b.X) - float64(a.X), float64(b.Y) - float64(a.Y)}
	d := vector{float64(p.X) - float64(a.X), float64(p.Y) - float64(a.Y)}
	along, length := d.dot(l), l.dot(l)
	if along <= 0 {
		return d.dot(d)
	}
	if along >= length {
		e := vector{d.x - l.x, d.y - l.y}
		return e.dot(e)
	}
	c := d.cross(l)
	return c * c / length
}
