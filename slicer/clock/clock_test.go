package clock

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"platen/hal/motion"
	"platen/hal/unit"
)

const (
	mm  = unit.Millimetre
	mms = unit.MillimetrePerSecond
)

func to(x, y unit.Length, feed unit.Speed) motion.Op {
	return motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y, To: [3]unit.Length{x, y}, Feed: feed}
}

func machine() Machine {
	m := Default()
	m.MaxFeed = [4]unit.Speed{500 * mms, 500 * mms, 10 * mms, 50 * mms}
	m.MaxAccel = [4]unit.Accel{1000, 1000, 1000, 1000}
	m.Accel, m.Travel, m.Retract = 1000, 1000, 1000
	return m
}

func total(m Machine, ops ...motion.Op) float64 {
	c := New(m)
	for _, op := range ops {
		c.Add(op)
	}
	return c.Total().Seconds()
}

// What can be worked out by hand comes out so.
func TestByHand(t *testing.T) {
	m := machine()
	slow := m
	slow.MaxFeed[0], slow.MaxAccel[1] = 50*mms, 100
	jerk := m
	jerk.Corner, jerk.Jerk = 0, [4]unit.Speed{10 * mms, 10 * mms, mms, mms}
	for _, c := range []struct {
		name string
		m    Machine
		ops  []motion.Op
		want float64
	}{
		{"nothing", m, nil, 0},
		{"no way", m, []motion.Op{to(0, 0, 100*mms)}, 0},
		{"a long way", m, []motion.Op{to(100*mm, 0, 100*mms)}, 0.1 + 0.1 + 0.9},                                          // 5 mm up, 5 mm down
		{"a short way", m, []motion.Op{to(4*mm, 0, 100*mms)}, 2 * math.Sqrt(0.004)},                                      // never at speed
		{"one way in two", m, []motion.Op{to(40*mm, 0, 100*mms), to(100*mm, 0, 100*mms)}, 1.1},                           // straight on
		{"there and back", m, []motion.Op{to(100*mm, 0, 100*mms), to(0, 0, 100*mms)}, 2.2},                               // it stops in between
		{"feed of an axis", slow, []motion.Op{to(100*mm, 0, 100*mms)}, 2 + 0.05},                                         // 50 mm/s
		{"acceleration of an axis", slow, []motion.Op{to(0, 100*mm, 50*mms)}, 2 + 0.5},                                   // 100 mm/s²
		{"filament alone", m, []motion.Op{{Kind: motion.Move, Axes: motion.E, E: -10 * mm, Feed: 40 * mms}}, 0.25 + .04}, // 40 mm/s
		{"a wait", m, []motion.Op{to(100*mm, 0, 100*mms), {Kind: motion.Dwell, Wait: 3 * time.Second}, to(200*mm, 0, 100*mms)}, 5.2},
		{"another acceleration", m, []motion.Op{{Kind: motion.SetAccel, Accel: 250}, {Kind: motion.Move, Axes: motion.X | motion.E, To: [3]unit.Length{100 * mm}, E: mm, Feed: 100 * mms}}, 1.4},
		{"heat and home", m, []motion.Op{{Kind: motion.WaitHeater}, {Kind: motion.Home}, {Kind: motion.SetFan}, {Kind: motion.BeginLayer}}, 0},
		{"jerk at a start", jerk, []motion.Op{to(100*mm, 0, 100*mms)}, 0.09 + 0.1 + (100-4.95-5)/100.}, // from 10 mm/s, and down to nothing
	} {
		if got := total(c.m, c.ops...); math.Abs(got-c.want) > 0.002 {
			t.Errorf("%s: %.4f s, want %.4f", c.name, got, c.want)
		}
	}
}

// However a way is cut into pieces, it takes as long as in one, if the window is
// long enough to stop from within it; with a short window it takes longer.
func TestPieces(t *testing.T) {
	pieces := func(m Machine, n int) float64 {
		var ops []motion.Op
		for i := range n {
			ops = append(ops, to(200*mm*unit.Length(i+1)/unit.Length(n), 0, 150*mms))
		}
		return total(m, ops...)
	}
	m := machine()
	want := pieces(m, 1)
	for _, n := range []int{2, 10, 100} { // 15 pieces of 2 mm are more than the 11 mm to brake
		if got := pieces(m, n); math.Abs(got-want) > 0.002 {
			t.Errorf("%d pieces: %.4f s, want %.4f", n, got, want)
		}
	}
	m.Window = 3
	if got := pieces(m, 100); got < want*1.05 {
		t.Errorf("a window of three: %.4f s, want more than %.4f", got, want)
	}
}

// Whatever the moves, they take at least as long as at full speed, and no longer
// than if the machine stopped after each.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := machine()
		if rapid.Bool().Draw(t, "jerk") {
			m.Corner, m.Jerk = 0, [4]unit.Speed{8 * mms, 8 * mms, mms, 5 * mms}
		}
		m.Window = rapid.IntRange(0, 70).Draw(t, "window")
		least, most := 0.0, 0.001
		var ops []motion.Op
		at := [2]unit.Length{}
		for range rapid.IntRange(1, 100).Draw(t, "moves") {
			p := [2]unit.Length{unit.Length(rapid.IntRange(0, 50).Draw(t, "x")) * mm / 4, unit.Length(rapid.IntRange(0, 50).Draw(t, "y")) * mm / 4}
			feed := unit.Speed(rapid.IntRange(1, 300).Draw(t, "feed")) * mms
			ops = append(ops, to(p[0], p[1], feed))
			long := math.Hypot((p[0] - at[0]).MM(), (p[1] - at[1]).MM())
			least += long / feed.MMPerSecond()
			most += total(machine(), to(p[0]-at[0], p[1]-at[1], feed)) + 0.0005
			at = p
		}
		if got := total(m, ops...); got < least-1e-6 || got > most {
			t.Fatalf("%.4f s, want %.4f to %.4f", got, least, most)
		}
	})
}

func TestAllocatesNothing(t *testing.T) {
	c := New(machine())
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		i++
		c.Add(to(unit.Length(i%7)*mm, unit.Length(i%5)*mm, 100*mms))
	}); n > 0 {
		t.Errorf("%v allocations a move", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	c := New(machine())
	for i := 0; b.Loop(); i++ {
		c.Add(to(unit.Length(i%7)*mm, unit.Length(i%5)*mm, 100*mms))
	}
}
