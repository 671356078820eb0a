package slicer

import (
	"fmt"
	"math"
	"slices"

	"platen/slicer/internal/solids"
)

// An independent account of what a model should take: every layer is drawn on a
// fine grid straight from the triangles in floating point, with the positive fill
// rule, and its pixels are measured against the lines of the section. Nothing of mesh, cut, geom, wall or
// fill takes part.

// pitch of the grid in mm.
const pitch = 0.1

// mask is one layer on the grid.
type mask struct {
	in    []bool
	lines [][2][2]float64 // of the section, the body on their left
	dist  []float64       // mm from the edge of the body, inside it
}

// raster is a model on the grid.
type raster struct {
	w, h   int
	x0, y0 float64 // mm, of the middle of pixel 0,0
	layers []*mask
	parted map[string][]part // of layers that look the same, with their neighbours
}

func newRaster(s solids.Soup, middles []float64) *raster {
	lo, hi := [3]float64{math.Inf(1), math.Inf(1), math.Inf(1)}, [3]float64{math.Inf(-1), math.Inf(-1), math.Inf(-1)}
	for _, t := range s {
		for _, p := range t {
			for i, c := range [3]float64{p.X.MM(), p.Y.MM(), p.Z.MM()} {
				lo[i], hi[i] = min(lo[i], c), max(hi[i], c)
			}
		}
	}
	const margin = 5 // pixels
	r := &raster{
		w: int((hi[0]-lo[0])/pitch) + 2*margin + 1, h: int((hi[1]-lo[1])/pitch) + 2*margin + 1,
		// The model's middle is the middle of the bed.
		x0: 110 - (hi[0]-lo[0])/2 - margin*pitch + pitch/3, y0: 110 - (hi[1]-lo[1])/2 - margin*pitch + pitch/3,
	}
	dx, dy := 110-(hi[0]+lo[0])/2, 110-(hi[1]+lo[1])/2
	for _, z := range middles {
		m := r.draw(s, z+lo[2], dx, dy)
		if n := len(r.layers); n > 0 && slices.Equal(r.layers[n-1].in, m.in) {
			m = r.layers[n-1]
		} else {
			r.measure(m)
		}
		r.layers = append(r.layers, m)
	}
	return r
}

type crossing struct {
	x    float64
	wind int
}

// draw fills the section at height z.
func (r *raster) draw(s solids.Soup, z, dx, dy float64) *mask {
	rows := make([][]crossing, r.h)
	var lines [][2][2]float64
	for _, t := range s {
		var p [2][2]float64 // where the surface goes down, where it goes up
		n := 0
		for i, a := range t {
			b := t[(i+1)%3]
			az, bz := a.Z.MM(), b.Z.MM()
			if (az >= z) == (bz >= z) {
				continue
			}
			f := (z - az) / (bz - az)
			at := [2]float64{a.X.MM() + f*(b.X-a.X).MM() + dx, a.Y.MM() + f*(b.Y-a.Y).MM() + dy}
			if az >= z {
				p[0] = at
			} else {
				p[1] = at
			}
			n++
		}
		if n == 2 {
			r.cross(rows, p[0], p[1])
			lines = append(lines, p)
		}
	}
	m := &mask{in: make([]bool, r.w*r.h), lines: lines}
	for y, row := range rows {
		slices.SortFunc(row, func(a, b crossing) int {
			if a.x < b.x {
				return -1
			}
			return 1
		})
		wind, k := 0, 0
		for x := range r.w {
			for k < len(row) && row[k].x <= r.x0+float64(x)*pitch {
				wind += row[k].wind
				k++
			}
			m.in[y*r.w+x] = wind > 0
		}
	}
	return m
}

// cross notes which rows a line of the section crosses. Going down it has the body
// on its right-hand side in x.
func (r *raster) cross(rows [][]crossing, a, b [2]float64) {
	wind := 1
	lo, hi := b, a
	if a[1] < b[1] {
		wind, lo, hi = -1, a, b
	}
	for y := max(0, int(math.Ceil((lo[1]-r.y0)/pitch))); y < r.h; y++ {
		at := r.y0 + float64(y)*pitch
		if at >= hi[1] {
			break
		}
		rows[y] = append(rows[y], crossing{lo[0] + (hi[0]-lo[0])*(at-lo[1])/(hi[1]-lo[1]), wind})
	}
}

// measured is how far from an edge distances are exact, in mm.
const measured = 1.0

// measure sets dist of the pixels inside, against the lines of the section. Pieces of
// these with the body on their right as well are not its edge: bodies overlap there.
func (r *raster) measure(m *mask) {
	m.dist = make([]float64, len(m.in))
	for i, in := range m.in {
		m.dist[i] = -pitch
		if in {
			m.dist[i] = 2 * measured
		}
	}
	for _, l := range m.lines {
		dx, dy := l[1][0]-l[0][0], l[1][1]-l[0][1]
		long := math.Hypot(dx, dy)
		n := int(long/(pitch/2)) + 1
		at := func(i int) [2]float64 {
			f := float64(i) / float64(n)
			return [2]float64{l[0][0] + f*dx, l[0][1] + f*dy}
		}
		from := -1 // where the present piece of edge began
		for i := range n + 1 {
			p := at(i)
			px, py, ok := r.pixel(p[0]+pitch*dy/long, p[1]-pitch*dx/long)
			edge := long > 0 && (!ok || !m.in[py*r.w+px])
			if edge && from < 0 {
				from = i
			}
			if from >= 0 && (!edge || i == n) {
				r.near(m, at(from), p)
				from = -1
			}
		}
	}
}

// near notes the distance of a piece of edge to the pixels around it.
func (r *raster) near(m *mask, a, b [2]float64) {
	r.around(a, b, measured, func(i int, d float64) {
		if m.in[i] {
			m.dist[i] = min(m.dist[i], d)
		}
	})
}

// around calls f with the pixels within reach of a line and their distances to it.
func (r *raster) around(a, b [2]float64, reach float64, f func(i int, d float64)) {
	y0, y1 := int((min(a[1], b[1])-reach-r.y0)/pitch), int((max(a[1], b[1])+reach-r.y0)/pitch)+1
	dx, dy := b[0]-a[0], b[1]-a[1]
	l := max(dx*dx+dy*dy, 1e-12)
	for y := max(0, y0); y <= min(r.h-1, y1); y++ {
		// The part of the line that is within reach of the row bounds its pixels.
		from, to := 0.0, 1.0
		if dy != 0 {
			row := r.y0 + float64(y)*pitch - a[1]
			from, to = (row-reach)/dy, (row+reach)/dy
			from, to = max(0, min(1, from, to)), min(1, max(0, from, to))
		}
		x0 := int((a[0]+min(from*dx, to*dx)-reach-r.x0)/pitch) - 1
		x1 := int((a[0]+max(from*dx, to*dx)+reach-r.x0)/pitch) + 1
		for x := max(0, x0); x <= min(r.w-1, x1); x++ {
			px, py := r.x0+float64(x)*pitch-a[0], r.y0+float64(y)*pitch-a[1]
			t := max(0, min(1, (px*dx+py*dy)/l))
			if ex, ey := px-t*dx, py-t*dy; ex*ex+ey*ey <= reach*reach {
				f(y*r.w+x, math.Sqrt(ex*ex+ey*ey))
			}
		}
	}
}

func (r *raster) pixel(x, y float64) (px, py int, ok bool) {
	px, py = int(math.Round((x-r.x0)/pitch)), int(math.Round((y-r.y0)/pitch))
	return px, py, px >= 0 && px < r.w && py >= 0 && py < r.h
}

// parts says what each pixel of a layer should be.
type part uint8

const (
	outside part = iota
	walls
	skin
	sparse
)

func (r *raster) parts(layer int, s Settings) []part {
	m := r.layers[layer]
	around, ends := r.neighbours(layer, s)
	key := fmt.Sprintf("%p %v %v %d %v", m, around, ends, s.Walls, s.Width)
	if out, ok := r.parted[key]; ok {
		return out
	}
	out := make([]part, len(m.in))
	wallDepth := float64(s.Walls) * s.Width.MM()
	for i, in := range m.in {
		switch {
		case !in:
		case m.dist[i] < wallDepth:
			out[i] = walls
		default:
			out[i] = sparse
			if ends || slices.ContainsFunc(around, func(m *mask) bool { return !m.in[i] }) {
				out[i] = skin
			}
		}
	}
	if r.parted == nil {
		r.parted = map[string][]part{}
	}
	r.parted[key] = out
	return out
}

// neighbours are the layers that decide what is skin, equal ones once, and whether
// the model ends among them.
func (r *raster) neighbours(layer int, s Settings) (around []*mask, ends bool) {
	for k := layer - s.BottomLayers; k <= layer+s.TopLayers; k++ {
		if k < 0 || k >= len(r.layers) {
			ends = true
		} else if m := r.layers[k]; m != r.layers[layer] && !slices.Contains(around, m) {
			around = append(around, m)
		}
	}
	return around, ends
}

// volume is what the model should take in mm³.
func (r *raster) volume(s Settings) float64 {
	total := 0.0
	for i := range r.layers {
		area := 0.0
		for _, p := range r.parts(i, s) {
			switch p {
			case walls, skin:
				area += pitch * pitch
			case sparse:
				area += pitch * pitch * float64(s.Density) / 100
			}
		}
		total += area * s.stack().Thickness(i).MM()
	}
	return total
}

// depth is how far inside the body of a layer a place is; below 0 it is outside.
func (r *raster) depth(layer int, x, y float64) float64 {
	px, py, ok := r.pixel(x, y)
	if !ok {
		return -1
	}
	return r.layers[layer].dist[py*r.w+px]
}

// paint sets the pixels within half of a line.
func (r *raster) paint(on []bool, a, b [2]float64, half float64) {
	r.around(a, b, half, func(i int, _ float64) { on[i] = true })
}
