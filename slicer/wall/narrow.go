package wall

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// mostPieces bounds the pieces in which the rings of one wall are looked at.
const mostPieces = 1 << 18

// part is a piece of a ring that is as wide from end to end.
type part struct {
	from   geom.Point
	ux, uy float64 // its direction
	width  unit.Length
	out    float64 // how far it is moved to its right
}

// narrower finds where two sides of a wall share room.
type narrower struct {
	rings  geom.Region // as written anew
	grid   grid        // of the rings as they were
	parts  []part      // of the ring at hand
	widths []unit.Length
}

func (n *narrower) wipe() {
	n.rings.Wipe()
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
	if p.Width <= 0 || p.Width > maxWidth {
		return ErrParams
	}
	for i := range w.n {
		if w.near[i] {
			b.narrow.wall(w, i, p.Width)
		}
		if i > 0 {
			b.narrow.corners(w, i, p.Width)
		}
	}
	return nil
}

// wall does one wall.
func (n *narrower) wall(w *Walls, i int, width unit.Length) {
	line := &w.lines[i]
	step := n.step(line, width)
	n.grid.load(line, width)
	n.rings.Reset()
	widths := w.widths[i][:0]
	changed := false
	for r := range line.Len() {
		ring := line.Ring(r)
		n.parts = n.parts[:0]
		for k, a := range ring {
			n.edge(a, ring[(k+1)%len(ring)], step, width)
		}
		start := len(n.rings.Pts)
		for k := range n.parts {
			changed = changed || n.parts[k].width != width
			widths = n.write(widths, k, width)
		}
		if len(n.rings.Pts) >= start+3 {
			n.rings.Ends = append(n.rings.Ends, int32(len(n.rings.Pts)))
		} else {
			n.rings.Pts, widths = n.rings.Pts[:start], widths[:start]
		}
	}
	if !changed {
		return
	}
	w.widths[i] = widths
	line.Reset()
	line.Append(&n.rings)
}

// write appends part k of the ring at hand to the rings: its width, and the point
// where it begins. A part that goes straight on from the one before begins at the
// end of that, both moved; if that makes a step it gets a point at either end of it.
func (n *narrower) write(widths []unit.Length, k int, width unit.Length) []unit.Length {
	p, q := &n.parts[(k+len(n.parts)-1)%len(n.parts)], &n.parts[k]
	sin, cos := float64(p.ux*q.uy)-float64(p.uy*q.ux), float64(p.ux*q.ux)+float64(p.uy*q.uy)
	add := func(dx, dy float64, wide unit.Length) {
		n.rings.Pts = append(n.rings.Pts, geom.Point{
			X: q.from.X + unit.Length(math.Round(dx)), Y: q.from.Y + unit.Length(math.Round(dy)),
		})
		widths = append(widths, wide)
	}
	if p.out == 0 && q.out == 0 {
		add(0, 0, q.width)
		return widths
	}
	if math.Abs(sin) > 0.1 {
		// Where the two moved lines meet, unless that is far away.
		dx := (float64(q.out*p.ux) - float64(p.out*q.ux)) / sin
		dy := (float64(q.out*p.uy) - float64(p.out*q.uy)) / sin
		if far := max(math.Abs(p.out), math.Abs(q.out)); float64(dx*dx)+float64(dy*dy) <= 4*far*far {
			add(dx, dy, q.width)
			return widths
		}
	} else if cos > 0 && math.Abs(p.out-q.out) <= float64(width)/64 {
		mean := (p.out + q.out) / 2
		add(mean*q.uy, -mean*q.ux, q.width)
		return widths
	}
	add(p.out*p.uy, -p.out*p.ux, min(p.width, q.width)) // the step
	add(q.out*q.uy, -q.out*q.ux, q.width)
	return widths
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

// edge appends the parts of an edge.
func (n *narrower) edge(a, b geom.Point, step float64, width unit.Length) {
	ux, uy, long := direction(a, b)
	if long == 0 {
		return
	}
	m := parts(a, b, step)
	last := unit.Length(-1)
	for i := range m {
		p, q := between(a, b, i, m), between(a, b, i+1, m)
		most := width * (100 + wider - 3) / 100
		if len(n.parts) > 0 && n.parts[len(n.parts)-1].width > width {
			most = width * (100 + wider + 3) / 100 // rather go on than change to and fro
		}
		if w := n.room(middle(p, q), ux, uy, width, most); w != last {
			n.parts = append(n.parts, part{from: p, ux: ux, uy: uy, width: w, out: float64(width-w) / 2})
			last = w
		}
	}
}

// room is how wide the line through m in direction u may be: half of it on its
// outer side, and half of what is between it and the line on the opposite side, if
// that is no more than most, in steps of 1/128.
func (n *narrower) room(m geom.Point, ux, uy float64, width, most unit.Length) unit.Length {
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
		return width
	}
	const steps = 128
	share := math.Ceil((float64(width) + free) / 2 / float64(width) * steps)
	return unit.Length(int64(width) * int64(share) / steps)
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
