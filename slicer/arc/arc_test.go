package arc

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"platen/hal/motion"
	"platen/hal/unit"
)

const mm = unit.Millimetre

func line(x, y float64, e unit.Length) motion.Op {
	return motion.Op{
		Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, E: e, Feed: 50_000, Role: motion.OuterWall,
		To: [3]unit.Length{unit.Length(math.Round(x * float64(mm))), unit.Length(math.Round(y * float64(mm)))},
	}
}

func travel(x, y float64) motion.Op {
	op := line(x, y, 0)
	op.Axes, op.Role = motion.X|motion.Y, motion.Travel
	return op
}

func fit(ops []motion.Op) (out []motion.Op) {
	f := New(mm/100, func(op motion.Op) bool { out = append(out, op); return true })
	for _, op := range ops {
		f.Add(op)
	}
	f.Flush()
	return out
}

// round is a circle of n corners around (50, 50).
func round(r float64, n int, left bool) []motion.Op {
	ops := []motion.Op{travel(50+r, 50)}
	for i := 1; i <= n; i++ {
		a := 2 * math.Pi * float64(i) / float64(n)
		if !left {
			a = -a
		}
		ops = append(ops, line(50+r*math.Cos(a), 50+r*math.Sin(a), 100))
	}
	return ops
}

// A circle becomes a few arcs that go its way; a square and a zigzag stay what they
// are.
func TestCircle(t *testing.T) {
	for _, left := range []bool{true, false} {
		ops := round(10, 90, left)
		got := fit(ops)
		if len(got) > 4 {
			t.Errorf("%d operations", len(got))
		}
		fed := unit.Length(0)
		for _, op := range got[1:] {
			fed += op.E
			if (op.Kind == motion.ArcLeft) != left || !op.Arc() {
				t.Errorf("left: %v, but %v", left, op.Kind)
			}
			if d := math.Hypot(op.Centre[0].MM()-50, op.Centre[1].MM()-50); d > 0.01 {
				t.Errorf("a centre is %.4f mm off", d)
			}
		}
		if fed != 9000 || got[len(got)-1].To != ops[len(ops)-1].To {
			t.Errorf("feeds %v or ends elsewhere", fed)
		}
	}
	square := []motion.Op{travel(0, 0), line(10, 0, 1), line(10, 10, 1), line(0, 10, 1), line(0, 0, 1), line(10, 0, 1)}
	if d := cmp.Diff(square, fit(square)); d != "" {
		t.Errorf("a square: %s", d)
	}
	var zigzag []motion.Op
	for i := range 100 {
		zigzag = append(zigzag, line(float64(i), float64(i%2)/10, 1))
	}
	if d := cmp.Diff(zigzag, fit(zigzag)); d != "" {
		t.Errorf("a zigzag: %s", d)
	}
	straight := []motion.Op{travel(0, 0)}
	for i := range 30 {
		straight = append(straight, line(float64(i+1), 0, 1))
	}
	if d := cmp.Diff(straight, fit(straight)); d != "" {
		t.Errorf("a straight line: %s", d)
	}
}

// Lines that differ in anything that matters are not made one.
func TestApart(t *testing.T) {
	for name, change := range map[string]func(*motion.Op){
		"feed": func(op *motion.Op) { op.Feed++ }, "role": func(op *motion.Op) { op.Role = motion.InnerWall },
		"width": func(op *motion.Op) { op.Width = mm }, "layer": func(op *motion.Op) { op.Layer++ }, "object": func(op *motion.Op) { op.Object++ },
	} {
		ops := round(10, 40, true)
		for i := range ops[20:] {
			change(&ops[20+i])
		}
		at := ops[19].To
		passes := false
		for _, op := range fit(ops) {
			passes = passes || op.To == at
		}
		if !passes {
			t.Errorf("an arc goes on where the %s changes", name)
		}
	}
}

// Whatever the moves, what comes out ends at the same places in the same order,
// feeds the same, and is nowhere farther away than allowed. Curves do become arcs.
func TestNearAndInOrder(t *testing.T) {
	arcs := 0
	rapid.Check(t, func(t *rapid.T) {
		ops := []motion.Op{travel(50, 50)}
		x, y, dir := 50.0, 50.0, 0.0
		for range rapid.IntRange(1, 20).Draw(t, "pieces") {
			bend := rapid.SampledFrom([]float64{0, 0.05, -0.1, 0.2, 1.2}).Draw(t, "bend")
			step := rapid.SampledFrom([]float64{0.05, 0.3, 1}).Draw(t, "step")
			for range rapid.IntRange(1, 30).Draw(t, "moves") {
				dir += bend
				x, y = x+step*math.Cos(dir), y+step*math.Sin(dir)
				ops = append(ops, line(x, y, unit.Length(rapid.IntRange(1, 100).Draw(t, "e"))))
			}
			if rapid.Bool().Draw(t, "stop") {
				x++
				ops = append(ops, travel(x, y))
			}
		}
		got := fit(ops)
		at, k := ops[0].To, 0
		for _, op := range got {
			from := k
			fed := unit.Length(0)
			for k < len(ops) {
				k++
				fed += ops[k-1].E
				if ops[k-1].To == op.To && fed == op.E {
					break
				}
			}
			if fed != op.E || ops[k-1].To != op.To {
				t.Fatal("something else comes out")
			}
			if op.Arc() {
				arcs++
				r := math.Hypot((at[0] - op.Centre[0]).MM(), (at[1] - op.Centre[1]).MM())
				p := at
				for i := from; i < k; i++ {
					q := ops[i].To
					for s := 0.0; s <= 1; s += 0.1 {
						d := math.Hypot(p[0].MM()+s*(q[0]-p[0]).MM()-op.Centre[0].MM(), p[1].MM()+s*(q[1]-p[1]).MM()-op.Centre[1].MM())
						if math.Abs(d-r) > 0.0101 {
							t.Fatalf("an arc is %.4f mm away", d-r)
						}
					}
					p = q
				}
			} else if op != ops[k-1] {
				t.Fatal("a move has changed")
			}
			at = op.To
		}
		if k != len(ops) {
			t.Fatal("something is left out")
		}
	})
	if arcs == 0 {
		t.Error("control: no arcs")
	}
}

// A consumer that has enough is left alone.
func TestStops(t *testing.T) {
	n := 0
	f := New(mm/100, func(motion.Op) bool { n++; return n < 2 })
	more := true
	for _, op := range round(10, 500, true) {
		more = f.Add(op)
	}
	if f.Flush(); n != 2 || more {
		t.Errorf("%d operations", n)
	}
}

func TestAllocates(t *testing.T) {
	f := New(mm/100, func(motion.Op) bool { return true })
	ops := round(10, 200, true)
	run := func() {
		for _, op := range ops {
			f.Add(op)
		}
		f.Flush()
	}
	run()
	if n := testing.AllocsPerRun(10, run); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	f := New(mm/100, func(motion.Op) bool { return true })
	ops := round(10, 200, true)
	n := 0
	for b.Loop() {
		for _, op := range ops {
			f.Add(op)
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/move")
}
