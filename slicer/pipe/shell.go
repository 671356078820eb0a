package pipe

import (
	"platen/slicer/geom"
	"platen/slicer/wall"
)

// shell lays the walls of a layer and fills the gaps between them; what is left
// inside is for skin and infill.
func (w *worker) shell(l *Layer) error {
	p := wall.Params{
		Width: w.p.Width, Count: w.p.Walls, Apart: w.p.Apart, Join: geom.JoinMiter,
		// Lines of skin end a quarter of a width before the wall: their round ends, and
		// the joints between them, then just fill what is left.
		Overlap: -w.p.Width / 4,
		Thin:    true, Gaps: true,
	}
	if err := w.walls.Walls(&l.Walls, &l.Outline, p); err != nil {
		return err
	}
	for i := range l.Walls.Len() + 1 {
		if err := w.gaps.fill(&w.kernel, &l.Gaps, l.Walls.Gap(i), w.p.Width); err != nil {
			return err
		}
	}
	for _, to := range [...]struct{ dst, src *geom.Region }{{&l.rest, l.Walls.Rest()}, {&l.inner, l.Walls.Inner()}} {
		to.dst.Reset()
		to.dst.Append(to.src)
	}
	return w.walls.Narrow(&l.Walls, p)
}
