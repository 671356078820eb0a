package wall

import (
	"math/bits"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// edge runs from a to b with the region on its left.
type edge struct{ a, b geom.Point }

// grid finds the edges of a region by place: each square cell lists those that touch
// it.
type grid struct {
	edges  []edge
	shift  uint // 1<<shift is the size of a cell
	lo     geom.Point
	nx, ny int32
	starts []int32 // of the list of each cell, row by row
	list   []int32 // of edges
}

func (g *grid) wipe() {
	clear(g.edges[:cap(g.edges)])
	clear(g.starts[:cap(g.starts)])
	clear(g.list[:cap(g.list)])
	g.lo = geom.Point{}
}

// mostCells bounds the cells along one axis.
const mostCells = 1 << 10

// load takes a region; cells are at least as large as size, at most twice, unless
// there would be too many of them.
func (g *grid) load(r *geom.Region, size unit.Length) {
	g.edges = g.edges[:0]
	g.lo = geom.Point{X: unit.MaxCoordinate, Y: unit.MaxCoordinate}
	hi := geom.Point{X: -unit.MaxCoordinate, Y: -unit.MaxCoordinate}
	for i := range r.Len() {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			g.edges = append(g.edges, edge{a, b})
			g.lo = geom.Point{X: min(g.lo.X, b.X), Y: min(g.lo.Y, b.Y)}
			hi = geom.Point{X: max(hi.X, b.X), Y: max(hi.Y, b.Y)}
			a = b
		}
	}
	if len(g.edges) == 0 {
		g.nx, g.ny = 0, 0
		return
	}
	g.shift = uint(bits.Len32(uint32(max(size, (hi.X-g.lo.X)/mostCells, (hi.Y-g.lo.Y)/mostCells))))
	g.nx, g.ny = g.cell(hi.X-g.lo.X)+1, g.cell(hi.Y-g.lo.Y)+1
	g.sort()
}

// cell is the number of the cell at distance d from the first one; below 0 there is
// none.
func (g *grid) cell(d unit.Length) int32 { return int32(d) >> g.shift }

// sort lists the edges by the cells that they touch.
func (g *grid) sort() {
	g.starts = g.starts[:0]
	for range int(g.nx)*int(g.ny) + 1 {
		g.starts = append(g.starts, 0)
	}
	for i := range g.edges {
		g.touched(&g.edges[i], func(cell int32) { g.starts[cell]++ })
	}
	sum := int32(0)
	for i, c := range g.starts {
		sum += c
		g.starts[i] = sum // the end of the list, from which it is filled
	}
	g.list = g.list[:0]
	for range sum {
		g.list = append(g.list, 0)
	}
	for i := range g.edges {
		g.touched(&g.edges[i], func(cell int32) {
			g.starts[cell]--
			g.list[g.starts[cell]] = int32(i)
		})
	}
}

// touched calls f with the cells that an edge touches, and perhaps one beside them.
func (g *grid) touched(e *edge, f func(cell int32)) {
	a, b := e.a, e.b
	if a.Y > b.Y {
		a, b = b, a
	}
	first, last := g.cell(a.Y-g.lo.Y), g.cell(b.Y-g.lo.Y)
	dx, dy := int64(b.X-a.X), int64(b.Y-a.Y)
	for y := first; y <= last; y++ {
		x0, x1 := int64(a.X), int64(b.X)
		if y > first {
			x0 = int64(a.X) + dx*(int64(g.lo.Y)+int64(y)<<g.shift-int64(a.Y))/dy
		}
		if y < last {
			x1 = int64(a.X) + dx*(int64(g.lo.Y)+int64(y+1)<<g.shift-int64(a.Y))/dy
		}
		from := max(0, g.cell(unit.Length(min(x0, x1)-1)-g.lo.X))
		to := min(g.nx-1, g.cell(unit.Length(max(x0, x1)+1)-g.lo.X))
		for x := from; x <= to; x++ {
			f(y*g.nx + x)
		}
	}
}

// around are the first and last columns and rows of the cells in a box.
func (g *grid) around(lo, hi geom.Point) (x0, x1, y0, y1 int32) {
	return max(g.cell(lo.X-g.lo.X), 0), min(g.cell(hi.X-g.lo.X), g.nx-1), max(g.cell(lo.Y-g.lo.Y), 0), min(g.cell(hi.Y-g.lo.Y), g.ny-1)
}

// at lists the edges of a cell.
func (g *grid) at(x, y int32) []int32 {
	if x < 0 || y < 0 || x >= g.nx || y >= g.ny {
		return nil
	}
	c := y*g.nx + x
	return g.list[g.starts[c]:g.starts[c+1]]
}
