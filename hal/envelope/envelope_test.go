package envelope

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/unit"

	"pgregory.net/rapid"
)

const mm = unit.Millimetre

func testLimits() Limits {
	return Limits{
		Min: [3]unit.Length{-2 * mm, 0, 0}, Max: [3]unit.Length{220 * mm, 210 * mm, 250 * mm},
		HomedAt: [3]unit.Length{-2 * mm, 0, 0},
		MaxFeed: [3]unit.Speed{300_000, 200_000, 10_000}, MaxFeedE: 60_000, MaxE: 150 * mm, MaxAccel: 3000,
		HotEnd: Range{30_000, 260_000}, Bed: Range{25_000, 100_000}, MinExtrude: 170_000,
		Tools: 2, Fans: 1, CanLevel: true, MaxAdvance: time.Second, MaxDwell: time.Hour, MaxHotDwell: time.Minute,
	}
}

func program(ops ...motion.Op) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for _, op := range ops {
			if !yield(op, nil) {
				return
			}
		}
	}
}

// run returns the operations that pass and the error that ended them.
func run(l Limits, prog motion.Program) (passed []motion.Op, err error) {
	for op, e := range Check(l, prog) {
		if e != nil {
			return passed, e
		}
		passed = append(passed, op)
	}
	return passed, nil
}

func home() motion.Op { return motion.Op{Kind: motion.Home} }
func hot() motion.Op {
	return motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 200_000}
}
func feed(e unit.Length) motion.Op {
	return motion.Op{Kind: motion.Move, Axes: motion.E, E: e, Feed: 10_000}
}
func to(x, y, z unit.Length, e unit.Length, feed unit.Speed) motion.Op {
	op := motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y | motion.Z, To: [3]unit.Length{x, y, z}, E: e, Feed: feed}
	if e != 0 {
		op.Axes |= motion.E
	}
	return op
}

func TestGoodProgramPassesWhole(t *testing.T) {
	ops := []motion.Op{
		{Kind: motion.SetHeater, Heater: motion.Bed, Temp: 60_000}, home(), hot(),
		{Kind: motion.BeginLayer, To: [3]unit.Length{0, 0, mm / 5}},
		to(-2*mm, 0, mm/5, 0, 10_000), to(220*mm, 0, mm/5, 5*mm, 300_000),
		{Kind: motion.Move, Axes: motion.E, E: -150 * mm, Feed: 60_000},
		{Kind: motion.SetFan, Fan: 255}, {Kind: motion.SetAccel, Accel: 3000},
		{Kind: motion.Dwell, Wait: 50 * time.Second},
		{Kind: motion.SetHeater, Heater: motion.HotEnd}, {Kind: motion.SetHeater, Heater: motion.Bed},
		{Kind: motion.MotorsOff},
	}
	passed, err := run(testLimits(), program(ops...))
	if err != nil || len(passed) != len(ops) {
		t.Fatalf("%d of %d operations passed: %v", len(passed), len(ops), err)
	}
}

// TestEachRule seeds one violation of every kind behind a good beginning.
func TestEachRule(t *testing.T) {
	cases := []struct {
		name string
		rule Rule
		ops  []motion.Op
	}{
		{"unknown kind", RuleKind, []motion.Op{{Kind: 99}}},
		{"zero op", RuleKind, []motion.Op{{}}},
		{"unknown axis", RuleKind, []motion.Op{home(), {Kind: motion.Move, Axes: 1 << 6, Feed: 1000}}},
		{"no axis", RuleKind, []motion.Op{home(), {Kind: motion.Move, Feed: 1000}}},
		{"filament without its axis", RuleKind, []motion.Op{home(), hot(), {Kind: motion.Move, Axes: motion.X, E: mm, Feed: 1000}}},
		{"homing of E", RuleKind, []motion.Op{{Kind: motion.Home, Axes: motion.E}}},
		{"unknown heater", RuleKind, []motion.Op{{Kind: motion.SetHeater, Heater: 5, Temp: 50_000}}},
		{"heater of a missing tool", RuleKind, []motion.Op{{Kind: motion.SetHeater, Heater: motion.HotEnd + 2, Temp: 200_000}}},
		{"absent chamber", RuleKind, []motion.Op{{Kind: motion.SetHeater, Heater: motion.Chamber, Temp: 50_000}}},
		{"missing tool", RuleKind, []motion.Op{home(), {Kind: motion.Move, Axes: motion.X, Tool: 2, Feed: 1000}}},
		{"missing fan", RuleKind, []motion.Op{{Kind: motion.SetFan, Index: 1}}},
		{"left of the volume", RuleVolume, []motion.Op{home(), to(-2*mm-1, 0, 0, 0, 1000)}},
		{"behind the volume", RuleVolume, []motion.Op{home(), to(0, 210*mm+1, 0, 0, 1000)}},
		{"under the bed", RuleVolume, []motion.Op{home(), to(0, 0, -1, 0, 1000)}},
		{"layer above the volume", RuleVolume, []motion.Op{{Kind: motion.BeginLayer, To: [3]unit.Length{0, 0, 251 * mm}}}},
		{"no feed", RuleFeed, []motion.Op{home(), to(mm, 0, 0, 0, 0)}},
		{"Z too fast", RuleFeed, []motion.Op{home(), to(-2*mm, 0, mm, 0, 10_001)}},
		{"Z too fast on a slope", RuleFeed, []motion.Op{home(), to(mm, 0, 3*mm, 0, 15_000)}},
		{"filament too fast", RuleFeed, []motion.Op{home(), hot(), {Kind: motion.Move, Axes: motion.E, E: mm, Feed: 60_001}}},
		{"filament too fast on a path", RuleFeed, []motion.Op{home(), hot(), to(8*mm, 0, 0, 20*mm, 50_000)}},
		{"no acceleration", RuleAccel, []motion.Op{{Kind: motion.SetAccel}}},
		{"too much acceleration", RuleAccel, []motion.Op{{Kind: motion.SetAccel, Accel: 3001}}},
		{"bed too hot", RuleHeat, []motion.Op{{Kind: motion.SetHeater, Heater: motion.Bed, Temp: 100_001}}},
		{"wait for ice", RuleHeat, []motion.Op{{Kind: motion.WaitHeater, Heater: motion.Bed, Temp: 5_000}}},
		{"negative heat", RuleHeat, []motion.Op{{Kind: motion.SetHeater, Heater: motion.HotEnd, Temp: -1}}},
		{"cold filament", RuleCold, []motion.Op{home(), to(mm, 0, 0, mm, 1000)}},
		{"set but not waited for", RuleCold, []motion.Op{home(), {Kind: motion.SetHeater, Heater: motion.HotEnd, Temp: 200_000}, to(mm, 0, 0, mm, 1000)}},
		{"waited, but below extrusion", RuleCold, []motion.Op{home(), {Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 169_999}, to(mm, 0, 0, mm, 1000)}},
		{"cooled down again", RuleCold, []motion.Op{home(), hot(), {Kind: motion.SetHeater, Heater: motion.HotEnd}, to(mm, 0, 0, -mm, 1000)}},
		{"other tool is hot", RuleCold, []motion.Op{home(), hot(), {Kind: motion.Move, Tool: 1, Axes: motion.E, E: mm, Feed: 1000}}},
		{"move before homing", RuleHoming, []motion.Op{to(0, 0, 0, 0, 1000)}},
		{"Z before its homing", RuleHoming, []motion.Op{{Kind: motion.Home, Axes: motion.X | motion.Y}, to(0, 0, 0, 0, 1000)}},
		{"filament before homing", RuleHoming, []motion.Op{hot(), {Kind: motion.Move, Axes: motion.E, E: mm, Feed: 1000}}},
		{"motors off forgets", RuleHoming, []motion.Op{home(), {Kind: motion.MotorsOff}, to(0, 0, 0, 0, 1000)}},
		{"long hot pause", RuleDwell, []motion.Op{hot(), {Kind: motion.Dwell, Wait: time.Minute + 1}}},
		{"long hot pause in parts", RuleDwell, []motion.Op{hot(), {Kind: motion.Dwell, Wait: time.Minute}, {Kind: motion.Dwell, Wait: 1}}},
		{"negative pause", RuleDwell, []motion.Op{{Kind: motion.Dwell, Wait: -1}}},
		{"long cold pause", RuleDwell, []motion.Op{{Kind: motion.Dwell, Wait: time.Hour + 1}}},
		{"hot travel without end", RuleDwell, []motion.Op{home(), hot(), to(10*mm, 0, 0, 0, 1000), to(0, 0, 0, 0, 250), to(10*mm, 0, 0, 0, 1000)}},
		{"a move that is a pause", RuleDwell, []motion.Op{home(), hot(), to(10*mm, 0, 0, mm/100, 150)}},
		{"filament back and forth", RuleDwell, []motion.Op{home(), hot(), feed(-mm), {Kind: motion.Dwell, Wait: time.Minute / 2}, feed(mm), {Kind: motion.Dwell, Wait: time.Minute / 2}}},
		{"a crumb of filament", RuleDwell, []motion.Op{home(), hot(), {Kind: motion.Dwell, Wait: 50 * time.Second}, feed(mm / 10), {Kind: motion.Dwell, Wait: 20 * time.Second}}},
		{"homing without end", RuleDwell, append([]motion.Op{hot()}, slices.Repeat([]motion.Op{home()}, MaxWaits)...)},
		{"off and on again", RuleDwell, []motion.Op{hot(), {Kind: motion.Dwell, Wait: 50 * time.Second}, {Kind: motion.SetHeater, Heater: motion.HotEnd}, hot(), {Kind: motion.Dwell, Wait: 50 * time.Second}}},
		{"off for a moment", RuleDwell, []motion.Op{hot(), {Kind: motion.Dwell, Wait: 50 * time.Second}, {Kind: motion.SetHeater, Heater: motion.HotEnd},
			{Kind: motion.Dwell, Wait: 30 * time.Second}, hot(), {Kind: motion.Dwell, Wait: 50 * time.Second}}},
		{"homing without end, off and on", RuleDwell, append([]motion.Op{hot()}, append(slices.Repeat([]motion.Op{home()}, MaxWaits-1),
			motion.Op{Kind: motion.SetHeater, Heater: motion.HotEnd}, hot())...)},
		{"commands without end", RuleDwell, append([]motion.Op{hot()}, slices.Repeat([]motion.Op{{Kind: motion.SetFan}}, 6002)...)},
		{"moves of nothing without end", RuleDwell, append([]motion.Op{home(), hot()}, slices.Repeat([]motion.Op{to(-2*mm, 0, 0, 0, 17)}, 5998)...)},
		{"levelling that there is not", RuleKind, []motion.Op{home(), {Kind: motion.Level, Index: 2}}},
		{"levelling before homing", RuleHoming, []motion.Op{{Kind: motion.Level}}},
		{"too fast from nowhere", RuleFeed, []motion.Op{home(), {Kind: motion.Level}, to(0, 0, mm, 0, 10_001)}},
		{"filament from nowhere", RuleLost, []motion.Op{home(), hot(), {Kind: motion.Level}, to(0, 0, mm, mm, 1000)}},
		{"filament from another tool's place", RuleLost, []motion.Op{home(), hot(), {Kind: motion.WaitHeater, Heater: motion.HotEnd + 1, Temp: 200_000},
			to(0, 0, mm, 0, 1000), {Kind: motion.Move, Tool: 1, Axes: motion.X | motion.E, E: mm, Feed: 1000}}},
		{"too fast in whole mm/min", RuleFeed, []motion.Op{home(), hot(), to(-2*mm+mm/1000, 0, 0, 3700*(mm/1000), 16)}},
		{"advance", RuleAdvance, []motion.Op{{Kind: motion.SetAdvance, Wait: time.Second + 1}}},
		{"advance of a missing tool", RuleAdvance, []motion.Op{{Kind: motion.SetAdvance, Tool: 2}}},
		{"motors that there are not", RuleKind, []motion.Op{{Kind: motion.MotorsOff, Axes: 1 << 5}}},
		{"a coil at once", RuleFilament, []motion.Op{home(), hot(), {Kind: motion.Move, Axes: motion.E, E: -150*mm - 1, Feed: 1000}}},
	}
	seen := map[Rule]bool{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			passed, err := run(testLimits(), program(append(c.ops, motion.Op{Kind: motion.SetFan})...))
			v, ok := errors.AsType[*Violation](err)
			if !ok || v.Rule != c.rule || !errors.Is(err, hal.ErrEnvelope) {
				t.Fatalf("got %v, want rule %v", err, c.rule)
			}
			if len(passed) != len(c.ops)-1 {
				t.Fatalf("%d operations passed, want the %d before the violation", len(passed), len(c.ops)-1)
			}
			if !strings.Contains(err.Error(), c.rule.String()) || !strings.Contains(err.Error(), v.Kind.String()) {
				t.Errorf("%q names neither limit nor operation", err)
			}
		})
		seen[c.rule] = true
	}
	for r := RuleKind; r <= RuleLost; r++ {
		if !seen[r] {
			t.Errorf("no case for rule %v", r)
		}
	}
}

// TestErrorHidesDesign plants odd numbers and looks for them in the message.
func TestErrorHidesDesign(t *testing.T) {
	_, err := run(testLimits(), program(home(), to(123_456*unit.Length(1), 777*mm, 4321, 0, 98_765)))
	for _, s := range []string{"777", "123456", "98765", "98.765", "4321"} {
		if strings.Contains(err.Error(), s) {
			t.Errorf("%q tells %s", err, s)
		}
	}
	if v, _ := errors.AsType[*Violation](err); v == nil || v.Rule != RuleVolume {
		t.Errorf("got %v", err)
	}
}

// TestHotTimeIsTimeWithoutFilament: what a print does all day is no pause.
func TestHotTimeIsTimeWithoutFilament(t *testing.T) {
	ops := []motion.Op{home(), hot(), {Kind: motion.Level},
		{Kind: motion.Move, Axes: motion.Z, To: [3]unit.Length{0, 0, mm}, Feed: 10_000}, to(0, 0, mm, 0, 100_000)}
	for range 30 {
		ops = append(ops, to(200*mm, 0, mm, 10*mm, 20_000), feed(-mm), to(0, 0, mm, 0, 100_000), feed(mm), home(),
			motion.Op{Kind: motion.Dwell, Wait: 20 * time.Second})
	}
	if passed, err := run(testLimits(), program(ops...)); err != nil {
		t.Fatalf("after %d operations: %v", len(passed), err)
	}
	ops = []motion.Op{{Kind: motion.Dwell, Wait: time.Hour}, home(), {Kind: motion.Dwell, Wait: time.Hour}, hot(),
		{Kind: motion.Dwell, Wait: 50 * time.Second}, {Kind: motion.SetHeater, Heater: motion.HotEnd}, {Kind: motion.Dwell, Wait: time.Hour},
		hot(), {Kind: motion.Dwell, Wait: time.Minute}, {Kind: motion.SetHeater, Heater: motion.HotEnd}} // it has cooled down in between
	if passed, err := run(testLimits(), program(ops...)); err != nil {
		t.Fatalf("after %d operations: %v", len(passed), err)
	}
}

// TestWhereLevellingEnds: where a board says it, moves are judged from there.
func TestWhereLevellingEnds(t *testing.T) {
	l := testLimits()
	ops := []motion.Op{home(), hot(), {Kind: motion.Level}, {Kind: motion.Move, Axes: motion.X | motion.E, To: [3]unit.Length{60 * mm}, E: 9 * mm, Feed: 16_667}}
	if _, err := run(l, program(ops...)); err == nil {
		t.Error("control: filament from nowhere")
	}
	l.Levelled, l.LevelledAt = true, [3]unit.Length{mm / 5, 0, mm / 5}
	if _, err := run(l, program(ops...)); err != nil {
		t.Errorf("filament from where levelling ends: %v", err)
	}
	ops[2].Index = 1
	if _, err := run(l, program(ops...)); err == nil {
		t.Error("filament from where an earlier levelling ended")
	}
}

func TestErrorsOfTheProgramPassThrough(t *testing.T) {
	own := errors.New("out of paper")
	_, err := run(testLimits(), func(yield func(motion.Op, error) bool) { yield(motion.Op{}, own) })
	if !errors.Is(err, own) {
		t.Fatalf("got %v", err)
	}
}

func TestRangingTwiceStartsAnew(t *testing.T) {
	p := Check(testLimits(), program(to(0, 0, 0, 0, 1000)))
	for range 2 {
		for _, err := range p {
			if v, _ := errors.AsType[*Violation](err); v == nil || v.Rule != RuleHoming {
				t.Fatalf("got %v", err)
			}
		}
	}
}

// judge is a second opinion, written from the machine's side: it replays what
// passed and says whether the machine ever left its envelope.
func judge(l Limits, ops []motion.Op) string {
	pos, known := l.HomedAt, [3]bool{}
	temp := map[motion.Heater]unit.Celsius{}
	reached := map[motion.Heater]unit.Celsius{}
	for _, op := range ops {
		switch op.Kind {
		case motion.Home:
			for i, a := range []motion.Axes{motion.X, motion.Y, motion.Z} {
				if op.Axes == 0 || op.Has(a) {
					pos[i], known[i] = l.HomedAt[i], true
				}
			}
		case motion.MotorsOff:
			for i, a := range []motion.Axes{motion.X, motion.Y, motion.Z} {
				known[i] = known[i] && op.Axes != 0 && !op.Has(a)
			}
		case motion.SetHeater, motion.WaitHeater:
			if op.Temp > 260_000 || op.Heater == motion.Bed && op.Temp > 100_000 {
				return "too hot"
			}
			temp[op.Heater] = op.Temp
			if op.Kind == motion.WaitHeater {
				reached[op.Heater] = op.Temp
			} else {
				reached[op.Heater] = min(reached[op.Heater], op.Temp)
			}
		case motion.ArcLeft, motion.ArcRight:
			if !l.Arcs || !known[0] || !known[1] {
				return "an arc from nowhere"
			}
			for c := range op.Chords(pos, mm/4) {
				for i := range 2 {
					if c.To[i] < l.Min[i] || c.To[i] > l.Max[i] {
						return "outside"
					}
				}
			}
			if op.Has(motion.Z) && (op.To[2] < l.Min[2] || op.To[2] > l.Max[2]) {
				return "outside"
			}
			if max(op.Feed, 1) > min(l.MaxFeed[0], l.MaxFeed[1]) {
				return "too fast"
			}
			if op.E != 0 && (temp[motion.HotEnd+motion.Heater(op.Tool)] < l.MinExtrude || reached[motion.HotEnd+motion.Heater(op.Tool)] < l.MinExtrude) {
				return "cold"
			}
			pos[0], pos[1] = op.To[0], op.To[1]
			if op.Has(motion.Z) {
				pos[2] = op.To[2]
			}
		case motion.Move:
			next, length := pos, 0.0
			for i, a := range []motion.Axes{motion.X, motion.Y, motion.Z} {
				if op.Has(a) {
					if !known[i] {
						return "moved blindly"
					}
					next[i] = op.To[i]
				}
				if known[i] && (next[i] > l.Max[i] || next[i] < l.Min[i]) && next[i] != l.HomedAt[i] {
					return "outside"
				}
				length = math.Hypot(length, (next[i] - pos[i]).MM())
			}
			if length > 0 {
				seconds := length / op.Feed.MMPerSecond()
				for i := range next {
					if math.Abs((next[i]-pos[i]).MM())/seconds > l.MaxFeed[i].MMPerSecond()*1.0001 {
						return "too fast"
					}
				}
			}
			if op.E != 0 && (temp[motion.HotEnd+motion.Heater(op.Tool)] < l.MinExtrude || reached[motion.HotEnd+motion.Heater(op.Tool)] < l.MinExtrude) {
				return "cold"
			}
			pos = next
		}
	}
	return ""
}

func anyOp(t *rapid.T) motion.Op {
	length := rapid.Custom(func(t *rapid.T) unit.Length {
		return unit.Length(rapid.Int32Range(-10, 260).Draw(t, "mm")) * mm
	})
	return motion.Op{
		Kind:   motion.Kind(rapid.Uint8Range(0, uint8(motion.ArcRight)+1).Draw(t, "kind")),
		Axes:   motion.Axes(rapid.Uint8Range(0, 17).Draw(t, "axes")),
		Tool:   rapid.Uint8Range(0, 2).Draw(t, "tool"),
		Heater: rapid.SampledFrom([]motion.Heater{0, 1, 3, 8, 9, 10}).Draw(t, "heater"),
		Index:  rapid.Uint8Range(0, 2).Draw(t, "fan"),
		To:     [3]unit.Length{length.Draw(t, "x"), length.Draw(t, "y"), length.Draw(t, "z")},
		E:      rapid.SampledFrom([]unit.Length{0, 0, mm, -mm, 200 * mm}).Draw(t, "e"),
		Feed:   unit.Speed(rapid.SampledFrom([]int32{0, 1000, 9000, 60_000, 400_000}).Draw(t, "feed")),
		Accel:  unit.Accel(rapid.Int32Range(-1, 4000).Draw(t, "accel")),
		Temp:   unit.Celsius(rapid.SampledFrom([]int32{0, 60_000, 168_000, 200_000, 300_000}).Draw(t, "temp")),
		Wait:   time.Duration(rapid.Int64Range(-1, 90).Draw(t, "wait")) * time.Second,
		Centre: [2]unit.Length{length.Draw(t, "centre x"), length.Draw(t, "centre y")},
	}
}

// TestArcs: an arc passes where all of it is inside, as fast as both axes can go, and
// only on a machine that takes arcs, from a place that it was told.
func TestArcs(t *testing.T) {
	l := testLimits()
	l.Arcs = true
	at := func(x, y unit.Length) motion.Op { return to(x, y, mm, 0, 100_000) }
	arc := func(k motion.Kind, x, y, cx, cy unit.Length, feed unit.Speed) motion.Op {
		return motion.Op{Kind: k, Axes: motion.X | motion.Y | motion.E, To: [3]unit.Length{x, y}, Centre: [2]unit.Length{cx, cy}, E: mm, Feed: feed}
	}
	half := arc(motion.ArcLeft, 100*mm, 120*mm, 100*mm, 110*mm, 100_000)
	none := l
	none.Arcs = false
	for name, c := range map[string]struct {
		l    Limits
		ops  []motion.Op
		rule Rule
	}{
		"half a circle":          {l, []motion.Op{at(100*mm, 100*mm), half}, 0},
		"a full turn":            {l, []motion.Op{at(100*mm, 100*mm), arc(motion.ArcRight, 100*mm, 100*mm, 90*mm, 100*mm, 100_000)}, 0},
		"no arcs":                {none, []motion.Op{at(100*mm, 100*mm), half}, RuleArc},
		"never told":             {l, []motion.Op{half}, RuleLost},
		"told before homing":     {l, []motion.Op{at(100*mm, 100*mm), home(), half}, RuleLost},
		"no circle":              {l, []motion.Op{at(100*mm, 100*mm), arc(motion.ArcLeft, 100*mm, 120*mm, 100*mm, 109*mm, 100_000)}, RuleArc},
		"out and back":           {l, []motion.Op{at(215*mm, 100*mm), arc(motion.ArcLeft, 215*mm, 120*mm, 215*mm, 110*mm, 100_000)}, RuleVolume},
		"the other way is fine":  {l, []motion.Op{at(215*mm, 100*mm), arc(motion.ArcRight, 215*mm, 120*mm, 215*mm, 110*mm, 100_000)}, 0},
		"one axis is too fast":   {l, []motion.Op{at(100*mm, 100*mm), arc(motion.ArcLeft, 100*mm, 120*mm, 100*mm, 110*mm, 250_000)}, RuleFeed},
		"too much filament":      {l, []motion.Op{at(100*mm, 100*mm), func() motion.Op { op := half; op.E = 151 * mm; return op }()}, RuleFilament},
		"too fast for filament":  {l, []motion.Op{at(100*mm, 100*mm), func() motion.Op { op := half; op.E = 100 * mm; return op }()}, RuleFeed},
		"and from where it ends": {l, []motion.Op{at(100*mm, 100*mm), half, arc(motion.ArcLeft, 100*mm, 100*mm, 100*mm, 110*mm, 100_000)}, 0},
	} {
		_, err := run(c.l, program(append([]motion.Op{home(), hot()}, c.ops...)...))
		var v *Violation
		if errors.As(err, &v); err == nil && c.rule != 0 || err != nil && (v == nil || v.Rule != c.rule) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fast := arc(motion.ArcLeft, 100*mm, 120*mm, 100*mm, 110*mm, 250_000)
	if fitted, err := run(l, Fit(l, program(home(), hot(), at(100*mm, 100*mm), fast))); err != nil || fitted[3].Feed > 200_000 || fitted[3].Feed < 199_000 {
		t.Errorf("fitted: %v", err)
	}
}

// TestNothingAcceptedLeavesTheEnvelope lets random programs through operation by
// operation, skipping what is refused, so that long runs are accepted. The control
// puts one refused operation back and demands that the judge sees some of them.
func TestNothingAcceptedLeavesTheEnvelope(t *testing.T) {
	l := testLimits()
	l.Arcs = true
	accepted, caught := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		ok := []motion.Op{home(), hot()}
		for range 20 {
			op := anyOp(t)
			if passed, err := run(l, program(append(ok, op)...)); err == nil {
				ok = passed
			} else if judge(l, append(ok[:len(ok):len(ok)], op)) != "" {
				caught++
			}
		}
		accepted += len(ok) - 2
		if why := judge(l, ok); why != "" {
			t.Fatalf("an accepted program is %s", why)
		}
	})
	if accepted == 0 || caught == 0 {
		t.Fatalf("%d accepted, %d seeded violations caught: the test proves nothing", accepted, caught)
	}
}

func TestNoAllocationPerOp(t *testing.T) {
	g := newGuard(testLimits())
	g.check(home())
	g.check(hot())
	op := to(mm, mm, mm, mm/10, 5000)
	if n := testing.AllocsPerRun(100, func() { g.check(op) }); n != 0 {
		t.Errorf("%v allocations an operation", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	g := newGuard(testLimits())
	g.check(home())
	g.check(hot())
	op := to(mm, mm, mm, mm/10, 5000)
	for b.Loop() {
		g.check(op)
	}
}
