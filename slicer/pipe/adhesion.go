package pipe

import (
	"errors"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// adhesion makes what holds the part on the bed.
func (w *worker) adhesion(l *Layer) error {
	if l.Index == 0 {
		return w.skirt(l)
	}
	return nil
}

// skirt lays lines around the first layer. A line that would leave the volume, or
// that a model in very many pieces makes too hard to find, is left out.
func (w *worker) skirt(l *Layer) error {
	for i := range w.p.Skirts {
		away := w.p.SkirtGap + w.p.Width/2 + unit.Length(i)*w.p.Width
		switch err := w.kernel.Offset(&w.ring, &l.Outline, away, geom.JoinRound); {
		case errors.Is(err, geom.ErrOutside) || errors.Is(err, geom.ErrComplex):
			return nil
		case err != nil:
			return err
		}
		w.solid.Reset()
		for k := range w.ring.Len() {
			if ring := w.ring.Ring(k); geom.Area2(ring) > 0 {
				w.solid.Add(ring)
			}
		}
		if err := w.kernel.Union(&w.solid, &w.solid); err != nil {
			return err
		}
		for _, p := range w.solid.Pts {
			if p.X < w.p.Volume.Min.X || p.X > w.p.Volume.Max.X || p.Y < w.p.Volume.Min.Y || p.Y > w.p.Volume.Max.Y {
				return nil
			}
		}
		l.Skirt.Append(&w.solid)
	}
	return nil
}
