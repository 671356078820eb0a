package wall

import (
	"math"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// A machine brakes at every corner of a line, and the more so the shorter the pieces
// between them: rows of very short ones are left out of walls, where they do not make a
// difference.
const (
	// far is how far a point that is left out may be from the line.
	far = 4 * unit.Millimetre / 1000
	// level is the same where that makes a long piece.
	level = unit.Millimetre / 4000
	// shortest is the length up to which pieces are put together.
	shortest = 8 * unit.Millimetre / 10
	// mostLeft is how many points are left out one after the other at most, which
	// bounds the work: all of them are looked at again for each one more.
	mostLeft = 24
	// alike is how much the widths of lines may differ that are put together, in line
	// widths⁻¹.
	alike = 32
)

// smooth leaves out points of rings whose lines are all as wide.
func smooth(r *geom.Region) {
	pts, start := 0, int32(0)
	for i, end := range r.Ends {
		ring := r.Pts[start:end]
		pts += copy(r.Pts[pts:], ring[:thin(ring, nil)])
		start, r.Ends[i] = end, int32(pts)
	}
	r.Pts = r.Pts[:pts]
}

// thin leaves out points of a ring, with the widths of its lines if it has such, and
// returns how many stay, which come first.
func thin(ring []geom.Point, widths []unit.Length) int {
	if len(ring) < 8 {
		return len(ring)
	}
	kept := 0
	for from := 0; from < len(ring); kept++ {
		to := from + 1
		for to < len(ring) && to-from <= mostLeft && straight(ring, widths, from, to+1) {
			to++
		}
		if widths != nil {
			widths[kept] = mean(ring, widths, from, to)
		}
		if to < len(ring) {
			ring[kept+1] = ring[to]
		}
		from = to
	}
	if kept < 3 {
		return 3
	}
	return kept
}

// straight reports whether the points between from and to of a ring can be left out.
func straight(ring []geom.Point, widths []unit.Length, from, to int) bool {
	if widths != nil {
		w := widths[from:to]
		if least, most := slices.Min(w), slices.Max(w); (most-least)*alike > most {
			return false
		}
	}
	a, b := ring[from], ring[to%len(ring)]
	ux, uy, long := direction(a, b)
	off := float64(level)
	if long <= float64(shortest) {
		off = float64(far)
	}
	for _, p := range ring[from+1 : to] {
		x, y := float64(p.X-a.X), float64(p.Y-a.Y)
		if along := float64(x*ux) + float64(y*uy); along < 0 || along > long || math.Abs(float64(y*ux)-float64(x*uy)) > off {
			return false
		}
	}
	return true
}

// mean is the width of the lines from point from to point to of a ring when they become
// one.
func mean(ring []geom.Point, widths []unit.Length, from, to int) unit.Length {
	if to == from+1 {
		return widths[from]
	}
	sum, long := 0.0, 0.0
	for k := from; k < to; k++ {
		d := distance(ring[k], ring[(k+1)%len(ring)])
		sum, long = sum+float64(d*float64(widths[k])), long+d
	}
	if long == 0 {
		return widths[from]
	}
	return unit.Length(math.Round(sum / long))
}
