package path

import (
	"math"
	"math/bits"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// mostCells bounds the cells of a grid along one side.
const mostCells = 128

// grid finds the edges of rings by place: a box is cut into cells, and each lists the
// edges that may reach into it. It is made when it is asked for the first time on a
// layer, as many layers need none, and kept as long as the edges are the same.
type grid struct {
	edges  []edge
	n      int // of edges; those behind are of a layer before
	lo     geom.Point
	shift  uint // cells are 1<<shift wide
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
	g.edges, g.n, g.ready = g.edges[:0], 0, false
}

// reset forgets all edges, unless the same are added again.
func (g *grid) reset() { g.n = 0 }

// add takes the edges of the rings of r. The rings are numbered on from first.
func (g *grid) add(r *geom.Region, first int) {
	for i := range r.Len() {
		ring := r.Ring(i)
		for k, p := range ring {
			q := ring[0]
			if k+1 < len(ring) {
				q = ring[k+1]
			}
			e := edge{p, q, int32(first + i), int32(k)}
			if g.n == len(g.edges) || g.edges[g.n] != e {
				g.edges, g.ready = append(g.edges[:g.n], e), false
			}
			g.n++
		}
	}
}

// build makes the lists of cells, unless they are there.
func (g *grid) build() {
	if g.ready && g.n == len(g.edges) {
		return
	}
	g.edges, g.ready = g.edges[:g.n], true
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
	n := min(mostCells, 4+int(1.5*math.Sqrt(float64(len(g.edges)))))
	g.shift = uint(bits.Len64(uint64(side) / uint64(n)))
	g.nx = int((int64(hi.X)-int64(lo.X))>>g.shift) + 1
	g.ny = int((int64(hi.Y)-int64(lo.Y))>>g.shift) + 1
	g.fill()
}

// fill counts what each cell lists, and then lists it.
func (g *grid) fill() {
	cells := g.nx * g.ny
	g.starts = slices.Grow(g.starts[:0], cells+1)[:cells+1]
	clear(g.starts)
	for i := range g.edges {
		w := g.way(g.edges[i].a, g.edges[i].b)
		for w.next(g) {
			for c := w.from; c <= w.to; c++ {
				g.starts[c+1]++
			}
		}
	}
	for c := range cells {
		g.starts[c+1] += g.starts[c]
	}
	total := int(g.starts[cells])
	g.list = slices.Grow(g.list[:0], total)[:total]
	for i := len(g.edges) - 1; i >= 0; i-- { // from the last, so that starts end where they belong
		w := g.way(g.edges[i].a, g.edges[i].b)
		for w.next(g) {
			for c := w.from; c <= w.to; c++ {
				g.starts[c+1]--
				g.list[g.starts[c+1]] = int32(i)
			}
		}
	}
	// starts[c+1] is now where the list of c begins.
	copy(g.starts, g.starts[1:])
	g.starts[cells] = int32(total)
	g.seen = slices.Grow(g.seen[:0], len(g.edges))[:len(g.edges)]
	clear(g.seen)
	g.query = 0
}

// column and row are the cell of a coordinate, or the nearest.
func (g *grid) column(x unit.Length) int {
	return max(0, min(g.nx-1, int((int64(x)-int64(g.lo.X))>>g.shift)))
}

func (g *grid) row(y unit.Length) int {
	return max(0, min(g.ny-1, int((int64(y)-int64(g.lo.Y))>>g.shift)))
}

// way goes through the cells that the straight way from a to b touches, and some
// beside it, row by row.
type way struct {
	a, b             geom.Point // the lower end first
	row, first, last int        // the next row, and those of the ends
	from, to         int        // the cells of the present one
}

func (g *grid) way(a, b geom.Point) way {
	if a.Y > b.Y {
		a, b = b, a
	}
	first := g.row(a.Y)
	return way{a: a, b: b, row: first, first: first, last: g.row(b.Y)}
}

// next goes on with the next row, and reports whether there is one.
func (w *way) next(g *grid) bool {
	r := w.row
	if r > w.last {
		return false
	}
	x0, x1 := w.a.X, w.b.X
	if r > w.first { // where the way enters the row and leaves it, rounded outwards
		x0 = cross(w.a, w.b, int64(g.lo.Y)+int64(r)<<g.shift)
	}
	if r < w.last {
		x1 = cross(w.a, w.b, int64(g.lo.Y)+int64(r+1)<<g.shift)
	}
	w.from, w.to = r*g.nx+g.column(min(x0, x1)-1), r*g.nx+g.column(max(x0, x1)+1)
	w.row++
	return true
}

// cross is X of the way from a to b at height y, to the unit.
func cross(a, b geom.Point, y int64) unit.Length {
	dy := int64(b.Y) - int64(a.Y)
	return a.X + unit.Length((y-int64(a.Y))*(int64(b.X)-int64(a.X))/dy)
}

// along calls yield with each edge that the way from a to b may meet, once, until
// that returns false.
func (g *grid) along(a, b geom.Point, yield func(*edge) bool) {
	g.build()
	if g.nx == 0 {
		return
	}
	if g.query++; g.query == 0 {
		clear(g.seen)
		g.query = 1
	}
	lo := geom.Point{X: min(a.X, b.X), Y: min(a.Y, b.Y)}
	hi := geom.Point{X: max(a.X, b.X), Y: max(a.Y, b.Y)}
	w := g.way(a, b)
	for w.next(g) {
		for _, i := range g.list[g.starts[w.from]:g.starts[w.to+1]] {
			if g.seen[i] == g.query {
				continue
			}
			g.seen[i] = g.query
			e := &g.edges[i]
			if max(e.a.X, e.b.X) >= lo.X && min(e.a.X, e.b.X) <= hi.X && max(e.a.Y, e.b.Y) >= lo.Y && min(e.a.Y, e.b.Y) <= hi.Y && !yield(e) {
				return
			}
		}
	}
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
