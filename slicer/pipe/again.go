package pipe

import (
	"platen/slicer/geom"
	"platen/slicer/wall"
)

// again is the shell of the layer that a worker has shaped last. Upright walls give
// the same outline on many layers: then the same shell is made by copying it.
type again struct {
	kind    shellKind
	thin    geom.Region // scratch: what becomes the next last
	last    geom.Region // as cut, but for points that were left out
	key     geom.Region // the outline before it was compensated
	outline geom.Region
	rest    geom.Region
	inner   geom.Region
	corners geom.Region
	bare    int
	walls   wall.Walls
	gaps    Strokes
}

// shellKind is what of a layer's place in the model decides on its shell.
type shellKind uint8

const (
	shellNone  shellKind = iota // its own, or none
	shellPlain                  // that of most layers
	shellExtra                  // with one wall more
	shellSpiral
)

// kind tells which shell layer i gets.
func (s *Shell) kind(i, bottom int) shellKind {
	switch {
	case s.Foot > 0 && i < s.FootLayers:
		return shellNone
	case s.Spiral && i >= bottom:
		return shellSpiral
	case s.Extra && i%2 != 0:
		return shellExtra
	}
	return shellPlain
}

func (a *again) wipe() {
	for _, r := range []*geom.Region{&a.thin, &a.last, &a.key, &a.outline, &a.rest, &a.inner, &a.corners} {
		r.Wipe()
	}
	a.walls.Wipe()
	a.gaps.Wipe()
}

// give sets the shell of l, which has its plain outline, if it is the same again.
// Otherwise it notes that outline, for keep.
func (a *again) give(l *Layer, kind shellKind) bool {
	if kind == shellNone || kind != a.kind || !sameRegion(&a.key, &l.Outline) {
		a.kind = shellNone
		setRegion(&a.key, &l.Outline)
		return false
	}
	setRegion(&l.Outline, &a.outline)
	setRegion(&l.rest, &a.rest)
	setRegion(&l.inner, &a.inner)
	setRegion(&l.corners, &a.corners)
	l.bare = a.bare
	l.Walls.CopyLines(&a.walls)
	setStrokes(&l.Gaps, &a.gaps)
	l.Spiral = kind == shellSpiral
	return true
}

// keep notes the shell of l, whose plain outline give has seen.
func (a *again) keep(l *Layer, kind shellKind) {
	a.kind = kind
	if kind == shellNone {
		return
	}
	setRegion(&a.outline, &l.Outline)
	setRegion(&a.rest, &l.rest)
	setRegion(&a.inner, &l.inner)
	setRegion(&a.corners, &l.corners)
	a.bare = l.bare
	a.walls.CopyLines(&l.Walls)
	setStrokes(&a.gaps, &l.Gaps)
}

func setRegion(dst, src *geom.Region) {
	dst.Reset()
	dst.Append(src)
}

func setStrokes(dst, src *Strokes) {
	dst.Pts = append(dst.Pts[:0], src.Pts...)
	dst.Ends = append(dst.Ends[:0], src.Ends...)
	dst.Widths = append(dst.Widths[:0], src.Widths...)
}
