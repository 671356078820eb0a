package path

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// mostCells bounds the cells of a grid along one side.
const mostCells = 128

// grid finds the edges of rings by place: a box is cut into cells, and each lists the
// edges that may reach into it. It is made when it is asked for the first time on a
// layer, as many layers need none.
type grid struct {
	edges  []edge
	lo     geom.Point
	size   int64 // of a cell, along both axes
	nx, ny int
	starts []int32 // of each cell's list, and one behind the last
	list   []int32
	seen   []uint32 // by edge: the latest query that looked at it
	query  uint32
	ready  bool
}

// edge is a straight piece of a ring.
type edge struct {
	a, b geom.Point
	ring int32
	at   int32 // the point of the ring at which it begins
}

func (g *grid) wipe() {
	clear(g.edges[:cap(g.edges)])
	clear(g.list[:cap(g.list)])
	clear(g.starts[:cap(g.starts)])
	g.ready = false
}

// reset forgets all edges.
func (g *grid) reset() { g.edges, g.ready = g.edges[:0], false }

// add takes the edges of the rings of r. The rings are numbered on from first.
func (g *grid) add(r *geom.Region, first int) {
	for i := range r.Len() {
		ring := r.Ring(i)
		for k, p := range ring {
			q := ring[0]
			if k+1 < len(ring) {
				q = ring[k+1]
			}
			g.edges = append(g.edges, edge{p, q, int32(first + i), int32(k)})
		}
	}
}

// build makes the lists of cells.
func (g *grid) build() {
	g.ready = true
	if len(g.edges) == 0 {
		g.nx, g.ny = 0, 0
		return
	}
	lo, hi := g.edges[0].a, g.edges[0].a
	for i := range g.edges {
		p := g.edges[i].a
		lo = geom.Point{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
		hi = geom.Point{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
	}
	g.lo = lo
	side := max(int64(hi.X)-int64(lo.X), int64(hi.Y)-int64(lo.Y)) + 1
	n := min(mostCells, 4+int(math.Sqrt(float64(len(g.edges)))))
	g.size = side/int64(n) + 1
	g.nx = int((int64(hi.X)-int64(lo.X))/g.size) + 1
	g.ny = int((int64(hi.Y)-int64(lo.Y))/g.size) + 1
	g.fill()
}

// fill counts what each cell lists, and then lists it.
func (g *grid) fill() {
	g.starts = g.starts[:0]
	for range g.nx*g.ny + 1 {
		g.starts = append(g.starts, 0)
	}
	for i := range g.edges {
		g.cells(g.edges[i].a, g.edges[i].b, func(c int) bool { g.starts[c+1]++; return true })
	}
	for c := range g.nx * g.ny {
		g.starts[c+1] += g.starts[c]
	}
	total := int(g.starts[g.nx*g.ny])
	if cap(g.list) < total {
		g.list = make([]int32, total)
	}
	g.list = g.list[:total]
	for i := len(g.edges) - 1; i >= 0; i-- { // from the last, so that starts end where they belong
		g.cells(g.edges[i].a, g.edges[i].b, func(c int) bool {
			g.starts[c+1]--
			g.list[g.starts[c+1]] = int32(i)
			return true
		})
	}
	// starts[c+1] is now where the list of c begins.
	copy(g.starts, g.starts[1:])
	g.starts[g.nx*g.ny] = int32(total)
	g.seen = g.seen[:0]
	for range g.edges {
		g.seen = append(g.seen, 0)
	}
	g.query = 0
}

// column and row are the cell of a coordinate, or the nearest.
func (g *grid) column(x unit.Length) int {
	return int(max(0, min(int64(g.nx)-1, (int64(x)-int64(g.lo.X))/g.size)))
}

func (g *grid) row(y unit.Length) int {
	return int(max(0, min(int64(g.ny)-1, (int64(y)-int64(g.lo.Y))/g.size)))
}

// cells calls yield with every cell that the straight way from a to b touches, and
// some beside it, until that returns false.
func (g *grid) cells(a, b geom.Point, yield func(int) bool) {
	if a.Y > b.Y {
		a, b = b, a
	}
	first, last := g.row(a.Y), g.row(b.Y)
	for r := first; r <= last; r++ {
		x0, x1 := a.X, b.X
		if first != last { // where the way enters the row and leaves it, rounded outwards
			if r > first {
				x0 = cross(a, b, int64(g.lo.Y)+int64(r)*g.size)
			}
			if r < last {
				x1 = cross(a, b, int64(g.lo.Y)+int64(r+1)*g.size)
			}
		}
		for c := g.column(min(x0, x1) - 1); c <= g.column(max(x0, x1)+1); c++ {
			if !yield(r*g.nx + c) {
				return
			}
		}
	}
}

// cross is X of the way from a to b at height y, to the unit.
func cross(a, b geom.Point, y int64) unit.Length {
	dy := int64(b.Y) - int64(a.Y)
	return a.X + unit.Length((y-int64(a.Y))*(int64(b.X)-int64(a.X))/dy)
}

// along calls yield with each edge that the way from a to b may meet, once, until
// that returns false.
func (g *grid) along(a, b geom.Point, yield func(*edge) bool) {
	if !g.ready {
		g.build()
	}
	if g.nx == 0 {
		return
	}
	if g.query++; g.query == 0 {
		clear(g.seen)
		g.query = 1
	}
	lo := geom.Point{X: min(a.X, b.X), Y: min(a.Y, b.Y)}
	hi := geom.Point{X: max(a.X, b.X), Y: max(a.Y, b.Y)}
	g.cells(a, b, func(c int) bool {
		for _, i := range g.list[g.starts[c]:g.starts[c+1]] {
			if g.seen[i] == g.query {
				continue
			}
			g.seen[i] = g.query
			e := &g.edges[i]
			if max(e.a.X, e.b.X) >= lo.X && min(e.a.X, e.b.X) <= hi.X && max(e.a.Y, e.b.Y) >= lo.Y && min(e.a.Y, e.b.Y) <= hi.Y && !yield(e) {
				return false
			}
		}
		return true
	})
}

// inside reports whether a point is inside of the rings, by the edges to the right.
func (g *grid) inside(p geom.Point) bool {
	in := false
	g.along(p, geom.Point{X: unit.MaxCoordinate, Y: p.Y}, func(e *edge) bool {
		if (e.a.Y > p.Y) != (e.b.Y > p.Y) && (geom.Cross(e.a, e.b, p) > 0) == (e.b.Y > e.a.Y) {
			in = !in
		}
		return true
	})
	return in
}
