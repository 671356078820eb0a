package pipe

import (
	"platen/hal/unit"
	"platen/slicer/geom"
)

// simplify is how far a simplified outline may be from the cut one: well below
// what a nozzle resolves, and it takes most points of a fine mesh away.
const simplify = 5 * unit.Millimetre / 1000

// mostPoints bounds the points of one layer as cut, and with them the memory of
// everything that follows. It is ten times what large scans have.
const mostPoints = 1 << 18

// outline sets the outline of a layer from what was cut. Where nothing but points that are
// left out has changed since the last layer, that one's is taken.
func (w *worker) outline(l *Layer) error {
	dropSpecks(&l.raw, w.p.Width/thinnest)
	if len(l.raw.Pts) > mostPoints {
		return geom.ErrComplex
	}
	a := &w.again
	if err := w.kernel.Thin(&a.thin, &l.raw, simplify); err != nil {
		return err
	}
	if a.key.Len() > 0 && sameRegion(&a.thin, &a.last) {
		setRegion(&l.Outline, &a.key)
		return nil
	}
	a.thin, a.last = a.last, a.thin
	err := w.kernel.Union(&l.Outline, &a.last)
	if err != nil {
		a.last.Reset()
	}
	return err
}

// dropSpecks removes rings that measure less than size along both axes: noise of a
// scanned surface, far below what a nozzle can make.
func dropSpecks(r *geom.Region, size unit.Length) {
	pts, ends := r.Pts[:0], r.Ends[:0]
	start := int32(0)
	for _, end := range r.Ends {
		ring := r.Pts[start:end]
		start = end
		lo, hi := ring[0], ring[0]
		for _, p := range ring {
			lo = geom.Point{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
			hi = geom.Point{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
		}
		if hi.X-lo.X >= size || hi.Y-lo.Y >= size {
			pts = append(pts, ring...)
			ends = append(ends, int32(len(pts)))
		}
	}
	r.Pts, r.Ends = pts, ends
}
