package slicer

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
)

func inspect(t *testing.T, s solids.Soup) Inspection {
	t.Helper()
	var b bytes.Buffer
	if err := s.WriteBinary(&b); err != nil {
		t.Fatal(err)
	}
	in, err := openBytes(t, b.Bytes(), Default()).Inspect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// Each kind of difficulty is found where it is, in its size, and not where it is
// not: a cube has none.
func TestInspect(t *testing.T) {
	const mm = unit.Millimetre
	at := func(x, y, z unit.Length) solids.Point { return solids.Point{X: x, Y: y, Z: z} }
	near := func(name string, got, want, off float64) {
		t.Helper()
		if math.Abs(got-want) > off {
			t.Errorf("%s: %.2f, want %.2f", name, got, want)
		}
	}
	if in := inspect(t, solids.Cube()); in != (Inspection{}) {
		t.Errorf("control: cube: %+v", in)
	}
	thin := inspect(t, solids.Box(at(0, 0, 0), at(20*mm, mm/4, 10*mm)))
	near("a wall of 0.25 mm", thin.Thin.MM3(), 20*0.25*10, 0.5)
	if thin.ThinLayers != 50 {
		t.Errorf("%d thin layers", thin.ThinLayers)
	}
	if in := inspect(t, solids.Box(at(0, 0, 0), at(20*mm, mm/2, 10*mm))); in != (Inspection{}) {
		t.Errorf("control: a wall of 0.5 mm: %+v", in)
	}
	tee := inspect(t, solids.Tee()) // 8 mm beyond the post on both sides, 10 mm deep
	near("tee", tee.Overhang.MM2(), 2*10*(8-0.22), 1)
	if tee.OverhangLayers != 1 || tee.Afloat != 0 || tee.ThinLayers != 0 {
		t.Errorf("tee: %+v", tee)
	}
	// A cone that opens at 50° from the vertical overhangs, one of 40° does not.
	opening := func(degrees float64) Inspection {
		r := 5 + 10*math.Tan(degrees*math.Pi/180)
		return inspect(t, solids.Loft(solids.Circle(at(0, 0, 0), 5*mm, 96), solids.Circle(at(0, 0, 10*mm), unit.Length(r*1024)*(mm/1024), 96)))
	}
	if in := opening(40); in != (Inspection{}) {
		t.Errorf("control: 40°: %+v", in)
	}
	if in := opening(55); in.OverhangLayers < 40 || in.Afloat != 0 {
		t.Errorf("55°: %+v", in)
	}
	legs := solids.Join(
		solids.Box(at(0, 0, 0), at(10*mm, 10*mm, 12*mm)),
		solids.Box(at(20*mm, 0, 6*mm), at(30*mm, 10*mm, 12*mm)),
		solids.Box(at(0, 0, 12*mm), at(30*mm, 10*mm, 14*mm)))
	in := inspect(t, legs)
	if in.Afloat != 1 || in.OverhangLayers != 2 {
		t.Errorf("a leg in mid air: %+v", in)
	}
	near("a leg in mid air", in.Overhang.MM2(), 100+10*(10-0.44), 2)
}

func TestInspectIsALoop(t *testing.T) {
	j := openFile(t, "cube.stl", Default())
	for range j.Layers(context.Background()) {
		if _, err := j.Inspect(context.Background()); !errors.Is(err, ErrBusy) {
			t.Errorf("during another loop: %v", err)
		}
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := j.Inspect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := j.Inspect(context.Background()); err != nil {
		t.Errorf("control: %v", err)
	}
}
