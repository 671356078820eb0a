package path

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/pipe"
)

// bar adds a line of a role to a layer.
func bar(l *pipe.Layer, y unit.Length, h pipe.Head) {
	if h.Width == 0 {
		h.Width = l.Width
	}
	l.Runs.Add([]geom.Point{{X: 24 * mm, Y: y}, {X: 36 * mm, Y: y}}, h)
}

// all is a layer with a line of every role, one of each hang.
func all(t *testing.T, index int) *pipe.Layer {
	l := layer(t, index, geom.Point{X: 20 * mm, Y: 20 * mm})
	y := 22 * mm
	for r := motion.OuterWall; r < motion.Retraction; r++ {
		bar(l, y, pipe.Head{Role: r})
		y += mm / 2
	}
	for hang := range uint8(5) {
		bar(l, y, pipe.Head{Role: motion.OverhangWall, Hang: hang})
		y += mm / 2
	}
	return l
}

// Every role has its speed, acceleration and fan; what is not given is that of
// something like it. On the first layer all have the same.
func TestManners(t *testing.T) {
	p := params()
	p.Speeds = Speeds{
		OuterWall: 11 * mms, InnerWall: 12 * mms, Overhang: [4]unit.Speed{0, 7 * mms, 6 * mms, 5 * mms}, Skin: 13 * mms, Bridge: 14 * mms,
		Infill: 15 * mms, FirstLayer: 4 * mms, Travel: 100 * mms, Lift: 8 * mms, Retract: 30 * mms, Restart: 20 * mms,
	}
	p.Accels = Accels{FirstLayer: 300, OuterWall: 500, Skin: 600, Bridge: 700}
	p.Fan, p.Fans.Bridge, p.Fans.Overhang, p.FanLayer = 100, 250, [4]unit.Duty{0, 0, 0, 200}, 1
	type manner struct {
		speed unit.Speed
		accel unit.Accel
		fan   unit.Duty
	}
	want := map[motion.Role]manner{
		motion.OuterWall: {11, 500, 100}, motion.InnerWall: {12, 1000, 100}, motion.ThinWall: {12, 1000, 100}, motion.Vase: {11, 500, 100},
		motion.Infill: {15, 1000, 100}, motion.SolidInfill: {13, 600, 100}, motion.TopSkin: {13, 600, 100}, motion.BottomSkin: {13, 600, 100},
		motion.Bridge: {14, 700, 250}, motion.Ironing: {13, 600, 100}, motion.Support: {15, 1000, 100}, motion.SupportInterface: {13, 1000, 100},
		motion.Raft: {15, 1000, 100}, motion.Skirt: {4, 1000, 100}, motion.Brim: {4, 1000, 100}, motion.Prime: {4, 1000, 100},
	}
	var accel unit.Accel
	var fan unit.Duty
	seen := map[motion.Role]bool{}
	hung := map[manner]bool{}
	for _, op := range layersOnly(p, all(t, 0), all(t, 1)) {
		switch op.Kind {
		case motion.SetAccel:
			accel = op.Accel
		case motion.SetFan:
			fan = op.Fan
		case motion.Move:
			if op.Axes == motion.E && op.E > 0 && op.Feed != p.Speeds.Restart || op.E < 0 && op.Feed != p.Speeds.Retract {
				t.Errorf("filament at %v", op.Feed)
			}
			if !op.Has(motion.X | motion.E) {
				continue
			}
			got := manner{op.Feed / mms, accel, fan}
			switch {
			case op.Layer == 0:
				if got != (manner{4, 300, 0}) {
					t.Errorf("first layer: %v is %v", op.Role, got)
				}
			case op.Role == motion.OverhangWall:
				hung[got] = true
			default:
				seen[op.Role] = true
				if got != want[op.Role] {
					t.Errorf("%v is %v, want %v", op.Role, got, want[op.Role])
				}
			}
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%d roles", len(seen))
	}
	for _, m := range []manner{{11, 1000, 100}, {7, 1000, 100}, {6, 1000, 100}, {5, 700, 200}} {
		if !hung[m] {
			t.Errorf("no overhang is %v: %v", m, hung)
		}
	}
}

// No line needs more than can be melted; the control is that some would.
func TestMaxFlow(t *testing.T) {
	flow := func(p Params) (most float64) {
		l := all(t, 1)
		bar(l, 34*mm, pipe.Head{Role: motion.Infill, Width: 2 * mm, Height: mm})
		for _, op := range layersOnly(p, l) {
			if op.Has(motion.X|motion.E) && op.E > 0 {
				most = math.Max(most, op.Width.MM()*op.Height.MM()*op.Feed.MMPerSecond())
			}
		}
		return most
	}
	p := params()
	if got := flow(p); got < 20 {
		t.Errorf("control: %.2f mm³/s is all there is", got)
	}
	p.MaxFlow = 5000
	if got := flow(p); got > 5 || got < 4.9 {
		t.Errorf("%.3f mm³/s", got)
	}
}

// More filament is given back than was drawn back, none is drawn back again before
// enough was fed, and pressure advance is told once, first.
func TestFilament(t *testing.T) {
	p := params()
	p.Advance = 450
	islands := []geom.Point{{X: 20 * mm, Y: 20 * mm}, {X: 100 * mm, Y: 100 * mm}, {X: 60 * mm, Y: 20 * mm}}
	drawn := func() (n int) {
		for _, op := range layersOnly(p, layer(t, 0, islands...), layer(t, 1, islands...)) {
			if op.Kind == motion.Move && op.Axes == motion.E {
				if op.E < 0 {
					n++
				}
				if op.E != -p.Retraction.Length && op.E != p.Retraction.Length+p.Retraction.Restart {
					t.Errorf("filament moves by %v", op.E)
				}
			}
		}
		return n
	}
	often := drawn()
	p.Retraction.Restart = mm / 10
	if n := drawn(); n != often {
		t.Errorf("%d retractions, %d", n, often)
	}
	p.Retraction.Apart = 20 * mm
	if n := drawn(); n == 0 || n >= often {
		t.Errorf("%d retractions, without a least distance %d", n, often)
	}
	ops := program(p, layer(t, 0, islands...))
	told := 0
	for i, op := range ops {
		if op.Kind == motion.SetAdvance {
			if told++; op.Wait != 45*time.Millisecond {
				t.Errorf("advance of %v", op.Wait)
			}
			for _, before := range ops[:i] {
				if before.Kind == motion.Move {
					t.Error("something moved before")
				}
			}
		}
	}
	if told != 1 {
		t.Errorf("advance is told %d times", told)
	}
}

// Lines that follow each other are printed in their order and direction, and what
// belongs around or over everything before or after it.
func TestFollow(t *testing.T) {
	l := layer(t, 1, geom.Point{X: 20 * mm, Y: 20 * mm})
	l.Runs.Reset()
	bar(l, 30*mm, pipe.Head{Role: motion.Ironing})
	bar(l, 38*mm, pipe.Head{Role: motion.Brim})
	for i := range unit.Length(8) {
		bar(l, 24*mm+i*mm, pipe.Head{Role: motion.TopSkin, Follow: i > 0})
	}
	bar(l, 23*mm, pipe.Head{Role: motion.Infill})
	var roles []motion.Role
	y, turned := unit.Length(0), 0
	for _, op := range layersOnly(params(), l) {
		if !op.Has(motion.X | motion.E) {
			continue
		}
		if n := len(roles); n == 0 || roles[n-1] != op.Role {
			roles = append(roles, op.Role)
		}
		if op.Role == motion.TopSkin {
			if op.To[motion.IY] <= y || op.To[motion.IX] != 36*mm {
				turned++
			}
			y = op.To[motion.IY]
		}
	}
	want := []motion.Role{motion.Brim, motion.InnerWall, motion.OuterWall, motion.Infill, motion.TopSkin, motion.Ironing}
	if len(roles) != len(want) {
		t.Fatalf("%v, want %v", roles, want)
	}
	for i := range want {
		if roles[i] != want[i] {
			t.Fatalf("%v, want %v", roles, want)
		}
	}
	if turned > 0 || y != 31*mm {
		t.Errorf("%d lines out of order", turned)
	}
}

// Orders of few items are no longer than nearest first, the way to where the nozzle
// goes next included, and mostly shorter. Items that go one way only stay so.
func TestArrange(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 5))
	point := func() geom.Point {
		return geom.Point{X: unit.Length(rng.IntN(100)) * mm, Y: unit.Length(rng.IntN(100)) * mm}
	}
	way := func(list []item, at geom.Point, towards geom.Point) (long float64) {
		for i := range list {
			from, to := list[i].ends()
			long += far(at, from)
			at = to
		}
		return long + far(at, towards)
	}
	shorter := 0
	for range 100 {
		var list []item
		for i := range 2 + rng.IntN(mostPlanned-2) {
			list = append(list, item{index: int32(i), from: point(), to: point(), oneWay: rng.IntN(4) == 0})
		}
		greedy := slices.Clone(list)
		from, towards := point(), point()
		arrange(list, from, &towards)
		for at, i := from, 0; i < len(greedy); i++ {
			pick, reversed := nearestItem(greedy[i:], at)
			greedy[i], greedy[i+pick] = greedy[i+pick], greedy[i]
			greedy[i].reversed = reversed
			_, at = greedy[i].ends()
		}
		planned, before := way(list, from, towards), way(greedy, from, towards)
		if planned > before+1 {
			t.Fatalf("%.1f mm, nearest first %.1f", planned/float64(mm), before/float64(mm))
		}
		if planned < before-1 {
			shorter++
		}
		seen := map[int32]bool{}
		for i := range list {
			seen[list[i].index] = true
			if list[i].oneWay && list[i].reversed {
				t.Fatal("an item is printed the wrong way")
			}
		}
		if len(seen) != len(list) {
			t.Fatal("an item is lost")
		}
	}
	if shorter < 50 {
		t.Errorf("%d of 100 are shorter", shorter)
	}
}
