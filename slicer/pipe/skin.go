package pipe

import (
	"slices"

	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
	"platen/slicer/vault"
)

// Skin says what is solid and how it is laid, besides counts of layers.
type Skin struct {
	Top, Bottom   unit.Length  // least thickness, besides the count of layers
	TopPattern    SkinPattern  // of what is seen from above
	BottomPattern SkinPattern  // of what lies on the bed
	Every         int          // one layer in so many is solid; 0 is none
	LeastArea     unit.Length  // sparse islands of less than the square of this are solid
	Removal       unit.Length  // skins inside the part that are narrower are left out; 0 leaves none out
	Iron          Iron         // of what is seen from above
	Bridge        Bridge       // lines over nothing
	Overlap       fill.Percent // of a line width: how far lines of fill reach into what half of their width keeps free of walls
	Angle         fill.Angle   // of fill on even layers; on odd ones it is turned by 90°
	Combine       int          // sparse infill of so many layers is laid at once; up to 1 is each by itself
	Join, Anchor  unit.Length  // of sparse infill: see fill.Params
}

// SkinPattern is how solid skins are laid.
type SkinPattern uint8

// The patterns of skins.
const (
	SkinMonotonic  SkinPattern = iota // lines, each beside the one before it, joined where they end
	SkinLines                         // the same, each by itself
	SkinConcentric                    // closed lines, one inside the other
	SkinZigzag                        // lines, joined where they end, in the order of least travel
)

// skins finds what of a layer is not covered: a place is if it lies within the
// outlines of all layers within reach above and below. Nets of cells tell where that
// is beyond doubt, which is nearly everywhere; outlines go along with the layer only
// if there is any doubt, for the workers to look.
type skins struct {
	p    *Params    // shared, and not to be kept
	past []*passing // the layers below the one at hand, highest last
	pool []*passing
	lack cells
}

// passing is what is kept of a layer that has been handed on.
type passing struct {
	outline   geom.Region
	rest      geom.Region // if infill is combined
	inside    cells
	bottom    unit.Length
	thickness unit.Length
	same      bool // as the one below
}

func (s *skins) wipe() {
	for _, list := range [][]*passing{s.past, s.pool} {
		for _, p := range list {
			p.outline.Wipe()
			p.rest.Wipe()
			p.inside.wipe()
		}
	}
	s.lack.wipe()
}

// keep has all buffers that have grown moved into the vault.
func (s *skins) keep(a *vault.Arena) {
	a.Keep(s)
	for _, list := range [][]*passing{s.past, s.pool} {
		for _, p := range list {
			a.Keep(p)
		}
	}
}

// exposed is what a layer carries to the workers about what covers it.
type exposed struct {
	inside cells // of its outline
	need   cells // that its inside has a part of

	all    bool        // of it is skin: there are not enough layers around
	around geom.Region // outlines of layers that may leave something uncovered
	n      int         // how many
	above  geom.Region // outline of the next layer, if it may leave something uncovered
	top    bool        // something may be seen from above: all, if above is empty
	bottom bool        // something may have nothing below: what l.below does not cover

	peekUp, peekDown bool // the same for lines between walls, and small gaps there
}

func (e *exposed) reset() {
	e.all, e.n, e.top, e.bottom, e.peekUp, e.peekDown = false, 0, false, false, false, false
	e.around.Reset()
	e.above.Reset()
}

func (e *exposed) wipe() {
	e.inside.wipe()
	e.need.wipe()
	e.around.Wipe()
	e.above.Wipe()
}

// survey draws the nets of a layer, in the shape stage.
func (w *worker) survey(l *Layer) {
	l.exposed.reset()
	if w.p.TopLayers > 0 || w.p.BottomLayers > 0 {
		l.exposed.inside.inside(&l.Outline, w.pitch)
		l.exposed.need.touched(&l.rest, w.pitch)
	}
}

// thinner reports whether layers are not as thick as asked for, by more than their
// heights are rounded by.
func (p *Params) thinner(thick, asked unit.Length) bool { return thick < asked-gapSlack }

// within is how many layers it takes for a thickness at most.
func (p *Params) within(thick unit.Length) int {
	if thick <= gapSlack {
		return 0
	}
	return p.layersWithin(thick)
}

// skinsAbove is how many layers above a layer decide on its skins at most.
func (p *Params) skinsAbove() int {
	return max(p.TopLayers, p.within(p.Skin.Top))
}

// skinsBelow is the same for layers below.
func (p *Params) skinsBelow() int {
	return max(p.BottomLayers, p.within(p.Skin.Bottom))
}

// skinsAhead is how many layers above a layer must have come.
func (p *Params) skinsAhead() int { return p.skinsAbove() + max(p.Skin.Combine-1, 0) }

// look finds out what the layers above, of which those that matter have come unless
// the model ends, and those below leave uncovered of l.
func (s *skins) look(l *Layer, above []*Layer) {
	e := &l.exposed
	s.lack.like(&e.need)
	if s.p.solid(l.Index) {
		e.all = true
	}
	s.lookUp(l, above)
	s.lookDown(l)
	if e.all {
		e.around.Reset()
	}
	s.merge(l, above)
}

// solid reports whether a layer is to be solid wherever it is.
func (p *Params) solid(index int) bool {
	return p.Density >= 100 || p.Skin.Every > 0 && (index+1)%p.Skin.Every == 0
}

// lookUp goes through the layers above as far as they decide on skins: TopLayers of
// them, and as many as it takes until those passed are as thick as a skin.
func (s *skins) lookUp(l *Layer, above []*Layer) {
	e := &l.exposed
	for k := 0; k < s.p.TopLayers || s.p.Skin.Top > 0 && (k == 0 || s.p.thinner(above[k-1].Top-l.Top, s.p.Skin.Top)); k++ {
		if k == len(above) {
			e.all = true // the model ends
			e.top, e.peekUp = e.top || k == 0, e.peekUp || k == 0
			return
		}
		if above[k].upright {
			continue // covers what the one below it does
		}
		lacks := e.need.lacks(&above[k].exposed.inside, &s.lack)
		if k == 0 {
			e.top, e.peekUp = lacks, l.peeks(&above[k].exposed.inside)
			if e.top || e.peekUp {
				e.above.Append(&above[k].Outline)
			}
		}
		if lacks {
			e.add(&above[k].Outline)
		}
	}
}

// lookDown does the same with those below.
func (s *skins) lookDown(l *Layer) {
	e := &l.exposed
	bottom, n := l.Top-l.Thickness, len(s.past)
	for k := 0; k < s.p.BottomLayers || s.p.Skin.Bottom > 0 && (k == 0 || s.p.thinner(bottom-s.past[n-k].bottom, s.p.Skin.Bottom)); k++ {
		if k == n {
			e.all = true // the model begins
			e.bottom, e.peekDown = e.bottom || k == 0, e.peekDown || k == 0
			return
		}
		if k == 0 && l.upright || k > 0 && s.past[n-k].same {
			continue
		}
		if k == 0 {
			e.peekDown = l.peeks(&s.past[n-1].inside)
		}
		if e.need.lacks(&s.past[n-1-k].inside, &s.lack) {
			e.bottom = e.bottom || k == 0
			e.add(&s.past[n-1-k].outline)
		}
	}
}

func (e *exposed) add(r *geom.Region) {
	if !e.all {
		e.around.Append(r)
		e.n++
	}
}

// leave keeps what the layers above l need to know of it.
func (s *skins) leave(l *Layer) {
	if s.p.BottomLayers == 0 && s.p.Skin.Bottom == 0 && s.p.Skin.Combine < 2 {
		return
	}
	var p *passing
	if n := len(s.pool); n > 0 {
		p, s.pool = s.pool[n-1], s.pool[:n-1]
	} else {
		p = &passing{}
	}
	p.outline.Reset()
	p.outline.Append(&l.Outline)
	p.inside.copyOf(&l.exposed.inside)
	p.rest.Reset()
	if s.p.Skin.Combine > 1 {
		p.rest.Append(&l.rest)
	}
	p.bottom, p.thickness, p.same = l.Top-l.Thickness, l.Thickness, l.upright
	s.past = append(s.past, p)
	for len(s.past) > max(s.p.skinsBelow()+max(s.p.Skin.Combine-1, 0), 1) && !s.p.thinner(l.Top-s.past[1].bottom, s.p.Skin.Bottom) {
		s.pool = append(s.pool, s.past[0])
		s.past = append(s.past[:0], s.past[1:]...)
	}
}

// sameRegion reports whether two regions are equal point by point.
func sameRegion(a, b *geom.Region) bool {
	return slices.Equal(a.Ends, b.Ends) && slices.Equal(a.Pts, b.Pts)
}
