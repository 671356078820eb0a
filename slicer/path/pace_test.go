package path

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/pipe"
)

// layersOnly is a program without what comes after the last layer.
func layersOnly(p Params, layers ...*pipe.Layer) []motion.Op {
	var ops []motion.Op
	pl := New(p, func(op motion.Op) bool { ops = append(ops, op); return true })
	pl.Begin()
	for _, l := range layers {
		pl.Layer(l)
	}
	return ops
}

// times are the seconds that each layer of a program takes, and the lowest speed of
// a printed line in it.
func times(ops []motion.Op) (took []float64, lowest unit.Speed) {
	lowest = math.MaxInt32
	var at [3]unit.Length
	for _, op := range ops {
		if op.Kind == motion.BeginLayer {
			at[motion.IZ] = op.To[motion.IZ] - unit.Micrometres(200)
			took = append(took, 0)
		}
		if op.Kind != motion.Move {
			continue
		}
		long := 0.0
		for i, a := range []motion.Axes{motion.X, motion.Y, motion.Z} {
			if op.Has(a) {
				long = math.Hypot(long, (op.To[i] - at[i]).MM())
				at[i] = op.To[i]
			}
		}
		if op.Axes == motion.E {
			long = math.Abs(op.E.MM())
		}
		if op.Has(motion.X | motion.E) {
			lowest = min(lowest, op.Feed)
		}
		if len(took) > 0 {
			took[len(took)-1] += long / op.Feed.MMPerSecond()
		}
	}
	return took, lowest
}

// A layer of one square takes the time that it is given, if 10 mm/s allow it, and
// nothing but speeds changes. The control is the same without a least time.
func TestMinLayerTime(t *testing.T) {
	at := geom.Point{X: 20 * mm, Y: 20 * mm}
	free, _ := times(layersOnly(params(), layer(t, 0, at), layer(t, 1, at)))
	for _, c := range []struct {
		least time.Duration
		slow  bool // all but the outer wall is at 10 mm/s
		held  bool // everything is
	}{{5 * time.Second, false, false}, {8 * time.Second, false, false}, {10 * time.Second, false, false}, {13 * time.Second, true, false}, {time.Minute, true, true}} {
		p := params()
		p.MinLayerTime = c.least
		took, lowest := times(layersOnly(p, layer(t, 0, at), layer(t, 1, at)))
		if lowest < slowest || (lowest == slowest) != c.slow {
			t.Errorf("%v: the lowest speed is %v", c.least, lowest)
		}
		for _, s := range took[1:] { // the nozzle comes from nowhere to the first
			want := max(c.least.Seconds(), free[1])
			if c.held {
				want = 16.9 // two squares of 19 mm and a line of 14 at 10 mm/s, and the ways between
			}
			if math.Abs(s/want-1) > 0.02 {
				t.Errorf("%v: a layer takes %.2f s, want %.2f; without it %.2f", c.least, s, want, free[1])
			}
		}
	}
}

// Whatever the speeds and the time, a layer takes that time or all of its lines are
// at 10 mm/s or were slower; it takes no longer than it must.
func TestPace(t *testing.T) {
	at := geom.Point{X: 20 * mm, Y: 20 * mm}
	one, two := layer(t, 1, at), layer(t, 2, at, geom.Point{X: 60 * mm, Y: 20 * mm})
	rapid.Check(t, func(t *rapid.T) {
		speed := func(name string) unit.Speed { return unit.Speed(rapid.IntRange(1, 200).Draw(t, name)) * mms }
		p := params()
		p.Speeds.OuterWall, p.Speeds.InnerWall, p.Speeds.Infill = speed("outer"), speed("inner"), speed("infill")
		without := layersOnly(p, one, two)
		free, _ := times(without)
		p.MinLayerTime = time.Duration(rapid.IntRange(1, 60_000).Draw(t, "least")) * time.Millisecond
		with := layersOnly(p, one, two)
		took, _ := times(with)
		least := p.MinLayerTime.Seconds()
		lay := -1
		held := []bool{true, true}
		for i, op := range with {
			if op.Kind == motion.BeginLayer {
				lay++
			}
			if op.Has(motion.X | motion.E) {
				if op.Feed > slowest {
					held[lay] = false
				}
				if op.Feed > without[i].Feed || op.Feed < min(slowest, without[i].Feed) {
					t.Fatalf("a line at %v becomes one at %v", without[i].Feed, op.Feed)
				}
			}
			op.Feed = without[i].Feed
			if op != without[i] {
				t.Fatal("more than speeds has changed")
			}
		}
		for i, s := range took {
			// Speeds have a resolution of 1/1000 mm/s; the first way of all begins nowhere.
			switch {
			case free[i] >= least && math.Abs(s-free[i]) > 1e-6:
				t.Fatalf("a layer of %.3f s takes %.3f", free[i], s)
			case free[i] < least && !held[i] && math.Abs(s-least) > 0.01:
				t.Fatalf("a layer of %.3f s takes %.3f, want %.3f", free[i], s, least)
			case free[i] < least && held[i] && s > least+0.01:
				t.Fatalf("a layer takes %.3f s, want %.3f at most", s, least)
			}
		}
		if d := cmp.Diff(with, layersOnly(p, one, two)); d != "" {
			t.Fatal("not the same again")
		}
	})
}

// Outer walls keep their speed as long as everything else can make up for it.
func TestOuterWallsSlowLast(t *testing.T) {
	at := geom.Point{X: 20 * mm, Y: 20 * mm}
	for _, c := range []struct {
		least        time.Duration
		outer, inner bool // slowed
	}{{time.Second, false, false}, {6 * time.Second, false, true}, {13 * time.Second, true, true}} {
		p := params()
		p.MinLayerTime = c.least
		for _, op := range layersOnly(p, layer(t, 1, at)) {
			if op.Role == motion.OuterWall && op.Feed < p.Speeds.OuterWall != c.outer {
				t.Errorf("%v: outer wall at %v", c.least, op.Feed)
			}
			if op.Role == motion.InnerWall && op.Feed < p.Speeds.InnerWall != c.inner {
				t.Errorf("%v: inner wall at %v", c.least, op.Feed)
			}
		}
	}
}

// The fan of a layer depends on how long it takes.
func TestFanCurve(t *testing.T) {
	at := geom.Point{X: 20 * mm, Y: 20 * mm}
	p := params()
	fan := func() (d unit.Duty) {
		for _, op := range layersOnly(p, layer(t, 1, at)) {
			if op.Kind == motion.SetFan {
				d = op.Fan
			}
		}
		return d
	}
	p.Fans.Least = 50
	if got := fan(); got != p.Fan {
		t.Errorf("no curve: %d", got)
	}
	p.Fans.FullTime = time.Minute // the layer takes about 4 s
	p.MinLayerTime = 5 * time.Second
	if got := fan(); got != p.Fan {
		t.Errorf("a layer that is slowed down: %d", got)
	}
	p.MinLayerTime = time.Second
	if got := fan(); got <= p.Fans.Least || got >= p.Fan {
		t.Errorf("in between: %d", got)
	}
	p.MinLayerTime, p.Fans.FullTime = 0, time.Second
	if got := fan(); got != p.Fans.Least {
		t.Errorf("a long layer: %d", got)
	}
}
