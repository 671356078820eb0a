package support

import (
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/mesh"
)

// Sizes are powers of two, so that places turn into cells by shifts.
const (
	cellBits = 15
	fineBits = 13

	cell = unit.Length(1) << cellBits // 0.5 mm
	fine = unit.Length(1) << fineBits // 0.125 mm: undersides narrower than that are nothing
	subs = 1 << (cellBits - fineBits) // fine rays along the side of a cell
)

// reach is how far trees may lean out beyond the model.
const reach = 12 * unit.Millimetre

// grid is a rectangle of cells.
type grid struct {
	x0, y0 unit.Length // lower left corner
	w, h   int32
}

// newGrid covers a model, and what its support may take besides, within the room.
func newGrid(b mesh.Box, p Params) grid {
	margin := grown*cell + cell
	if p.Kind == Tree {
		margin = reach
	}
	x0, y0 := max(b.Min.X-margin, p.Room.Min.X), max(b.Min.Y-margin, p.Room.Min.Y)
	x1, y1 := min(b.Max.X+margin, p.Room.Max.X), min(b.Max.Y+margin, p.Room.Max.Y)
	return grid{x0, y0, int32((x1 - x0) >> cellBits), int32((y1 - y0) >> cellBits)}
}

func (g *grid) cells() int { return int(g.w) * int(g.h) }

func (g *grid) cell(x, y int32) int32 { return y*g.w + x }

func (g *grid) at(c int32) (x, y int32) { return c % g.w, c / g.w }

func (g *grid) has(x, y int32) bool { return x >= 0 && y >= 0 && x < g.w && y < g.h }

// middle is the middle of a cell.
func (g *grid) middle(c int32) geom.Point {
	x, y := g.at(c)
	return geom.Point{X: g.x0 + unit.Length(x)*cell + cell/2, Y: g.y0 + unit.Length(y)*cell + cell/2}
}

// around returns the cell around a point.
func (g *grid) around(p geom.Point) (x, y int32) {
	return int32((p.X - g.x0) >> cellBits), int32((p.Y - g.y0) >> cellBits)
}

// disc lists the ways to the cells whose middles are within n cells.
func disc(n int32) (out [][2]int32) {
	for y := -n; y <= n; y++ {
		for x := -n; x <= n; x++ {
			if x*x+y*y <= n*n {
				out = append(out, [2]int32{x, y})
			}
		}
	}
	return out
}
