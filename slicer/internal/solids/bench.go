package solids

import (
	"math"

	"platen/hal/unit"
)

// Bench lists the models that speed and memory are measured on. They are large: the
// command make writes them, nothing keeps them.
func Bench() []Model {
	return []Model{
		{"cube.stl", false, Cube},
		{"bracket.stl", false, Plates},
		{"thin-walls.stl", false, ThinWalls},
		{"broken.stl", false, func() Soup { return Broken(Blob(30*mm, 240), 7) }},
		{"gyroid.stl", false, func() Soup { return Gyroid(48*mm, 12*mm, 74) }},
		{"lattice.stl", false, func() Soup { return Lattice(8, 6*mm, mm*6/10) }},
		{"sphere.stl", false, func() Soup { return Blob(30*mm, 1414) }},
	}
}

// Plates is an angle of two plates of 30 mm by 60 mm, 6 mm thick, with eight round
// holes each, and three ribs; its parts touch and overlap.
func Plates() Soup {
	var all Soup
	for i := range unit.Length(2) {
		for k := range unit.Length(4) {
			c := Point{15*mm*i + 15*mm/2, 15*mm*k + 15*mm/2, 0}
			tile := Tube(Around(c, 15*mm/2, 64), Circle(c, (3+k)*mm, 64), 0, 6*mm)
			all = Join(all, tile, tile.Turned().Turned().mirroredXY())
		}
	}
	for _, y := range []unit.Length{0, 28 * mm, 57 * mm} {
		side := func(y unit.Length) []Point {
			return []Point{{3 * mm, y, 3 * mm}, {28 * mm, y, 3 * mm}, {3 * mm, y, 28 * mm}}
		}
		all = Join(all, Loft(side(y+3*mm), side(y)))
	}
	return all
}

// mirroredXY swaps X and Y, and turns the surface the right way out again.
func (s Soup) mirroredXY() Soup {
	out := make(Soup, len(s))
	for i, t := range s.Reversed() {
		for k, p := range t {
			out[i][k] = Point{p.Y, p.X, p.Z}
		}
	}
	return out
}

// ThinWalls is a floor that carries rings and straight walls of 0.4 to 1.6 mm, 20 mm
// high.
func ThinWalls() Soup {
	all := Box(Point{-42 * mm, -32 * mm, 0}, Point{42 * mm, 32 * mm, mm})
	for i := range unit.Length(7) {
		wide := mm*4/10 + i*mm/5
		wide -= wide % (2 * grid)
		c := Point{-36*mm + 12*mm*i, 18 * mm, 0}
		all = Join(all, Tube(Circle(c, 5*mm, 96), Circle(c, 5*mm-wide, 96), mm/2, 20*mm))
		x := -36*mm + 12*mm*i
		foot := []Point{{x, -28 * mm, mm / 2}, {x + wide, -28 * mm, mm / 2}, {x + wide + 3*mm, 6 * mm, mm / 2}, {x + 3*mm, 6 * mm, mm / 2}}
		all = Join(all, Loft(foot, Raised(foot, 20*mm)))
	}
	return all
}

// Blob is a sphere with bumps, of n meridians and n/2 parallels: n² triangles,
// nearly.
func Blob(radius unit.Length, n int) Soup {
	at := func(k, i int) Point {
		i %= n
		st, ct := math.Sincos(math.Pi * float64(k) / float64(n/2))
		sp, cp := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		if k == 0 || k == n/2 {
			st = 0
		}
		x, y, z := st*cp, st*sp, -ct
		f := 1 + 0.03*math.Sin(11*x+3*z)*math.Cos(9*y) + 0.012*math.Sin(31*z)*math.Sin(29*x+17*y)
		return Point{round(radius, x*f), round(radius, y*f), round(radius, z*f)}
	}
	s := make(Soup, 0, n*n)
	for k := range n / 2 {
		for i := range n {
			a, b, c, d := at(k, i), at(k, i+1), at(k+1, i+1), at(k+1, i)
			s = s.proper([3]Point{a, b, c}).proper([3]Point{a, c, d})
		}
	}
	return s
}

// proper appends a triangle, unless it has lost a corner to rounding.
func (s Soup) proper(t [3]Point) Soup {
	if t[0] == t[1] || t[1] == t[2] || t[2] == t[0] {
		return s
	}
	return append(s, t)
}

// Lattice is a cube of n cells a side, each with a strut of the given radius along
// each of its four diagonals, and one upright strut through the middle of all: 4n³+1
// bodies that overlap.
func Lattice(n int, cell, radius unit.Length) Soup {
	var all Soup
	at := func(x, y, z int) Point {
		return Point{unit.Length(x) * cell, unit.Length(y) * cell, unit.Length(z) * cell}
	}
	for z := range n {
		for y := range n {
			for x := range n {
				all = append(all, strut(at(x, y, z), at(x+1, y+1, z+1), radius)...)
				all = append(all, strut(at(x+1, y, z), at(x, y+1, z+1), radius)...)
				all = append(all, strut(at(x, y+1, z), at(x+1, y, z+1), radius)...)
				all = append(all, strut(at(x+1, y+1, z), at(x, y, z+1), radius)...)
			}
		}
	}
	return append(all, strut(at(n/2, n/2, 0), at(n/2, n/2, n), radius)...)
}

// strut is a prism of 13 sides from a up to b, 48 triangles.
func strut(a, b Point, radius unit.Length) Soup {
	const sides = 13
	dx, dy, dz := float64(b.X-a.X), float64(b.Y-a.Y), float64(b.Z-a.Z)
	l := math.Sqrt(dx*dx + dy*dy + dz*dz)
	dx, dy, dz = dx/l, dy/l, dz/l
	ux, uy, uz := 1-dx*dx, -dx*dy, -dx*dz // the X axis, made square to the strut
	l = math.Sqrt(ux*ux + uy*uy + uz*uz)
	ux, uy, uz = ux/l, uy/l, uz/l
	vx, vy, vz := dy*uz-dz*uy, dz*ux-dx*uz, dx*uy-dy*ux
	ring := func(c Point) []Point {
		out := make([]Point, sides)
		for i := range out {
			sin, cos := math.Sincos(2 * math.Pi * float64(i) / sides)
			out[i] = Point{
				c.X + round(radius, cos*ux+sin*vx), c.Y + round(radius, cos*uy+sin*vy), c.Z + round(radius, cos*uz+sin*vz),
			}
		}
		return out
	}
	return Loft(ring(a), ring(b))
}
