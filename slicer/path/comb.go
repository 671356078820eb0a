package path

import (
	"cmp"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/pipe"
)

// Bounds on a way inside the part: how many points it has, how many times as long it
// may be as the straight one, and how much longer it may be anyway.
const (
	mostCombed  = 256
	longerTimes = 3
	longerBy    = 5 * unit.Millimetre
)

// comb finds ways from one place of a layer to another that stay inside the part,
// where nothing can ooze into the air.
type comb struct {
	outline grid         // that no way may cross
	rail    *geom.Region // rings to go along, inside of it
	rails   grid         // the same
	girth   []float64    // how long each ring of the rail is; 0 is not known yet
	on      bool
	hits    []hit
	way     []geom.Point
}

// hit is where a straight way meets a ring.
type hit struct {
	part float64 // of the way
	ring int32
	edge int32 // of the ring, from point edge to the next
	at   geom.Point
}

func (c *comb) wipe() {
	clear(c.hits[:cap(c.hits)])
	clear(c.way[:cap(c.way)])
	c.outline.wipe()
	c.rails.wipe()
	c.rail, c.on = nil, false
}

// load takes a layer: ways lead along its second wall, or the only one, and through
// support. Without a layer there is no way, as before its first line.
func (c *comb) load(l *pipe.Layer) {
	c.rail, c.on = nil, l != nil
	if l == nil {
		return
	}
	c.outline.reset()
	c.rails.reset()
	c.outline.add(&l.Outline, 0)
	c.outline.add(&l.Support, 0)
	if n := l.Walls.Len(); n > 0 {
		c.follow(l.Walls.Wall(min(1, n-1)))
	}
}

// follow lets ways lead along the rings of r.
func (c *comb) follow(r *geom.Region) {
	c.rail = r
	c.rails.add(r, 0)
	c.girth = c.girth[:0]
	for range r.Len() {
		c.girth = append(c.girth, 0)
	}
}

// find returns the points of a way from a to b inside the part, a not among them, and
// how long it is; nothing if there is no such way that is worth it. The points are
// good until the next call.
func (c *comb) find(a, b geom.Point) (way []geom.Point, long float64) {
	if !c.on {
		return nil, 0
	}
	c.way = c.way[:0]
	if !c.leaves(a, b) {
		if !c.inside(a) || !c.inside(b) {
			return nil, 0
		}
		c.way = append(c.way, b)
		return c.way, far(a, b)
	}
	if c.rail == nil || !c.around(a, b) {
		return nil, 0
	}
	most := longerTimes*far(a, b) + float64(longerBy)
	from := a
	for _, p := range c.way {
		if long += far(from, p); long > most || c.leaves(from, p) {
			return nil, 0
		}
		from = p
	}
	return c.way, long
}

// around makes a way from a to b that goes along each ring that it meets, and reports
// whether it has not too many points.
func (c *comb) around(a, b geom.Point) bool {
	c.meet(a, b)
	for i := 0; i < len(c.hits); {
		// From the first place where a ring is met to the last, along the ring.
		last := i
		for k := i + 1; k < len(c.hits); k++ {
			if c.hits[k].ring == c.hits[i].ring {
				last = k
			}
		}
		if last > i && !c.along(c.hits[i], c.hits[last]) {
			return false
		}
		i = last + 1
	}
	c.way = append(c.way, b)
	return len(c.way) <= mostCombed
}

// leaves reports whether a straight way touches the outline.
func (c *comb) leaves(a, b geom.Point) bool {
	met := false
	c.outline.along(a, b, func(e *edge) bool {
		met = meets(a, b, e.a, e.b)
		return !met
	})
	return met
}

// inside reports whether a point is in the part.
func (c *comb) inside(p geom.Point) bool { return c.outline.inside(p) }

// meets reports whether two straight lines have a point in common.
func meets(a, b, p, q geom.Point) bool {
	side := func(o, a, b geom.Point) int { return cmp.Compare(geom.Cross(o, a, b), 0) }
	return side(a, b, p)*side(a, b, q) <= 0 && side(p, q, a)*side(p, q, b) <= 0
}

// meet lists where the way from a to b meets the rings, in its order.
func (c *comb) meet(a, b geom.Point) {
	c.hits = c.hits[:0]
	c.rails.along(a, b, func(e *edge) bool {
		x, y := geom.Cross(a, b, e.a), geom.Cross(a, b, e.b)
		if x >= 0 == (y >= 0) { // a corner on the way counts as on one side
			return true
		}
		part := float64(x) / float64(x-y)
		at := geom.Point{X: between(e.a.X, e.b.X, part), Y: between(e.a.Y, e.b.Y, part)}
		dx, dy := float64(b.X-a.X), float64(b.Y-a.Y)
		t := (float64(float64(at.X-a.X)*dx) + float64(float64(at.Y-a.Y)*dy)) / (float64(dx*dx) + float64(dy*dy))
		if t > 0 && t < 1 {
			c.hits = append(c.hits, hit{t, e.ring, e.at, at})
		}
		return true
	})
	slices.SortFunc(c.hits, func(g, h hit) int {
		return cmp.Or(cmp.Compare(g.part, h.part), cmp.Compare(g.ring, h.ring), cmp.Compare(g.edge, h.edge))
	})
}

// along adds the shorter of the two ways on a ring from one place to another, and
// reports whether the way is not too long with that.
func (c *comb) along(from, to hit) bool {
	ring := c.rail.Ring(int(from.ring))
	n := len(ring)
	around := c.girth[from.ring]
	if around == 0 {
		for i, p := range ring {
			around += far(p, ring[(i+1)%n])
		}
		c.girth[from.ring] = around
	}
	steps := (int(to.edge) - int(from.edge) + n) % n // corners passed on the way forward
	back := n - steps
	if from.edge == to.edge {
		steps, back = 0, 0
	}
	forward := from.at
	long := 0.0
	for i := range steps {
		p := ring[(int(from.edge)+1+i)%n]
		long += far(forward, p)
		forward = p
	}
	long += far(forward, to.at)
	c.way = append(c.way, from.at)
	onward := long <= around/2 || from.edge == to.edge
	if onward && len(c.way)+steps > mostCombed || !onward && len(c.way)+back > mostCombed {
		return false
	}
	if onward {
		for i := range steps {
			c.way = append(c.way, ring[(int(from.edge)+1+i)%n])
		}
	} else {
		for i := range back {
			c.way = append(c.way, ring[(int(from.edge)-i+n)%n])
		}
	}
	c.way = append(c.way, to.at)
	return true
}
