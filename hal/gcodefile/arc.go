package gcodefile

import (
	"math"

	"platen/hal/motion"
)

// Bounds of arcs, in mm.
const (
	arcTolerance = 0.005  // how far a chord may be from its arc
	arcRadius    = 10_000 // largest radius
	arcMismatch  = 0.05   // how far an end may be off the circle, and a thousandth of the radius
)

// arc is a circular move in the plane of X and Y, in mm.
type arc struct {
	cx, cy     float64 // centre
	from, turn float64 // angle of the beginning, and from there to the end, in radians
	r0, r1     float64 // radius at the beginning and at the end
}

// circle is G2 (clockwise) and G3: an arc, or with a Z a helix, as chords that are
// nowhere farther than arcTolerance from it. Each chord begins and ends on the arc,
// so that an arc that stays inside the volume has chords that do, and one that
// leaves it has a chord that does. P says how many turns; OrcaSlicer writes 1 for a
// helix of one turn, and more are refused, because firmwares count them in two ways.
func (p *Parser) circle(clockwise bool) Reason {
	if p.known&(motion.X|motion.Y) != motion.X|motion.Y {
		return ReasonRelative
	}
	if p.w.has('P') && p.w.get('P') != one {
		return ReasonArc
	}
	start := p.at
	to, axes, why := p.target()
	if why != 0 {
		return why
	}
	if axes&motion.Z&^p.known != 0 {
		return ReasonRelative
	}
	a, why := p.centre(start, to, clockwise)
	if why != 0 {
		return why
	}
	e, why := p.filament()
	if why != 0 {
		return why
	}
	if why := p.pace(); why != 0 {
		return why
	}
	return p.chords(a, start, to, axes|motion.X|motion.Y, e)
}

// chords moves along a from start to to, feeding e.
func (p *Parser) chords(a arc, start, to [3]int64, axes motion.Axes, e int64) Reason {
	n := a.chords()
	fed := int64(0)
	for i := int64(1); i <= n && p.more; i++ {
		at, due := to, e
		if i < n {
			at = a.at(float64(i)/float64(n), to)
			at[motion.IZ] = start[motion.IZ] + (to[motion.IZ]-start[motion.IZ])*i/n
			due = e / n * i
		}
		if !within(at[motion.IX], maxLength) || !within(at[motion.IY], maxLength) {
			return ReasonNumber
		}
		if why := p.move(at, axes, due-fed); why != 0 {
			return why
		}
		fed = due
	}
	return 0
}

// centre reads I and J, or R.
func (p *Parser) centre(start, to [3]int64, clockwise bool) (a arc, why Reason) {
	x0, y0 := mm(start[motion.IX]), mm(start[motion.IY])
	x1, y1 := mm(to[motion.IX]), mm(to[motion.IY])
	i, whyI := p.scaled(p.w.get('I'), maxLength)
	j, whyJ := p.scaled(p.w.get('J'), maxLength)
	r, whyR := p.scaled(p.w.get('R'), maxLength)
	if whyI != 0 || whyJ != 0 || whyR != 0 || p.w.bare != 0 {
		return a, ReasonNumber
	}
	switch byCentre := p.w.has('I') || p.w.has('J'); {
	case byCentre == p.w.has('R'):
		return a, ReasonArc
	case byCentre:
		a.cx, a.cy = x0+mm(i), y0+mm(j)
	default:
		if !a.byRadius(x0, y0, x1, y1, mm(r), clockwise) {
			return a, ReasonArc
		}
	}
	a.r0, a.r1 = math.Hypot(x0-a.cx, y0-a.cy), math.Hypot(x1-a.cx, y1-a.cy)
	if a.r0 <= 0 || a.r0 > arcRadius || math.Abs(a.r0-a.r1) > arcMismatch+a.r0/1000 {
		return a, ReasonArc
	}
	a.from = math.Atan2(y0-a.cy, x0-a.cx)
	a.turn = math.Atan2(y1-a.cy, x1-a.cx) - a.from
	if x0 == x1 && y0 == y1 {
		a.turn = 0
	}
	if clockwise && a.turn >= 0 {
		a.turn -= 2 * math.Pi
	}
	if !clockwise && a.turn <= 0 {
		a.turn += 2 * math.Pi
	}
	return a, 0
}

// byRadius finds the centre of an arc of radius r between two points, of which r below
// zero is the longer way; ok is false if there is none.
func (a *arc) byRadius(x0, y0, x1, y1, r float64, clockwise bool) (ok bool) {
	dx, dy := x1-x0, y1-y0
	chord := math.Hypot(dx, dy)
	h := float64(r*r) - float64(chord*chord/4)
	if chord == 0 || h < -arcMismatch*arcMismatch {
		return false
	}
	h = math.Sqrt(max(0, h)) / chord
	if clockwise == (r > 0) {
		h = -h
	}
	a.cx, a.cy = (x0+x1)/2-float64(dy*h), (y0+y1)/2+float64(dx*h)
	return true
}

// chords is how many chords stay within the tolerance, at least eight in a turn.
func (a arc) chords() int64 {
	step := math.Pi / 4
	if r := max(a.r0, a.r1); r > arcTolerance {
		step = min(step, 2*math.Acos(1-arcTolerance/r))
	}
	return max(1, int64(math.Ceil(math.Abs(a.turn)/step)))
}

// at is the point after a share of the arc; Z is that of to.
func (a arc) at(share float64, to [3]int64) [3]int64 {
	sin, cos := math.Sincos(a.from + float64(a.turn*share))
	r := a.r0 + float64((a.r1-a.r0)*share)
	to[motion.IX] = int64(math.Round(float64(a.cx+float64(r*cos)) * float64(one)))
	to[motion.IY] = int64(math.Round(float64(a.cy+float64(r*sin)) * float64(one)))
	return to
}

// mm turns a value into mm as floating point.
func mm(v int64) float64 { return float64(v) / float64(one) }
