package solids

import "platen/hal/unit"

// Overhang is what a printer cannot do without support, and what it can: a plate on a
// post, with a spike that hangs from it above the bed and a fin that hangs above a low
// step; two arms, one steep enough to print and one not; and a gate that is bridged.
func Overhang() Soup {
	box := func(x0, y0, z0, x1, y1, z1 unit.Length) Soup {
		return Box(Point{x0 * mm, y0 * mm, z0 * mm}, Point{x1 * mm, y1 * mm, z1 * mm})
	}
	cone := Loft(Circle(Point{6 * mm, 6 * mm, 9 * mm}, mm/16, 24), Circle(Point{6 * mm, 6 * mm, 21 * mm}, 2*mm, 24))
	fin := Box(Point{34 * mm, 4 * mm, 14 * mm}, Point{34*mm + mm*5/8, 26 * mm, 21 * mm})
	arm := func(x0, x1, reach unit.Length) Soup { // from the back of the post, 10 mm up
		foot := []Point{{x0 * mm, 16 * mm, 4 * mm}, {x1 * mm, 16 * mm, 4 * mm}, {x1 * mm, 20 * mm, 4 * mm}, {x0 * mm, 20 * mm, 4 * mm}}
		head := Raised(foot, 14*mm)
		for i := range head {
			head[i].Y += reach * mm
		}
		return Loft(foot, head)
	}
	return Join(
		box(15, 10, 0, 25, 20, 21), box(0, 0, 20, 40, 30, 23), // post and plate
		cone, fin,
		box(30, 2, 0, 38, 28, 6),        // step
		arm(15, 19, 8), arm(21, 25, 16), // 38.7° and 58° from upright
		box(46, 10, 0, 50, 20, 12), box(58, 10, 0, 62, 20, 12), box(46, 10, 8, 62, 20, 12), // gate
	)
}
