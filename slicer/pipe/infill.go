package pipe

import (
	"platen/hal/unit"
	"platen/slicer/fill"
)

// Directions of hatch lines: those of one layer cross those of the next.
const (
	evenAngle = 45 * fill.Degree
	oddAngle  = 135 * fill.Degree
)

// infill splits the inside of a layer into solid and sparse, and hatches both.
func (w *worker) infill(l *Layer) error {
	if err := w.split(l); err != nil {
		return err
	}
	angle := evenAngle
	if l.Index%2 != 0 {
		angle = oddAngle
	}
	if !w.solid.Empty() {
		err := w.hatcher.Hatch(&l.Skin, &w.solid, fill.Params{
			Angle: angle, Spacing: w.p.Width, MinSpan: w.p.Width / 4, MaxJoin: 3 * w.p.Width,
		})
		if err != nil {
			return err
		}
		l.SkinWidth = w.skinWidth(l)
	}
	if spacing := fill.Spacing(w.p.Width, w.p.Density); spacing > 0 && !w.sparse.Empty() {
		return w.hatcher.Hatch(&l.Infill, &w.sparse, fill.Params{
			Angle: angle, Spacing: spacing, MinSpan: w.p.Width, Pattern: w.p.Pattern,
		})
	}
	return nil
}

// skinWidth is how wide the lines of a skin are taken to be, so that they hold what
// the skin does: in narrow skins the joints between lines are a large part of them.
func (w *worker) skinWidth(l *Layer) unit.Length {
	long := max(l.Skin.Length(), 1)
	width := w.area / 2 / long
	return unit.Length(min(max(width, int64(w.p.Width)*2/3), int64(w.p.Width)*8/7))
}

// split sets solid and sparse from the inside of l. Strips of skin that are narrower
// than a line, as slopes have them, become strokes.
func (w *worker) split(l *Layer) error {
	w.solid.Reset()
	w.sparse.Reset()
	if !l.covered || w.p.Density >= 100 {
		w.solid.Append(&l.inner)
		w.area = l.rest.Area2()
		return nil
	}
	strips := &w.gaps.gap
	strips.Reset()
	if !sameRegion(&l.cover, &l.Outline) {
		if err := w.kernel.Difference(strips, &l.rest, &l.cover); err != nil {
			return err
		}
	}
	if strips.Empty() {
		w.sparse.Append(&l.rest)
		return nil
	}
	if err := open(&w.kernel, &w.solid, strips, w.p.Width); err != nil {
		return err
	}
	w.area = w.solid.Area2()
	if err := w.kernel.Difference(&w.sparse, &l.rest, strips); err != nil {
		return err
	}
	if !w.solid.Empty() {
		if err := w.kernel.Difference(strips, strips, &w.solid); err != nil {
			return err
		}
		if err := w.kernel.Intersect(&w.solid, &w.solid, &l.inner); err != nil {
			return err
		}
	}
	return w.gaps.strokes(&w.kernel, &l.Gaps, w.p.Width)
}
