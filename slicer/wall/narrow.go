package wall

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// mostPieces bounds the pieces of the rings of one wall.
const mostPieces = 1 << 18

// piece is a straight piece of a ring, in a grid that finds its neighbours.
type piece struct {
	key  int64 // of its cell
	a, b geom.Point
}

// narrower finds where two sides of a wall share room.
type narrower struct {
	kernel geom.Kernel
	open   geom.Region
	rings  geom.Region // as written anew
	pieces []piece     // by cell
	cell   unit.Length
}

func (n *narrower) wipe() {
	n.kernel.Wipe()
	n.open.Wipe()
	n.rings.Wipe()
	clear(n.pieces[:cap(n.pieces)])
}

// Narrow looks for places where two sides of one wall run closer to each other than
// a line is wide, and makes both narrower there, so that together they take what
// room there is. It adds points to the rings of such walls, on their edges: do it
// last, when all that follows from the shape of the walls is known.
func (b *Builder) Narrow(w *Walls, p Params) error {
	if p.Width <= 0 || p.Width > maxWidth {
		return ErrParams
	}
	for i := range w.n {
		if err := b.narrow.wall(w, i, p.Width); err != nil {
			return fmt.Errorf("narrow walls: %w", err)
		}
	}
	return nil
}

// wall does one wall.
func (n *narrower) wall(w *Walls, i int, width unit.Length) error {
	line := &w.lines[i]
	if err := n.kernel.Offset(&n.open, line, -width/2, geom.JoinMiter); err != nil {
		return err
	}
	if err := n.kernel.Offset(&n.open, &n.open, width/2, geom.JoinMiter); err != nil {
		return err
	}
	if line.Area2()-n.open.Area2() < int64(width)*int64(width)/4 {
		return nil
	}
	step := n.cut(line, width)
	n.rings.Reset()
	widths := w.widths[i][:0]
	for r := range line.Len() {
		ring := line.Ring(r)
		for k, a := range ring {
			b := ring[(k+1)%len(ring)]
			widths = n.edge(widths, a, b, step, width)
		}
		n.rings.Ends = append(n.rings.Ends, int32(len(n.rings.Pts)))
	}
	w.widths[i] = widths
	line.Reset()
	line.Append(&n.rings)
	return nil
}

// cut puts all rings into the grid, in pieces of half a width, and returns the
// length of a piece.
func (n *narrower) cut(line *geom.Region, width unit.Length) float64 {
	long := 0.0
	for r := range line.Len() {
		ring := line.Ring(r)
		for k, a := range ring {
			long += distance(a, ring[(k+1)%len(ring)])
		}
	}
	step := max(float64(width)/2, long/mostPieces)
	n.cell = width + unit.Length(step)
	n.pieces = n.pieces[:0]
	for r := range line.Len() {
		ring := line.Ring(r)
		for k, a := range ring {
			b := ring[(k+1)%len(ring)]
			m := parts(a, b, step)
			for i := range m {
				c := piece{a: between(a, b, i, m), b: between(a, b, i+1, m)}
				x, y := n.cellOf(middle(c.a, c.b))
				c.key = key(x, y)
				n.pieces = append(n.pieces, c)
			}
		}
	}
	slices.SortFunc(n.pieces, func(p, q piece) int { return cmp.Compare(p.key, q.key) })
	return step
}

// edge writes an edge anew, with a point wherever its width changes.
func (n *narrower) edge(widths []unit.Length, a, b geom.Point, step float64, width unit.Length) []unit.Length {
	m := parts(a, b, step)
	last := unit.Length(-1)
	for i := range m {
		p, q := between(a, b, i, m), between(a, b, i+1, m)
		if w := n.room(p, q, width); w != last {
			n.rings.Pts = append(n.rings.Pts, p)
			widths = append(widths, w)
			last = w
		}
	}
	return widths
}

// room is how wide the line from a to b may be: half of it on its outer side, and
// half of what is between it and the line on the opposite side, in steps of a
// thirty-second.
func (n *narrower) room(a, b geom.Point, width unit.Length) unit.Length {
	long := distance(a, b)
	if long == 0 {
		return width
	}
	ux, uy := float64(b.X-a.X)/long, float64(b.Y-a.Y)/long
	m := middle(a, b)
	free := float64(width)
	x, y := n.cellOf(m)
	for dy := int64(-1); dy <= 1; dy++ {
		from, _ := slices.BinarySearchFunc(n.pieces, key(x-1, y+dy), func(p piece, k int64) int { return cmp.Compare(p.key, k) })
		for _, p := range n.pieces[from:] {
			if p.key > key(x+1, y+dy) {
				break
			}
			if d := ahead(m, ux, uy, p.a, p.b); d < free {
				free = d
			}
		}
	}
	const steps = 32
	share := math.Round((float64(width) + free) / 2 / float64(width) * steps)
	return unit.Length(int64(width) * int64(share) / steps)
}

// ahead is how far a line in direction u can be moved from m to its left before it
// meets the piece from a to b, if that runs the other way.
func ahead(m geom.Point, ux, uy float64, a, b geom.Point) float64 {
	// In the frame of the line: s along it, t to its left.
	ax, ay, bx, by := float64(a.X-m.X), float64(a.Y-m.Y), float64(b.X-m.X), float64(b.Y-m.Y)
	as, bs := float64(ax*ux)+float64(ay*uy), float64(bx*ux)+float64(by*uy)
	if as <= bs || as < 0 || bs > 0 { // runs the same way, or passes by
		return math.Inf(1)
	}
	at, bt := float64(ay*ux)-float64(ax*uy), float64(by*ux)-float64(bx*uy)
	if t := at + float64((bt-at)*(as/(as-bs))); t > 0 {
		return t
	}
	return math.Inf(1)
}

func (n *narrower) cellOf(p geom.Point) (x, y int64) {
	return (int64(p.X) + int64(unit.MaxCoordinate)) / int64(n.cell), (int64(p.Y) + int64(unit.MaxCoordinate)) / int64(n.cell)
}

// key orders cells row by row; x and y may be one outside of the plane.
func key(x, y int64) int64 { return (y+1)<<32 + x + 1 }

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
