package slicer

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// mostCopies bounds the copies of a model.
const mostCopies = 1000

// arrange puts n copies of a body with the given bounds into rows and columns in the
// middle of the build volume, as square a block as fits, gap apart. The body is in
// the middle of the volume; where each copy goes is relative to that. It reports
// false if they do not fit.
func arrange(n int, body, build Volume, gap unit.Length) ([]geom.Point, bool) {
	wide, deep := int64(body.Max.X)-int64(body.Min.X)+int64(gap), int64(body.Max.Y)-int64(body.Min.Y)+int64(gap)
	fitX := (int64(build.Max.X) - int64(build.Min.X) + int64(gap)) / max(wide, 1)
	fitY := (int64(build.Max.Y) - int64(build.Min.Y) + int64(gap)) / max(deep, 1)
	if fitX < 1 || fitY < 1 || fitX*fitY < int64(n) {
		return nil, false
	}
	columns := int64(math.Ceil(math.Sqrt(float64(n) * float64(deep) / float64(wide))))
	columns = max(1, min(columns, fitX, int64(n)), (int64(n)+fitY-1)/fitY)
	rows := (int64(n) + columns - 1) / columns
	out := make([]geom.Point, n)
	for i := range out {
		// Twice the way from the middle, so that it is a whole number.
		x := (2*(int64(i)%columns) - (columns - 1)) * wide
		y := (2*(int64(i)/columns) - (rows - 1)) * deep
		out[i] = geom.Point{X: unit.Length(x / 2), Y: unit.Length(y / 2)}
	}
	return out, true
}

// relative is how far all but the first are from the first.
func relative(places []geom.Point) []geom.Point {
	out := make([]geom.Point, len(places)-1)
	for i, p := range places[1:] {
		out[i] = geom.Point{X: p.X - places[0].X, Y: p.Y - places[0].Y}
	}
	return out
}

// around is the box around a body and its copies.
func around(b Volume, moves []geom.Point) Volume {
	all := b
	for _, d := range moves {
		all.Min.X, all.Max.X = min(all.Min.X, b.Min.X+d.X), max(all.Max.X, b.Max.X+d.X)
		all.Min.Y, all.Max.Y = min(all.Min.Y, b.Min.Y+d.Y), max(all.Max.Y, b.Max.Y+d.Y)
	}
	return all
}
