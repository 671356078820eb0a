package solids

import (
	"math"
	"slices"

	"platen/hal/unit"
)

// Gyroid is a cube of the given size that is a gyroid sheet of the given period:
// one surface, found on a grid of n steps a side by marching tetrahedra.
func Gyroid(size, period unit.Length, n int) Soup {
	const thick = 0.35
	g := field{n: n, step: float64(size) / float64(n)}
	w := 2 * math.Pi / float64(period)
	half := float64(size) * 0.499
	return g.march(func(x, y, z float64) float64 {
		s := math.Sin(w*x)*math.Cos(w*y) + math.Sin(w*y)*math.Cos(w*z) + math.Sin(w*z)*math.Cos(w*x)
		wall := (thick - math.Abs(s)) / (1.2 * w)
		return min(wall, half-math.Abs(x), half-math.Abs(y), half-math.Abs(z))
	})
}

// field is a function on a grid around the origin; the body is where it is above 0.
// Its values at the rim of the grid must not be.
type field struct {
	n    int
	step float64
}

// tetrahedra are the six of a cell, around the diagonal from corner 0 to corner 7;
// bit 0 of a corner is X, bit 1 Y, bit 2 Z.
var tetrahedra = [6][4]int{{0, 1, 3, 7}, {0, 3, 2, 7}, {0, 2, 6, 7}, {0, 6, 4, 7}, {0, 4, 5, 7}, {0, 5, 1, 7}}

// march returns the surface of the body.
func (g field) march(f func(x, y, z float64) float64) Soup {
	n := g.n + 1
	values := make([]float32, n*n*n)
	for i := range values {
		x, y, z := g.at(i%n, i/n%n, i/n/n)
		values[i] = float32(f(x, y, z))
		if values[i] == 0 {
			values[i] = -1e-3 // no corner is on the surface
		}
	}
	var s Soup
	for z := range g.n {
		for y := range g.n {
			for x := range g.n {
				var v [8]float32
				in := 0
				for c := range v {
					v[c] = values[((z+c>>2)*n+y+c>>1&1)*n+x+c&1]
					if v[c] > 0 {
						in++
					}
				}
				if in == 0 || in == 8 {
					continue
				}
				for _, t := range tetrahedra {
					s = g.cut(s, x, y, z, t, v)
				}
			}
		}
	}
	return s
}

func (g field) at(x, y, z int) (float64, float64, float64) {
	h := float64(g.n) / 2
	return (float64(x) - h) * g.step, (float64(y) - h) * g.step, (float64(z) - h) * g.step
}

// cut appends the surface within one tetrahedron of the cell at x, y, z.
func (g field) cut(s Soup, x, y, z int, t [4]int, v [8]float32) Soup {
	var in, out []int
	for _, c := range t {
		if v[c] > 0 {
			in = append(in, c)
		} else {
			out = append(out, c)
		}
	}
	p := func(a, b int) Point { return g.between(x, y, z, a, b, v) }
	var quad []Point
	switch len(in) {
	case 1:
		quad = []Point{p(in[0], out[0]), p(in[0], out[1]), p(in[0], out[2])}
	case 2:
		quad = []Point{p(in[0], out[0]), p(in[0], out[1]), p(in[1], out[1]), p(in[1], out[0])}
	case 3:
		quad = []Point{p(in[0], out[0]), p(in[1], out[0]), p(in[2], out[0])}
	default:
		return s
	}
	if inward(in, out) {
		slices.Reverse(quad)
	}
	for i := 1; i+1 < len(quad); i++ {
		s = s.proper([3]Point{quad[0], quad[i], quad[i+1]})
	}
	return s
}

// between is where the surface crosses the edge from corner a to corner b, the same
// for every tetrahedron at that edge.
func (g field) between(x, y, z, a, b int, v [8]float32) Point {
	if a > b {
		a, b = b, a
	}
	f := float64(v[a]) / (float64(v[a]) - float64(v[b]))
	ax, ay, az := g.at(x+a&1, y+a>>1&1, z+a>>2)
	bx, by, bz := g.at(x+b&1, y+b>>1&1, z+b>>2)
	on := func(a, b float64) unit.Length { return round(1, (a + f*(b-a))) }
	return Point{on(ax, bx), on(ay, by), on(az, bz)}
}

// inward reports whether the surface of a tetrahedron, listed as cut does it, is
// counter-clockwise seen from the corners inside. It is as if all edges were crossed
// in their middles.
func inward(in, out []int) bool {
	mid := func(a, b int) [3]int {
		return [3]int{a&1 + b&1, a>>1&1 + b>>1&1, a>>2 + b>>2}
	}
	var p [3][3]int
	switch len(in) {
	case 1:
		p = [3][3]int{mid(in[0], out[0]), mid(in[0], out[1]), mid(in[0], out[2])}
	case 2:
		p = [3][3]int{mid(in[0], out[0]), mid(in[0], out[1]), mid(in[1], out[1])}
	default:
		p = [3][3]int{mid(in[0], out[0]), mid(in[1], out[0]), mid(in[2], out[0])}
	}
	c := mid(in[0], in[0])
	var u, v, w [3]int
	for i := range 3 {
		u[i], v[i], w[i] = p[1][i]-p[0][i], p[2][i]-p[0][i], c[i]-p[0][i]
	}
	return w[0]*(u[1]*v[2]-u[2]*v[1])+w[1]*(u[2]*v[0]-u[0]*v[2])+w[2]*(u[0]*v[1]-u[1]*v[0]) > 0
}
