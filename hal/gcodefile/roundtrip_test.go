package gcodefile_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"platen/hal/envelope"
	"platen/hal/gcode"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/unit"
)

// TestReadsWhatTheEncoderWrites writes random programs as platen-slice does and reads
// them back: the same operations, but for the decimals that were written.
func TestReadsWhatTheEncoderWrites(t *testing.T) {
	l := limits()
	for seed := range uint64(some(2000)) {
		s := &source{Rand: rand.New(rand.NewPCG(9, seed))}
		var enc gcode.Encoder
		enc.Level = "G29"
		var text []byte
		var want []motion.Op
		for op, err := range envelope.Check(l, s.ops()) {
			if err != nil {
				break
			}
			if op.Kind == motion.BeginLayer || op.Kind == motion.Pause {
				continue
			}
			text = enc.Append(text, op)
			want = append(want, op)
		}
		text = enc.AppendEnd(text)
		var got []motion.Op
		for op, err := range gcodefile.Program(bytes.NewReader(text), options(l)) {
			if err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, text)
			}
			got = append(got, op)
		}
		compare(t, l, want, got[:max(0, len(got)-1)], fmt.Sprintf("seed %d\n%s", seed, text))
	}
}

// some is n, or a tenth of it where each takes long.
func some(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// compare holds two programs against each other, without the moves that change
// nothing, which are not always written.
func compare(t *testing.T, l envelope.Limits, want, got []motion.Op, about string) {
	t.Helper()
	want, all := essence(l, want)
	got, read := essence(l, got)
	if d := all - read; len(want) != len(got) || d > 20 || d < -20 {
		t.Fatalf("%d operations of %d, filament off by %d units: %s", len(got), len(want), d, about)
	}
	var at [2]gcodefile.State
	for n, w := range want {
		at[0].Follow(w, &l)
		at[1].Follow(got[n], &l)
		if got[n].Kind != w.Kind || !same(got[n], w) {
			t.Fatalf("%v is read as %v: %s", w, got[n], about)
		}
		for i := range 3 {
			if d := at[0].At[i] - at[1].At[i]; at[0].Known&at[1].Known&(1<<i) != 0 && (d > 40 || d < -40) {
				t.Fatalf("%v is %d units off along axis %d: %s", w, d, i, about)
			}
		}
	}
}

// essence leaves out moves that end where they begin and feed next to nothing. It
// returns the filament of all.
func essence(l envelope.Limits, ops []motion.Op) (kept []motion.Op, filament unit.Length) {
	var at gcodefile.State
	for _, op := range ops {
		before := at
		at.Follow(op, &l)
		filament += op.E
		if op.Kind == motion.WaitHeater && op.Temp == 0 {
			op.Kind = motion.SetHeater // nobody waits for that
		}
		still := true
		for i := range 3 {
			d := at.At[i] - before.At[i]
			still = still && (!op.Has(1<<i) || before.Known&(1<<i) != 0 && d < 100 && d > -100)
		}
		if op.Kind != motion.Move || !still || op.E > 10 || op.E < -10 {
			kept = append(kept, op)
		}
	}
	return kept, filament
}

// same compares what two operations of a kind set, but for moves.
func same(a, b motion.Op) bool {
	switch a.Kind {
	case motion.SetHeater, motion.WaitHeater:
		return a.Heater == b.Heater && math.Abs(float64(a.Temp-b.Temp)) <= 50
	case motion.SetFan:
		return a.Index == b.Index && a.Fan == b.Fan
	case motion.Dwell, motion.SetAdvance:
		return (a.Wait - b.Wait).Abs() <= 1e6
	case motion.SetAccel:
		return a.Accel == b.Accel
	case motion.Level:
		return a.Index == b.Index
	case motion.Home, motion.MotorsOff:
		return a.Axes == b.Axes
	}
	return true
}

// TestArcs draws arcs and looks at each chord: ends on the arc, in order, nowhere
// farther from it than the tolerance, and as much filament and height as asked for.
func TestArcs(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	l := limits()
	for range some(2000) {
		cx, cy, r := 60+rng.Float64()*80, 60+rng.Float64()*80, math.Pow(10, rng.Float64()*3.5-2)
		r = min(r, 58)
		from, turn := rng.Float64()*2*math.Pi, (rng.Float64()*0.98+0.01)*2*math.Pi
		code := "G3"
		if rng.IntN(2) == 0 {
			code, turn = "G2", -turn
		}
		x0, y0 := cx+r*math.Cos(from), cy+r*math.Sin(from)
		x1, y1 := cx+r*math.Cos(from+turn), cy+r*math.Sin(from+turn)
		centre := fmt.Sprintf("I%.5f J%.5f", cx-x0, cy-y0)
		if rng.IntN(2) == 0 && math.Abs(turn) > 0.1 && math.Abs(turn) < 6 && math.Abs(math.Abs(turn)-math.Pi) > 0.1 {
			radius := r
			if math.Abs(turn) > math.Pi {
				radius = -r
			}
			centre = fmt.Sprintf("R%.5f", radius)
		}
		text := fmt.Sprintf("G28\nM109 S210\nM83\nG1 X%.5f Y%.5f Z1 F3000\n%s X%.5f Y%.5f Z2 %s E3\n", x0, y0, code, x1, y1, centre)
		var chords []motion.Op
		for op, err := range gcodefile.Program(bytes.NewReader([]byte(text)), options(l)) {
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if op.E != 0 {
				chords = append(chords, op)
			}
		}
		x, y, sum, swept := x0, y0, unit.Length(0), 0.0
		for _, c := range chords {
			nx, ny := c.To[0].MM(), c.To[1].MM()
			if off := math.Abs(math.Hypot(nx-cx, ny-cy) - r); off > 0.001+r/1000 {
				t.Fatalf("a chord ends %g mm off the arc\n%s", off, text)
			}
			if off := r - math.Hypot((x+nx)/2-cx, (y+ny)/2-cy); off > 0.0052+r/1000 {
				t.Fatalf("a chord is %g mm off the arc\n%s", off, text)
			}
			step := math.Mod(math.Atan2(ny-cy, nx-cx)-math.Atan2(y-cy, x-cx)+5*math.Pi, 2*math.Pi) - math.Pi
			if swept += step; step*turn < -1e-3 {
				t.Fatalf("a chord goes back\n%s", text)
			}
			x, y, sum = nx, ny, sum+c.E
		}
		if tolerance := 0.01 + 0.001/r; math.Abs(swept-turn) > tolerance {
			t.Fatalf("turns %g, want %g\n%s", swept, turn, text)
		}
		last := chords[len(chords)-1]
		if math.Abs(x-x1) > 1e-4 || math.Abs(y-y1) > 1e-4 || last.To[2] != 2*mm || sum != 3*mm {
			t.Fatalf("ends elsewhere, with %v of filament\n%s", sum, text)
		}
	}
}
