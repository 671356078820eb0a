package fill

import (
	"math"
	"testing"

	"platen/hal/unit"
	"platen/slicer/geom"
)

const mm = unit.Millimetre

func pt(x, y unit.Length) geom.Point { return geom.Point{X: x, Y: y} }

func rectangle(x0, y0, x1, y1 unit.Length) []geom.Point {
	return []geom.Point{pt(x0, y0), pt(x1, y0), pt(x1, y1), pt(x0, y1)}
}

// area of lines of the given width over the area of the region.
func coverage(l *Lines, width unit.Length, r *geom.Region) float64 {
	return float64(l.Length()) * float64(width) / (float64(r.Area2()) / 2)
}

func TestSolidCoversArea(t *testing.T) {
	var r geom.Region
	r.Add(rectangle(10*mm, 20*mm, 110*mm, 120*mm))
	width := unit.Micrometres(420)
	for _, angle := range []Angle{0, 45 * Degree, 90 * Degree, 135 * Degree, 17*Degree + 300, -30 * Degree} {
		var h Hatcher
		var l Lines
		if err := h.Hatch(&l, &r, Params{Angle: angle, Spacing: width}); err != nil {
			t.Fatal(err)
		}
		if c := coverage(&l, width, &r); math.Abs(c-1) > 0.005 {
			t.Errorf("angle %d: lines cover %.4f of the square", angle, c)
		}
	}
}
