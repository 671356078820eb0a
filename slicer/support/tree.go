package support

import (
	"math"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

// levelHeight is the height of the slabs in which branches grow.
const levelHeight = unit.Millimetre * 4 / 5

// Tips widen to stems, and branches to their feet on the bed, as fast as this, in
// 1/1000 of the height; feet within the lowest flare.
const (
	widen = 360
	flare = 2 * unit.Millimetre
)

// piece is a branch within a level: its middle and radius at the top and the bottom.
type piece struct {
	a, b   geom.Point
	ra, rb unit.Length
	z1, z0 unit.Length // top and bottom
}

// head is where a branch has grown to.
type head struct {
	at    geom.Point
	r     unit.Length
	bed   bool        // it can get there
	z     unit.Length // of the tip, while it has not begun
	to    geom.Point  // where it wants to go
	roots int32       // the first of the tips that it carries
}

// grower grows the branches of a plan from the top down.
type grower struct {
	*builder
	v      *vault.Vault
	plan   *Plan
	field  field
	reach  []uint64 // by level: cells from which the bed can be reached
	lost   []bool   // tips whose branch came to nothing
	tips   []head
	heads  []head
	n      int // heads in use
	step   unit.Length
	branch Branch
}

// grow makes the branches that carry the roofs of a plan, whose other props go.
func (p *Plan) grow(v *vault.Vault, b *builder) error {
	g := grower{builder: b, v: v, plan: p, branch: p.p.Branch}
	g.step = scaled(levelHeight, leanTan(p.p.Branch.Lean))
	if err := g.contacts(); err != nil {
		return err
	}
	levels := 0
	if len(g.tips) > 0 { // the highest is the first
		levels = int((g.tips[0].z-g.floor)/levelHeight) + 1
	}
	var err error
	if g.lost, err = vault.Scratch[bool](v, len(g.tips)); err != nil {
		return err
	}
	if g.heads, err = vault.Scratch[head](v, len(g.tips)); err != nil {
		return err
	}
	if err := g.field.reserve(v, b.grid); err != nil {
		return err
	}
	if err := g.survey(v, levels); err != nil {
		return err
	}
	if p.levels, err = vault.Alloc[int32](v, levels+1); err != nil {
		return err
	}
	if err := g.descend(levels); err != nil {
		return err
	}
	g.forsake()
	return p.sort(v)
}

// leanTan is a tangent, rounded so that it is the same on every machine.
func leanTan(a mesh.Angle) float64 {
	const fine = 1 << 40
	return math.Round(math.Tan(float64(a)/float64(180*mesh.Degree)*math.Pi)*fine) / fine
}

func scaled(l unit.Length, f float64) unit.Length { return unit.Length(math.Round(float64(l) * f)) }

// contacts chooses the tips, the highest first: below every post is one within Spread.
func (g *grower) contacts() error {
	size := max(g.branch.Spread, cell)
	across := int(int64(g.w)*int64(cell)/int64(size)) + 1
	rows := int(int64(g.h)*int64(cell)/int64(size)) + 1
	lists, err := vault.Scratch[int32](g.v, across*rows) // the latest tip in a square, +1
	if err != nil {
		return err
	}
	prev, err := vault.Scratch[int32](g.v, len(g.posts)) // the one before it
	if err != nil {
		return err
	}
	if g.tips, err = vault.Scratch[head](g.v, len(g.posts)); err != nil {
		return err
	}
	n := 0
	for c := range int32(g.cells()) {
		at := g.middle(c)
		sx, sy := int((at.X-g.x0)/size), int((at.Y-g.y0)/size)
		for _, s := range part32(g.posts, g.ends, c) {
			z := s.top - g.p.Roof - g.p.Gap
			if z-s.base < g.p.Layer || g.near(lists, prev, across, rows, sx, sy, at, z) {
				continue
			}
			g.tips[n] = head{at: at, z: z, r: g.branch.Tip / 2}
			prev[n] = lists[sy*across+sx]
			n++
			lists[sy*across+sx] = int32(n)
		}
	}
	g.tips = g.tips[:n]
	slices.SortFunc(g.tips, func(s, t head) int {
		switch {
		case s.z != t.z:
			return int(t.z) - int(s.z)
		case s.at.Y != t.at.Y:
			return int(s.at.Y) - int(t.at.Y)
		}
		return int(s.at.X) - int(t.at.X)
	})
	return nil
}

// near reports whether there is a tip within Spread of a place, in the squares around.
func (g *grower) near(lists, prev []int32, across, rows, sx, sy int, at geom.Point, z unit.Length) bool {
	least := int64(g.branch.Spread) * int64(g.branch.Spread)
	for y := max(sy-1, 0); y <= min(sy+1, rows-1); y++ {
		for x := max(sx-1, 0); x <= min(sx+1, across-1); x++ {
			for i := lists[y*across+x]; i != 0; i = prev[i-1] {
				t := &g.tips[i-1]
				if distance2(t.at, at) < least && max(t.z-z, z-t.z) < g.branch.Spread {
					return true
				}
			}
		}
	}
	return false
}

func distance2(a, b geom.Point) int64 {
	dx, dy := int64(a.X-b.X), int64(a.Y-b.Y)
	return dx*dx + dy*dy
}

// survey finds from where, at each level, a stem can get down to the bed: there is room
// for it, and for one in a cell next to it at the level below.
func (g *grower) survey(v *vault.Vault, levels int) (err error) {
	n := words(g.grid)
	var maps [4]bitmap
	for i := range maps {
		set, err := vault.Scratch[uint64](v, n)
		if err != nil {
			return err
		}
		maps[i] = newBitmap(set, g.grid)
	}
	solid, last, taken, other := &maps[0], &maps[1], &maps[2], &maps[3]
	if g.reach, err = vault.Scratch[uint64](v, n*levels); err != nil {
		return err
	}
	// A step to all eight sides and one to four make an octagon.
	steps := int((g.branch.Stem/2 + g.p.Aside + cell - 1) / cell)
	for k := range levels {
		g.fillSolid(solid, g.floor+unit.Length(k)*levelHeight)
		if k == 0 || !slices.Equal(solid.set, last.set) {
			copy(taken.set, solid.set)
			for i := range steps {
				other.grow(taken, i%2 == 0)
				taken, other = other, taken
			}
			solid, last = last, solid // last is the present one
		}
		at := g.level(k)
		if k == 0 {
			for i := range at.set {
				at.set[i] = math.MaxUint64
			}
		} else {
			below := g.level(k - 1)
			at.grow(&below, true)
		}
		for i := range at.set {
			at.set[i] &^= taken.set[i]
		}
		at.crop(int(g.w))
	}
	return nil
}

// level is the cells of a level from which the bed can be reached.
func (g *grower) level(k int) bitmap {
	n := words(g.grid)
	return newBitmap(g.reach[k*n:(k+1)*n], g.grid)
}

// fillSolid sets b to what is solid in the level that begins at z.
func (g *grower) fillSolid(b *bitmap, z unit.Length) {
	clear(b.set)
	c := int32(0)
	for y := range g.h {
		for x := range g.w {
			if g.touches(c, z, z+levelHeight) {
				b.put(x, y)
			}
			c++
		}
	}
}

// reaches reports whether a stem can get to the bed from a cell at a level, or from
// one that is no more than so many cells away along either axis.
func (g *grower) reaches(k int, x, y, within int32) bool {
	b := g.level(k)
	for v := max(y-within, 0); v <= min(y+within, g.h-1); v++ {
		for u := max(x-within, 0); u <= min(x+within, g.w-1); u++ {
			if b.has(u, v) {
				return true
			}
		}
	}
	return false
}

// forsake takes away the roofs that nothing carries, as those are of which the tips
// have got lost.
func (g *grower) forsake() {
	if !slices.Contains(g.lost, true) {
		return
	}
	far := int64(g.branch.Spread) * int64(g.branch.Spread)
	p := g.plan
	p.props = slices.DeleteFunc(p.props, func(q prop) bool {
		at := g.middle(int32(q.what >> 2))
		carried, lost := false, false
		for i := range g.tips {
			t := &g.tips[i]
			if t.z >= q.z0-g.branch.Spread && t.z <= q.z1+g.branch.Spread && distance2(t.at, at) <= far {
				carried, lost = carried || !g.lost[i], lost || g.lost[i]
			}
		}
		return lost && !carried
	})
}

// turns are sixteen directions, in 1/16384.
var turns = func() (out [16]geom.Point) {
	// Sines of 0°, 22.5°, 45°, 67.5° and 90°.
	sin := [...]unit.Length{0, 6270, 11585, 15137, 16384, 15137, 11585, 6270, 0, -6270, -11585, -15137, -16384, -15137, -11585, -6270}
	for i := range out {
		out[i] = geom.Point{X: sin[(i+4)%16], Y: sin[i]}
	}
	return out
}()

// Branches appends the branches at the height of the sweep to dst as round rings; they
// may overlap.
func (s *Sweep) Branches(dst *geom.Region) {
	p := s.plan
	if p.Empty() || s.level+1 >= len(p.levels) {
		return
	}
	for i := p.levels[s.level+1]; i < p.levels[s.level]; i++ {
		q := &p.pieces[i]
		if s.z > q.z1 || s.z < q.z0 || q.z1 == q.z0 {
			continue
		}
		share := func(a, b unit.Length) int64 {
			return int64(b) + int64(a-b)*int64(s.z-q.z0)/int64(q.z1-q.z0)
		}
		x, y, r := share(q.a.X, q.b.X), share(q.a.Y, q.b.Y), share(q.ra, q.rb)
		step := 1
		if r < int64(unit.Millimetre) { // eight corners are round enough
			step = 2
		}
		for k := 0; k < len(turns); k += step {
			t := turns[k]
			dst.Pts = append(dst.Pts, geom.Point{X: unit.Length(x + r*int64(t.X)>>14), Y: unit.Length(y + r*int64(t.Y)>>14)})
		}
		dst.Ends = append(dst.Ends, int32(len(dst.Pts)))
	}
}
