package geom

import "slices"

// corner is a point of a path along the boundary and the number of the sweep's
// stop there.
type corner struct {
	p    Point
	stop int32
}

// trace follows the boundary fragments and appends the rings to dst. A path that
// comes back to a point it has visited has closed a ring there, which is cut off:
// so every ring is simple. Paths start at their lowest point, and the lowest first.
func (k *Kernel) trace(dst *Region) {
	k.mark = slices.Grow(k.mark[:0], int(k.stops))[:k.stops]
	clear(k.mark)
	for _, first := range k.order {
		if k.frags[first].dir == 0 {
			continue
		}
		k.loop = k.loop[:0]
		cur := first
		if k.frags[cur].dir < 0 { // comes in at the lowest point, where the path is to start
			cur = k.frags[cur].next
		}
		for cur != none && k.frags[cur].dir != 0 {
			f := &k.frags[cur]
			c := corner{f.p, f.pv}
			if f.dir < 0 {
				c = corner{f.q, f.qv}
			}
			if at := k.mark[c.stop]; at > 0 {
				k.cutOff(dst, int(at-1))
			}
			k.loop = append(k.loop, c)
			k.mark[c.stop] = int32(len(k.loop))
			f.dir = 0
			cur = f.next
		}
		k.cutOff(dst, 0)
	}
}

// cutOff appends the ring that the path has run through since corner number at to
// dst, without points in the middle of a straight line, and takes it off the path.
func (k *Kernel) cutOff(dst *Region, at int) {
	ring := k.loop[at:]
	if len(ring) == 0 {
		return
	}
	start := len(dst.Pts)
	prev := ring[len(ring)-1].p
	for i, c := range ring {
		k.mark[c.stop] = 0
		next := ring[0].p
		if i+1 < len(ring) {
			next = ring[i+1].p
		}
		if Cross(prev, c.p, next) != 0 {
			dst.Pts = append(dst.Pts, c.p)
		}
		prev = c.p
	}
	if len(dst.Pts)-start >= 3 {
		dst.Ends = append(dst.Ends, int32(len(dst.Pts)))
	} else {
		dst.Pts = dst.Pts[:start]
	}
	k.loop = k.loop[:at]
}
