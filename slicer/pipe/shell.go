package pipe

import (
	"platen/slicer/geom"
	"platen/slicer/wall"
)

// shell lays the walls of a layer and fills the gaps between them; what is left
// inside is for skin and infill.
func (w *worker) shell(l *Layer) error {
	p := wall.Params{
		Width: w.p.Width, Count: w.p.Walls, Overlap: -w.p.Width / 2, Apart: w.p.Apart, Join: geom.JoinMiter,
	}
	if err := w.walls.Walls(&l.Walls, &l.Outline, p); err != nil {
		return err
	}
	beyond := l.Walls.Inner() // the centre line of one wall more
	if w.p.Walls > 0 {
		if err := w.gaps.fill(&w.kernel, l, beyond); err != nil {
			return err
		}
	}
	if err := w.kernel.Offset(&l.rest, beyond, w.p.Width/2, geom.JoinMiter); err != nil {
		return err
	}
	// Lines of skin end a quarter of a width before the wall: their round ends, and
	// the joints between them, then just fill what is left.
	if err := w.kernel.Offset(&l.inner, beyond, w.p.Width/2-w.p.Width/4, geom.JoinMiter); err != nil {
		return err
	}
	return w.walls.Narrow(&l.Walls, p)
}
