package pipe

import (
	"fmt"

	"platen/slicer/geom"
)

// skins finds what of a layer is covered: a place is if it lies within the outlines
// of all TopLayers layers above and all BottomLayers layers below.
type skins struct {
	p      Params
	kernel geom.Kernel
	above  window // outlines of the layers above the one at hand
	under  window // outlines of the layers below it
}

func (s *skins) wipe() {
	s.kernel.Wipe()
	s.above.wipe()
	s.under.wipe()
}

// add takes the next layer, whose outline is there.
func (s *skins) add(l *Layer) error {
	if l.Index == 0 || s.p.TopLayers == 0 {
		return nil
	}
	if err := s.above.push(&s.kernel, &l.Outline); err != nil {
		return fmt.Errorf("find top skins: %w", err)
	}
	return nil
}

// cover sets what all layers around l share with it, unless there are not enough of
// them.
func (s *skins) cover(l *Layer) error {
	l.cover.Reset()
	l.covered = s.under.len() >= s.p.BottomLayers && s.above.len() >= s.p.TopLayers
	if !l.covered || s.p.Density >= 100 {
		return nil
	}
	l.cover.Append(&l.Outline)
	for _, w := range [...]*window{&s.above, &s.under} {
		if err := w.intersect(&s.kernel, &l.cover); err != nil {
			return err
		}
	}
	return nil
}

// leave goes on to the layer above l; more says that there is one.
func (s *skins) leave(l *Layer, more bool) error {
	if more && s.p.TopLayers > 0 {
		s.above.pop(&s.kernel)
	}
	if s.p.BottomLayers == 0 {
		return nil
	}
	if s.under.len() == s.p.BottomLayers {
		s.under.pop(&s.kernel)
	}
	return s.under.push(&s.kernel, &l.Outline)
}
