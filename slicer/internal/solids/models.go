package solids

import (
	"io"
	"math"
	"strings"

	"platen/hal/unit"
)

// Model is one of the files in testdata/models.
type Model struct {
	File  string
	ASCII bool
	Make  func() Soup
}

// Write writes the file.
func (m Model) Write(w io.Writer) error {
	switch {
	case m.ASCII:
		return m.Make().WriteASCII(w, "model")
	case strings.HasSuffix(m.File, ".obj"):
		return m.Make().WriteOBJ(w)
	case strings.HasSuffix(m.File, ".3mf"):
		return m.Make().Write3MF(w)
	}
	return m.Make().WriteBinary(w)
}

const mm = unit.Millimetre

// Models lists the files in testdata/models.
func Models() []Model {
	return []Model{
		{"cube.stl", false, Cube},
		{"cube-ascii.stl", true, Cube},
		{"bracket.stl", false, Bracket},
		{"cone.stl", false, Cone},
		{"thin-box.stl", false, ThinBox},
		{"tee.stl", false, Tee},
		{"overlap.stl", false, Overlap},
		{"hollow-sphere.stl", false, HollowSphere},
		{"tug.stl", false, Tug},
		{"thin.stl", false, Thin},
		{"overhang.stl", false, Overhang},
		{"tee.obj", false, Tee},
		{"tee.3mf", false, Tee},
		{"bracket.obj", false, Bracket},
		{"bracket.3mf", false, Bracket},
	}
}

// Cube is a cube of 20 mm, one corner at the origin.
func Cube() Soup { return Box(Point{}, Point{20 * mm, 20 * mm, 20 * mm}) }

// Bracket is an angle bracket of 30 mm with a round hole in either leg and two
// ribs; its parts overlap.
func Bracket() Soup {
	leg := Tube(Around(Point{15 * mm, 15 * mm, 0}, 15*mm, 64), Circle(Point{15 * mm, 15 * mm, 0}, 5*mm, 64), 0, 4*mm)
	rib := func(y unit.Length) Soup {
		side := func(y unit.Length) []Point {
			return []Point{{2 * mm, y, 2 * mm}, {12 * mm, y, 2 * mm}, {2 * mm, y, 12 * mm}}
		}
		return Loft(side(y+3*mm), side(y))
	}
	return Join(leg, leg.Turned(), rib(0), rib(27*mm))
}

// Cone is a cylinder of 20 mm with a frustum on top of it, in one surface.
func Cone() Soup {
	c := func(z, r unit.Length) []Point { return Circle(Point{0, 0, z * mm}, r*mm, 96) }
	all := Join(Loft(c(0, 10), c(8, 10)), Loft(c(8, 10), c(20, 3)))
	// The two caps where they meet cancel.
	var s Soup
	for _, t := range all {
		if t[0].Z != 8*mm || t[1].Z != 8*mm || t[2].Z != 8*mm {
			s = append(s, t)
		}
	}
	return s
}

// ThinBox is an open box with walls of 1.2 mm on a floor of 1 mm.
func ThinBox() Soup {
	lo, hi, t := Point{}, Point{30 * mm, 20 * mm, 12 * mm}, 12*mm/10/grid*grid
	inner := Rect(Point{t, t, 0}, Point{hi.X - t, hi.Y - t, 0}, 0)
	return Join(Box(lo, Point{hi.X, hi.Y, mm}), Tube(Rect(lo, hi, 0), inner, mm/2, hi.Z))
}

// Tee is a post that carries a bar which reaches 8 mm beyond it on either side.
func Tee() Soup {
	return Join(
		Box(Point{8 * mm, 0, 0}, Point{16 * mm, 10 * mm, 13 * mm}),
		Box(Point{0, 0, 12 * mm}, Point{24 * mm, 10 * mm, 18 * mm}))
}

// Overlap is two upright cylinders that share a third of their floor.
func Overlap() Soup {
	body := func(x unit.Length) Soup {
		return Loft(Circle(Point{x, 0, 0}, 8*mm, 72), Circle(Point{x, 0, 10 * mm}, 8*mm, 72))
	}
	return Join(body(0), body(9*mm))
}

// HollowSphere is a sphere of 24 mm with a round void in the middle.
func HollowSphere() Soup {
	return Join(Sphere(Point{}, 12*mm, 96), Sphere(Point{}, 8*mm, 72).Reversed())
}

// Tug is a small boat: a hull that widens upward, a cabin with a window, and a
// hollow funnel.
func Tug() Soup {
	hull := func(z, grow unit.Length) []Point {
		return []Point{
			{-18*mm - grow, 0, z}, {-14*mm - grow, -6*mm - grow, z}, {10 * mm, -7*mm - grow, z},
			{22*mm + 2*grow, 0, z}, {10 * mm, 7*mm + grow, z}, {-14*mm - grow, 6*mm + grow, z},
		}
	}
	window := Tube(Around(Point{}, 5*mm, 48), Circle(Point{}, 3*mm, 48), -4*mm, 4*mm).Turned().Moved(Point{-2 * mm, 0, 12 * mm})
	funnel := Tube(Circle(Point{-11 * mm, 0, 0}, 3*mm, 48), Circle(Point{-11 * mm, 0, 0}, 2*mm, 48), 7*mm, 22*mm)
	return Join(
		Loft(hull(0, 0), hull(8*mm, 3*mm)),
		window,
		Loft(Rect(Point{-7 * mm, -6 * mm, 0}, Point{3 * mm, 6 * mm, 0}, 16*mm), Rect(Point{-6 * mm, -5 * mm, 0}, Point{2 * mm, 5 * mm, 0}, 19*mm)),
		funnel)
}

// Thin is what is between one line and two wide: walls of 0.45, 0.6, 0.7 and 0.8 mm,
// a wedge from 1.4 to 0.3 mm, a ring of 0.6 mm, an angle and a cross of 0.7 mm. All
// of it is askew, so that no grid favours it.
func Thin() Soup {
	const high = 4 * mm
	um := func(n unit.Length) unit.Length { return n * mm / 1000 }
	// wall begins at x, y and grows from from to to wide over its length.
	wall := func(x, y, long, from, to unit.Length, degrees float64) Soup {
		sin, cos := math.Sincos(degrees * math.Pi / 180)
		at := func(along, across unit.Length) Point {
			return Point{round(x, 1) + round(along, cos) - round(across, sin), round(y, 1) + round(along, sin) + round(across, cos), 0}
		}
		foot := []Point{at(0, -from/2), at(long, -to/2), at(long, to/2), at(0, from/2)}
		return Loft(foot, Raised(foot, high))
	}
	var all Soup
	for i, wide := range []unit.Length{450, 600, 700, 800} {
		all = Join(all, wall(0, 3*mm*unit.Length(i), 16*mm, um(wide), um(wide), 17))
	}
	ring := func(r unit.Length) []Point { return Circle(Point{25 * mm, 12 * mm, 0}, r, 90) }
	return Join(all,
		wall(0, 13*mm, 20*mm, um(1400), um(300), 17),
		Tube(ring(5*mm), ring(um(4400)), 0, high),
		wall(22*mm, -3*mm, 10*mm, um(700), um(700), 31), wall(22*mm, -3*mm, 8*mm, um(700), um(700), 121),
		wall(35*mm, 2*mm, 12*mm, um(700), um(700), 71), wall(32*mm, 9*mm, 10*mm, um(700), um(700), -19))
}
