package mesh

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
)

func TestTransform(t *testing.T) {
	block := func() *Mesh {
		m, err := loadBytes(t, binarySTL(t, solids.Box(solids.Point{}, solids.Point{X: 10 * mm, Y: 20 * mm, Z: 30 * mm})))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, c := range []struct {
		name string
		t    Transform
		size [3]float64
	}{
		{"nothing", Transform{}, [3]float64{10, 20, 30}},
		{"whole", Transform{Scale: [3]Ratio{Whole, Whole, Whole}}, [3]float64{10, 20, 30}},
		{"half", Transform{Scale: [3]Ratio{5000, 5000, 5000}}, [3]float64{5, 10, 15}},
		{"axes", Transform{Scale: [3]Ratio{20000, 10000, 5000}}, [3]float64{20, 20, 15}},
		{"about X", Transform{Turn: [3]Angle{90 * Degree}}, [3]float64{10, 30, 20}},
		{"about Y", Transform{Turn: [3]Angle{0, -90 * Degree}}, [3]float64{30, 20, 10}},
		{"about Z", Transform{Turn: [3]Angle{0, 0, 450 * Degree}}, [3]float64{20, 10, 30}},
		{"about all", Transform{Turn: [3]Angle{90 * Degree, 90 * Degree, 90 * Degree}}, [3]float64{30, 20, 10}},
		{"45 about Z", Transform{Turn: [3]Angle{0, 0, 45 * Degree}}, [3]float64{30 / math.Sqrt2, 30 / math.Sqrt2, 30}},
		{"first scaled, then turned", Transform{Scale: [3]Ratio{30000, Whole, Whole}, Turn: [3]Angle{0, 90 * Degree}}, [3]float64{30, 20, 30}},
	} {
		m := block()
		if err := m.Apply(c.t); err != nil {
			t.Fatal(err)
		}
		if err := m.Place(bed); err != nil {
			t.Fatal(err)
		}
		b := m.Bounds()
		got := [3]float64{(b.Max.X - b.Min.X).MM(), (b.Max.Y - b.Min.Y).MM(), (b.Max.Z - b.Min.Z).MM()}
		for k := range got {
			if math.Abs(got[k]-c.size[k]) > 1e-4 {
				t.Errorf("%s: %v mm, want %v", c.name, got, c.size)
			}
		}
		if want := got[0] * got[1] * got[2]; c.name != "45 about Z" && math.Abs(m.Volume().MM3()-want) > 0.01 || m.Repairs().Reversed {
			t.Errorf("%s: %v mm³, want %v", c.name, m.Volume().MM3(), want)
		}
	}
	if err := block().Apply(Transform{Scale: [3]Ratio{10000 * Whole, Whole, Whole}}); !errors.Is(err, ErrOutOfReach) {
		t.Errorf("100 m: %v", err)
	}
}

// Turned by any angles a body keeps its volume, its surface, and its corners: a turn
// about X moves Y towards Z.
func TestTurnsKeepSize(t *testing.T) {
	want := placed(t, solids.Tug())
	rapid.Check(t, func(rt *rapid.T) {
		m, err := loadBytes(t, binarySTL(t, solids.Tug()))
		if err != nil {
			rt.Fatal(err)
		}
		var tr Transform
		for k := range tr.Turn {
			tr.Turn[k] = Angle(rapid.Int32Range(-360_000, 360_000).Draw(rt, "angle"))
		}
		if err := m.Apply(tr); err != nil {
			rt.Fatal(err)
		}
		if err := m.Place(bed); err != nil {
			rt.Fatal(err)
		}
		if math.Abs(m.Volume().MM3()/want.Volume().MM3()-1) > 1e-5 || math.Abs(m.Surface().MM2()/want.Surface().MM2()-1) > 1e-5 {
			rt.Errorf("%v mm³, %v mm²", m.Volume().MM3(), m.Surface().MM2())
		}
	})
	turn := Transform{Turn: [3]Angle{90 * Degree}}.matrix()
	if got := turn.apply([3]float64{0, 1, 0}); got != [3]float64{0, 0, 1} {
		t.Errorf("Y goes to %v", got)
	}
}

// The numbers of a turn are the same on every machine: they are rounded, and these
// are theirs.
func TestSameTurnsEverywhere(t *testing.T) {
	sum := int64(0)
	for a := Angle(1); a < 360_000; a += 997 {
		sin, cos := a.sincos()
		sum = sum*31 + int64(sin*(1<<40)) + 7*int64(cos*(1<<40))
	}
	if sum != sameTurns {
		t.Errorf("%d", sum)
	}
	if unit.Length(sum) == 0 {
		t.Error("control: nothing was summed up")
	}
}

const sameTurns = -4666454184004401102
