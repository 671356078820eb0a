// Package support plans what holds up the parts of a model that would else be printed
// into the air: where it stands, how high it reaches, and what shape it has in every
// layer.
//
// [New] looks at the whole mesh once, before anything is printed, without cutting it:
// upright rays, one for each cell of a grid of 0.5 mm, go through all triangles, and
// what is between a ray's ways in and out is solid. Undersides that lean more than
// they may, and points that nothing is next to, become props: upright pieces of a cell
// from the underside down to the next solid thing or the bed. Undersides that can be
// bridged, and patches too small to matter, become none. Trees replace the props below
// their roofs by branches, which grow from the roof downwards through the free cells,
// merge, become thicker, and end on the bed or on the part.
//
// A [Sweep] then goes upward layer by layer and gives the cells ([Mask]) and branches
// of each; whoever prints them takes away the exact outlines of the layers around, so
// that the distances to the part are exact although cells are coarse.
//
// All of a plan lives in the vault: 16 bytes a prop, of which a cell has two or three
// under each supported underside, or 32 bytes for each branch and 0.8 mm of height.
// While it is made it takes besides, for a while, 8 bytes a cell of the model's bounding
// box, 4 bytes for each crossing of a ray and each triangle that faces down in a cell,
// and for trees one bit a cell for each 0.8 mm of height. It is the same to the bit on
// every machine.
package support

import (
	"errors"
	"log/slog"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

// Kind says what support is made of.
type Kind uint8

// The kinds.
const (
	Off  Kind = iota // nothing is supported
	Grid             // upright props below every underside that needs them
	Tree             // roofs that branches carry
)

// Params says what is supported, and how.
type Params struct {
	Kind Kind
	// Angle from upright beyond which an underside needs support, 0 to 90°.
	Angle mesh.Angle
	// BedOnly leaves out what would have to stand on the part.
	BedOnly bool
	// Layer is the height of a layer.
	Layer unit.Length
	// Gap is the distance kept below an underside, and above what support stands on.
	Gap unit.Length
	// Roof and Floor are how thick the dense parts are at the top of a support, and at
	// its bottom where it stands on the part.
	Roof, Floor unit.Length
	// Aside is the distance kept from upright faces.
	Aside unit.Length
	// Width of a line.
	Width unit.Length
	// Least is the area below which an underside that hangs on to something is left
	// without.
	Least mesh.Area
	// Bridge is the longest distance between two sides that is bridged without; 0
	// bridges none.
	Bridge unit.Length
	// Room is where support may be, in machine coordinates.
	Room mesh.Box
	// Branch says what trees are like.
	Branch Branch
}

// Branch says what trees are like.
type Branch struct {
	Tip    unit.Length // diameter at the top
	Stem   unit.Length // diameter that it soon has
	Most   unit.Length // diameter that none exceeds
	Spread unit.Length // between tips
	Lean   mesh.Angle  // from upright at most
	Taper  mesh.Angle  // by how much the sides of a branch lean
}

// ErrParams reports parameters with which nothing can be planned.
var ErrParams = errors.New("support parameters: the angle must be between 0° and 90°, heights and lengths not negative, " +
	"tips of trees at least 0.2 mm, branches at most 60° from upright")

// Plan is what supports a mesh. It is design data, and lives as long as the vault.
type Plan struct {
	p      Params
	grid   grid
	props  []prop  // by where they begin
	ends   []int32 // the same, by where they end
	levels []int32 // the pieces of level k end at levels[k], and begin at levels[k+1]
	pieces []piece // of branches, from the top down
	floor  unit.Length
	lo, hi geom.Point // around what stands on the bed
	points int        // of one layer's outlines, at most
}

// String says nothing of the plan.
func (p *Plan) String() string { return "support plan" }

// GoString says nothing of the plan.
func (p *Plan) GoString() string { return "support plan" }

// LogValue says nothing of the plan.
func (p *Plan) LogValue() slog.Value { return slog.StringValue("support plan") }

// Empty reports whether nothing needs support. A nil plan is empty.
func (p *Plan) Empty() bool { return p == nil || len(p.props) == 0 && len(p.pieces) == 0 }

// Tree reports whether branches carry what is planned. A nil plan has none.
func (p *Plan) Tree() bool { return p != nil && p.p.Kind == Tree }

// Most tells how many points the outlines of one layer have at most, and how many
// bytes a [Mask] takes at most, scratch included.
func (p *Plan) Most() (points, mask int) {
	if p.Empty() {
		return 0, 0
	}
	return p.points, 2 * 8 * words(p.grid)
}

// Extent calls f with discs that cover all of the plan, seen from above.
func (p *Plan) Extent(f func(middle geom.Point, radius unit.Length)) {
	if p.Empty() {
		return
	}
	for _, q := range p.props {
		f(p.grid.middle(int32(q.what>>2)), cell)
	}
	for _, q := range p.pieces {
		f(q.a, q.ra)
		f(q.b, q.rb)
	}
}

// Foot is a box around all that stands on the bed, if anything does.
func (p *Plan) Foot() (lo, hi geom.Point, some bool) {
	if p.Empty() || p.lo.X > p.hi.X {
		return lo, hi, false
	}
	return p.lo, p.hi, true
}

func (p Params) check() error {
	b := p.Branch
	if p.Angle < 0 || p.Angle > 90*mesh.Degree || p.Layer <= 0 || p.Width <= 0 || p.Least < 0 ||
		min(p.Gap, p.Roof, p.Floor, p.Aside, p.Bridge) < 0 {
		return ErrParams
	}
	if p.Kind == Tree && (b.Tip < unit.Millimetre/5 || b.Stem < b.Tip || b.Most < b.Stem || b.Spread <= 0 ||
		b.Lean < 0 || b.Lean > 60*mesh.Degree || b.Taper < 0 || b.Taper > 45*mesh.Degree) {
		return ErrParams
	}
	return nil
}

// New plans the support of a mesh that has been placed. It is vault.ErrBudget if the
// plan does not fit v; nothing is left in v then. With Kind Off the plan is empty.
func New(v *vault.Vault, m *mesh.Mesh, p Params) (*Plan, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	plan := &Plan{p: p, floor: m.Bounds().Min.Z}
	if p.Kind == Off {
		return plan, nil
	}
	mark := v.Mark()
	defer v.ReleaseScratch(mark)
	if err := plan.make(v, m); err != nil {
		v.ReleaseAlloc(mark)
		return nil, err
	}
	return plan, nil
}

func (p *Plan) make(v *vault.Vault, m *mesh.Mesh) error {
	p.grid = newGrid(m.Bounds(), p.p)
	if p.grid.w <= 0 || p.grid.h <= 0 {
		return nil
	}
	r, err := shine(v, m, p.grid, p.p)
	if err != nil {
		return err
	}
	spots, err := r.spots(v, p.p, p.floor)
	if err != nil || len(spots) == 0 {
		return err
	}
	if err := p.build(v, r, spots); err != nil {
		return err
	}
	p.points = p.most()
	return nil
}
