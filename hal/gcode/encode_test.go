package gcode

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"platen/hal/motion"
	"platen/hal/unit"

	"pgregory.net/rapid"
)

const mm = unit.Millimetre

func TestEncode(t *testing.T) {
	xyz := motion.X | motion.Y | motion.Z
	at := func(x, y, z unit.Length) [3]unit.Length { return [3]unit.Length{x, y, z} }
	e := Encoder{Level: "G80"}
	for _, c := range []struct {
		op   motion.Op
		want string
	}{
		{motion.Op{Kind: motion.Home}, "G21\nG90\nM82\nG92 E0\nG28\n"},
		{motion.Op{Kind: motion.Home, Axes: motion.X | motion.Z}, "G28 X Z\n"},
		{motion.Op{Kind: motion.Move, Axes: xyz, To: at(mm, -mm/2, mm/5), Feed: 100_000}, "G1 X1 Y-0.5 Z0.2 F6000\n"},
		{motion.Op{Kind: motion.Move, Axes: xyz | motion.E, To: at(2*mm, -mm/2, mm/5), E: mm / 4, Feed: 100_000}, "G1 X2 E0.25\n"},
		{motion.Op{Kind: motion.Move, Axes: xyz | motion.E, To: at(2*mm, mm, mm/5), E: mm / 4, Feed: 50_000}, "G1 Y1 E0.5 F3000\n"},
		{motion.Op{Kind: motion.Move, Axes: motion.E, E: -mm, Feed: 50_000}, "G1 E-0.5\n"},
		{motion.Op{Kind: motion.Move, Axes: motion.X, Tool: 1, To: at(2*mm, 0, 0), Feed: 50_000}, "T1\nG92 E0\nG1 X2\n"},
		{motion.Op{Kind: motion.Home, Axes: motion.X}, "G28 X\n"},
		{motion.Op{Kind: motion.Move, Tool: 1, Axes: motion.X, To: at(2*mm, 0, 0), Feed: 50_000}, "G1 X2\n"},
		{motion.Op{Kind: motion.SetHeater, Heater: motion.HotEnd, Temp: 215_000}, "M104 S215\n"},
		{motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd + 1, Temp: 200_500}, "M109 T1 R200.5\n"},
		{motion.Op{Kind: motion.WaitHeater, Heater: motion.Bed, Temp: 60_000}, "M190 R60\n"},
		{motion.Op{Kind: motion.WaitHeater, Heater: motion.Bed, Temp: 60_000, Index: motion.WaitWarm}, "M190 S60\n"},
		{motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd + 1, Temp: 200_500, Index: motion.WaitWarm}, "M109 T1 S200.5\n"},
		{motion.Op{Kind: motion.WaitHeater, Heater: motion.Bed}, "M140 S0\n"},
		{motion.Op{Kind: motion.SetHeater, Heater: motion.Chamber, Temp: 50_000}, "M141 S50\n"},
		{motion.Op{Kind: motion.SetFan, Fan: 128}, "M106 S128\n"},
		{motion.Op{Kind: motion.SetFan, Index: 1}, "M107 P1\n"},
		{motion.Op{Kind: motion.Dwell, Wait: 1500 * time.Millisecond}, "G4 P1500\n"},
		{motion.Op{Kind: motion.SetAccel, Accel: 1250}, "M204 P1250\n"},
		{motion.Op{Kind: motion.BeginLayer, Layer: 7}, ""},
		{motion.Op{Kind: motion.MotorsOff}, "M84\n"},
		{motion.Op{Kind: motion.MotorsOff, Axes: motion.X | motion.Y | motion.E}, "M84 E X Y\n"},
		{motion.Op{Kind: motion.Level}, "G80\n"},
		{motion.Op{Kind: motion.Level, Index: 1}, "M420 S1\n"},
		{motion.Op{Kind: motion.SetAdvance, Wait: 50 * time.Millisecond}, "M900 K0.0500\n"},
		{motion.Op{Kind: motion.SetAdvance, Tool: 1, Wait: 1234560 * time.Microsecond}, "M900 T1 K1.2346\n"},
		{motion.Op{Kind: motion.Pause}, ""},
		{motion.Op{Kind: motion.Stand, Axes: motion.Z, To: [3]unit.Length{mm, mm, 21*mm + mm/5}}, "G92 Z21.2\n"},
	} {
		if got := string(e.Append(nil, c.op)); got != c.want {
			t.Errorf("%v: %q, want %q", c.op, got, c.want)
		}
	}
}

// TestLongestCommand holds the claim of MaxCommand against extreme operations.
func TestLongestCommand(t *testing.T) {
	var e Encoder
	e.AppendStart(nil)
	e.filament = -int64(maxFilament) + 1
	c := -unit.MaxCoordinate + 12345
	op := motion.Op{Kind: motion.Move, Axes: 15, To: [3]unit.Length{c, c, c}, E: math.MinInt32, Feed: math.MaxInt32}
	arc := op
	arc.Kind, arc.Centre = motion.ArcRight, [2]unit.Length{math.MinInt32 + 1<<26, math.MinInt32 + 1<<26}
	arc.To[motion.IZ], arc.Feed = c+unit.Millimetre, math.MaxInt32/2
	longest := 0
	for _, op := range []motion.Op{op, arc} {
		for line := range strings.Lines(string(e.Append(nil, op))) {
			longest = max(longest, len(line))
		}
	}
	if longest > MaxCommand || longest < MaxCommand*3/4 {
		t.Errorf("%d bytes", longest)
	}
}

// TestFilamentAddsUp replays the commands of random moves as firmware does and
// compares the filament fed with the exact sum.
func TestFilamentAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e Encoder
		exact, fed, pos, resets := int64(0), 0.0, 0.0, 0
		for range rapid.IntRange(1, 200).Draw(t, "moves") {
			op := motion.Op{Kind: motion.Move, Axes: motion.E, Feed: 1000,
				E: unit.Length(rapid.Int32Range(-int32(20*mm), int32(60*mm)).Draw(t, "e"))}
			exact += int64(op.E)
			for line := range strings.Lines(string(e.Append(nil, op))) {
				if line == "G92 E0\n" {
					pos, resets = 0, resets+1
				}
				if _, w, ok := strings.Cut(line, "G1 E"); ok {
					w, _, _ = strings.Cut(strings.TrimSpace(w), " ")
					v, err := strconv.ParseFloat(w, 64)
					if err != nil {
						t.Fatal(err)
					}
					fed, pos = fed+v-pos, v
				}
			}
		}
		// Half a digit, and the rounding of each setting back to 1/65536 mm.
		if off := math.Abs(fed - float64(exact)/float64(mm)); off > 0.00006+float64(resets)*0.00002 {
			t.Fatalf("off by %g mm after %d resets", off, resets)
		}
	})
}

// TestCompact reads the words of random moves as the firmware with the least sense does
// (strtod from the letter on) and compares them with what was meant.
func TestCompact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Encoder{Compact: true, Apart: true}
		e.AppendStart(nil)
		var at [3]unit.Length
		fed, pos, exact, feed := 0.0, 0.0, int64(0), 0.0
		for range rapid.IntRange(1, 100).Draw(t, "moves") {
			op := motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, Feed: unit.Speed(rapid.Int32Range(1000, 300_000).Draw(t, "feed")),
				E: unit.Length(rapid.Int32Range(-int32(2*mm), int32(4*mm)).Draw(t, "e"))}
			reach := rapid.SampledFrom([]unit.Length{mm / 8, 20 * mm}).Draw(t, "reach")
			for i := range 2 {
				op.To[i] = at[i] + unit.Length(rapid.Int32Range(-int32(reach), int32(reach)).Draw(t, "to"))
			}
			at, exact = op.To, exact+int64(op.E)
			for line := range strings.Lines(string(e.Append(nil, op))) {
				if line == "G92 E0\n" {
					pos = 0
					continue
				}
				if !strings.HasPrefix(line, "G1") || len(line) > 40 {
					t.Fatalf("%d bytes that are no move", len(line))
				}
				for _, w := range []struct {
					letter byte
					into   *float64
				}{{'F', &feed}, {'E', nil}, {'X', nil}, {'Y', nil}} {
					v, ok := strtod(line, w.letter)
					switch {
					case !ok:
					case w.into != nil:
						*w.into = v
					case w.letter == 'E':
						fed, pos = fed+v-pos, v
					default:
						if off := math.Abs(v - at[w.letter-'X'].MM()); off > 0.0051 || reach > mm && off > 0.0051 {
							t.Fatalf("%c is off by %g mm", w.letter, off)
						}
					}
				}
			}
			if off := math.Abs(fed - float64(exact)/float64(mm)); off > 0.0006+float64(0.002) {
				t.Fatalf("the filament is off by %g mm", off)
			}
			if math.Abs(feed-op.Feed.MMPerSecond()*60) > 0.6 {
				t.Fatalf("feed is off")
			}
		}
	})
}

// strtod reads the number behind the first of a letter, as far as it looks like one: an
// exponent is part of it.
func strtod(line string, letter byte) (float64, bool) {
	i := strings.IndexByte(line, letter)
	if i < 0 {
		return 0, false
	}
	for end := len(line); end > i+1; end-- {
		if v, err := strconv.ParseFloat(line[i+1:end], 64); err == nil {
			return v, true
		}
	}
	return 0, false
}

func printingMove(i int) motion.Op {
	return motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, Feed: 60_000, E: mm / 30,
		To: [3]unit.Length{unit.Length(i%200)*mm + 12345, unit.Length(i%190)*mm + 54321, 0}}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	e := Encoder{Compact: true}
	buf, i := make([]byte, 0, 256), 0
	if n := testing.AllocsPerRun(2000, func() { buf = e.Append(buf[:0], printingMove(i)); i++ }); n != 0 {
		t.Errorf("%v allocations a line", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	e := Encoder{Compact: true}
	buf := make([]byte, 0, 256)
	for i := 0; b.Loop(); i++ {
		buf = e.Append(buf[:0], printingMove(i))
	}
}

// An arc states its end and the way to its centre from where the machine was told to
// be.
func TestArc(t *testing.T) {
	const mm = unit.Millimetre
	var e Encoder
	e.AppendStart(nil)
	at := motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y, To: [3]unit.Length{10 * mm, 20 * mm}, Feed: 50_000}
	arc := motion.Op{Kind: motion.ArcRight, Axes: motion.X | motion.Y | motion.E, To: [3]unit.Length{10 * mm, 30 * mm}, Centre: [2]unit.Length{10 * mm, 25 * mm}, E: mm / 2, Feed: 50_000}
	back := arc
	back.Kind, back.To = motion.ArcLeft, [3]unit.Length{10 * mm, 20 * mm, mm}
	back.Axes |= motion.Z
	var got []byte
	for _, op := range []motion.Op{at, arc, back, back} {
		got = e.Append(got, op)
	}
	want := "G1 X10 Y20 F3000\nG2 X10 Y30 I0 J5 E0.5\nG3 X10 Y20 Z1 I0 J-5 E1\nG3 X10 Y20 I0 J5 E1.5\n"
	if string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
}
