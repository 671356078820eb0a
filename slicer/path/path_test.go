package path

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/pipe"
	"platen/slicer/wall"
)

const (
	mm  = unit.Millimetre
	mms = unit.MillimetrePerSecond
)

func params() Params {
	return Params{
		Volume:   mesh.Box{Max: mesh.Vertex{X: 200 * mm, Y: 200 * mm, Z: 100 * mm}},
		Width:    unit.Micrometres(450),
		Filament: unit.Micrometres(1750),
		Speeds: Speeds{
			OuterWall: 40 * mms, InnerWall: 50 * mms, Skin: 60 * mms, Infill: 70 * mms,
			FirstLayer: 20 * mms, Travel: 150 * mms, Lift: 8 * mms, Retract: 35 * mms,
		},
		Accel: 1000, HotEnd: 210 * unit.Degree, Bed: 60 * unit.Degree,
		FirstHotEnd: 215 * unit.Degree, FirstBed: 65 * unit.Degree,
		Retraction: Retraction{Length: mm, Travel: 2 * mm}, Fan: 200, FanLayer: 1,
	}
}

func square(x, y, side unit.Length) []geom.Point {
	return []geom.Point{{X: x, Y: y}, {X: x + side, Y: y}, {X: x + side, Y: y + side}, {X: x, Y: y + side}}
}

// layer makes a layer of squares of 20 mm with two walls and one line of infill each.
func layer(t testing.TB, index int, at ...geom.Point) *pipe.Layer {
	t.Helper()
	l := &pipe.Layer{
		Index: index, Thickness: unit.Micrometres(200), Width: unit.Micrometres(450),
		Top: unit.Length(index+1) * unit.Micrometres(200),
	}
	for _, p := range at {
		l.Outline.Add(square(p.X, p.Y, 20*mm))
		l.Runs.Add([]geom.Point{{X: p.X + 5*mm, Y: p.Y + 5*mm}, {X: p.X + 15*mm, Y: p.Y + 15*mm}},
			pipe.Head{Width: l.Width, Role: motion.Infill})
	}
	var b wall.Builder
	if err := b.Walls(&l.Walls, &l.Outline, wall.Params{Width: l.Width, Count: 2, Join: geom.JoinMiter}); err != nil {
		t.Fatal(err)
	}
	return l
}

func program(p Params, layers ...*pipe.Layer) []motion.Op {
	var ops []motion.Op
	pl := New(p, func(op motion.Op) bool { ops = append(ops, op); return true })
	pl.Begin()
	for _, l := range layers {
		pl.Layer(l)
	}
	pl.End()
	return ops
}

// What comes before the first layer and after the last, in order.
func TestBeginAndEnd(t *testing.T) {
	ops := program(params())
	type step struct {
		Kind   motion.Kind
		Heater motion.Heater
		Temp   unit.Celsius
		Axes   motion.Axes
	}
	var got []step
	for _, op := range ops {
		got = append(got, step{op.Kind, op.Heater, op.Temp, op.Axes})
	}
	want := []step{
		{Kind: motion.SetFan},
		{motion.SetHeater, motion.Bed, 65 * unit.Degree, 0},
		{motion.SetHeater, motion.HotEnd, 215 * unit.Degree, 0},
		{Kind: motion.Home, Axes: motion.X | motion.Y | motion.Z},
		{motion.WaitHeater, motion.Bed, 65 * unit.Degree, 0},
		{motion.WaitHeater, motion.HotEnd, 215 * unit.Degree, 0},
		{Kind: motion.SetAccel},
		{Kind: motion.Move, Axes: motion.E},
		{motion.SetHeater, motion.HotEnd, 0, 0},
		{motion.SetHeater, motion.Bed, 0, 0},
		{Kind: motion.Move, Axes: motion.Z},
		{Kind: motion.Move, Axes: motion.X | motion.Y},
		{Kind: motion.SetFan},
		{Kind: motion.MotorsOff},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	cold := params()
	cold.Bed, cold.FirstBed = 0, 0
	for _, op := range program(cold) {
		if (op.Kind == motion.SetHeater || op.Kind == motion.WaitHeater) && op.Heater == motion.Bed {
			t.Error("a machine without a bed heater is told to heat it")
		}
	}
}

// roles lists the roles of printing moves, repeats left out.
func roles(ops []motion.Op) []motion.Role {
	var out []motion.Role
	for _, op := range ops {
		if op.Kind == motion.Move && op.Has(motion.X|motion.E) && (len(out) == 0 || out[len(out)-1] != op.Role) {
			out = append(out, op.Role)
		}
	}
	return out
}

// A bare program is the other one without its beginning and its end.
func TestBare(t *testing.T) {
	l := layer(t, 0, geom.Point{X: 50 * mm, Y: 50 * mm})
	p := params()
	whole := program(p, l)
	p.Bare = true
	bare := program(p, l)
	if len(bare) == 0 || bare[0].Kind != motion.SetAccel || len(bare) >= len(whole) {
		t.Fatalf("%d operations of %d", len(bare), len(whole))
	}
	if last := bare[len(bare)-1]; last.Kind != motion.Move || last.E >= 0 || last.Axes != motion.E {
		t.Errorf("ends with %v", last)
	}
	first := slices.IndexFunc(whole, func(op motion.Op) bool { return op.Kind == motion.SetAccel })
	if !slices.Equal(whole[first:first+len(bare)], bare) {
		t.Error("a bare program prints something else")
	}
	for _, op := range bare {
		switch op.Kind {
		case motion.Home, motion.WaitHeater, motion.MotorsOff:
			t.Errorf("%v in a bare program", op)
		}
	}
}

func TestOrder(t *testing.T) {
	l := layer(t, 0, geom.Point{X: 20 * mm, Y: 20 * mm}, geom.Point{X: 150 * mm, Y: 150 * mm}, geom.Point{X: 60 * mm, Y: 60 * mm})
	p := params()
	island := []motion.Role{motion.InnerWall, motion.OuterWall, motion.Infill}
	if d := cmp.Diff(append(append(append([]motion.Role{}, island...), island...), island...), roles(program(p, l))); d != "" {
		t.Error(d)
	}
	var first []unit.Length
	for _, op := range program(p, l) {
		if op.Role == motion.Infill {
			first = append(first, op.To[motion.IX]/mm/20)
		}
	}
	if d := cmp.Diff([]unit.Length{1, 3, 8}, first); d != "" { // of three islands, the nearest each time
		t.Errorf("islands: %s", d)
	}
	p.OuterFirst = true
	island[0], island[1] = island[1], island[0]
	if d := cmp.Diff(island, roles(program(p, layer(t, 0, geom.Point{X: 20 * mm, Y: 20 * mm})))); d != "" {
		t.Error(d)
	}
}

// Every ring closes, and the nozzle prints nowhere it did not go to.
func TestRingsClose(t *testing.T) {
	var at, start geom.Point
	printing, rings := false, 0
	for _, op := range program(params(), layer(t, 0, geom.Point{X: 50 * mm, Y: 50 * mm})) {
		if op.Kind != motion.Move || !op.Has(motion.X) {
			continue
		}
		wall := op.Has(motion.E) && (op.Role == motion.OuterWall || op.Role == motion.InnerWall)
		if wall && !printing {
			start = at
			rings++
		}
		if printing && !wall && at != start {
			t.Error("a ring is open")
		}
		printing = wall
		at = geom.Point{X: op.To[0], Y: op.To[1]}
	}
	if rings != 2 {
		t.Errorf("%d rings", rings)
	}
}

// Filament is drawn back before long travel only, and always given back before the
// next line.
func TestRetraction(t *testing.T) {
	p := params()
	out, long := unit.Length(0), 0
	at := geom.Point{}
	for _, op := range program(p, layer(t, 0, geom.Point{X: 20 * mm, Y: 20 * mm}, geom.Point{X: 100 * mm, Y: 100 * mm}), layer(t, 1, geom.Point{X: 20 * mm, Y: 20 * mm})) {
		if op.Kind != motion.Move {
			continue
		}
		to := geom.Point{X: op.To[0], Y: op.To[1]}
		switch {
		case op.Axes == motion.E:
			if op.Role != motion.Retraction || op.Feed != p.Speeds.Retract {
				t.Errorf("%+v", op)
			}
			if out += op.E; out != 0 && out != -p.Retraction.Length {
				t.Errorf("filament is at %v", out)
			}
		case op.Has(motion.E):
			if out != 0 {
				t.Error("printed with the filament drawn back")
			}
			at = to
		case op.Has(motion.X):
			far := distance2(at, to) > int64(p.Retraction.Travel)*int64(p.Retraction.Travel)
			if far {
				long++
			}
			if far && out == 0 {
				t.Error("long travel with the filament out")
			}
			at = to
		}
	}
	if out != -p.Retraction.Length || long < 4 {
		t.Errorf("at the end %v, %d long ways", out, long)
	}
}

// The filament fed is the length of the lines times their section, to the last
// unit, however many moves there are.
func TestNoDrift(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := params()
		pl := New(p, func(motion.Op) bool { return true })
		pl.height = unit.Length(rapid.IntRange(int(mm/20), int(mm/2)).Draw(t, "height"))
		pl.setBar(unit.Length(rapid.IntRange(int(mm/10), int(mm)).Draw(t, "width")), pl.height)
		sum, fed := new(big.Float).SetPrec(200), int64(0)
		for range rapid.IntRange(1, 300).Draw(t, "moves") {
			d := rapid.Int64Range(0, 1<<52).Draw(t, "d2") >> rapid.IntRange(0, 50).Draw(t, "shift")
			fed += int64(pl.filament(d))
			sum.Add(sum, new(big.Float).Sqrt(new(big.Float).SetPrec(200).SetInt64(d)))
		}
		sum.Mul(sum, new(big.Float).SetMantExp(new(big.Float).SetUint64(pl.pen.perLength), -32))
		want, _ := sum.Float64()
		if math.Abs(float64(fed)-want) > 2 {
			t.Fatalf("fed %d units, want %.3f", fed, want)
		}
	})
	pl := New(params(), func(motion.Op) bool { return true })
	pl.height = unit.Micrometres(200)
	pl.setBar(unit.Micrometres(450), pl.height)
	got := float64(pl.pen.perLength) / (1 << 32)
	if want := 0.45 * 0.2 / (math.Pi / 4 * 1.75 * 1.75); math.Abs(got/want-1) > 1e-4 {
		t.Errorf("a line takes %v of its length, want %v", got, want)
	}
}

func TestSpeedsFanAndHeat(t *testing.T) {
	p := params()
	l0, l1 := layer(t, 0, geom.Point{X: 20 * mm, Y: 20 * mm}), layer(t, 1, geom.Point{X: 20 * mm, Y: 20 * mm})
	index, fan := int32(-1), unit.Duty(0)
	heat := map[motion.Heater]unit.Celsius{}
	want := map[motion.Role]unit.Speed{motion.OuterWall: 40 * mms, motion.InnerWall: 50 * mms, motion.Infill: 70 * mms}
	seen := 0
	for _, op := range program(p, l0, l1) {
		switch op.Kind {
		case motion.BeginLayer:
			index = op.Layer
			if op.To[motion.IZ] != unit.Length(index+1)*unit.Micrometres(200) {
				t.Error("top of a layer")
			}
		case motion.SetFan:
			fan = op.Fan
		case motion.SetHeater:
			heat[op.Heater] = op.Temp
		case motion.Move:
			if !op.Has(motion.X | motion.E) {
				continue
			}
			seen++
			if index == 0 && (op.Feed != 20*mms || fan != 0 || heat[motion.HotEnd] != 215*unit.Degree || heat[motion.Bed] != 65*unit.Degree) {
				t.Errorf("first layer: %v, fan %v, %v", op.Feed, fan, heat)
			}
			if index == 1 && (op.Feed != want[op.Role] || fan != 200 || heat[motion.HotEnd] != 210*unit.Degree || heat[motion.Bed] != 60*unit.Degree) {
				t.Errorf("second layer: %v, fan %v, %v", op.Feed, fan, heat)
			}
		}
	}
	if seen < 10 {
		t.Errorf("%d moves", seen)
	}
}

// Aligned seams stay above each other, at the rear; the control is that others do
// not.
func TestSeams(t *testing.T) {
	starts := func(aligned bool) map[geom.Point]bool {
		p := params()
		if p.Seam = SeamNearest; aligned {
			p.Seam = SeamAligned
		}
		p.Retraction.Travel = 0
		var layers []*pipe.Layer
		for i := range 6 {
			layers = append(layers, layer(t, i, geom.Point{X: 20 * mm, Y: 20 * mm}, geom.Point{X: unit.Length(60+10*i) * mm, Y: 60 * mm}))
		}
		out := map[geom.Point]bool{}
		at, outer := geom.Point{}, false
		for _, op := range program(p, layers...) {
			if op.Kind != motion.Move || !op.Has(motion.X) {
				continue
			}
			is := op.Role == motion.OuterWall
			if is && !outer && at.X < 50*mm {
				out[at] = true
			}
			outer, at = is, geom.Point{X: op.To[0], Y: op.To[1]}
		}
		return out
	}
	if s := starts(true); len(s) != 1 {
		t.Errorf("aligned: %d seams", len(s))
	} else {
		for p := range s {
			if p.Y < 39*mm || p.X > 21*mm {
				t.Errorf("aligned, but not at the rear left")
			}
		}
	}
	if s := starts(false); len(s) < 2 {
		t.Errorf("control: %d seams", len(s))
	}
}

func TestPrimeLine(t *testing.T) {
	primed := func(at geom.Point, on bool) bool {
		p := params()
		p.PrimeLine = on
		for _, op := range program(p, layer(t, 0, at)) {
			if op.Role == motion.Prime && op.Has(motion.E) {
				return true
			}
		}
		return false
	}
	if !primed(geom.Point{X: 90 * mm, Y: 90 * mm}, true) {
		t.Error("no prime line")
	}
	if primed(geom.Point{X: 90 * mm, Y: 90 * mm}, false) {
		t.Error("prime line unasked")
	}
	if primed(geom.Point{X: 10 * mm, Y: 1 * mm}, true) {
		t.Error("prime line through the model")
	}
}

// Every position lies in the volume, whatever the layers.
func TestStaysInVolume(t *testing.T) {
	p := params()
	p.PrimeLine = true
	p.Volume = mesh.Box{Min: mesh.Vertex{X: 10 * mm, Y: 10 * mm}, Max: mesh.Vertex{X: 40 * mm, Y: 40 * mm, Z: unit.Micrometres(1300)}}
	var layers []*pipe.Layer
	for i := range 6 {
		layers = append(layers, layer(t, i, geom.Point{X: 15 * mm, Y: 20 * mm}))
	}
	v, moves := p.Volume, 0
	for _, op := range program(p, layers...) {
		if op.Kind != motion.Move {
			continue
		}
		moves++
		x, y, z := op.To[0], op.To[1], op.To[2]
		if op.Has(motion.X) && (x < v.Min.X || x > v.Max.X) || op.Has(motion.Y) && (y < v.Min.Y || y > v.Max.Y) || op.Has(motion.Z) && (z < v.Min.Z || z > v.Max.Z) {
			t.Errorf("a %v leaves the volume", op.Role)
		}
	}
	if moves < 50 {
		t.Errorf("%d moves", moves)
	}
}

// A consumer that has enough is left alone.
func TestStops(t *testing.T) {
	l := layer(t, 0, geom.Point{X: 20 * mm, Y: 20 * mm})
	total := len(program(params(), l))
	for n := 1; n < total; n++ {
		got := 0
		pl := New(params(), func(motion.Op) bool { got++; return got < n })
		ok := pl.Begin()
		ok = pl.Layer(l) && ok
		ok = pl.End() && ok
		if got != n || ok {
			t.Fatalf("%d operations after %d, more wanted: %v", got, n, ok)
		}
	}
}

func TestAllocatesLittle(t *testing.T) {
	l := layer(t, 3, geom.Point{X: 20 * mm, Y: 20 * mm}, geom.Point{X: 100 * mm, Y: 100 * mm})
	pl := New(params(), func(motion.Op) bool { return true })
	pl.Layer(l)
	if n := testing.AllocsPerRun(10, func() { pl.Layer(l) }); n > 6 {
		t.Errorf("%v allocations a layer", n)
	}
}

func BenchmarkLayer(b *testing.B) {
	l := layer(b, 3, geom.Point{X: 20 * mm, Y: 20 * mm})
	var h fill.Hatcher
	l.Runs.Reset()
	if err := h.Hatch(&l.Runs.Lines, &l.Outline, fill.Params{Spacing: mm / 2}); err != nil {
		b.Fatal(err)
	}
	l.Runs.Give(pipe.Head{Width: l.Width, Role: motion.Infill})
	ops := 0
	pl := New(params(), func(motion.Op) bool { ops++; return true })
	for b.Loop() {
		pl.Layer(l)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(ops), "ns/op-emitted")
}
