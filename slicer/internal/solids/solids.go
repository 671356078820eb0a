// Package solids makes the small models that the slicer's tests run on, and that
// lie in testdata/models: boxes, prisms with holes, cones, spheres, and what can be
// put together from them.
//
// A [Soup] is a list of triangles as an STL file has them: every corner written
// out, counter-clockwise seen from outside. Coordinates are multiples of 1/1024 mm
// within ±128 mm, so that a float32 holds each exactly.
package solids

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"platen/hal/unit"
)

// Point is a point in space.
type Point struct{ X, Y, Z unit.Length }

// Soup is a list of triangles.
type Soup [][3]Point

// grid is the resolution of all coordinates: 1/1024 mm.
const grid = unit.Millimetre / 1024

// Join returns all triangles of several bodies, one after the other.
func Join(bodies ...Soup) Soup {
	var all Soup
	for _, b := range bodies {
		all = append(all, b...)
	}
	return all
}

// Reversed turns a body inside out.
func (s Soup) Reversed() Soup {
	out := make(Soup, len(s))
	for i, t := range s {
		out[i] = [3]Point{t[0], t[2], t[1]}
	}
	return out
}

// Moved returns the body moved by d.
func (s Soup) Moved(d Point) Soup {
	out := make(Soup, len(s))
	for i, t := range s {
		for k, p := range t {
			out[i][k] = Point{p.X + d.X, p.Y + d.Y, p.Z + d.Z}
		}
	}
	return out
}

// Turned returns the body turned so that what pointed along Z points along X, X
// along Y and Y along Z.
func (s Soup) Turned() Soup {
	out := make(Soup, len(s))
	for i, t := range s {
		for k, p := range t {
			out[i][k] = Point{p.Z, p.X, p.Y}
		}
	}
	return out
}

// Box is a box between two corners.
func Box(lo, hi Point) Soup {
	return Loft(Rect(lo, hi, lo.Z), Rect(lo, hi, hi.Z))
}

// Rect is the outline of a box, counter-clockwise, at height z.
func Rect(lo, hi Point, z unit.Length) []Point {
	return []Point{{lo.X, lo.Y, z}, {hi.X, lo.Y, z}, {hi.X, hi.Y, z}, {lo.X, hi.Y, z}}
}

// Circle is a regular polygon of n corners, counter-clockwise from angle 0.
func Circle(centre Point, radius unit.Length, n int) []Point {
	out := make([]Point, n)
	for i := range out {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		out[i] = Point{centre.X + round(radius, cos), centre.Y + round(radius, sin), centre.Z}
	}
	return out
}

// Around is the outline of a box with a corner where the ray from its centre
// through each corner of a Circle of n corners leaves it; n must be a multiple of 8
// and the box square for its own corners to be among them.
func Around(centre Point, half unit.Length, n int) []Point {
	out := make([]Point, n)
	for i := range out {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		f := 1 / max(math.Abs(sin), math.Abs(cos))
		out[i] = Point{centre.X + round(half, cos*f), centre.Y + round(half, sin*f), centre.Z}
	}
	return out
}

func round(l unit.Length, f float64) unit.Length {
	return unit.Length(math.Round(float64(l)*f/float64(grid))) * grid
}

// Loft is the body between two convex outlines of as many corners, both
// counter-clockwise seen from above.
func Loft(bottom, top []Point) Soup {
	s := strip(bottom, top)
	for i := 1; i+1 < len(bottom); i++ {
		s = append(s, [3]Point{bottom[0], bottom[i+1], bottom[i]}, [3]Point{top[0], top[i], top[i+1]})
	}
	return s
}

// Tube is the body between two upright walls of as many corners each, from height
// z0 to z1; inner must lie inside outer.
func Tube(outer, inner []Point, z0, z1 unit.Length) Soup {
	ob, ot, ib, it := Raised(outer, z0), Raised(outer, z1), Raised(inner, z0), Raised(inner, z1)
	return Join(strip(ob, ot), strip(ib, it).Reversed(), strip(ot, it), strip(ob, ib).Reversed())
}

// strip is the surface from one closed line to another: its outside is to the
// right of from, which to lies above.
func strip(from, to []Point) Soup {
	var s Soup
	for i, a := range from {
		j := (i + 1) % len(from)
		s = append(s, [3]Point{a, from[j], to[j]}, [3]Point{a, to[j], to[i]})
	}
	return s
}

// Raised is an outline at height z.
func Raised(line []Point, z unit.Length) []Point {
	out := make([]Point, len(line))
	for i, p := range line {
		out[i] = Point{p.X, p.Y, z}
	}
	return out
}

// Sphere is a sphere of n meridians and n/2 parallels.
func Sphere(centre Point, radius unit.Length, n int) Soup {
	ring := func(k int) []Point {
		sin, cos := math.Sincos(math.Pi * float64(k) / float64(n/2))
		c := centre
		c.Z -= round(radius, cos)
		return Circle(c, round(radius, sin), n)
	}
	var s Soup
	for k := range n / 2 {
		for _, t := range strip(ring(k), ring(k+1)) {
			if t[0] != t[1] && t[1] != t[2] && t[2] != t[0] {
				s = append(s, t)
			}
		}
	}
	return s
}

// WriteBinary writes the body as a binary STL file.
func (s Soup) WriteBinary(w io.Writer) error {
	out := make([]byte, 84, 84+50*len(s))
	copy(out, "Platen test model")
	binary.LittleEndian.PutUint32(out[80:], uint32(len(s)))
	for _, t := range s {
		out = append(out, make([]byte, 12)...)
		for _, p := range t {
			for _, c := range [3]unit.Length{p.X, p.Y, p.Z} {
				out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(c.MM())))
			}
		}
		out = append(out, 0, 0)
	}
	_, err := w.Write(out)
	return err
}

// WriteASCII writes the body as an ASCII STL file.
func (s Soup) WriteASCII(w io.Writer, name string) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "solid %s\n", name)
	for _, t := range s {
		b.WriteString("facet normal 0 0 0\n  outer loop\n")
		for _, p := range t {
			fmt.Fprintf(b, "    vertex %v %v %v\n", p.X.MM(), p.Y.MM(), p.Z.MM())
		}
		b.WriteString("  endloop\nendfacet\n")
	}
	fmt.Fprintf(b, "endsolid %s\n", name)
	return b.Flush()
}
