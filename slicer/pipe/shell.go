package pipe

import (
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/wall"
)

// Shell says what is done about walls besides how many there are.
type Shell struct {
	Thin       bool        // a line of the right width where not even the outer wall fits
	Gaps       bool        // lines of the right width where no whole one fits between walls
	Extra      bool        // one wall more on every other layer
	Spiral     bool        // one wall that rises all the way around, above the bottom layers
	XY         unit.Length // how far outer contours are moved out
	HoleXY     unit.Length // how far holes are widened
	Foot       unit.Length // how far contours of the first layer are moved in
	FootLayers int         // layers over which that becomes nothing
	Hangs      bool        // walls say how far they hang over the layer below
}

// wider is how much room, in hundredths of a line, goes to the two lines beside it: a
// nozzle lays lines of a third more than its own width well, and very thin ones badly.
const wider = 70

// shell lays the walls of a layer and fills the gaps between them; what is left
// inside is for skin and infill.
func (w *worker) shell(l *Layer) error {
	if err := w.compensate(l); err != nil {
		return err
	}
	if w.p.Shell.Spiral && l.Index >= w.p.BottomLayers {
		return w.spiral(l)
	}
	p := wall.Params{
		Width: w.p.Width, Count: w.p.Walls, Apart: w.p.Apart, Wider: w.p.Width * wider / 100, Join: geom.JoinBlunt,
		// Lines of skin end a quarter of a width before the wall: their round ends, and
		// the joints between them, then just fill what is left.
		Overlap: -w.p.inset(),
		Thin:    w.p.Shell.Thin, Gaps: w.p.Shell.Gaps,
	}
	if w.p.Shell.Extra && l.Index%2 != 0 {
		p.Count++
	}
	if !p.Thin {
		p.Apart = 0 // nobody else fills what walls leave out
	}
	if err := w.walls.Walls(&l.Walls, &l.Outline, p); err != nil {
		return err
	}
	for i := range l.Walls.Len() + 1 {
		if err := w.gaps.fill(&w.kernel, &l.Gaps, l.Walls.Gap(i), w.p.Width, i == 0); err != nil {
			return err
		}
		if i > 0 {
			l.keepCorners(l.Walls.Gap(i))
		} else {
			l.bare = l.Gaps.Len()
		}
	}
	for _, to := range [...]struct{ dst, src *geom.Region }{{&l.rest, l.Walls.Rest()}, {&l.inner, l.Walls.Inner()}} {
		to.dst.Reset()
		to.dst.Append(to.src)
	}
	if err := w.walls.Narrow(&l.Walls, p); err != nil {
		return err
	}
	l.corners.Append(l.Walls.Pockets())
	return nil
}

// compensate moves the contours of a layer for what the machine makes of them: lines
// that come out wider or narrower than they should, and a first layer that is pressed
// outward.
func (w *worker) compensate(l *Layer) error {
	s := &w.p.Shell
	if s.XY != 0 || s.HoleXY != 0 {
		if err := w.moveContours(&l.Outline, s.XY, s.HoleXY); err != nil {
			return err
		}
	}
	if s.Foot > 0 && l.Index < s.FootLayers {
		return w.foot(&l.Outline, s.Foot*unit.Length(s.FootLayers-l.Index)/unit.Length(s.FootLayers))
	}
	return nil
}

// moveContours moves outer contours out by outer and holes into the part by hole. Each
// ring is moved alone: then the outer ones count once, the holes once less, and the
// positive fill rule does the rest.
func (w *worker) moveContours(r *geom.Region, outer, hole unit.Length) error {
	all, one := &w.gaps.gap, &w.gaps.part
	all.Reset()
	for i := range r.Len() {
		one.Reset()
		one.Add(r.Ring(i))
		by := outer
		isHole := geom.Area2(r.Ring(i)) < 0
		if isHole {
			reverseRings(one)
			by = hole
		}
		if by != 0 {
			if err := w.kernel.Offset(one, one, by, geom.JoinMiter); err != nil {
				return err
			}
		}
		if isHole {
			reverseRings(one)
		}
		all.Append(one)
	}
	return w.kernel.Union(r, all)
}

// reverseRings turns all rings the other way round.
func reverseRings(r *geom.Region) {
	for i := range r.Len() {
		ring := r.Ring(i)
		for a, b := 0, len(ring)-1; a < b; a, b = a+1, b-1 {
			ring[a], ring[b] = ring[b], ring[a]
		}
	}
}

// foot moves the contours of r in by by, but for places that would become narrower
// than a line: they stay.
func (w *worker) foot(r *geom.Region, by unit.Length) error {
	thick, moved := &w.gaps.gap, &w.gaps.part
	if err := w.kernel.Offset(thick, r, -by-w.p.Width/2, geom.JoinMiter); err != nil {
		return err
	}
	if err := w.kernel.Offset(moved, thick, w.p.Width/2, geom.JoinMiter); err != nil {
		return err
	}
	if err := w.kernel.Offset(thick, thick, by+w.p.Width/2, geom.JoinMiter); err != nil {
		return err
	}
	if err := w.kernel.Difference(thick, r, thick); err != nil { // what is thin
		return err
	}
	if err := open(&w.kernel, thick, thick, w.p.Width/thinnest); err != nil {
		return err
	}
	if thick.Empty() {
		r.Reset()
		r.Append(moved)
		return nil
	}
	// Thin places reach as far as the thick ones have been moved back.
	if err := w.kernel.Offset(thick, thick, by+by/2, geom.JoinMiter); err != nil {
		return err
	}
	if err := w.kernel.Intersect(thick, thick, r); err != nil {
		return err
	}
	return w.kernel.Union2(r, moved, thick)
}
