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
	if in.Afloat != 1 || in.OverhangLayers != 1 || in.BridgeLayers != 1 {
		t.Errorf("a leg in mid air: %+v", in)
	}
	near("a leg in mid air", in.Overhang.MM2(), 100, 2)
	near("the bridge to it", in.Bridge.MM2(), 10*(10-0.44), 2)
}

// What lies in two bodies is told, a body hidden in another included; a void in one,
// or bodies that touch, are no overlap.
func TestInspectOverlap(t *testing.T) {
	const mm = unit.Millimetre
	at := func(x, y, z unit.Length) solids.Point { return solids.Point{X: x, Y: y, Z: z} }
	outer := solids.Box(at(0, 0, 0), at(20*mm, 20*mm, 10*mm))
	inner := solids.Box(at(5*mm, 5*mm, 3*mm), at(15*mm, 15*mm, 7*mm))
	for name, c := range map[string]struct {
		body solids.Soup
		want float64
	}{
		"a body within another": {solids.Join(outer, inner), 400},
		"half of one":           {solids.Join(outer, outer.Moved(at(10*mm, 0, 0))), 2000},
		"control: a void":       {solids.Join(outer, inner.Reversed()), 0},
		"control: side by side": {solids.Join(outer, outer.Moved(at(20*mm, 0, 0))), 0},
		"control: far apart":    {solids.Join(outer, outer.Moved(at(30*mm, 0, 0))), 0},
		"control: many corners": {solids.HollowSphere(), 0},
	} {
		in := inspect(t, c.body)
		if math.Abs(in.Overlap.MM3()-c.want) > 0.01*c.want || (in.OverlapLayers > 0) != (c.want > 0) {
			t.Errorf("%s: %.2f mm³ in %d layers, want %.2f", name, in.Overlap.MM3(), in.OverlapLayers, c.want)
		}
	}
}

// What lines can span from one side to the other is a bridge; the same roof on one
// side only, or too far from side to side, hangs over.
func TestInspectBridges(t *testing.T) {
	const mm = unit.Millimetre
	at := func(x, y, z unit.Length) solids.Point { return solids.Point{X: x, Y: y, Z: z} }
	gate := func(long unit.Length, askew bool) solids.Soup {
		s := solids.Join(
			solids.Box(at(0, 0, 0), at(5*mm, 12*mm, 6*mm)),
			solids.Box(at(5*mm+long, 0, 0), at(10*mm+long, 12*mm, 6*mm)),
			solids.Box(at(0, 0, 6*mm), at(10*mm+long, 12*mm, 8*mm)))
		if askew {
			for i := range s {
				for k, p := range s[i] {
					s[i][k] = at((p.X*4-p.Y*3)/5/64*64, (p.X*3+p.Y*4)/5/64*64, p.Z)
				}
			}
		}
		return s
	}
	for _, askew := range []bool{false, true} {
		in := inspect(t, gate(20*mm, askew))
		if want := 12 * (20 - 0.44); math.Abs(in.Bridge.MM2()-want) > 2 || in.BridgeLayers != 1 || in.Overhang != 0 || in.OverhangLayers != 0 {
			t.Errorf("a gate of 20 mm, askew %v: %+v", askew, in)
		}
	}
	if in := inspect(t, gate(80*mm, false)); in.Bridge != 0 || in.OverhangLayers != 1 {
		t.Errorf("control: a gate of 80 mm: %+v", in)
	}
	if in := inspect(t, solids.Tee()); in.Bridge != 0 {
		t.Errorf("control: a tee: %+v", in)
	}
	// A roof over four walls with a hole in it is carried all around.
	room := solids.Join(
		solids.Tube(solids.Rect(at(0, 0, 0), at(20*mm, 20*mm, 0), 0), solids.Rect(at(2*mm, 2*mm, 0), at(18*mm, 18*mm, 0), 0), 0, 6*mm),
		solids.Box(at(0, 0, 6*mm), at(20*mm, 20*mm, 7*mm)))
	if in := inspect(t, room); math.Abs(in.Bridge.MM2()-(16-0.44)*(16-0.44)) > 2 || in.Overhang != 0 {
		t.Errorf("a room: %+v", in)
	}
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
