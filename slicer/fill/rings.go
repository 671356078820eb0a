package fill

import (
	"platen/hal/unit"
	"platen/slicer/geom"
)

// Rings covers regions with closed lines that follow their boundary, one inside the
// other. The zero value is ready; it must not be used by two goroutines at once.
type Rings struct {
	level geom.Region
	taken []bool
}

// Wipe overwrites the scratch memory.
func (c *Rings) Wipe() { c.level.Wipe() }

// Cover appends to dst the lines that lie first, first + spacing, … inside of the
// boundary of r, a region as [geom.Kernel.Union] leaves it, as long as there is room;
// first may be 0. The ends of each meet. Each begins where it is nearest to the one
// before it.
func (c *Rings) Cover(dst *Lines, k *geom.Kernel, r *geom.Region, first, spacing unit.Length) error {
	if spacing < MinSpacing || spacing > maxSpacing || first < 0 || first > maxSpacing {
		return ErrParams
	}
	if err := k.Offset(&c.level, r, -first, geom.JoinMiter); err != nil {
		return err
	}
	for !c.level.Empty() {
		c.Lay(dst, &c.level)
		if err := k.Offset(&c.level, &c.level, -spacing, geom.JoinMiter); err != nil {
			return err
		}
	}
	return nil
}

// Lay appends the rings of r as closed lines, each time the one nearest to the end of
// the last line.
func (c *Rings) Lay(dst *Lines, r *geom.Region) {
	c.taken = c.taken[:0]
	for range r.Len() {
		c.taken = append(c.taken, false)
	}
	for range r.Len() {
		pick, at := c.nearest(dst, r)
		c.taken[pick] = true
		ring := r.Ring(pick)
		start := len(dst.Pts)
		dst.Pts = append(append(append(dst.Pts, ring[at:]...), ring[:at]...), ring[at])
		dst.finish(start)
	}
}

// mostRings bounds how many rings are compared in the search for the nearest.
const mostRings = 64

func (c *Rings) nearest(dst *Lines, r *geom.Region) (pick, at int) {
	n := len(dst.Pts)
	best, seen := -1.0, 0
	for i := range c.taken {
		if c.taken[i] {
			continue
		}
		if seen++; seen > mostRings {
			break
		}
		for k, p := range r.Ring(i) {
			d := 0.0
			if n > 0 {
				d = distance(p, dst.Pts[n-1])
			}
			if best < 0 || d < best {
				best, pick, at = d, i, k
			}
			if n == 0 {
				break
			}
		}
	}
	return pick, at
}
