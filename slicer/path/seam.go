package path

import (
	"cmp"
	"math"
	"slices"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
)

// Seam says where outer walls begin and end, which leaves a mark. Inner walls begin
// where the nozzle is nearest.
type Seam uint8

// The places of seams.
const (
	SeamNearest Seam = iota // near the nozzle, in a corner if there is one
	SeamAligned             // above the seam of the layer below; else in an inner corner, an outer one, or at the rear
	SeamRear                // at the point with the largest Y
	SeamRandom              // anywhere, elsewhere on each layer, and the same each time
)

const (
	// seamReach is how far a seam may be from one of the layer below to follow it.
	seamReach = 2 * unit.Millimetre
	// seamTries bounds the seams of the layer below that one ring is compared with.
	seamTries = 16
	// seamArm is how much of a ring on either side of a point tells whether it is a
	// corner there, and seamSteps bounds how many points that is.
	seamArm   = unit.Millimetre / 2
	seamSteps = 8
	// seamWorth is how much farther away a better corner may be.
	seamWorth = 1 * unit.Millimetre
)

// seam chooses where a ring begins: at point at, on the edge from point start to the
// next. hangs are those of the edges, or nil: a seam does not begin where nothing is
// below it if it can be elsewhere.
func (pl *Planner) seam(ring []geom.Point, hangs []uint8, role motion.Role) (start int, at geom.Point) {
	if role != motion.OuterWall {
		start, _ = nearest(ring, pl.pen.at)
		return start, ring[start]
	}
	switch pl.p.Seam {
	case SeamRandom:
		return pl.seamAnywhere(ring)
	case SeamRear:
		start = rear(ring)
	case SeamAligned:
		var found bool
		if start, found = pl.seamBelow(ring, hangs); !found {
			start = hidden(ring, hangs)
		}
		pl.newSeams = append(pl.newSeams, ring[start])
	default:
		start, _ = nearestCorner(ring, hangs, pl.pen.at, math.MaxInt64)
	}
	return start, ring[start]
}

// seamBelow is the point of ring, in a corner if there is one, near to a seam of the
// layer below.
func (pl *Planner) seamBelow(ring []geom.Point, hangs []uint8) (start int, found bool) {
	lo, hi := ring[0], ring[0]
	for _, p := range ring {
		lo = geom.Point{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
		hi = geom.Point{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
	}
	best, tries := int64(seamReach), 0
	from, _ := slices.BinarySearchFunc(pl.seams, lo.X-seamReach, func(s geom.Point, x unit.Length) int { return cmp.Compare(s.X, x) })
	for _, s := range pl.seams[from:] {
		if s.X > hi.X+seamReach {
			break
		}
		if s.Y < lo.Y-seamReach || s.Y > hi.Y+seamReach {
			continue
		}
		if _, d2 := nearest(ring, s); d2 < best*best {
			best, found = int64(math.Sqrt(float64(d2))), true
			start, _ = nearestCorner(ring, hangs, s, int64(seamReach)*int64(seamReach))
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

// seamAnywhere is a place along ring that depends on the layer and where the ring
// is, and on nothing else.
func (pl *Planner) seamAnywhere(ring []geom.Point) (start int, at geom.Point) {
	long := 0.0
	for i, p := range ring {
		long += math.Sqrt(float64(distance2(p, ring[(i+1)%len(ring)])))
	}
	h := uint64(pl.layer)*0x9E3779B97F4A7C15 ^ uint64(uint32(ring[0].X))<<32 ^ uint64(uint32(ring[0].Y))
	h = (h ^ h>>31) * 0xBF58476D1CE4E5B9
	h = (h ^ h>>29) * 0x94D049BB133111EB
	left := float64(h>>11) / (1 << 53) * long
	for i, p := range ring {
		q := ring[(i+1)%len(ring)]
		d := math.Sqrt(float64(distance2(p, q)))
		if left < d {
			f := left / d
			return i, geom.Point{
				X: p.X + unit.Length(math.Round(float64(q.X-p.X)*f)), Y: p.Y + unit.Length(math.Round(float64(q.Y-p.Y)*f)),
			}
		}
		left -= d
	}
	return 0, ring[0]
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

// nearestCorner is the nearest point of ring to p, where corners count as nearer
// than they are; no farther than a distance whose square is within. It reports false
// if there is none.
func nearestCorner(ring []geom.Point, hangs []uint8, p geom.Point, within int64) (at int, found bool) {
	best := math.Inf(1)
	for i, q := range ring {
		d2 := distance2(q, p)
		if d2 > within {
			continue
		}
		d := math.Sqrt(float64(d2))
		if d >= best {
			continue // not even in the best of corners
		}
		if cost := d + float64(rank(ring, hangs, i))*float64(seamWorth); cost < best {
			at, best, found = i, cost, true
		}
	}
	return at, found
}

// hidden is the point of ring where a seam shows least: in an inner corner, else in
// an outer one, and of those that are as good at the rear.
func hidden(ring []geom.Point, hangs []uint8) int {
	at, best := 0, math.MaxInt
	for i, p := range ring {
		r := rank(ring, hangs, i)
		if q := ring[at]; r < best || r == best && behind(p, q) {
			at, best = i, r
		}
	}
	return at
}

// rank says how well a seam is hidden at point i: 0 in an inner corner, 1 in an outer
// one, 2 elsewhere, and 2 more where the wall hangs over.
func rank(ring []geom.Point, hangs []uint8, i int) int {
	n, r := len(ring), 2
	arm := func(step int) geom.Point {
		p, k := ring[i], i
		for range min(seamSteps, n/2) {
			k = (k + step + n) % n
			if distance2(p, ring[k]) >= int64(seamArm)*int64(seamArm) {
				break
			}
		}
		return ring[k]
	}
	a, b := arm(-1), arm(1)
	ux, uy := float64(ring[i].X-a.X), float64(ring[i].Y-a.Y)
	vx, vy := float64(b.X-ring[i].X), float64(b.Y-ring[i].Y)
	sin, cos := float64(ux*vy)-float64(uy*vx), float64(ux*vx)+float64(uy*vy)
	if cos < 1.7*math.Abs(sin) { // it turns by 30° or more
		r = 1
		if sin < 0 {
			r = 0
		}
	}
	if hangs != nil && (hangs[i] > 0 || hangs[(i+n-1)%n] > 0) {
		r += 2
	}
	return r
}

// rear is the point of ring with the largest Y, the leftmost if there are several.
func rear(ring []geom.Point) int {
	at := 0
	for i, p := range ring {
		if behind(p, ring[at]) {
			at = i
		}
	}
	return at
}

// behind reports whether p is farther at the rear than q, or as far and more to the
// left.
func behind(p, q geom.Point) bool { return p.Y > q.Y || p.Y == q.Y && p.X < q.X }
