package fill

import (
	"math"
	"testing"
)

func TestTurns(t *testing.T) {
	worst, off := 0.0, 0.0
	for i := range 20_000 {
		a := turn(uint64(i) * 214_748_3647 / 1000)
		s, c := a.sinCos()
		rad := float64(a) / (1 << 32) * 2 * math.Pi
		worst = max(worst, math.Abs(float64(s)-math.Sin(rad)*one), math.Abs(float64(c)-math.Cos(rad)*one))
		d := direction(s, c)
		off = max(off, math.Abs(float64(int32(d-a))))
	}
	if worst > 1 || off > 4 {
		t.Errorf("sines are off by %.2f units, angles by %.0f", worst, off)
	}
	for i, want := range [][2]int64{{0, one}, {one, 0}, {0, -one}, {-one, 0}} {
		if s, c := (turn(i) << 30).sinCos(); s != want[0] || c != want[1] {
			t.Errorf("after %d quarters: %d, %d", i, s, c)
		}
	}
	if direction(0, 0) != 0 || direction(-one, 0) != 3*quarter || direction(0, -one) != 2*quarter {
		t.Error("directions along the axes")
	}
	if turnOf(-90*Degree) != 3*quarter || turnOf(405*Degree) != quarter/2 {
		t.Error("degrees as turns")
	}
}
