package check

import (
	"math"
	"slices"

	"platen/hal/unit"
	"platen/slicer/mesh"
)

// solid is a mesh that is cut at any height.
type solid struct {
	verts  []mesh.Vertex
	tris   []mesh.Triangle
	lo, hi []int32 // of each triangle, Z
	bounds mesh.Box
}

func newSolid(m *mesh.Mesh) *solid {
	s := &solid{verts: m.Vertices(), tris: m.Triangles(), bounds: m.Bounds()}
	s.lo, s.hi = make([]int32, len(s.tris)), make([]int32, len(s.tris))
	for i, t := range s.tris {
		a, b, c := int32(s.verts[t[0]].Z), int32(s.verts[t[1]].Z), int32(s.verts[t[2]].Z)
		s.lo[i], s.hi[i] = min(a, b, c), max(a, b, c)
	}
	return s
}

// middle of the box around the model, in mm.
func (m *solid) middle() pt {
	b := m.bounds
	return pt{(b.Min.X.MM() + b.Max.X.MM()) / 2, (b.Min.Y.MM() + b.Max.Y.MM()) / 2}
}

// section is the model at one height: what the cut triangles leave, the body on the
// left of each line, and of that the edge of the union of all bodies.
type section struct {
	raw  []seg
	edge []seg
}

// cut fills s with the section z mm above the model's lowest point, or a hair below
// that: a face that lies just there is what is printed, as slicers have it. The plane
// is between two heights that corners can have, so that it meets none. Both triangles
// at an edge reckon where it is cut in the same way.
func (m *solid) cut(s *section, z float64) {
	s.raw = s.raw[:0]
	at := float64(m.bounds.Min.Z) + math.Floor(z*float64(unit.Millimetre)) - hair + 0.5
	least := int32(math.Floor(at))
	for i, t := range m.tris {
		if m.lo[i] > least || m.hi[i] <= least {
			continue
		}
		var down, up pt
		for k := range t {
			a, b := m.verts[t[k]], m.verts[t[(k+1)%3]]
			switch {
			case float64(a.Z) > at && float64(b.Z) < at:
				down = crossing(b, a, at)
			case float64(a.Z) < at && float64(b.Z) > at:
				up = crossing(a, b, at)
			}
		}
		if down != up {
			s.raw = append(s.raw, seg{down.tilted(), up.tilted()})
		}
	}
}

// hair is a quarter of a µm.
const hair = 16

// crossing is where the edge from a, below at, to b is cut, in mm.
func crossing(a, b mesh.Vertex, at float64) pt {
	f := (at - float64(a.Z)) / float64(b.Z-a.Z)
	const mm = float64(unit.Millimetre)
	return pt{(float64(a.X) + f*float64(b.X-a.X)) / mm, (float64(a.Y) + f*float64(b.Y-a.Y)) / mm}
}

// uniter finds the edge of the union of bodies.
type uniter struct {
	g     grid
	rows  [][]int32
	lo    float64
	strip float64
}

// unite sets the edge of s: every line is divided where others cross
// it, and a piece is kept if it has the inside on its left and none on its right.
func (u *uniter) unite(s *section) {
	s.edge = s.edge[:0]
	if len(s.raw) == 0 {
		return
	}
	long := 0.0
	for _, g := range s.raw {
		long += g.b.minus(g.a).long()
	}
	u.g.load(s.raw, max(0.1, 2*long/float64(len(s.raw))))
	u.stack(s.raw)
	for i, g := range s.raw {
		cuts := u.divide(i, g)
		for k := 1; k < len(cuts); k++ {
			p := seg{g.a.to(g.b, cuts[k-1]), g.a.to(g.b, cuts[k])}
			d := p.b.minus(p.a)
			l := d.long()
			if l < 1e-7 {
				continue
			}
			const aside = 1e-4 // mm
			mid := p.a.to(p.b, 0.5)
			left := pt{-d.y, d.x}.times(aside / l)
			if u.winding(s.raw, mid.plus(left)) > 0 && u.winding(s.raw, mid.minus(left)) <= 0 {
				s.edge = append(s.edge, p)
			}
		}
	}
}

// divide returns where line i is crossed by others, with its ends.
func (u *uniter) divide(i int, g seg) []float64 {
	cuts := []float64{0, 1}
	d := g.b.minus(g.a)
	u.g.around(g, 0, func(k int) {
		if k == i {
			return
		}
		o := u.g.segs[k]
		e := o.b.minus(o.a)
		det := d.cross(e)
		if math.Abs(det) < 1e-12*(1+d.long()*e.long()) { // side by side: their ends divide
			for _, p := range [2]pt{o.a, o.b} {
				if f := g.near(p); f > 0 && f < 1 && g.a.to(g.b, f).minus(p).long() < 1e-5 {
					cuts = append(cuts, f)
				}
			}
			return
		}
		w := o.a.minus(g.a)
		f, h := w.cross(e)/det, w.cross(d)/det
		if f > 1e-12 && f < 1-1e-12 && h > -1e-9 && h < 1+1e-9 {
			cuts = append(cuts, f)
		}
	})
	slices.Sort(cuts)
	return cuts
}

// stack sorts lines into strips by Y.
func (u *uniter) stack(raw []seg) {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, g := range raw {
		lo, hi = min(lo, g.a.y, g.b.y), max(hi, g.a.y, g.b.y)
	}
	u.lo, u.strip = lo, max(0.05, (hi-lo)/4096)
	n := int((hi-lo)/u.strip) + 1
	for len(u.rows) < n {
		u.rows = append(u.rows, nil)
	}
	u.rows = u.rows[:n]
	for i := range u.rows {
		u.rows[i] = u.rows[i][:0]
	}
	for i, g := range raw {
		for y := int((min(g.a.y, g.b.y) - lo) / u.strip); y <= min(n-1, int((max(g.a.y, g.b.y)-lo)/u.strip)); y++ {
			u.rows[y] = append(u.rows[y], int32(i))
		}
	}
}

// winding is how often the lines run around p, counter-clockwise.
func (u *uniter) winding(raw []seg, p pt) int {
	y := int(math.Floor((p.y - u.lo) / u.strip))
	if y < 0 || y >= len(u.rows) {
		return 0
	}
	n := 0
	for _, i := range u.rows[y] {
		g := raw[i]
		up := g.a.y <= p.y && g.b.y > p.y
		if !up && (g.b.y > p.y || g.a.y <= p.y) {
			continue
		}
		// A line to the right of p that goes up has it on its left.
		if side := g.b.minus(g.a).cross(p.minus(g.a)); up && side > 0 {
			n++
		} else if !up && side < 0 {
			n--
		}
	}
	return n
}
