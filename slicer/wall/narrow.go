package wall

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// mostPieces bounds the pieces in which the rings of one wall are looked at.
const mostPieces = 1 << 18

// part is a piece of a ring.
type part struct {
	from   geom.Point
	ux, uy float64 // its direction
	long   float64
	width  float64 // of its line, by the room that it has
	even   float64 // the same, evened out along the ring
	sharp  bool    // the ring turns sharply where it begins
}

// narrower finds where two sides of a wall share room.
type narrower struct {
	rings  geom.Region // as written anew
	grid   grid        // of the rings as they were
	parts  []part      // of the ring at hand
	widths []unit.Length
	kites  geom.Region // in front of sharp corners
}

func (n *narrower) wipe() {
	n.rings.Wipe()
	n.kites.Wipe()
	n.grid.wipe()
	clear(n.parts[:cap(n.parts)])
	clear(n.widths[:cap(n.widths)])
}

// Narrow looks for places where two sides of one wall run so close to each other
// that both lines do not fit, or so that they leave less between them than another
// line is worth. There it makes the two narrower or wider, and moves them, so that
// side by side they take what room there is. It adds points to the rings of such
// walls: do it last, when all that follows from the shape of the walls is known.
func (b *Builder) Narrow(w *Walls, p Params) error {
	if p.Width <= 0 || p.Width > maxWidth || p.Wider < 0 || p.Wider > p.Width {
		return ErrParams
	}
	for i := range w.n {
		b.narrow.kites.Reset()
		if w.near[i] {
			b.narrow.wall(w, i, p)
		} else {
			smooth(&w.lines[i])
		}
		if i > 0 {
			b.narrow.corners(w, i, p.Width)
			b.narrow.takePockets(w, i)
		}
	}
	return nil
}

// wall does one wall.
func (n *narrower) wall(w *Walls, i int, p Params) {
	line, width := &w.lines[i], p.Width
	step := n.step(line, width)
	n.grid.load(line, width)
	n.rings.Reset()
	n.widths = n.widths[:0]
	changed := false
	for r := range line.Len() {
		ring := line.Ring(r)
		n.parts = n.parts[:0]
		same := true
		for k, a := range ring {
			same = n.edge(a, ring[(k+1)%len(ring)], step, p) && same
		}
		start := len(n.rings.Pts)
		if same {
			n.rings.Pts = append(n.rings.Pts, ring...)
			for range ring {
				n.widths = append(n.widths, width)
			}
		} else {
			changed = true
			n.evenOut(width)
			n.write(width)
		}
		n.cut(start + thin(n.rings.Pts[start:], n.widths[start:]))
		if len(n.rings.Pts) >= start+3 {
			n.rings.Ends = append(n.rings.Ends, int32(len(n.rings.Pts)))
		} else {
			n.cut(start)
		}
	}
	if !changed {
		smooth(line)
		return
	}
	w.widths[i] = append(w.widths[i][:0], n.widths...)
	line.Reset()
	line.Append(&n.rings)
}

// cut drops the points of the rings from number end on.
func (n *narrower) cut(end int) { n.rings.Pts, n.widths = n.rings.Pts[:end], n.widths[:end] }

// mostEven is over how many pieces on either side a width is evened out at most.
const mostEven = 16

// evenOut makes the widths of the ring at hand change evenly: each becomes the mean of
// those within half a line on either side, as far as the ring does not turn sharply.
func (n *narrower) evenOut(width unit.Length) {
	m := len(n.parts)
	for k := range n.parts {
		p, q := &n.parts[(k+m-1)%m], &n.parts[k]
		q.sharp = float64(p.ux*q.ux)+float64(p.uy*q.uy) < sharpCos
	}
	reach := float64(width) / 2
	for k := range n.parts {
		p := &n.parts[k]
		sum, long := float64(p.width*p.long), p.long
		far := p.long / 2
		for j, steps := k, 0; steps < mostEven && steps < m-1 && !n.parts[j].sharp; steps++ {
			j = (j + m - 1) % m
			q := &n.parts[j]
			if far += q.long; far-q.long/2 > reach {
				break
			}
			sum, long = sum+float64(q.width*q.long), long+q.long
		}
		far = p.long / 2
		for j, steps := (k+1)%m, 0; steps < mostEven && steps < m-1 && !n.parts[j].sharp; steps++ {
			q := &n.parts[j]
			if far += q.long; far-q.long/2 > reach {
				break
			}
			sum, long = sum+float64(q.width*q.long), long+q.long
			j = (j + 1) % m
		}
		p.even = sum / long
	}
	for k := range n.parts { // the round end of a wider line would be outside at a corner
		p, q := &n.parts[(k+m-1)%m], &n.parts[k]
		if least := min(p.even, q.even); q.sharp && least <= float64(width) {
			p.even, q.even = least, least
		}
	}
}

// sharpCos is the cosine of the least turn that is a corner: lines on either side of it
// have widths of their own.
const sharpCos = 0.6

// joint is where two parts of a ring meet once they are moved.
type joint struct {
	end, begin   geom.Point // of the one and of the other: the same but for a step
	before, from float64    // their widths there
}

// joint is where part k of the ring at hand begins, moved so that the outer side of the
// line stays where it was. Where the ring turns sharply the point is where the two moved
// lines meet, or a step if they do so far away.
func (n *narrower) joint(k int, width unit.Length) joint {
	p, q := &n.parts[(k+len(n.parts)-1)%len(n.parts)], &n.parts[k%len(n.parts)]
	to := func(dx, dy float64) geom.Point {
		return geom.Point{X: q.from.X + unit.Length(math.Round(dx)), Y: q.from.Y + unit.Length(math.Round(dy))}
	}
	sin, cos := float64(p.ux*q.uy)-float64(p.uy*q.ux), float64(p.ux*q.ux)+float64(p.uy*q.uy)
	if !q.sharp { // along the bisector
		wide := (p.even + q.even) / 2
		by := (float64(width) - wide) / 2 / (1 + cos)
		at := to(by*(p.uy+q.uy), -by*(p.ux+q.ux))
		return joint{at, at, wide, wide}
	}
	a, b := (float64(width)-p.even)/2, (float64(width)-q.even)/2 // how far each is moved to its right
	if math.Abs(sin) > 0.1 {
		dx := (float64(b*p.ux) - float64(a*q.ux)) / sin
		dy := (float64(b*p.uy) - float64(a*q.uy)) / sin
		if far := max(math.Abs(a), math.Abs(b)); float64(dx*dx)+float64(dy*dy) <= 4*far*far {
			at := to(dx, dy)
			return joint{at, at, p.even, q.even}
		}
	}
	return joint{to(a*p.uy, -a*p.ux), to(b*q.uy, -b*q.ux), p.even, q.even}
}

// write appends the ring at hand to the rings. Parts that become wider or narrower are
// split into lines that hardly do.
func (n *narrower) write(width unit.Length) {
	j := n.joint(0, width)
	for k, q := range n.parts {
		next := n.joint(k+1, width)
		if p := &n.parts[(k+len(n.parts)-1)%len(n.parts)]; q.sharp && min(j.before, j.from) < float64(width) {
			n.pocket(q.from, p.ux, p.uy, q.ux, q.uy, width, j.end, j.begin, min(j.before, j.from))
		}
		if j.end != j.begin {
			n.add(j.end, unit.Length(min(j.before, j.from)))
		}
		m := 1 + int(math.Abs(next.before-j.from)*alike/float64(width))
		for i := range m {
			f := (float64(i) + 0.5) / float64(m)
			n.add(between(j.begin, next.end, i, m), unit.Length(math.Round(j.from+float64(f*(next.before-j.from)))))
		}
		j = next
	}
}

// step is how long the pieces are in which rings are looked at.
func (n *narrower) step(line *geom.Region, width unit.Length) float64 {
	long := 0.0
	for r := range line.Len() {
		ring := line.Ring(r)
		for k, a := range ring {
			long += distance(a, ring[(k+1)%len(ring)])
		}
	}
	return max(float64(width)/2, long/mostPieces)
}

// edge appends the parts of an edge, and reports whether all of them have the room that
// they take.
func (n *narrower) edge(a, b geom.Point, step float64, p Params) bool {
	ux, uy, long := direction(a, b)
	if long == 0 {
		return true
	}
	m := parts(a, b, step)
	same := true
	for i := range m {
		from, to := between(a, b, i, m), between(a, b, i+1, m)
		w := n.room(middle(from, to), ux, uy, p.Width, p.Width+p.Wider)
		n.parts = append(n.parts, part{from: from, ux: ux, uy: uy, long: long / float64(m), width: w})
		same = same && w == float64(p.Width)
	}
	return same
}

// room is how wide the line through m in direction u may be: half of it on its
// outer side, and half of what is between it and the line on the opposite side, if
// that is no more than most.
func (n *narrower) room(m geom.Point, ux, uy float64, width, most unit.Length) float64 {
	free := math.Inf(1)
	g := &n.grid
	// What is on its left, as far as most.
	far := geom.Point{X: m.X - unit.Length(uy*float64(most)), Y: m.Y + unit.Length(ux*float64(most))}
	x0, x1, y0, y1 := g.around(
		geom.Point{X: min(m.X, far.X) - 1, Y: min(m.Y, far.Y) - 1}, geom.Point{X: max(m.X, far.X) + 1, Y: max(m.Y, far.Y) + 1})
	for y := y0; y <= y1; y++ {
		for x := x0; x <= x1; x++ {
			for _, i := range g.at(x, y) {
				if d := ahead(m, ux, uy, g.edges[i].a, g.edges[i].b); d < free {
					free = d
				}
			}
		}
	}
	if free > float64(most) {
		return float64(width)
	}
	return (float64(width) + free) / 2
}

// ahead is how far a line in direction u can be moved from m to its left before it
// meets the piece from a to b, if that runs the other way, to within 60°.
func ahead(m geom.Point, ux, uy float64, a, b geom.Point) float64 {
	// In the frame of the line: s along it, t to its left.
	ax, ay, bx, by := float64(a.X-m.X), float64(a.Y-m.Y), float64(b.X-m.X), float64(b.Y-m.Y)
	as, bs := float64(ax*ux)+float64(ay*uy), float64(bx*ux)+float64(by*uy)
	if as <= bs || as < 0 || bs > 0 { // runs the same way, or passes by
		return math.Inf(1)
	}
	at, bt := float64(ay*ux)-float64(ax*uy), float64(by*ux)-float64(bx*uy)
	if run, rise := as-bs, at-bt; float64(rise*rise) > 3*float64(run*run) {
		return math.Inf(1) // rather across: a corner
	}
	if t := at + float64((bt-at)*(as/(as-bs))); t > 0 {
		return t
	}
	return math.Inf(1)
}

// parts is how many pieces of at most step an edge has.
func parts(a, b geom.Point, step float64) int { return max(1, int(math.Ceil(distance(a, b)/step))) }

// between is the point after i of n equal parts of the way from a to b.
func between(a, b geom.Point, i, n int) geom.Point {
	return geom.Point{
		X: a.X + unit.Length(int64(b.X-a.X)*int64(i)/int64(n)),
		Y: a.Y + unit.Length(int64(b.Y-a.Y)*int64(i)/int64(n)),
	}
}

func middle(a, b geom.Point) geom.Point {
	return geom.Point{X: a.X + (b.X-a.X)/2, Y: a.Y + (b.Y-a.Y)/2}
}

// distance rounds each product by itself, the same on every machine.
func distance(a, b geom.Point) float64 {
	dx, dy := float64(a.X-b.X), float64(a.Y-b.Y)
	return math.Sqrt(float64(dx*dx) + float64(dy*dy))
}
