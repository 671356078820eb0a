package support

import (
	"math"
	"math/bits"
	"slices"

	"platen/hal/unit"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

// rays is what upright rays meet in a mesh. Rays through the middles of cells tell
// what is solid; finer ones find undersides, down to those of a single thin wall.
type rays struct {
	grid
	runs    []int32 // by cell: where solid begins and ends, bottom and top by turns
	runEnds []int32
	unders  []int32 // by cell: heights of undersides, times two, odd if they lean too much
	undEnds []int32
	least   float64 // share of its length that the normal of such an underside has upright, squared
	floor   unit.Length
	counts  bool     // nothing is written yet
	met     []uint64 // triangles that a ray meets, a bit each: most of a fine mesh are not
	meets   bool     // the present one is
}

// shine sends the rays through the mesh. All memory is scratch.
func shine(v *vault.Vault, m *mesh.Mesh, g grid, p Params) (*rays, error) {
	sin := leanSin(p.Angle)
	r := &rays{grid: g, least: float64(sin * sin), floor: m.Bounds().Min.Z + p.Layer/2, counts: true}
	var err error
	for _, s := range []*[]int32{&r.runEnds, &r.undEnds} {
		if *s, err = vault.Scratch[int32](v, g.cells()+1); err != nil {
			return nil, err
		}
	}
	if r.met, err = vault.Scratch[uint64](v, (len(m.Triangles())+63)/64); err != nil {
		return nil, err
	}
	r.count(m)
	if r.runs, err = vault.Scratch[int32](v, sums(r.runEnds)); err != nil {
		return nil, err
	}
	if r.unders, err = vault.Scratch[int32](v, sums(r.undEnds)); err != nil {
		return nil, err
	}
	r.counts = false
	r.fill(m)
	r.solidify()
	return r, nil
}

// leanSin is a sine, rounded so that it is the same on every machine.
func leanSin(a mesh.Angle) float64 {
	const fine = 1 << 40
	return math.Round(math.Sin(float64(a)/float64(180*mesh.Degree)*math.Pi)*fine) / fine
}

// sums turns counts, the last of which is not one, into where each cell's part begins,
// and returns how many there are in all. Filling moves each beginning on to its end.
func sums(counts []int32) int {
	sum := int32(0)
	for i, n := range counts {
		counts[i] = sum
		sum += n
	}
	return int(sum)
}

// part is what belongs to a cell in a list, once it is filled.
func part(list, ends []int32, c int32) []int32 {
	from := int32(0)
	if c > 0 {
		from = ends[c-1]
	}
	return list[from:ends[c]]
}

// count counts what the triangles are met by.
func (r *rays) count(m *mesh.Mesh) {
	verts := m.Vertices()
	for i, t := range m.Triangles() {
		r.meets = false
		if r.triangle(verts[t[0]], verts[t[1]], verts[t[2]]); r.meets {
			r.met[i/64] |= 1 << (i % 64)
		}
	}
}

// fill writes it down.
func (r *rays) fill(m *mesh.Mesh) {
	verts, tris := m.Vertices(), m.Triangles()
	for i, w := range r.met {
		for ; w != 0; w &= w - 1 {
			t := tris[i*64+bits.TrailingZeros64(w)]
			r.triangle(verts[t[0]], verts[t[1]], verts[t[2]])
		}
	}
}

// triangle meets one triangle.
func (r *rays) triangle(a, b, c mesh.Vertex) {
	x0, x1 := min(a.X, b.X, c.X)-r.x0, max(a.X, b.X, c.X)-r.x0
	y0, y1 := min(a.Y, b.Y, c.Y)-r.y0, max(a.Y, b.Y, c.Y)-r.y0
	// Rays are in the middle of their squares; see across and rows.
	coarse := (x0+cell/2)>>cellBits != (x1+cell/2)>>cellBits && (y0+cell/2-1)>>cellBits != (y1+cell/2-1)>>cellBits
	if !coarse && ((x0+fine/2)>>fineBits == (x1+fine/2)>>fineBits || (y0+fine/2-1)>>fineBits == (y1+fine/2-1)>>fineBits) {
		return
	}
	up := int64(b.X-a.X)*int64(c.Y-a.Y) - int64(b.Y-a.Y)*int64(c.X-a.X)
	if up == 0 || up > 0 && !coarse { // fine rays look at undersides only
		return
	}
	s := slope{a: a, up: float64(up), lo: min(a.Z, b.Z, c.Z), hi: max(a.Z, b.Z, c.Z)}
	s.x = float64(int64(b.Y-a.Y)*int64(c.Z-a.Z) - int64(b.Z-a.Z)*int64(c.Y-a.Y))
	s.y = float64(int64(b.Z-a.Z)*int64(c.X-a.X) - int64(b.X-a.X)*int64(c.Z-a.Z))
	if a.Y > b.Y {
		a, b = b, a
	}
	if b.Y > c.Y {
		b, c = c, b
	}
	if a.Y > b.Y {
		a, b = b, a
	}
	t := triangleRows{r: r, s: s, p: [3]mesh.Vertex{a, b, c}}
	if coarse {
		t.solid()
	}
	if up < 0 && s.hi > r.floor {
		t.under(s.leans(r.least))
	}
}

// slope is the plane of a triangle: a corner and the normal.
type slope struct {
	a        mesh.Vertex
	x, y, up float64
	lo, hi   unit.Length // of the triangle
}

// leans reports whether the share of the normal's length that is upright, squared, is
// more than least.
func (s *slope) leans(least float64) bool {
	square := float64(s.up * s.up)
	return square > float64(least*(float64(s.x*s.x)+float64(s.y*s.y)+square))
}

// at is the height of the triangle at a place near or in it.
func (s *slope) at(x, y unit.Length) unit.Length {
	d := (float64(s.x*float64(x-s.a.X)) + float64(s.y*float64(y-s.a.Y))) / s.up
	d = max(float64(s.lo), min(float64(s.hi), float64(s.a.Z)-d))
	return unit.Length(math.Floor(d + 0.5))
}

// triangleRows goes through the rays that meet a triangle, row by row.
type triangleRows struct {
	r *rays
	s slope
	p [3]mesh.Vertex // by Y
}

// across returns the first ray of a row in the triangle and the first one behind it,
// for rays with the given spacing of which the first is half of that inside the grid.
// Both triangles at an edge see it at the same place: a ray meets exactly one.
func (t *triangleRows) across(y unit.Length, size uint) (first, end int32) {
	long := edgeAt(t.p[0], t.p[2], y)
	short := unit.Length(0)
	if y < t.p[1].Y {
		short = edgeAt(t.p[0], t.p[1], y)
	} else {
		short = edgeAt(t.p[1], t.p[2], y)
	}
	half := unit.Length(1) << (size - 1)
	ray := func(x unit.Length) int32 { return int32((x - t.r.x0 + half) >> size) } // rays at or left of x
	return ray(min(long, short)), ray(max(long, short))
}

// edgeAt is where an edge from a up to b is at y.
func edgeAt(a, b mesh.Vertex, y unit.Length) unit.Length {
	n, d := int64(b.X-a.X)*int64(y-a.Y), int64(b.Y-a.Y)
	q := n / d
	if n%d < 0 {
		q--
	}
	return a.X + unit.Length(q)
}

// rows is the range of rows of rays in the triangle: those at its lowest corner, but
// not those at its highest.
func (t *triangleRows) rows(size uint) (first, end int32) {
	half := unit.Length(1)<<(size-1) - 1
	row := func(y unit.Length) int32 { return int32((y - t.r.y0 + half) >> size) } // rays below y
	return row(t.p[0].Y), row(t.p[2].Y)
}

// solid notes where the rays of cells meet the triangle.
func (t *triangleRows) solid() {
	r := t.r
	enter := int32(0)
	if t.s.up > 0 {
		enter = 1
	}
	first, end := t.rows(cellBits)
	for row := max(first, 0); row < min(end, r.h); row++ {
		y := r.y0 + unit.Length(row)*cell + cell/2
		from, to := t.across(y, cellBits)
		for col := max(from, 0); col < min(to, r.w); col++ {
			c := r.cell(col, row)
			if r.counts {
				r.runEnds[c]++
				r.meets = true
				continue
			}
			x := r.x0 + unit.Length(col)*cell + cell/2
			r.runs[r.runEnds[c]] = int32(t.s.at(x, y))<<1 | enter
			r.runEnds[c]++
		}
	}
}

// under notes the triangle once in every cell in which a fine ray meets it.
func (t *triangleRows) under(leans bool) {
	r := t.r
	mark := int32(0)
	if leans {
		mark = 1
	}
	first, end := t.rows(fineBits)
	first, end = max(first, 0), min(end, r.h*subs)
	for row := first; row < end; {
		// The rows of one row of cells: what they meet is one range, or nearly so.
		lo, hi := r.w, int32(0)
		cy := row / subs
		for ; row < end && row/subs == cy; row++ {
			from, to := t.across(r.y0+unit.Length(row)*fine+fine/2, fineBits)
			if from < to {
				lo, hi = min(lo, from/subs), max(hi, (to-1)/subs+1)
			}
		}
		for col := max(lo, 0); col < min(hi, r.w); col++ {
			c := r.cell(col, cy)
			if r.counts {
				r.undEnds[c]++
				r.meets = true
				continue
			}
			p := r.middle(c)
			r.unders[r.undEnds[c]] = int32(t.s.at(p.X, p.Y))<<1 | mark
			r.undEnds[c]++
		}
	}
}

// solidify turns the crossings of each cell into solid runs, what overlaps united. A
// run that does not end is left out.
func (r *rays) solidify() {
	from, kept := int32(0), int32(0)
	for c := range r.runEnds[:r.cells()] {
		list := r.runs[from:r.runEnds[c]]
		from = r.runEnds[c]
		slices.Sort(list)
		wind, start := 0, int32(0)
		for _, z := range list {
			switch {
			case z&1 == 0:
				if wind == 0 {
					start = z >> 1
				}
				wind++
			case wind > 0:
				if wind--; wind == 0 {
					r.runs[kept], r.runs[kept+1] = start, z>>1
					kept += 2
				}
			}
		}
		r.runEnds[c] = kept
	}
}

// solid reports whether a cell is solid at a height.
func (r *rays) solid(c int32, z unit.Length) bool {
	list := part(r.runs, r.runEnds, c)
	for i := 0; i < len(list); i += 2 {
		if unit.Length(list[i]) > z {
			return false
		}
		if z < unit.Length(list[i+1]) {
			return true
		}
	}
	return false
}

// below returns the top of what is solid in a cell below z, or the lowest height there
// is; inside reports that z itself is in it.
func (r *rays) below(c int32, z unit.Length) (top unit.Length, inside bool) {
	top = math.MinInt32
	list := part(r.runs, r.runEnds, c)
	for i := 0; i < len(list) && unit.Length(list[i]) < z; i += 2 {
		if unit.Length(list[i+1]) >= z {
			return top, true
		}
		top = unit.Length(list[i+1])
	}
	return top, false
}
