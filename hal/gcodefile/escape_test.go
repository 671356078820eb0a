package gcodefile_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"platen/hal/envelope"
	"platen/hal/gcode"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/unit"
)

const mm = unit.Millimetre

func limits() envelope.Limits {
	return envelope.Limits{
		Min: [3]unit.Length{-2 * mm, 0, 0}, Max: [3]unit.Length{220 * mm, 210 * mm, 250 * mm}, HomedAt: [3]unit.Length{-2 * mm, -3 * mm, 0},
		MaxFeed: [3]unit.Speed{300_000, 200_000, 10_000}, MaxFeedE: 60_000, MaxE: 150 * mm, MaxAccel: 3000,
		HotEnd: envelope.Range{Min: 30_000, Max: 260_000}, Bed: envelope.Range{Min: 25_000, Max: 100_000}, MinExtrude: 170_000,
		Tools: 2, Fans: 1, CanLevel: true, MaxAdvance: time.Second, MaxDwell: time.Hour, MaxHotDwell: time.Minute,
	}
}

func options(l envelope.Limits) gcodefile.Options {
	return gcodefile.Options{Limits: l, Nozzle: unit.Micrometres(400), Models: []string{"MK3S"}, Retract: 2 * mm, RetractFeed: 25_000}
}

// source makes programs, most of them nearly good, from a number.
type source struct {
	*rand.Rand
	text []byte
}

func (s *source) one(of ...string) string { return of[s.IntN(len(of))] }

// number writes a number near an edge, or anywhere up to most.
func (s *source) number(most float64, edges ...float64) {
	v := s.Float64() * most
	if len(edges) > 0 && s.IntN(8) == 0 {
		v = edges[s.IntN(len(edges))]
		if s.IntN(8) == 0 {
			v += (s.Float64() - 0.5) / 500
		}
	}
	s.text = strconv.AppendFloat(s.text, v, 'f', []int{-1, 0, 3, 3, 5}[s.IntN(5)], 64)
}

func (s *source) word(name string, most float64, edges ...float64) {
	s.text = append(s.text, ' ')
	s.text = append(s.text, name...)
	s.number(most, edges...)
}

func (s *source) line(parts ...string) {
	for _, p := range parts {
		s.text = append(s.text, p...)
	}
	s.text = append(s.text, '\n')
}

// move writes a G0 to G3.
func (s *source) move() {
	arc := s.IntN(25) == 0
	if arc {
		s.text = append(s.text, s.one("G2", "G3")...)
	} else {
		s.text = append(s.text, s.one("G1", "G1", "G0")...)
	}
	if s.IntN(5) > 0 {
		s.word("X", 220, 0, 220, -2, 220.0005, 110, 219.9999, -2.0005, 221)
	}
	if s.IntN(5) > 0 {
		s.word("Y", 210, 0, 210, 105, 210.0005, -3)
	}
	if s.IntN(6) == 0 {
		s.word("Z", 5, 0, 250, 0.2, -0.0004, -0.1, 250.001)
	}
	if arc {
		s.word("I", 60, 0, -110, 10, 110, -20)
		s.word("J", 60, 0, -20, 10)
	}
	if s.IntN(2) == 0 {
		s.word("E", 6, 0, 1, 0.0001, 150, 0.05, -1, 20, 0.00005)
	}
	if s.IntN(3) == 0 {
		s.word("F", 12_000, 18_000, 12_000, 600, 601, 3600, 1, 0.5, 100_000, 60, 9000)
	}
	s.line()
}

// odd are lines that change how others are read, and lines of T17.
var odd = []string{"G90", "G91", "G90\nM83", "G91\nM83", "G90\nM82", "M82", "M83", "M83", "G20", "G21", "G21", "G28", "G28 X", "G28 Z", "G29", "M420 S1", "G92 E0", "G92 E5", "G92 E-100", "G92 X0",
	"G92 Z0", "G92", "G10", "G11", "M207 S3 F1200", "T0", "T1", "T0", "M84", "M84 X", "M84 E", "M104 S0", "M104 S210", "M104 S169", "M109 S210", "M109 S169", "M109 R200", "M104 T1 S210", "M109 T1 S200",
	"M140 S60", "M190 S60", "M140 S0", "M104 S261", "M104 S260", "M140 S101", "M106", "M106 S128", "M107", "M106 P1", "M220 S100", "M220 S999", "M220 S5", "M221 S100", "M221 S999", "M204 S3000", "M204 P20000",
	"M900 K0.05", "M900 K2", "M400", "G4 P500", "G4 S20", "G4 S59", "G4 S61", "G4 P60001", "M601", ";LAYER_CHANGE\n;Z:0.2", ";TYPE:Perimeter", "M862.1 P0.4", "M201 X9000", "M203 X9000"}

var hostile = []string{"M302 P1", "M303 E0 S250", "M211 S0", "M206 Z-5", "M500", "M906 X2000", "M997", "M28 x", "M81", "G1 X1\rM104 S300", "N5 G1 X1*7", "G1 X1e999", "M104 S1e3", "G1 X0x7F", "M112", "M104 S99999999999",
	"G92 Z5", "M428", "G54", "M218 T1 X50", "M92 E9000", "G1 X9999999999", "M117 x\x00", "G53 G1 Z-5", "M851 Z-5", "M104 S-1", "G4 S1e9", "G4 S99999"}

// text writes a program.
func (s *source) program() []byte {
	s.text = s.text[:0]
	for _, l := range []string{"G28", "M140 S60", "M109 S210", "G1 F3000", "M83", "M109 T1 S210", "G1 X10 Y10 Z0.2"} {
		if s.IntN(60) > 0 {
			s.line(l)
		}
	}
	for range 2 + s.IntN(24) {
		switch n := s.IntN(400); {
		case n < 300:
			s.move()
		case n < 397:
			s.line(odd[s.IntN(len(odd))])
		case n < 399:
			s.line(hostile[s.IntN(len(hostile))])
		default:
			if len(s.text) > 0 {
				s.text[s.IntN(len(s.text))] = byte(s.IntN(256))
			}
		}
	}
	return s.text
}

// ops makes a stream of operations.
func (s *source) ops() motion.Program {
	length := func() unit.Length {
		v := []unit.Length{0, 220 * mm, 210 * mm, 250 * mm, -2 * mm, 1, mm / 5, 110 * mm, 220*mm + 1, -1}
		if s.IntN(2) == 0 {
			return unit.Length(s.Int64N(int64(222*mm))) - mm
		}
		return v[s.IntN(len(v))]
	}
	return func(yield func(motion.Op, error) bool) {
		for i := range 4 + s.IntN(24) {
			op := motion.Op{Kind: motion.Move, Axes: motion.Axes(s.IntN(16)), Tool: uint8(s.IntN(40) / 39), To: [3]unit.Length{length(), min(length(), 210*mm), max(0, length()/100)},
				Feed: []unit.Speed{10_000, 9999, 5000, 9000, 8000, 7000, 6000, 5000, 4000, 10_000, 9999, 60_000, 200_000, 300_000, 17, 300_001, 0}[s.IntN(17)]}
			if op.Has(motion.E) && s.IntN(4) > 0 {
				op.E = []unit.Length{mm, -mm, 1, mm / 20, 150 * mm, 3 * mm, 150*mm + 1}[s.IntN(7)]
			}
			switch n := s.IntN(20); {
			case i < 4 && s.IntN(10) > 0:
				op = []motion.Op{{Kind: motion.Home}, {Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 200_000}, {Kind: motion.SetHeater, Temp: 60_000}, {Kind: motion.SetFan, Fan: 9}}[i]
			case n < 4:
				op = motion.Op{Kind: motion.Kind(s.IntN(14)), Axes: motion.Axes(s.IntN(17)), Tool: uint8(s.IntN(3)), Heater: []motion.Heater{0, 1, 2, 8, 9, 10}[s.IntN(6)], Index: uint8(s.IntN(3)),
					Fan: unit.Duty(s.IntN(256)), To: [3]unit.Length{2: length()}, Accel: unit.Accel(s.IntN(3010) - 5), Temp: []unit.Celsius{0, 60_000, 169_999, 170_000, 260_000, 260_001, -1}[s.IntN(7)],
					Wait: time.Duration(s.IntN(40_000)-100) * time.Millisecond, Feed: op.Feed, Layer: int32(s.IntN(5) - 1)}
			}
			if !yield(op, nil) {
				return
			}
		}
	}
}

// tally is what a run over many programs came to.
type tally struct {
	programs, whole, ops atomic.Int64
	first                sync.Once
	why                  string
	seed                 uint64
}

// hunt runs n programs from seed on through a guard for l, and lets a judge for
// truth look at what is written for what was accepted. It ends at the first escape.
func hunt(n int, seed uint64, l, truth envelope.Limits) *tally {
	var t tally
	var wg sync.WaitGroup
	var next atomic.Int64
	var stop atomic.Bool
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			pcg := rand.NewPCG(0, 0)
			s := &source{Rand: rand.New(pcg)}
			buf := make([]byte, 0, 256)
			for !stop.Load() {
				i := next.Add(1)
				if i > int64(n) {
					return
				}
				pcg.Seed(seed, uint64(i))
				prog := envelope.Check(l, s.ops())
				if i%3 > 0 {
					prog = gcodefile.Program(bytes.NewReader(s.program()), options(l))
				}
				compact := i%5 == 0
				accepted, why, err := watch(&gcode.Encoder{Level: "G80", Compact: compact}, prog, newJudge(truth, compact), buf)
				t.programs.Add(1)
				t.ops.Add(int64(accepted))
				if err == nil {
					t.whole.Add(1)
				}
				if why != "" {
					stop.Store(true)
					t.first.Do(func() { t.why, t.seed = why, uint64(i) })
				}
			}
		})
	}
	wg.Wait()
	return &t
}

// programs is how many programs are tried: a million, fewer where each takes long.
func programs() int {
	if n, err := strconv.Atoi(os.Getenv("PLATEN_PROGRAMS")); err == nil {
		return n
	}
	switch {
	case testing.Short():
		return 5_000
	case raceEnabled:
		return 30_000
	}
	return 1_000_000
}

// TestNoAcceptedProgramLeavesTheEnvelope is T17: whatever is accepted, of files and
// of operations, keeps the printer on paper inside its limits. make soak tries more.
func TestNoAcceptedProgramLeavesTheEnvelope(t *testing.T) {
	seed := uint64(1)
	if os.Getenv("PLATEN_PROGRAMS") != "" {
		seed = uint64(time.Now().UnixNano())
	}
	other := limits() // a machine that says where levelling ends, without pressure advance
	other.Levelled, other.LevelledAt, other.MaxAdvance = true, [3]unit.Length{200 * mm, -4 * mm, 5 * mm}, 0
	for _, l := range []envelope.Limits{limits(), other} {
		noEscape(t, programs()/2, seed, l)
	}
}

// noEscape fails if one of n programs leaves l.
func noEscape(t *testing.T, n int, seed uint64, l envelope.Limits) {
	t.Helper()
	got := hunt(n, seed, l, l)
	if got.why != "" {
		s := &source{Rand: rand.New(rand.NewPCG(seed, got.seed))}
		text := "operations"
		if got.seed%3 > 0 {
			text = string(s.program())
		}
		t.Fatalf("program %d of seed %d: %s\n%q", got.seed, seed, got.why, text)
	}
	if got.ops.Load() < int64(3*n) || got.whole.Load() < int64(n/100) {
		t.Fatalf("of %d programs %d were accepted whole, with %d operations in all: the test proves little", n, got.whole.Load(), got.ops.Load())
	}
	t.Logf("%d programs, %d accepted whole, %d operations", n, got.whole.Load(), got.ops.Load())
}

// TestWeakGuardIsCaught is the control: a guard that lets one limit be exceeded is
// caught by the judge, whichever limit it is.
func TestWeakGuardIsCaught(t *testing.T) {
	for name, weaken := range map[string]func(*envelope.Limits){
		"outside the volume": func(l *envelope.Limits) { l.Max[0] += mm },
		"outside":            func(l *envelope.Limits) { l.Min[2] -= mm },
		"axis Z too fast":    func(l *envelope.Limits) { l.MaxFeed[2] *= 2 },
		"axis Y too fast":    func(l *envelope.Limits) { l.MaxFeed[1] *= 2 },
		"filament too fast":  func(l *envelope.Limits) { l.MaxFeedE *= 2 },
		"too much filament":  func(l *envelope.Limits) { l.MaxE *= 2 },
		"acceleration":       func(l *envelope.Limits) { l.MaxAccel += 100 },
		"hot end 0 out":      func(l *envelope.Limits) { l.HotEnd.Max += 10_000 },
		"bed out":            func(l *envelope.Limits) { l.Bed.Max += 10_000 },
		"cold extrusion":     func(l *envelope.Limits) { l.MinExtrude -= 5000 },
		"fan":                func(l *envelope.Limits) { l.Fans++ },
		"advance":            func(l *envelope.Limits) { l.MaxAdvance *= 3 },
		"hot and idle":       func(l *envelope.Limits) { l.MaxHotDwell *= 10 },
		"levelled":           nil,
		"a tool":             func(l *envelope.Limits) { l.Tools++ },
	} {
		l, truth := limits(), limits()
		if weaken != nil {
			weaken(&l)
		} else {
			truth.CanLevel = false
		}
		for seed := uint64(1); ; seed++ {
			got := hunt(2_000, seed, l, truth)
			if strings.Contains(got.why, name) {
				break
			}
			if seed == 200 {
				t.Errorf("a guard without %q is not caught; at last %q", name, got.why)
				break
			}
		}
	}
}

// TestJudgeKnowsEachEscape shows the judge what it has to see, in commands.
func TestJudgeKnowsEachEscape(t *testing.T) {
	const good = "G28\nM109 R210\nG1 X10 Y10 Z1 F600\n"
	for text, want := range map[string]string{
		"G1 X1 F600": "moved blindly", good + "M84\nG1 X1": "moved blindly", good + "M84 X\nG1 X1": "moved blindly",
		"G28\nM104 S210\nG1 E1 F60": "cold extrusion", good + "M104 S100\nM104 S210\nG1 E1": "cold extrusion", good + "T1\nG1 E1": "cold extrusion",
		"M109 R210\nG28 X\nG1 E1 F60": "extruded before homing", good + "G92 Z5": "the origin moved", good + "M302 P1": "nobody asked",
		good + "G4 P130000": "hot and idle", good + "G1 X200 F1\nG1 X0": "hot and idle", good + strings.Repeat("G4 P50000\nM104 S0\nM109 R210\n", 3): "hot and idle", "G4 P3700000": "cold and paused",
		good + strings.Repeat("G28\n", 40): "waiting without end", "G80": "levelled before homing", good + "G80\nG1 Z5 F900": "too fast from nowhere",
		good + "T1\nM109 T1 R210\nG1 X5 E1": "nobody knows", "G28\nG1 X1": "no feed", good + "G1 XNaN": "no command", good + "G1 X1e999": "no command",
	} {
		j := newJudge(limits(), false)
		why := ""
		for line := range strings.Lines(text + "\n") {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			if why = j.obey([]byte(line)); why != "" {
				break
			}
		}
		if !strings.Contains(why, want) {
			t.Errorf("%q: %q, want %q", text, why, want)
		}
	}
}

// FuzzFile reads anything as a file: nothing panics, what is refused is refused with
// a line, and what is accepted stays inside the envelope.
func FuzzFile(f *testing.F) {
	s := &source{Rand: rand.New(rand.NewPCG(7, 7))}
	for range 40 {
		f.Add(bytes.Clone(s.program()))
	}
	for _, h := range hostile {
		f.Add([]byte("G28\nM109 S210\n" + h))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, why, err := watch(&gcode.Encoder{Level: "G80"}, gcodefile.Program(bytes.NewReader(text), options(limits())), newJudge(limits(), false), nil)
		if why != "" {
			t.Fatal(why)
		}
		r, refused := errors.AsType[*gcodefile.Refusal](err)
		if err != nil && (!refused || r.Line < 1 || r.Line > bytes.Count(text, []byte("\n"))+1) {
			t.Fatalf("refused with %v", err)
		}
		if _, again := gcodefile.Check(bytes.NewReader(text), options(limits())); (again == nil) != (err == nil) {
			t.Fatalf("a program is %v, its check %v", err, again)
		}
	})
}
