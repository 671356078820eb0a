// Package cut slices a placed mesh into the outlines of its layers.
//
// A plane sweeps upward through the middles of the layers that a [Stack] lays out.
// Triangles are sorted once by the first plane they meet; from then on only those
// that the plane crosses are looked at. A corner exactly on the plane counts as
// above it, so that every triangle is crossed in exactly two edges or not at all.
// The crossing of an edge is computed from its lower corner to its upper one: both
// triangles at the edge get the same point, bit for bit, and on a closed mesh all
// outlines close by themselves. The solid is on the left of every outline.
//
// Outlines of damaged meshes that do not close are joined over gaps of up to 2 mm,
// nearest ends of the same direction first; what is left open is dropped and
// counted in [Repairs]. All of it lives in the vault, but for the outlines
// themselves and the list of open ends.
package cut

import (
	"log/slog"
	"math"
	"math/bits"
	"math/rand/v2"
	"sort"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

// Stack says how high layers are: the first, and all others. Both are at least two
// units.
type Stack struct {
	First, Height unit.Length
	// Tops are where the layers end above the floor, lowest first, if they have heights
	// of their own; those above go on with Height.
	Tops []unit.Length
}

// Top is how far the top of layer i is above the floor.
func (s Stack) Top(i int) unit.Length {
	if n := len(s.Tops); n > 0 {
		if i < n {
			return s.Tops[i]
		}
		return s.Tops[n-1] + unit.Length(i-n+1)*s.Height
	}
	return s.First + unit.Length(i)*s.Height
}

// Thickness is the height of layer i.
func (s Stack) Thickness(i int) unit.Length {
	switch {
	case i == 0:
		return s.Top(0)
	case len(s.Tops) > 0:
		return s.Top(i) - s.Top(i-1)
	}
	return s.Height
}

// Least is the height of the thinnest layer but for the first.
func (s Stack) Least() unit.Length {
	least := s.Height
	for i := 1; i < len(s.Tops); i++ {
		least = min(least, s.Tops[i]-s.Tops[i-1])
	}
	return least
}

// Middle is where layer i is cut, above the floor.
func (s Stack) Middle(i int) unit.Length {
	if i == 0 {
		return s.Top(0) / 2
	}
	return s.Top(i-1) + s.Thickness(i)/2
}

// Count is the number of layers of a body of the given height: those whose middle
// lies below its top.
func (s Stack) Count(height unit.Length) int {
	if height <= 0 {
		return 0
	}
	return s.above(height - 1)
}

// above is the lowest layer whose middle lies above z; z is not negative.
func (s Stack) above(z unit.Length) int {
	if n := len(s.Tops); n > 0 {
		if i := sort.Search(n, func(i int) bool { return s.Middle(i) > z }); i < n {
			return i
		}
		d := z - s.Tops[n-1] - s.Height/2
		if d < 0 {
			return n
		}
		return n + int(d/s.Height) + 1
	}
	if z < s.First/2 {
		return 0
	}
	d := z - s.First - s.Height/2
	if d < 0 {
		return 1
	}
	return int(d/s.Height) + 2
}

// Repairs counts what was done about outlines that did not close.
type Repairs struct {
	Closed  int // gaps that were bridged
	Dropped int // open lines that were left out
}

// segment is where the plane crosses one triangle: from the edge that the surface
// goes down along to the one it goes up along. An edge is given by its corners
// below and above the plane.
type segment struct{ from, to cutEdge }

type cutEdge struct{ below, above int32 }

// Cutter cuts one mesh, layer by layer from below.
type Cutter struct {
	verts  []mesh.Vertex
	tris   []mesh.Triangle
	stack  Stack
	floor  unit.Length
	layers int
	starts []int32 // where the triangles begin that layer i is the first to cut; behind all are those that none cuts

	most    int   // triangles in one layer
	contour int64 // length of outlines in one layer at most

	spent *vault.Vault // what triangles go back to, or nil
	given int          // triangles below it have gone back, or stay
	piece int          // bytes that go back together at least

	layer   int
	active  []int32 // triangles under the plane: active[:n]
	n       int
	segs    []segment
	next    []int32 // the segment that follows, or -1
	waiting []int32 // by the segment that stands for an edge: the list of those beginning there, +1
	twin    []int32 // the next one in that list, +1
	flags   []uint8
	table   []int32 // edge → the segment that stands for it, +1
	seed    [2]uint64
	loose
	repairs Repairs
	copies  []geom.Point
}

// loose are the ends of outlines of a broken mesh that nothing follows, and that nothing
// leads to: of all that a cutter works with, what grows as it is met.
type loose struct{ heads, tails []openEnd }

// String says nothing of the cutter.
func (c *Cutter) String() string { return "cutter" }

// GoString says nothing of the cutter.
func (c *Cutter) GoString() string { return "cutter" }

// LogValue says nothing of the cutter.
func (c *Cutter) LogValue() slog.Value { return slog.StringValue("cutter") }

// New prepares to cut a mesh that has been placed, and brings its triangles into the
// order in which they are cut. It takes from v 4 bytes a layer, and some 50 bytes for
// every triangle that the fullest layer cuts. It is vault.ErrBudget if they do not fit.
func New(v *vault.Vault, m *mesh.Mesh, s Stack) (*Cutter, error) {
	b := m.Bounds()
	c := &Cutter{
		verts: m.Vertices(), tris: m.Triangles(), stack: s, floor: b.Min.Z,
		layers: s.Count(b.Max.Z - b.Min.Z), seed: [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1},
	}
	if err := c.sort(v); err != nil {
		return nil, err
	}
	return c, c.reserve(v, c.most)
}

// Most returns how many points the outlines of one layer have at most, and how long
// they are together at most, in units of unit.Length. Both are known before anything
// is cut, and are about twice what they turn out to be. They are design data.
func (c *Cutter) Most() (points int, contour int64) {
	n := len(c.copies) + 1
	return c.most * n, c.contour * int64(n)
}

// sort fills starts, most and contour, and brings the triangles into order.
func (c *Cutter) sort(v *vault.Vault) (err error) {
	if c.starts, err = vault.Alloc[int32](v, c.layers+1); err != nil {
		return err
	}
	mark := v.Mark()
	defer v.ReleaseScratch(mark)
	ends, err := vault.Scratch[int32](v, c.layers+1)
	if err != nil {
		return err
	}
	more, err := vault.Scratch[int64](v, c.layers+1) // contour that begins, less what ends
	if err != nil {
		return err
	}
	for _, t := range c.tris {
		if first, end := c.span(t); first < end {
			c.starts[first]++
			ends[end]++
			chord := c.chord(t)
			more[first] += chord
			more[end] -= chord
		}
	}
	open, sum, long := 0, int32(0), int64(0)
	for i, n := range c.starts {
		open += int(n - ends[i])
		long += more[i]
		c.most, c.contour = max(c.most, open), max(c.contour, long)
		c.starts[i] = sum
		sum += n
	}
	copy(ends, c.starts)
	c.place(ends)
	return nil
}

// place moves every triangle to where it belongs; next are the places that are free
// yet for each layer.
func (c *Cutter) place(next []int32) {
	for layer := range next {
		end := int32(len(c.tris))
		if layer < c.layers {
			end = c.starts[layer+1]
		}
		for ; next[layer] < end; next[layer]++ {
			t := c.tris[next[layer]]
			for {
				first, last := c.span(t)
				if first >= last {
					first = c.layers
				}
				if first == layer {
					break
				}
				t, c.tris[next[first]] = c.tris[next[first]], t
				next[first]++
			}
			c.tris[next[layer]] = t
		}
	}
}

// chord is at least how long any section of a triangle is: that at its middle corner,
// along the axes.
func (c *Cutter) chord(t mesh.Triangle) int64 {
	lo, mid, hi := &c.verts[t[0]], &c.verts[t[1]], &c.verts[t[2]]
	if lo.Z > mid.Z {
		lo, mid = mid, lo
	}
	if mid.Z > hi.Z {
		mid, hi = hi, mid
	}
	if lo.Z > mid.Z {
		lo, mid = mid, lo
	}
	f := float64(mid.Z-lo.Z) / max(float64(hi.Z-lo.Z), 1)
	dx := float64(mid.X-lo.X) - float64(f*float64(hi.X-lo.X))
	dy := float64(mid.Y-lo.Y) - float64(f*float64(hi.Y-lo.Y))
	return int64(math.Abs(dx)+math.Abs(dy)) + 2
}

// span returns the layers first to end-1 that cut triangle t.
func (c *Cutter) span(t mesh.Triangle) (first, end int) {
	a, b, d := c.verts[t[0]].Z, c.verts[t[1]].Z, c.verts[t[2]].Z
	first = c.stack.above(min(a, b, d) - c.floor)
	end = c.stack.above(max(a, b, d) - c.floor)
	return first, min(end, c.layers)
}

// reserve takes the memory for layers of at most n triangles.
func (c *Cutter) reserve(v *vault.Vault, n int) (err error) {
	for _, s := range []*[]int32{&c.active, &c.next, &c.waiting, &c.twin} {
		if *s, err = vault.Alloc[int32](v, n); err != nil {
			return err
		}
	}
	if c.segs, err = vault.Alloc[segment](v, n); err != nil {
		return err
	}
	if c.flags, err = vault.Alloc[uint8](v, n); err != nil {
		return err
	}
	c.table, err = vault.Alloc[int32](v, tableSize(n))
	return err
}

// tableSize is the number of slots for n edges.
func tableSize(n int) int { return 1 << bits.Len(uint(n+n/2)) }

// Repeat makes every outline once more for each of the given places, moved by so
// much. All of them must lie within ±unit.MaxCoordinate.
func (c *Cutter) Repeat(moves []geom.Point) { c.copies = moves }

// repeat appends the copies of what is in dst.
func (c *Cutter) repeat(dst *geom.Region) {
	rings, points := len(dst.Ends), len(dst.Pts)
	for _, d := range c.copies {
		base := int32(len(dst.Pts))
		for _, p := range dst.Pts[:points] {
			dst.Pts = append(dst.Pts, geom.Point{X: p.X + d.X, Y: p.Y + d.Y})
		}
		for _, e := range dst.Ends[:rings] {
			dst.Ends = append(dst.Ends, base+e)
		}
	}
}

// Stack tells how high the layers are.
func (c *Cutter) Stack() Stack { return c.stack }

// Layers is the number of layers.
func (c *Cutter) Layers() int { return c.layers }

// Repairs counts what was repaired since the last Rewind.
func (c *Cutter) Repairs() Repairs { return c.repairs }

// Rewind goes back to the lowest layer.
func (c *Cutter) Rewind() { c.layer, c.n, c.repairs = 0, 0, Repairs{} }

// Wipe overwrites what the cutter holds outside of the vault.
func (c *Cutter) Wipe() {
	clear(c.heads[:cap(c.heads)])
	clear(c.tails[:cap(c.tails)])
	c.loose = loose{}
}

// Keep has all buffers that have grown moved into the vault of a, until [Cutter.Wipe].
func (c *Cutter) Keep(a *vault.Arena) { a.Keep(&c.loose) }

// Next replaces dst by the outlines of the next layer and reports whether there was
// one. Outlines may cross and overlap as the surfaces of the mesh do: unite them
// under the positive fill rule.
func (c *Cutter) Next(dst *geom.Region) bool {
	dst.Reset()
	if c.layer >= c.layers {
		return false
	}
	plane := c.floor + c.stack.Middle(c.layer)
	c.advance(plane)
	for i, t := range c.active[:c.n] {
		c.segs[i] = c.cross(c.tris[t], plane)
	}
	if c.link() {
		c.join(plane)
	}
	c.trace(dst, plane)
	c.repeat(dst)
	if c.layer++; c.spent != nil {
		c.giveBack()
	}
	return true
}

// advance brings the active list to the plane.
func (c *Cutter) advance(plane unit.Length) {
	kept := 0
	for _, t := range c.active[:c.n] {
		v := c.tris[t]
		if max(c.verts[v[0]].Z, c.verts[v[1]].Z, c.verts[v[2]].Z) >= plane {
			c.active[kept] = t
			kept++
		}
	}
	for t := c.starts[c.layer]; t < c.starts[c.layer+1]; t++ {
		c.active[kept] = t
		kept++
	}
	c.n = kept
}

// cross finds the two edges of a triangle that the plane crosses.
func (c *Cutter) cross(t mesh.Triangle, plane unit.Length) segment {
	var s segment
	for i, a := range t {
		b := t[(i+1)%3]
		switch up, down := c.verts[b].Z >= plane, c.verts[a].Z >= plane; {
		case down && !up:
			s.from = cutEdge{b, a}
		case up && !down:
			s.to = cutEdge{a, b}
		}
	}
	return s
}

// at is where the plane crosses an edge, rounded to the nearest unit.
func (c *Cutter) at(e cutEdge, plane unit.Length) geom.Point {
	a, b := c.verts[e.below], c.verts[e.above]
	rise, part := int64(b.Z-a.Z), int64(plane-a.Z)
	return geom.Point{
		X: a.X + divide(int64(b.X-a.X)*part, rise),
		Y: a.Y + divide(int64(b.Y-a.Y)*part, rise),
	}
}

// divide is n/d rounded to the nearest, halves up.
func divide(n, d int64) unit.Length {
	n += d / 2
	q := n / d
	if n%d < 0 {
		q--
	}
	return unit.Length(q)
}
