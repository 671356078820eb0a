package pipe

import (
	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
	"platen/slicer/support"
	"platen/slicer/vault"
)

// Support says how support is printed. What is supported is in its plan.
type Support struct {
	Plan    *support.Plan
	Copies  []geom.Point // everything once more, moved by so much
	Gap     unit.Length  // kept to what is above and below
	Aside   unit.Length  // kept to what is beside
	Density fill.Percent // of what carries
	Roof    fill.Percent // of what touches
	Pattern fill.Pattern
	Loops   int // lines around it
}

// Directions of the lines of support: those that touch the part cross those that
// carry them.
const (
	propAngle = 0 * fill.Degree
	roofAngle = 90 * fill.Degree
)

// smooth is how far the outline of support may be from the cells of its plan.
const smooth = unit.Millimetre * 3 / 10

// held is what the neighbours leave in a layer for its support.
type held struct {
	body     support.Mask
	dense    support.Mask
	branches geom.Region
	blocks   []geom.Region // outlines too near above and below
	n        int           // of them
}

func (h *held) reset() {
	h.body.Reset()
	h.dense.Reset()
	h.branches.Reset()
	h.n = 0
}

// block adds an outline that is too near.
func (h *held) block(r *geom.Region) {
	if h.n == len(h.blocks) {
		h.blocks = append(h.blocks, geom.Region{})
	}
	h.blocks[h.n].Reset()
	h.blocks[h.n].Append(r)
	h.n++
}

func (h *held) wipe() {
	h.body.Wipe()
	h.dense.Wipe()
	h.branches.Wipe()
	for i := range h.blocks {
		h.blocks[i].Wipe()
	}
	h.n = 0
}

func (h *held) empty() bool { return h.body.Empty() && h.dense.Empty() && h.branches.Empty() }

// layersWithin is how many layers lie within a gap, the layer above it included if it
// begins lower than its end by more than rounding.
func (p Params) layersWithin(gap unit.Length) int {
	least := p.Stack.Least()
	return int((gap + least - 1 - gapSlack) / least)
}

// gapSlack is by how much the distance to the part may be less than asked for: what
// the heights of layers are rounded by.
const gapSlack = unit.Millimetre / 100

// props is the part of the neighbours that knows what support meets which layer.
type props struct {
	p     *Params // shared, and not to be kept
	sweep *support.Sweep
	base  geom.Region // what stands on the bed
	under []*passed   // the layers below the one at hand, highest last
	spare []*passed
}

// passed is what is remembered of a layer.
type passed struct {
	outline geom.Region
	top     unit.Length
}

func newProps(p *Params) *props { return &props{p: p, sweep: support.NewSweep(p.Support.Plan)} }

func (s *props) wipe() {
	s.sweep.Wipe()
	s.base.Wipe()
	for _, list := range [][]*passed{s.under, s.spare} {
		for _, q := range list {
			q.outline.Wipe()
		}
	}
}

// keep has all buffers that have grown moved into the vault.
func (s *props) keep(a *vault.Arena) {
	a.Keep(s, s.sweep)
	for _, list := range [][]*passed{s.under, s.spare} {
		for _, q := range list {
			a.Keep(q)
		}
	}
}

// found leaves what stands on the bed in a layer that goes around it or below it.
func (s *props) found(l *Layer) {
	if l.Index >= 0 && !s.p.skirted(l.Index) {
		return
	}
	if s.base.Empty() {
		s.base.Append(&l.Outline)
		var stands geom.Region
		if s.p.Adhesion.SkirtLayers > 1 && len(s.p.Adhesion.Shade) > 0 {
			stands.Add(s.p.Adhesion.Shade)
		}
		s.sweep.Rise(s.p.Stack.First / 2)
		s.sweep.Body().Trace(&stands)
		s.sweep.Branches(&stands)
		repeat(&stands, s.p.Support.Copies)
		s.base.Append(&stands)
	}
	l.base.Append(&s.base)
}

// meet leaves in a layer what its support needs to know; above are the layers above it.
func (s *props) meet(l *Layer, above []*Layer) {
	if s.p.Support.Plan.Empty() {
		return
	}
	h := &l.held
	h.reset()
	bottom := l.Top - l.Thickness
	s.sweep.Rise(bottom + l.Thickness/2 - s.p.Adhesion.Raft.Rise())
	s.sweep.Branches(&h.branches)
	if !s.sweep.Body().Empty() || !s.sweep.Roof().Empty() || !h.branches.Empty() {
		h.body.Copy(s.sweep.Body())
		h.dense.Copy(s.sweep.Roof())
		h.dense.Add(s.sweep.Foot())
		s.block(l, above)
	}
	s.remember(l)
}

// block lists the outlines that are too near above and below, but for those equal to
// the layer's own.
func (s *props) block(l *Layer, above []*Layer) {
	bottom, gap := l.Top-l.Thickness, s.p.Support.Gap-gapSlack
	same := true
	for _, u := range above {
		if u.Top-u.Thickness >= l.Top+gap {
			break
		}
		if same = same && u.upright; !same {
			l.held.block(&u.Outline)
		}
	}
	for i := len(s.under) - 1; i >= 0 && s.under[i].top > bottom-gap; i-- {
		if !sameRegion(&s.under[i].outline, &l.Outline) {
			l.held.block(&s.under[i].outline)
		}
	}
}

// remember keeps the outline of a layer for those above it.
func (s *props) remember(l *Layer) {
	n := 0
	for _, q := range s.under {
		if q.top > l.Top-s.p.Support.Gap {
			s.under[n] = q
			n++
		} else {
			s.spare = append(s.spare, q)
		}
	}
	q := &passed{}
	if k := len(s.spare); k > 0 {
		q, s.spare = s.spare[k-1], s.spare[:k-1]
	}
	q.top = l.Top
	q.outline.Reset()
	q.outline.Append(&l.Outline)
	s.under = append(s.under[:n], q)
}

// supporter is the scratch memory of a worker for support.
type supporter struct {
	area, dense, line geom.Region
}

func (s *supporter) wipe() {
	for _, r := range []*geom.Region{&s.area, &s.dense, &s.line} {
		r.Wipe()
	}
}

// support lays the lines of support of a layer.
func (w *worker) support(l *Layer) error {
	if w.p.Support.Plan.Empty() || l.held.empty() {
		return nil
	}
	s := &w.prop
	if err := w.supportArea(l); err != nil || l.Support.Empty() {
		return err
	}
	s.area.Reset()
	s.area.Append(&l.Support)
	if !l.held.dense.Empty() {
		if err := w.cells(&s.dense, &l.held.dense); err != nil {
			return err
		}
		if err := w.kernel.Intersect(&s.dense, &l.Support, &s.dense); err != nil {
			return err
		}
		if err := w.kernel.Difference(&s.area, &l.Support, &s.dense); err != nil {
			return err
		}
		angle := roofAngle
		if w.p.Support.Plan.Tree() && l.Index%2 != 0 { // a weave, as little is below it
			angle = propAngle
		}
		if err := w.props(l, &s.dense, w.p.Support.Roof, fill.PatternLines, angle, 0, motion.SupportInterface); err != nil {
			return err
		}
	}
	density, loops := w.p.Support.Density, w.p.Support.Loops
	if w.p.Support.Plan.Tree() {
		density, loops = 0, max(loops, 1) // branches are tubes
	}
	if l.Index == 0 {
		density, loops = min(2*density, 100), max(loops, 1)
	}
	return w.props(l, &s.area, density, w.p.Support.Pattern, propAngle, loops, motion.Support)
}

// supportArea sets where there is support in a layer: what is planned, without what is
// too near to the part.
func (w *worker) supportArea(l *Layer) error {
	s := &w.prop
	s.area.Reset()
	if !l.held.body.Empty() || !l.held.dense.Empty() {
		l.held.body.Add(&l.held.dense) // trees have roofs only
		if err := w.cells(&s.area, &l.held.body); err != nil {
			return err
		}
	}
	if !l.held.branches.Empty() {
		repeat(&l.held.branches, w.p.Support.Copies)
		if err := w.kernel.Union2(&s.area, &s.area, &l.held.branches); err != nil {
			return err
		}
	}
	if err := w.keepAway(&s.area, &l.Outline, w.p.Support.Aside); err != nil {
		return err
	}
	for i := range l.held.n {
		if err := w.keepAway(&s.area, &l.held.blocks[i], 0); err != nil {
			return err
		}
	}
	// What is too narrow for a line goes.
	if err := w.kernel.Offset(&s.line, &s.area, -w.p.Width/2, geom.JoinMiter); err != nil {
		return err
	}
	return w.kernel.Offset(&l.Support, &s.line, w.p.Width/2, geom.JoinMiter)
}

// keepAway takes from r what is within away of another region.
func (w *worker) keepAway(r, from *geom.Region, away unit.Length) error {
	near := &w.prop.line
	nearby(near, from, r, away)
	if near.Empty() {
		return nil
	}
	if away > 0 {
		if err := w.kernel.Offset(near, near, away, geom.JoinMiter); err != nil {
			return err
		}
	}
	return w.kernel.Difference(r, r, near)
}

// cells sets dst to the smoothed outlines of a mask, for all copies.
func (w *worker) cells(dst *geom.Region, m *support.Mask) error {
	dst.Reset()
	m.Trace(dst)
	if err := w.kernel.Simplify(dst, dst, smooth); err != nil {
		return err
	}
	repeat(dst, w.p.Support.Copies)
	return nil
}

// repeat appends the copies of what is in r, moved by so much each.
func repeat(r *geom.Region, copies []geom.Point) {
	rings, points := len(r.Ends), len(r.Pts)
	for _, d := range copies {
		base := int32(len(r.Pts))
		for _, p := range r.Pts[:points] {
			r.Pts = append(r.Pts, geom.Point{X: p.X + d.X, Y: p.Y + d.Y})
		}
		for _, e := range r.Ends[:rings] {
			r.Ends = append(r.Ends, base+e)
		}
	}
}

// nearby sets dst to the rings of r that may be within away of another region.
func nearby(dst, r, of *geom.Region, away unit.Length) {
	dst.Reset()
	if of.Empty() {
		return
	}
	lo, hi := extent(of.Pts)
	for i := range r.Len() {
		ring := r.Ring(i)
		a, b := extent(ring)
		if b.X+away >= lo.X && a.X-away <= hi.X && b.Y+away >= lo.Y && a.Y-away <= hi.Y {
			dst.Add(ring)
		}
	}
}

// extent is the box around points, of which there is one at least.
func extent(pts []geom.Point) (lo, hi geom.Point) {
	lo, hi = pts[0], pts[0]
	for _, p := range pts[1:] {
		lo = geom.Point{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
		hi = geom.Point{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
	}
	return lo, hi
}

// slim is how many distances between lines a piece of support is wide if it stands by
// itself; what is smaller gets a line around it.
const slim = 4

// props fills a region with the lines of support.
func (w *worker) props(l *Layer, r *geom.Region, density fill.Percent, pattern fill.Pattern, angle fill.Angle, loops int, role motion.Role) error {
	s := &w.prop
	head := Head{Width: w.p.Width, Role: role}
	if err := w.kernel.Offset(&s.line, r, -w.p.Width/2, geom.JoinMiter); err != nil || s.line.Empty() {
		return err
	}
	spacing := fill.Spacing(w.p.Width, density)
	small := int64(slim*spacing) * int64(slim*spacing) * 2
	for i := range s.line.Len() {
		ring := s.line.Ring(i)
		if loops > 0 || role == motion.Support && (spacing == 0 || abs(geom.Area2(ring)) < small) {
			addRing(&l.Runs, ring, head)
		}
	}
	for k := 1; k < loops && !s.line.Empty(); k++ {
		if err := w.kernel.Offset(&s.line, &s.line, -w.p.Width, geom.JoinMiter); err != nil {
			return err
		}
		for i := range s.line.Len() {
			addRing(&l.Runs, s.line.Ring(i), head)
		}
	}
	if spacing == 0 || s.line.Empty() {
		return nil
	}
	if err := w.hatcher.Hatch(&l.Runs.Lines, &s.line, fill.Params{
		Angle: angle, Spacing: max(spacing, fill.MinSpacing), MinSpan: w.p.Width, MaxJoin: 3 * spacing / 2, Pattern: pattern,
	}); err != nil {
		return err
	}
	l.Runs.Give(head)
	return nil
}

// addRing adds a ring as a line whose ends meet.
func addRing(r *Runs, ring []geom.Point, h Head) {
	if len(ring) < 3 || h.Width <= 0 {
		return
	}
	r.Pts = append(append(r.Pts, ring...), ring[0])
	r.Ends = append(r.Ends, int32(len(r.Pts)))
	r.Heads = append(r.Heads, h)
}

func abs(v int64) int64 { return max(v, -v) }
