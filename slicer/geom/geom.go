// Package geom is exact integer geometry in the plane: points and rings in
// 1/65536 mm, and on them union, intersection, difference and offset.
//
// A [Kernel] does the work: [Kernel.Union] makes a clean region of whatever a
// section of a mesh gives, overlaps, gaps of no width and all; everything else
// starts from there. Results are on the grid, within half a unit (8 nm) of the
// exact ones, and the same to the bit on every machine; an offset is within 3 µm
// where it rounds or flattens a corner.
//
// Coordinates stay within ±unit.MaxCoordinate, so that the cross product of two
// differences fits an int64 with room to spare. A [Region] holds its rings in two
// flat slices without pointers: it can be reset and filled again for the next
// layer without allocating, and it can live in locked memory.
package geom

import (
	"log/slog"

	"platen/hal/unit"
)

// Point is a point in the plane, in machine coordinates.
type Point struct{ X, Y unit.Length }

// Region is a set of closed rings. Ring i is Pts[Ends[i-1]:Ends[i]] (from 0 for
// the first); the edge from its last point back to its first is implied. Under the
// positive fill rule a point is inside if rings wind around it more often counter-
// clockwise than clockwise; outer rings run counter-clockwise, holes clockwise.
type Region struct {
	Pts  []Point
	Ends []int32
}

// String says nothing of the region.
func (r Region) String() string { return "region" }

// GoString says nothing of the region.
func (r Region) GoString() string { return "region" }

// LogValue says nothing of the region.
func (r Region) LogValue() slog.Value { return slog.StringValue("region") }

// Reset empties the region and keeps its memory.
func (r *Region) Reset() { r.Pts, r.Ends = r.Pts[:0], r.Ends[:0] }

// Len is the number of rings.
func (r *Region) Len() int { return len(r.Ends) }

// Empty reports whether the region has no ring.
func (r *Region) Empty() bool { return len(r.Ends) == 0 }

// Ring returns ring i; it shares the region's memory.
func (r *Region) Ring(i int) []Point {
	start := int32(0)
	if i > 0 {
		start = r.Ends[i-1]
	}
	return r.Pts[start:r.Ends[i]:r.Ends[i]]
}

// Add appends a copy of a ring.
func (r *Region) Add(ring []Point) {
	r.Pts = append(r.Pts, ring...)
	r.Ends = append(r.Ends, int32(len(r.Pts)))
}

// Append appends copies of all rings of s.
func (r *Region) Append(s *Region) {
	base := int32(len(r.Pts))
	r.Pts = append(r.Pts, s.Pts...)
	for _, e := range s.Ends {
		r.Ends = append(r.Ends, base+e)
	}
}

// Area2 returns twice the signed area of a ring in (1/65536 mm)²: positive if it
// runs counter-clockwise. It is exact.
func Area2(ring []Point) int64 {
	if len(ring) < 3 {
		return 0
	}
	var sum int64
	o := ring[0]
	for i := 1; i+1 < len(ring); i++ {
		sum += Cross(o, ring[i], ring[i+1])
	}
	return sum
}

// Area2 returns twice the signed area of all rings together.
func (r *Region) Area2() int64 {
	var sum int64
	for i := range r.Ends {
		sum += Area2(r.Ring(i))
	}
	return sum
}

// Cross is the cross product (a-o)×(b-o): positive if o, a, b turn left. It is
// exact for coordinates within ±unit.MaxCoordinate.
func Cross(o, a, b Point) int64 {
	return int64(a.X-o.X)*int64(b.Y-o.Y) - int64(a.Y-o.Y)*int64(b.X-o.X)
}

// Inside reports whether p lies inside ring.
func Inside(ring []Point, p Point) bool {
	in := false
	a := ring[len(ring)-1]
	for _, b := range ring {
		if (a.Y > p.Y) != (b.Y > p.Y) && (Cross(a, b, p) > 0) == (b.Y > a.Y) {
			in = !in
		}
		a = b
	}
	return in
}

// Holds reports whether p lies inside an odd number of rings of r: in it, once it is as
// [Kernel.Union] leaves it.
func (r *Region) Holds(p Point) bool {
	in := false
	for i := range r.Len() {
		in = in != Inside(r.Ring(i), p)
	}
	return in
}
