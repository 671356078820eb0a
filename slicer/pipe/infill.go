package pipe

import (
	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
	"platen/slicer/wall"
)

// filler is what a worker needs to fill the inside of layers.
type filler struct {
	hatcher fill.Hatcher
	rings   fill.Rings
	rows    wall.Walls  // of a skin whose lines follow its edge
	solid   geom.Region // skin of the layer at hand, seen from neither side
	top     geom.Region // what of it is seen from above
	bottom  geom.Region // what of it has nothing below
	sparse  geom.Region // the rest of its inside
	lines   geom.Region // where lines of one skin go
	span    spanner
	rester  rester
	seen    int64 // area of what of solid is seen after all
}

func (f *filler) wipe() {
	f.hatcher.Wipe()
	f.rings.Wipe()
	f.rows.Wipe()
	for _, r := range []*geom.Region{&f.solid, &f.top, &f.bottom, &f.sparse, &f.lines} {
		r.Wipe()
	}
	f.span.wipe()
	f.rester.wipe()
}

// infill splits the inside of a layer into solid and sparse, and fills both.
func (w *worker) infill(l *Layer) error {
	f := &w.fill
	for _, r := range []*geom.Region{&f.solid, &f.top, &f.bottom, &f.sparse} {
		r.Reset()
	}
	if l.inner.Empty() || l.Spiral {
		return nil
	}
	if err := w.split(l); err != nil {
		return err
	}
	if err := w.faces(l); err != nil {
		return err
	}
	if err := w.bridges(l); err != nil {
		return err
	}
	skin := &w.p.Skin
	below := motion.SolidInfill
	if l.Index == 0 {
		below = motion.BottomSkin
	}
	for _, part := range [...]struct {
		region *geom.Region
		lay    laying
	}{
		{&f.bottom, laying{motion.BottomSkin, skin.BottomPattern, w.angle(l), 100}},
		{&f.solid, laying{below, w.inside(l), w.angle(l), 100}},
		{&f.top, laying{motion.TopSkin, skin.TopPattern, w.angle(l), 100}},
	} {
		if err := w.skins(l, part.region, part.lay); err != nil {
			return err
		}
	}
	w.corners(l)
	if err := w.iron(l); err != nil {
		return err
	}
	if err := w.combine(l); err != nil {
		return err
	}
	return w.hatchSparse(l, &f.sparse, Head{Width: w.p.Width, Role: motion.Infill})
}

// inside is the pattern of solid: that of the bottom on the bed, that of the top where
// strips of it are seen, else what takes the least travel.
func (w *worker) inside(l *Layer) SkinPattern {
	switch few := int64(w.p.Width) * int64(w.p.Width); {
	case l.Index == 0:
		return w.p.Skin.BottomPattern
	case w.fill.seen > few/2:
		return w.p.Skin.TopPattern
	}
	return SkinZigzag
}

// angle is the direction of lines on a layer: those of one layer cross those of the
// next.
func (w *worker) angle(l *Layer) fill.Angle {
	if l.Index%2 != 0 {
		return w.p.Skin.Angle + 90*fill.Degree
	}
	return w.p.Skin.Angle
}

// split sets solid and sparse from the inside of l. Strips of skin that are narrower
// than a line, as slopes have them, become strokes.
func (w *worker) split(l *Layer) error {
	f := &w.fill
	if l.exposed.all {
		f.solid.Append(&l.rest)
		return nil
	}
	strips := &w.gaps.gap
	if err := w.uncovered(strips, l); err != nil {
		return err
	}
	if narrow := w.p.Skin.Removal; narrow > 0 && !strips.Empty() {
		if err := open(&w.kernel, strips, strips, narrow); err != nil {
			return err
		}
	}
	if strips.Empty() {
		f.sparse.Append(&l.inner)
		return w.small(l)
	}
	if err := open(&w.kernel, &f.solid, strips, w.p.Width); err != nil {
		return err
	}
	if err := w.kernel.Difference(&f.sparse, &l.inner, strips); err != nil {
		return err
	}
	if !f.solid.Empty() {
		if err := w.kernel.Difference(strips, strips, &f.solid); err != nil {
			return err
		}
	}
	if err := w.gaps.strokes(&w.kernel, &l.Gaps, w.p.Width); err != nil {
		return err
	}
	return w.small(l)
}

// uncovered sets dst to what of the inside of l any layer around leaves open.
func (w *worker) uncovered(dst *geom.Region, l *Layer) error {
	dst.Reset()
	if l.exposed.n == 0 {
		return nil
	}
	return w.kernel.Lacking(dst, &l.rest, &l.exposed.around, l.exposed.n)
}

// small makes small sparse islands solid.
func (w *worker) small(l *Layer) error {
	f := &w.fill
	least := 2 * int64(w.p.Skin.LeastArea) * int64(w.p.Skin.LeastArea)
	islands := &f.lines
	islands.Reset()
	for i := range f.sparse.Len() {
		if ring := f.sparse.Ring(i); geom.Area2(ring) > 0 && geom.Area2(ring) < least {
			islands.Add(ring)
		}
	}
	if islands.Empty() {
		return nil
	}
	// Up to the wall, of which sparse lines keep a distance.
	if err := w.kernel.Offset(islands, islands, w.p.Width/2, geom.JoinMiter); err != nil {
		return err
	}
	if err := w.kernel.Intersect(islands, islands, &l.rest); err != nil {
		return err
	}
	if err := w.kernel.Difference(&f.sparse, &f.sparse, islands); err != nil {
		return err
	}
	return w.kernel.Union2(&f.solid, &f.solid, islands)
}

// faces takes what is seen from above out of solid, and what has nothing below: but
// for strips so narrow that they are laid better with what is beside them. These are
// noted in seen.
func (w *worker) faces(l *Layer) error {
	f, e := &w.fill, &l.exposed
	f.seen = 0
	if f.solid.Empty() {
		return nil
	}
	if e.bottom && l.Index > 0 {
		if err := w.face(&f.bottom, l, &l.below); err != nil {
			return err
		}
	}
	if e.top {
		if err := w.face(&f.top, l, &e.above); err != nil {
			return err
		}
	}
	if f.top.Empty() || f.bottom.Empty() {
		return nil
	}
	return w.kernel.Difference(&f.top, &f.top, &f.bottom)
}

// face moves from solid to dst what other does not cover, where it is wide enough.
func (w *worker) face(dst *geom.Region, l *Layer, other *geom.Region) error {
	f := &w.fill
	if other.Empty() && l.exposed.all {
		dst.Append(&f.solid)
		f.solid.Reset()
		return nil
	}
	if err := w.kernel.Difference(dst, &l.rest, other); err != nil {
		return err
	}
	f.seen += dst.Area2() / 2
	if err := open(&w.kernel, dst, dst, 3*w.p.Width/2); err != nil || dst.Empty() {
		return err
	}
	f.seen -= dst.Area2() / 2
	return w.kernel.Difference(&f.solid, &f.solid, dst)
}

// mostIslands is how many rings a skin may have to be filled island by island.
const mostIslands = 64

// laying is how a skin is laid.
type laying struct {
	role    motion.Role
	pattern SkinPattern
	angle   fill.Angle
	flow    fill.Percent // of what fills it
}

// skins fills a region side by side; lines that lie by themselves are fitted to each of
// its islands.
func (w *worker) skins(l *Layer, r *geom.Region, lay laying) error {
	if lay.pattern != SkinLines || r.Len() > mostIslands {
		return w.skin(l, r, lay)
	}
	for i := range r.Len() {
		if geom.Area2(r.Ring(i)) < 0 {
			continue
		}
		w.fill.span.island(r, i)
		if err := w.skin(l, &w.fill.span.one, lay); err != nil {
			return err
		}
	}
	return nil
}

// skin fills a region side by side.
func (w *worker) skin(l *Layer, r *geom.Region, lay laying) error {
	if r.Empty() {
		return nil
	}
	if lay.pattern == SkinConcentric {
		return w.concentric(l, r, lay)
	}
	f, area, width := &w.fill, r.Area2()/2, w.p.Width
	where := &l.inner
	if lay.pattern == SkinLines {
		where = r
	} else if !sameRegion(r, &l.rest) {
		where = &f.lines
		if err := w.kernel.Intersect(where, r, &l.inner); err != nil {
			return err
		}
	}
	first, pts := l.Runs.Len(), len(l.Runs.Pts)
	p := fill.Params{Angle: lay.angle, Spacing: width, MinSpan: width / 4, MaxJoin: 3 * width, Join: fill.JoinMonotonic}
	switch lay.pattern {
	case SkinLines:
		p.MaxJoin, p.Overrun, p.MinSpan, p.Fit = 0, width/5, 0, true
	case SkinZigzag:
		p.Join = fill.JoinNext
	}
	if err := f.hatcher.Hatch(&l.Runs.Lines, where, p); err != nil {
		return err
	}
	close := f.hatcher.Spacing()
	if lay.pattern == SkinLines {
		rest, err := w.rest(l, r, first, close)
		if err != nil {
			return err
		}
		area -= rest
	}
	bar := w.bar(l, area, first, pts, f.hatcher.Overrun())
	if lay.pattern == SkinLines && bar < close && bar > close-close/12 {
		bar = close // else there would be hairs between the lines
	}
	l.Runs.Give(Head{Width: bar * unit.Length(lay.flow) / 100, Role: lay.role})
	if lay.pattern == SkinMonotonic || lay.pattern == SkinLines {
		w.follow(l, first)
	}
	if lay.pattern == SkinLines {
		f.rester.give(l, lay.role)
	}
	return nil
}

// mostRows is how many lines one inside the other a skin may have.
const mostRows = 1000

// concentric fills a region with lines that follow its edge, and what they leave
// between them with lines of the right width.
func (w *worker) concentric(l *Layer, r *geom.Region, lay laying) error {
	f := &w.fill
	err := w.walls.Walls(&f.rows, r, wall.Params{
		Width: w.p.Width, Count: mostRows, Apart: w.p.Apart, Join: geom.JoinMiter, Thin: true, Gaps: true,
	})
	if err != nil {
		return err
	}
	for i := range f.rows.Len() + 1 {
		if i < f.rows.Len() {
			f.rings.Lay(&l.Runs.Lines, f.rows.Wall(i))
		}
		if err := w.gaps.fill(&w.kernel, &l.Gaps, f.rows.Gap(i), w.p.Width, false); err != nil {
			return err
		}
	}
	l.Runs.Give(Head{Width: w.p.Width * unit.Length(lay.flow) / 100, Role: lay.role})
	return nil
}

// inset is how far the region for lines lies inside of what they fill.
func (p *Params) inset() unit.Length { return p.Width/2 - p.Width*unit.Length(p.Skin.Overlap)/100 }

// follow keeps lines from number first on in their order, island by island.
func (w *worker) follow(l *Layer, first int) {
	heads := l.Runs.Heads
	for i := first; i < len(heads); i++ {
		heads[i].Follow = true
	}
	for _, i := range w.fill.hatcher.Starts() {
		heads[i].Follow = false
	}
	if first < len(heads) {
		heads[first].Follow = false
	}
}

// bar is how wide the lines from number first on are taken to be, so that they hold
// what the skin does: in narrow skins the joints between lines are a large part of
// them. What they go over into walls does not count.
func (w *worker) bar(l *Layer, area int64, first, pts int, over int64) unit.Length {
	added := fill.Lines{Pts: l.Runs.Pts[pts:]}
	long, start := int64(0), int32(pts)
	for _, end := range l.Runs.Ends[first:] {
		added.Pts = l.Runs.Pts[start:end]
		long += int64(length(added.Pts))
		start = end
	}
	width := int64(w.p.Width)
	return unit.Length(min(max(area/max(long-over, 1), width*2/3), width*8/7))
}

// hatchSparse lays sparse infill.
func (w *worker) hatchSparse(l *Layer, r *geom.Region, h Head) error {
	f := &w.fill
	spacing := fill.Spacing(w.p.Width, w.p.Density)
	if spacing == 0 || r.Empty() {
		return nil
	}
	if w.p.Pattern == fill.PatternConcentric {
		if err := f.rings.Cover(&l.Runs.Lines, &w.kernel, r, max(spacing/2-w.p.inset(), 0), spacing); err != nil {
			return err
		}
	} else {
		angle := w.p.Skin.Angle
		if w.p.Pattern == fill.PatternLines {
			angle = w.sparseAngle(l)
		}
		err := f.hatcher.Hatch(&l.Runs.Lines, r, fill.Params{
			Angle: angle, Spacing: spacing, Height: l.Top, MinSpan: w.p.Width, Pattern: w.p.Pattern,
			Join: fill.JoinAll, MaxJoin: w.p.Skin.Join, Anchor: w.p.Skin.Anchor,
		})
		if err != nil {
			return err
		}
	}
	l.Runs.Give(h)
	return nil
}

// sparseAngle is the direction of sparse lines: it changes from group to group if
// several layers are laid at once.
func (w *worker) sparseAngle(l *Layer) fill.Angle {
	n := w.p.Skin.Combine
	if n < 2 || (l.Index-1)/n%2 == 0 == (l.Index%2 == 0) {
		return w.angle(l)
	}
	return w.angle(l) + 90*fill.Degree
}

// Iron says how surfaces that are seen from above are ironed: gone over once more.
type Iron struct {
	On      bool
	Flow    fill.Percent // of what would fill the space between the lines
	Spacing unit.Length  // between them
	Inset   unit.Length  // from the edge of the surface
	Angle   fill.Angle   // to the lines below
}

// iron goes over what is seen from above.
func (w *worker) iron(l *Layer) error {
	i, f := &w.p.Skin.Iron, &w.fill
	if !i.On || f.top.Empty() {
		return nil
	}
	if err := w.kernel.Offset(&f.lines, &f.top, -i.Inset, geom.JoinMiter); err != nil {
		return err
	}
	if err := w.kernel.Intersect(&f.lines, &f.lines, &l.inner); err != nil {
		return err
	}
	first := l.Runs.Len()
	err := f.hatcher.Hatch(&l.Runs.Lines, &f.lines, fill.Params{
		Angle: w.angle(l) + i.Angle, Spacing: i.Spacing, MinSpan: w.p.Width, MaxJoin: 3 * i.Spacing, Join: fill.JoinMonotonic,
	})
	if err != nil {
		return err
	}
	width := int64(i.Spacing) * int64(i.Flow) / 100
	l.Runs.Give(Head{Width: unit.Length(max(width, 1)), Role: motion.Ironing})
	w.follow(l, first)
	return nil
}
