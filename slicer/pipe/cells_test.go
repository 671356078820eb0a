package pipe

import (
	"math/rand/v2"
	"testing"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// The cell of a coordinate is what dividing would give, at every edge of a cell and at the
// ends of the plane.
func TestCellAt(t *testing.T) {
	const most = int64(unit.MaxCoordinate)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, pitch := range []int64{int64(unit.Millimetre) / 50, 14_745, 14_746, 65_536, 99_991, 4 * int64(unit.Millimetre)} {
		var c cells
		c.draw(&geom.Region{Pts: []geom.Point{{}, {X: 1}, {Y: 1}}, Ends: []int32{3}}, pitch)
		look := func(v int64) {
			cell := c.at(v)
			if from := cell * pitch; v < from || v >= from+pitch {
				t.Errorf("with cells of %d, %d is said to be in cell %d", pitch, v, cell)
			}
		}
		for range 2_000 {
			v := rng.Int64N(2*most) - most
			look(v)
			for edge := v / pitch * pitch; edge <= v/pitch*pitch+1; edge++ {
				look(edge)
				look(edge - 1)
			}
		}
		look(-most - 1)
		look(most + 1)
	}
}
