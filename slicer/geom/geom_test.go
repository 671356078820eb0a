package geom

import (
	"testing"

	"platen/hal/unit"
)

// What holds a point is told ring by ring.
func TestHolds(t *testing.T) {
	const mm = unit.Millimetre
	var r Region
	r.Add([]Point{{X: 0, Y: 0}, {X: 9 * mm, Y: 0}, {X: 9 * mm, Y: 9 * mm}, {X: 0, Y: 9 * mm}})
	r.Add([]Point{{X: 3 * mm, Y: 3 * mm}, {X: 3 * mm, Y: 6 * mm}, {X: 6 * mm, Y: 6 * mm}, {X: 6 * mm, Y: 3 * mm}})
	for _, c := range []struct {
		x, y unit.Length
		want bool
	}{{1, 1, true}, {5, 5, false}, {7, 5, true}, {10, 5, false}} {
		if got := r.Holds(Point{X: c.x * mm, Y: c.y * mm}); got != c.want {
			t.Errorf("%d, %d: %v", c.x, c.y, got)
		}
	}
}
