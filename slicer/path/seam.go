package path

import (
	"cmp"
	"slices"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
)

// seamReach is how far a seam may be from one of the layer below to follow it.
const seamReach = 2 * unit.Millimetre

// seamTries bounds the seams of the layer below that one ring is compared with.
const seamTries = 16

// seam chooses the point of a ring at which it begins. Inner walls begin where the
// nozzle is nearest. Outer walls do as well, unless seams are aligned: then they
// follow the seam of the layer below, and where there is none they begin at the
// rear.
func (pl *Planner) seam(ring []geom.Point, role motion.Role) int {
	if role != motion.OuterWall || !pl.p.SeamAligned {
		start, _ := nearest(ring, pl.at)
		return start
	}
	start, found := pl.seamBelow(ring)
	if !found {
		start = rear(ring)
	}
	pl.newSeams = append(pl.newSeams, ring[start])
	return start
}

// seamBelow is the point of ring nearest to a seam of the layer below.
func (pl *Planner) seamBelow(ring []geom.Point) (start int, found bool) {
	lo, hi := ring[0], ring[0]
	for _, p := range ring {
		lo = geom.Point{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
		hi = geom.Point{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
	}
	best, tries := int64(seamReach)*int64(seamReach), 0
	from, _ := slices.BinarySearchFunc(pl.seams, lo.X-seamReach, func(s geom.Point, x unit.Length) int { return cmp.Compare(s.X, x) })
	for _, s := range pl.seams[from:] {
		if s.X > hi.X+seamReach {
			break
		}
		if s.Y < lo.Y-seamReach || s.Y > hi.Y+seamReach {
			continue
		}
		if i, d := nearest(ring, s); d < best {
			start, best, found = i, d, true
		}
		if tries++; tries == seamTries {
			break
		}
	}
	return start, found
}

// keepSeams makes the seams of this layer those of the layer below, from left to
// right.
func (pl *Planner) keepSeams() {
	pl.seams, pl.newSeams = pl.newSeams, pl.seams
	slices.SortFunc(pl.seams, func(a, b geom.Point) int { return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Y, b.Y)) })
}

// nearest is the point of ring nearest to p, and its distance squared.
func nearest(ring []geom.Point, p geom.Point) (at int, d2 int64) {
	d2 = distance2(ring[0], p)
	for i, q := range ring[1:] {
		if d := distance2(q, p); d < d2 {
			at, d2 = i+1, d
		}
	}
	return at, d2
}

// rear is the point of ring with the largest Y, the leftmost if there are several.
func rear(ring []geom.Point) int {
	at := 0
	for i, p := range ring {
		if q := ring[at]; p.Y > q.Y || p.Y == q.Y && p.X < q.X {
			at = i
		}
	}
	return at
}
