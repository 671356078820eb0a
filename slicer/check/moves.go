package check

import (
	"math"

	"platen/hal/motion"
	"platen/hal/unit"
)

// target is where a command leads.
func (r *reader) target(c *command) (to [4]float64) {
	to = r.at
	for i, l := range [4]byte{'X', 'Y', 'Z', 'E'} {
		v, ok := c.get(l)
		if !ok {
			continue
		}
		v *= r.scale
		if i < 3 && r.relative || i == 3 && r.relativeE {
			v += r.at[i]
		}
		to[i] = v
	}
	return to
}

// flat is how far the chords that stand for an arc are from it, in mm.
const flat = 0.002

// arc returns the corners of an arc, without where it begins.
func (r *reader) arc(c *command) []pt {
	to := r.target(c)
	a, b := pt{r.at[0], r.at[1]}, pt{to[0], to[1]}
	i, _ := c.get('I')
	j, _ := c.get('J')
	centre := a.plus(pt{i * r.scale, j * r.scale})
	if radius, ok := c.get('R'); ok {
		radius *= r.scale
		half := b.minus(a).times(0.5)
		d := math.Hypot(half.x, half.y)
		if d == 0 || math.Abs(radius) < d {
			return []pt{b}
		}
		up := math.Sqrt(radius*radius-d*d) / d
		if (c.number == 2) == (radius > 0) { // the centre of a short arc to the right is on the right
			up = -up
		}
		centre = a.plus(half).plus(pt{-half.y * up, half.x * up})
	}
	from := math.Atan2(a.y-centre.y, a.x-centre.x)
	turn := math.Atan2(b.y-centre.y, b.x-centre.x) - from
	if c.number == 3 && turn <= 1e-9 {
		turn += 2 * math.Pi
	}
	if c.number == 2 && turn >= -1e-9 {
		turn -= 2 * math.Pi
	}
	radius := math.Hypot(a.x-centre.x, a.y-centre.y)
	step := 2 * math.Acos(max(0, 1-flat/max(radius, flat)))
	n := min(10_000, int(math.Abs(turn)/step)+1)
	var out []pt
	for k := 1; k < n; k++ {
		sin, cos := math.Sincos(from + turn*float64(k)/float64(n))
		out = append(out, pt{centre.x + radius*cos, centre.y + radius*sin})
	}
	return append(out, b)
}

// move runs a straight move, or one along corners.
func (r *reader) move(c *command, corners []pt) error {
	if f, ok := c.get('F'); ok {
		r.feed = f * r.scale
	}
	to := r.target(c)
	from := r.at
	r.at = to
	if corners == nil {
		corners = []pt{{to[0], to[1]}}
	}
	long := 0.0
	at := pt{from[0], from[1]}
	for _, p := range corners {
		long += p.minus(at).long()
		at = p
	}
	e := to[3] - from[3]
	r.filament(e)
	fed := e // what leaves the nozzle
	if r.drawn > 0 || e < 0 {
		fed = max(0, e-r.drawn)
		r.drawn = max(0, r.drawn-e)
	}
	at = pt{from[0], from[1]}
	for i, p := range corners {
		share := 1.0
		if long > 0 {
			share = p.minus(at).long() / long
		}
		r.tick(p, from[2]+(to[2]-from[2])*float64(i+1)/float64(len(corners)), e*share)
		if long > 0 {
			if err := r.straight(at, p, to[2], fed*share); err != nil {
				return err
			}
		}
		at = p
	}
	return nil
}

// filament notes what is fed and drawn back.
func (r *reader) filament(e float64) {
	r.rep.Filament += MM(e)
	if e < 0 && !r.retracting {
		r.rep.Retractions++
	}
	if e != 0 {
		r.retracting = e < 0
	}
}

// tick hands a move to the clock.
func (r *reader) tick(to pt, z, e float64) {
	feed, err := unit.FromMMPerMin(r.feed)
	if err != nil {
		return
	}
	op := motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y | motion.Z, Feed: feed, To: [3]unit.Length{length(to.x), length(to.y), length(z)}}
	if e != 0 {
		op.Axes |= motion.E
		op.E = length(e)
	}
	r.clock.Add(op)
}

// loose is how much filament may be drawn back and still counts as none, in mm.
const loose = 0.1

// straight is a way from a to b; fed is the filament that leaves the nozzle on it.
func (r *reader) straight(a, b pt, z, fed float64) error {
	long := b.minus(a).long()
	if long < 1e-9 {
		return nil
	}
	if fed <= 0 {
		r.rep.Travel += MM(long)
		r.pending = append(r.pending, travel{a, b, r.chain > 0 && r.drawn < loose && !r.firmware, r.chain})
		return nil
	}
	r.highest = max(r.highest, z)
	r.rep.Lines++
	r.rep.Printed += MM(long)
	r.chain++
	if !r.kind.part() {
		r.pending = r.pending[:0]
		return nil
	}
	if r.open && !r.marked && math.Abs(z-r.now.top) > 1e-4 {
		if err := r.end(); err != nil {
			return err
		}
	}
	if !r.open {
		r.open, r.now.top = true, z
	}
	r.now.top = max(r.now.top, z)
	r.now.travels = append(r.now.travels, r.pending...)
	r.pending = r.pending[:0]
	area := fed * r.filament2 / long
	r.now.lines = append(r.now.lines, line{a, b, r.lineWidth(area, long), area, r.kind})
	return nil
}

// roundSides is what a line with round sides is wider than a bar of the same area
// and height, by its height.
const roundSides = 1 - math.Pi/4

// lineWidth is how wide a line of that cross-section is. Comments on width only tell
// whether lines are thought of as bars or as having round sides, and stand in for the
// amount where that is too coarse to tell.
func (r *reader) lineWidth(area, long float64) float64 {
	h := r.now.top - r.lastTop
	if r.height > 0 {
		h = r.height
	}
	if h <= 0 {
		return 0
	}
	bar := area / h
	w := bar
	if r.width > 0 && math.Abs(r.width-bar-h*roundSides) < math.Abs(r.width-bar) {
		w = bar + h*roundSides
	}
	coarse := 2e-5 * r.filament2 / (long * h) // the last decimal of the filament
	if r.width > 0 && math.Abs(w-r.width) < coarse+0.002 {
		w = r.width
	}
	return w
}
