package pipe

import (
	"errors"
	"fmt"
	"slices"

	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
)

// Directions of hatch lines: those of one layer cross those of the next.
const (
	evenAngle = 45 * fill.Degree
	oddAngle  = 135 * fill.Degree
)

// skins splits the inside of layers into solid and sparse. A place is sparse if it
// is covered by the outlines of all TopLayers layers above and all BottomLayers
// layers below.
type skins struct {
	p       Params
	kernel  geom.Kernel
	hatcher fill.Hatcher
	gaps    gapFiller
	pending []*Layer // not yet finished, lowest first
	above   window   // outlines of the layers above pending[0]
	below   window   // outlines of the layers below it
	cover   geom.Region
	solid   geom.Region
	sparse  geom.Region
	area    int64 // twice that of the skin of the layer at hand
}

func newSkins(p Params) *skins { return &skins{p: p} }

func (s *skins) wipe() {
	s.kernel.Wipe()
	s.hatcher.Wipe()
	s.gaps.wipe()
	s.above.wipe()
	s.below.wipe()
	s.cover.Wipe()
	s.solid.Wipe()
	s.sparse.Wipe()
}

// add takes the next layer, whose outline and walls are there.
func (s *skins) add(l *Layer) error {
	if l.Index > 0 && s.p.TopLayers > 0 {
		if err := s.above.push(&s.kernel, &l.Outline); err != nil {
			return fmt.Errorf("find top skins: %w", err)
		}
	}
	s.pending = append(s.pending, l)
	return nil
}

// next finishes the lowest pending layer and returns it, or nil if a layer that it
// depends on is still to come. The outcome of the work is in the layer's err. last
// says that there are no more layers.
func (s *skins) next(last bool) *Layer {
	if len(s.pending) == 0 || (!last && len(s.pending) <= s.p.TopLayers) {
		return nil
	}
	l := s.pending[0]
	if l.err = s.finish(l); l.err != nil {
		l.err = fmt.Errorf("fill a layer: %w", l.err)
		return l
	}
	s.pending = slices.Delete(s.pending, 0, 1)
	if len(s.pending) > 0 && s.p.TopLayers > 0 {
		s.above.pop(&s.kernel)
	}
	if s.p.BottomLayers > 0 {
		if s.below.len() == s.p.BottomLayers {
			s.below.pop(&s.kernel)
		}
		l.err = s.below.push(&s.kernel, &l.Outline)
	}
	return l
}

func (s *skins) finish(l *Layer) error {
	if err := s.split(l); err != nil {
		return err
	}
	angle := evenAngle
	if l.Index%2 != 0 {
		angle = oddAngle
	}
	if !s.solid.Empty() {
		err := s.hatcher.Hatch(&l.Skin, &s.solid, fill.Params{
			Angle: angle, Spacing: s.p.Width, MinSpan: s.p.Width / 4, MaxJoin: 3 * s.p.Width,
		})
		if err != nil {
			return err
		}
		l.SkinWidth = s.skinWidth(l)
	}
	if spacing := fill.Spacing(s.p.Width, s.p.Density); spacing > 0 && !s.sparse.Empty() {
		err := s.hatcher.Hatch(&l.Infill, &s.sparse, fill.Params{
			Angle: angle, Spacing: spacing, MinSpan: s.p.Width, Pattern: s.p.Pattern,
		})
		if err != nil {
			return err
		}
	}
	if l.Index == 0 {
		return s.skirt(l)
	}
	return nil
}

// skinWidth is how wide the lines of a skin are taken to be, so that they hold what
// the skin does: in narrow skins the joints between lines are a large part of them.
func (s *skins) skinWidth(l *Layer) unit.Length {
	long := max(l.Skin.Length(), 1)
	w := s.area / 2 / long
	return unit.Length(min(max(w, int64(s.p.Width)*2/3), int64(s.p.Width)*8/7))
}

// split sets solid and sparse from the inside of l. Strips of skin that are narrower
// than a line, as slopes have them, become strokes.
func (s *skins) split(l *Layer) error {
	s.solid.Reset()
	s.sparse.Reset()
	covered, err := s.covered(l)
	if err != nil {
		return err
	}
	if !covered || s.p.Density >= 100 {
		s.solid.Append(&l.inner)
		s.area = l.rest.Area2()
		return nil
	}
	strips := &s.gaps.gap
	strips.Reset()
	if !sameRegion(&s.cover, &l.Outline) {
		if err := s.kernel.Difference(strips, &l.rest, &s.cover); err != nil {
			return err
		}
	}
	if strips.Empty() {
		s.sparse.Append(&l.rest)
		return nil
	}
	if err := open(&s.kernel, &s.solid, strips, s.p.Width); err != nil {
		return err
	}
	s.area = s.solid.Area2()
	if err := s.kernel.Difference(&s.sparse, &l.rest, strips); err != nil {
		return err
	}
	if !s.solid.Empty() {
		if err := s.kernel.Difference(strips, strips, &s.solid); err != nil {
			return err
		}
		if err := s.kernel.Intersect(&s.solid, &s.solid, &l.inner); err != nil {
			return err
		}
	}
	return s.gaps.strokes(&s.kernel, &l.Gaps, s.p.Width)
}

// covered sets cover to what all layers around l share with it, and reports false
// if there are not enough of them: all of l is skin then.
func (s *skins) covered(l *Layer) (bool, error) {
	if s.below.len() < s.p.BottomLayers || s.above.len() < s.p.TopLayers {
		return false, nil
	}
	s.cover.Reset()
	s.cover.Append(&l.Outline)
	for _, w := range [...]*window{&s.above, &s.below} {
		if err := w.intersect(&s.kernel, &s.cover); err != nil {
			return false, err
		}
	}
	return true, nil
}

// skirt lays lines around the first layer. A line that would leave the volume, or
// that a model in very many pieces makes too hard to find, is left out.
func (s *skins) skirt(l *Layer) error {
	for i := range s.p.Skirts {
		away := s.p.SkirtGap + s.p.Width/2 + unit.Length(i)*s.p.Width
		switch err := s.kernel.Offset(&s.cover, &l.Outline, away, geom.JoinRound); {
		case errors.Is(err, geom.ErrOutside) || errors.Is(err, geom.ErrComplex):
			return nil
		case err != nil:
			return err
		}
		s.solid.Reset()
		for k := range s.cover.Len() {
			if ring := s.cover.Ring(k); geom.Area2(ring) > 0 {
				s.solid.Add(ring)
			}
		}
		if err := s.kernel.Union(&s.solid, &s.solid); err != nil {
			return err
		}
		for _, p := range s.solid.Pts {
			if p.X < s.p.Volume.Min.X || p.X > s.p.Volume.Max.X || p.Y < s.p.Volume.Min.Y || p.Y > s.p.Volume.Max.Y {
				return nil
			}
		}
		l.Skirt.Append(&s.solid)
	}
	return nil
}
