package gcodefile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"platen/hal"
	"platen/hal/envelope"
	"platen/hal/motion"
	"platen/hal/unit"

	"github.com/google/go-cmp/cmp"
)

const mmL = unit.Millimetre

func limits() envelope.Limits {
	return envelope.Limits{
		Max: [3]unit.Length{220 * mmL, 210 * mmL, 250 * mmL}, HomedAt: [3]unit.Length{0, 0, 0},
		MaxFeed: [3]unit.Speed{300_000, 200_000, 10_000}, MaxFeedE: 60_000, MaxE: 150 * mmL, MaxAccel: 3000,
		HotEnd: envelope.Range{Min: 30_000, Max: 260_000}, Bed: envelope.Range{Min: 25_000, Max: 100_000}, MinExtrude: 170_000,
		Tools: 2, Fans: 1, CanLevel: true, MaxAdvance: time.Second, MaxDwell: time.Hour, MaxHotDwell: 5 * time.Minute,
	}
}

func options() Options {
	return Options{Limits: limits(), Nozzle: unit.Micrometres(400), Models: []string{"MK3S", "302"}, Retract: 2 * mmL, RetractFeed: 25_000}
}

// ops returns what a text is read as.
func ops(text string) (all []motion.Op, err error) {
	for op, e := range New(strings.NewReader(text), options()).Ops() {
		if e != nil {
			return all, e
		}
		all = append(all, op)
	}
	return all, nil
}

const begin = "G28\nM109 S210\n"

func move(axes motion.Axes, x, y, z, e float64, feed unit.Speed) motion.Op {
	l := func(v float64) unit.Length { u, _ := unit.FromMM(v); return u }
	op := motion.Op{Kind: motion.Move, Axes: axes, E: l(e), Feed: feed}
	for i, v := range []float64{x, y, z} {
		if op.Has(axisOf[i]) {
			op.To[i] = l(v)
		}
	}
	switch {
	case axes == motion.E || e < 0:
		op.Role = motion.Retraction
	case e > 0:
		op.Role = motion.Infill
	}
	return op
}

func of(tool uint8, op motion.Op) motion.Op {
	op.Tool = tool
	return op
}

const xy, xye = motion.X | motion.Y, motion.X | motion.Y | motion.E

// TestCommands reads each command that is known.
func TestCommands(t *testing.T) {
	hotEnd := func(kind motion.Kind, temp unit.Celsius) motion.Op {
		return motion.Op{Kind: kind, Heater: motion.HotEnd, Temp: temp}
	}
	for _, c := range []struct {
		text string
		want []motion.Op
	}{
		{"", nil},
		{"; nothing\n\n \t \r\n;\n", nil},
		{"\xEF\xBB\xBFG1 X1 F60", []motion.Op{move(motion.X, 1, 0, 0, 0, 1000)}},
		{"G1 F1800\nG0 X10 Y20.5 ; there\r\n  G00 Z.5\n", []motion.Op{move(xy, 10, 20.5, 0, 0, 30_000), move(motion.Z, 0, 0, .5, 0, 30_000)}},
		{"G1X10Y20F60", []motion.Op{move(xy, 10, 20, 0, 0, 1000)}},
		{"G1 X-0.125 F60.0", []motion.Op{move(motion.X, -0.125, 0, 0, 0, 1000)}},
		{"G1 F60 E1\nG1 E3 X1\nG92 E0\nG1 E1", []motion.Op{move(motion.E, 0, 0, 0, 1, 1000), move(motion.X|motion.E, 1, 0, 0, 2, 1000), move(motion.E, 0, 0, 0, 1, 1000)}},
		{"M83\nG1 F60 E1\nG1 E-1\nG92 E0\nG1 E0", []motion.Op{move(motion.E, 0, 0, 0, 1, 1000), move(motion.E, 0, 0, 0, -1, 1000)}},
		{"G28\nG91\nG1 X10 E1 F60\nG1 X5 E1\nG90\nG1 X5", []motion.Op{{Kind: motion.Home}, move(motion.X|motion.E, 10, 0, 0, 1, 1000), move(motion.X|motion.E, 15, 0, 0, 1, 1000), move(motion.X, 5, 0, 0, 0, 1000)}},
		{"G20\nG1 X1 F10\nG21\nG1 X1", []motion.Op{move(motion.X, 25.4, 0, 0, 0, 4233), move(motion.X, 1, 0, 0, 0, 4233)}},
		{"G28 X0 Y0\nG28 W\nG28 Z", []motion.Op{{Kind: motion.Home, Axes: xy}, {Kind: motion.Home}, {Kind: motion.Home, Axes: motion.Z}}},
		{"G28\nG92 X0 Y0\nG92", []motion.Op{{Kind: motion.Home}}},
		{"G29\nG32\nG80 X1 Y2 W3 H4\nM420 S1", []motion.Op{{Kind: motion.Level}, {Kind: motion.Level}, {Kind: motion.Level}, {Kind: motion.Level, Index: 1}}},
		{"G4 P1500\nG4 S2.5\nG4\nM400", []motion.Op{{Kind: motion.Dwell, Wait: 1500 * time.Millisecond}, {Kind: motion.Dwell, Wait: 2500 * time.Millisecond}, {Kind: motion.Dwell}, {Kind: motion.Dwell}}},
		{"G10\nT1\nG11\nG10\nT0\nG10\nG11\n", []motion.Op{move(motion.E, 0, 0, 0, -2, 25_000), of(1, move(motion.E, 0, 0, 0, -2, 25_000)), move(motion.E, 0, 0, 0, 2, 25_000)}},
		{";" + strings.Repeat("x", 1<<14-2) + "\r\nG1 X1 F60\r\n", []motion.Op{move(motion.X, 1, 0, 0, 0, 1000)}},
		{"G10\nG10\nG11\nM207 S1 F600\nG10", []motion.Op{move(motion.E, 0, 0, 0, -2, 25_000), move(motion.E, 0, 0, 0, 2, 25_000), move(motion.E, 0, 0, 0, -1, 10_000)}},
		{"M104 S210\nM109\nM109 R200.5\nM104 S0", []motion.Op{hotEnd(motion.SetHeater, 210_000), hotEnd(motion.WaitHeater, 210_000), hotEnd(motion.WaitHeater, 200_500), hotEnd(motion.SetHeater, 0)}},
		{"M109 S210\nM109 R205", []motion.Op{{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 210_000, Index: motion.WaitWarm}, hotEnd(motion.WaitHeater, 205_000)}},
		{"M104 T1 S210\nT1\nM104 S200\nG1 F60 X1", []motion.Op{{Kind: motion.SetHeater, Heater: motion.HotEnd + 1, Temp: 210_000}, {Kind: motion.SetHeater, Heater: motion.HotEnd + 1, Temp: 200_000, Tool: 1},
			{Kind: motion.Move, Axes: motion.X, To: [3]unit.Length{mmL}, Feed: 1000, Tool: 1}}},
		{"M140 S60\nM190 S60\nM141 S0\nM190 R50", []motion.Op{{Kind: motion.SetHeater, Temp: 60_000}, {Kind: motion.WaitHeater, Temp: 60_000, Index: motion.WaitWarm}, {Kind: motion.WaitHeater, Temp: 50_000}}},
		{"M106\nM106 S127.5\nM107\nM106 P0 S1\nM106 P3 S0", []motion.Op{{Kind: motion.SetFan, Fan: 255}, {Kind: motion.SetFan, Fan: 128}, {Kind: motion.SetFan}, {Kind: motion.SetFan, Fan: 1}}},
		{"M204 S1000\nM204 P800 T1500\nM204 T1500", []motion.Op{{Kind: motion.SetAccel, Accel: 1000}, {Kind: motion.SetAccel, Accel: 800}}},
		{"M220 S50\nM221 S200\nM83\nG1 X1 E1 F60", []motion.Op{move(motion.X|motion.E, 1, 0, 0, 2, 500)}},
		{"M900 K0.05\nM572 D1 S0", []motion.Op{{Kind: motion.SetAdvance, Wait: 50 * time.Millisecond}, {Kind: motion.SetAdvance, Tool: 1}}},
		{"M84\nM18 X Y E", []motion.Op{{Kind: motion.MotorsOff}, {Kind: motion.MotorsOff, Axes: xye}}},
		{"M0\nM1 Change it!\nM600\nM601", []motion.Op{{Kind: motion.Pause}, {Kind: motion.Pause}, {Kind: motion.Pause}, {Kind: motion.Pause}}},
		{"M862.1 P0.4 A0 F0\nM862.2 P302\nM862.3 P \"MK3S\"\nM862.4 P3.9.1\nM115 U3.14.0", nil},
		{"M73 P0 R10\nM117 Hello * N5 M104 S300\nM118 x\nM105\nM114\nM17\nM201 X9000 Y9000\nM203 X500\nM205 X8 Y8 Z0.4 E4.5\nM486 S1\nM555 X1 Y2 W3 H4\nM300 S440 P100\nG17\nM75 part\nM200 D0\nM907 E430\nM900 K30\nM862.1 P0.4", nil},
		{"G28\nG1 Z0.2 F600\n;LAYER_CHANGE\n;Z:0.4\n;TYPE:External perimeter\nM83\nG1 X5 E1\n;LAYER:7\n;TYPE:FILL\nG1 X6 E1\nG1 X7 E-1", []motion.Op{{Kind: motion.Home}, move(motion.Z, 0, 0, .2, 0, 10_000),
			{Kind: motion.BeginLayer, To: [3]unit.Length{2: unit.Micrometres(400)}}, {Kind: motion.Move, Axes: motion.X | motion.E, To: [3]unit.Length{5 * mmL}, E: mmL, Feed: 10_000, Role: motion.OuterWall},
			{Kind: motion.BeginLayer, Layer: 1, To: [3]unit.Length{2: unit.Micrometres(200)}}, move(motion.X|motion.E, 6, 0, 0, 1, 10_000), move(motion.X|motion.E, 7, 0, 0, -1, 10_000)}},
	} {
		got, err := ops(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
		} else if !cmp.Equal(got, c.want) {
			t.Errorf("%q: %s", c.text, cmp.Diff(c.want, got, cmp.Transformer("op", func(o motion.Op) map[string]any {
				return map[string]any{"kind": o.Kind, "axes": o.Axes, "role": o.Role, "tool": o.Tool, "heater": o.Heater, "index": o.Index, "fan": o.Fan,
					"layer": o.Layer, "to": fmt.Sprint(o.To), "e": int(o.E), "feed": int(o.Feed), "accel": int(o.Accel), "temp": int(o.Temp), "wait": o.Wait}
			})))
		}
	}
}

// TestRefused seeds what must not pass behind a good beginning. Among it is all of
// T17.
func TestRefused(t *testing.T) {
	cases := map[Reason][]string{
		ReasonControl:  {"G1 X1\rM302 P1", "G1 X1\x00", "; x\rM104 S300", "M117 \x1b[2J", "; \x00"},
		ReasonLong:     {"G1 X" + strings.Repeat("0", 300), "M117 " + strings.Repeat("a", 20_000)},
		ReasonNumbered: {"N1 G1 X1", "N10 G1 X1*99", "*12", "G1 X1 N5", "G1 X1*5", "N-1 M110", "N5"},
		ReasonSyntax: {"start_print", "G1 X0x10", "g1 x1", "G", "M", "T", "Tx", "T?", "X1 Y1", "G1 x1", "G1 (comment)", "(comment)", "@pause", "%", "$H", "G1 \xc3\x97", "\xc2\xa0G1 X1",
			"SET_VELOCITY_LIMIT ACCEL=100", "EXCLUDE_OBJECT", "G-1", "Gx", "M 104 S200", "G1 ,X1", "G1 =", "/G1 X1", "G1 X1 #"},
		ReasonNumber: {"G1 X1e999", "G1 X1E9", "G1 X--1", "G1 X.", "G1 X+", "G1 X1.2.3", "G1 X" + strings.Repeat("9", 40), "G1 X1000000000", "G1 X99999", "G1 Xnan", "G1 F0",
			"G1 F-5", "M104 S99999999", "M106 S256", "M106 S-1", "M106 P1.5", "M204 P0", "M204 P-1", "G4 P-1", "G4 S-1", "M220 S0", "M220 S1000", "M221 S-5", "M900 K-1", "M900",
			"G1.25 X1", "G92 E1e5", "M999999 S1", "G4 S1 P1", "M106 S", "G2 X1 Y1 I J1", "M109 S1e3"},
		ReasonWord: {"G1 X1 X2", "G1 X1 S255", "G1 X Y", "G1 X1 P2", "G1 X1 G1 Y1", "M104", "M140", "M190", "M104 S", "M109 S200 R200", "M84 S0", "M18 S30", "G28 E", "G28 H", "G29 P1", "G4 X1",
			"G1 E", "M104 S200 M?", "M204 S1 P1", "M107 S0", "G10 L2", "G10 P0 S200", "M207 Z1", "M191", "M862.1", "M862.3 MK3S", "G90 X1", "T0 T1", "M221 S100 T1", "G1 A1", "M220 B", "M907 X1", "M200 D1.75", "M200 S1", "M106 S255 I1"},
		ReasonCommand: {"G5 X1", "G12", "G27", "G34", "G38.2 Z0", "G90.1", "M1234", "G999", "M862.9", "M48.5", "M6"},
		ReasonDanger: {"M302", "M302 P1", "M302 S0", "M303 E0 S200 C8", "M301 P1", "M304 P1", "M211 S0", "M500", "M501", "M502", "M504", "M906 X800", "M997", "M999", "M28 a.g", "M29", "M30 a.g", "M23 a.g", "M24",
			"M32 a.g", "M81", "M80", "M92 X80", "M110 N0", "M112", "M108", "M410", "M42 P1 S255", "M280 P0 S10", "M401", "M85 S0", "M113 S0", "M155 S1", "M575 P1 B9600", "M98 Pmacro", "M928 x", "M993", "M350 X16",
			"M420 S0", "M420", "M914 X0", "M569 S1", "M593 F0", "M260 A1", "M413 S0", "M86 S0", "G33"},
		ReasonOffset:   {"G92 X5", "G92 Z-0.1", "G92 Y1 E0", "M206 Z-5", "M428", "M218 T1 X5", "G54", "G55", "G53", "G92.1", "M851 Z-2", "M665 L1", "M666 X1", "M290 Z-1"},
		ReasonMode:     {"M83\nG90\nG1 F60 E1", "G91\nM82\nG1 F60 E1"},
		ReasonRelative: {"G29\nG91\nG1 X1 F60", "M84\nG91\nG1 X1 F60", "T1\nG91\nG1 X1 F60", "M84\nG2 X1 Y1 I1 F60", "M84 X\nG3 X1 Y1 I1 F60"},
		ReasonArc:      {"G2 X10 Y10 F60", "G2 I5 P2 F60", "G2 X10 Y10 I3 J1 F60", "G2 X10 I5 R5 F60", "G2 R5 F60", "G3 X30 R10 F60", "G2 X10 I0 J0 F60", "G2 I20000 F60"},
		ReasonMachine:  {"M862.1 P0.6", "M862.1 P0.4 F1", "M862.1 P0.4 A1 F0", "M862.3 P \"MK4\"", "M862.2 P120", "T2", "M104 T5 S200", "M900 K1 T7"},
		ReasonEnvelope: {"M104 S261", "M109 S-300", "M140 S101", "M141 S40", "G1 X221 F60", "G1 X-0.001 F60", "G1 Z-0.1 F60", "G1 X100 Y100 F3000\nG2 I115 F600", "G3 I-10 F600", "G3 X40 R20 F600", "G2 X40 R-25 F600", "G2 X1 Y1 I-3000 J3000 F60",
			"M109 S150\nM83\nG1 X1 E1 F60", "M104 S0\nM83\nG1 E1 F60", "M83\nG1 E151 F6000", "G4 S301", "G4 S200\nG4 S101", "G1 X200 F1", "M84\nG1 X1 F60", "M106 P1", "M106 S255 P9",
			"G91\nG1 X-1 F60", "M83\nG1 X.001 E10 F3000", "G1 X300 F60\n", "G20\nG1 X9 F60", strings.Repeat("M109 S210\n", 20), strings.Repeat("G28\n", 20),
			strings.Repeat("G1 X200 F300\nG1 X0\n", 20)},
	}
	for r := ReasonControl; r <= ReasonEnvelope; r++ {
		if len(cases[r]) == 0 {
			t.Errorf("no case for %q", r)
		}
		for _, text := range cases[r] {
			n := 0
			var err error
			for op, e := range Program(strings.NewReader(begin+text+"\nM118 end\n"), options()) {
				if err = e; e == nil {
					n++
					_ = op
				}
			}
			v, ok := errors.AsType[*Refusal](err)
			if !ok || v.Reason != r || !errors.Is(err, hal.ErrEnvelope) {
				t.Errorf("%q: %v, want %q", text, err, r)
				continue
			}
			if most := 2 + strings.Count(text+"\n", "\n"); v.Line < 3 || v.Line > most {
				t.Errorf("%q: refused in line %d of %d", text, v.Line, most)
			}
			if _, err := Check(strings.NewReader(begin+text), options()); !cmp.Equal(err, error(v), cmp.AllowUnexported(Refusal{})) {
				t.Errorf("%q: Check says %v", text, err)
			}
		}
	}
	if _, err := Check(strings.NewReader(begin+"G1 X1 F60\n"), options()); err != nil {
		t.Errorf("control: %v", err)
	}
}

// TestLevelByOtherMeans puts a board's own G-code in the place of G29.
// TestRefusalNamesWhatItIsAbout: which of the things that a machine has is lacking.
func TestRefusalNamesWhatItIsAbout(t *testing.T) {
	o := options()
	o.Limits.CanLevel = false
	for text, want := range map[string]string{
		"G28\nG29\n": `line 2: the machine cannot do this: slice for this board, or correct its board file (level: limit "what the machine has")`,
		"M106 P3\n":  `(set-fan: limit "what the machine has")`,
		"G1 X1 X2\n": "the command does not take a word of this line, or takes it once, or lacks one: take the line out of the slicer's custom G-code",
	} {
		if _, err := Check(strings.NewReader(text), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	o = options() // where nobody knows where levelling ends
	_, err := Check(strings.NewReader(begin+"G29\nM83\nG1 X5 E1 F60\n"), o)
	if err == nil || !strings.Contains(err.Error(), "travel") || strings.Contains(err.Error(), "speed") {
		t.Errorf("filament after levelling: %v", err)
	}
	if _, err := Check(strings.NewReader(begin+"G29\nM83\nG1 X1 Y1 Z1 F600\nG1 X5 E1 F60\n"), o); err != nil {
		t.Errorf("after a travel: %v", err)
	}
}

func TestLevelByOtherMeans(t *testing.T) {
	o := options()
	o.Level = "G28 Z\nG29\nG91\nM83\nG1 Z5 F600\nG1 Z500"
	var kinds []motion.Kind
	text := "G28\nG1 X7 Y8 Z9 F3000\nG80\nG1 X1 Y2 Z3\nG91\nG1 Z-1\n"
	var last motion.Op
	for op, err := range New(strings.NewReader(text), o).Ops() {
		if err != nil {
			kinds = append(kinds, 0)
			break
		}
		kinds = append(kinds, op.Kind)
		last = op
	}
	if want := []motion.Kind{motion.Home, motion.Move, motion.Home, motion.Level, 0}; !cmp.Equal(kinds, want) {
		t.Errorf("relative after levelling: %v, want %v", kinds, want)
	}
	o.Level = "G28 Z\nG29\nG1 Z5 F600\nG91\nG1 Z500"
	kinds = nil
	for op, err := range New(strings.NewReader(text), o).Ops() {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, op.Kind)
		last = op
	}
	if want := []motion.Kind{motion.Home, motion.Move, motion.Home, motion.Level, motion.Move, motion.Move, motion.Move, motion.Move}; !cmp.Equal(kinds, want) {
		t.Errorf("%v, want %v", kinds, want)
	}
	if last.To[2] != 2*mmL || last.Feed != 50_000 {
		t.Errorf("afterwards to %v at %v", last.To[2], last.Feed)
	}
	o.Level = "M500"
	if _, err := Check(strings.NewReader(text), o); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("a bad macro: %v", err)
	}
}

// TestRefusalHidesDesign plants odd text and numbers and looks for them.
func TestRefusalHidesDesign(t *testing.T) {
	for _, line := range []string{"G1 X4242 F60", "SECRET_4242", "G1 Q4242", "M104 S4242", "N4242", "M862.3 P \"SECRET\"", "G2 X4242 R1"} {
		_, err := Check(strings.NewReader(begin+line), options())
		if err == nil {
			t.Fatalf("%q is accepted", line)
		}
		p := New(strings.NewReader(line), options())
		if text := fmt.Sprintf("%v %+v %#v %v %+v", err, err, err.Error(), p, p); strings.Contains(text, "4242") || strings.Contains(text, "SECRET") || !strings.Contains(text, "line 3") {
			t.Errorf("%q: %s", line, text)
		}
	}
}

func TestReadErrors(t *testing.T) {
	own := errors.New("the disk is on fire")
	_, err := Check(iotest.ErrReader(own), options())
	if v, _ := errors.AsType[*Refusal](err); v == nil || v.Reason != ReasonRead || !errors.Is(err, own) || errors.Is(err, hal.ErrEnvelope) {
		t.Errorf("got %v", err)
	}
	text := begin + strings.Repeat("; a long comment "+strings.Repeat("x", 50_000)+"\nG1 X1 Y1 F600\n", 3)
	for _, r := range []func() *Parser{
		func() *Parser { return New(iotest.OneByteReader(strings.NewReader(text)), options()) },
		func() *Parser { return New(iotest.DataErrReader(strings.NewReader(text)), options()) },
	} {
		n := 0
		p := r()
		for _, err := range p.Ops() {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 5 || p.Line() != 9 {
			t.Errorf("%d operations in %d lines", n, p.Line())
		}
	}
}

// TestFilamentDoesNotDrift adds up amounts that no length can hold exactly.
func TestFilamentDoesNotDrift(t *testing.T) {
	var b strings.Builder
	b.WriteString(begin + "M83\nG1 F600\n")
	for range 10_000 {
		b.WriteString("G1 E0.00001\n")
	}
	sum := unit.Length(0)
	for op, err := range New(strings.NewReader(b.String()), options()).Ops() {
		if err != nil {
			t.Fatal(err)
		}
		sum += op.E
	}
	if want := unit.Micrometres(100); sum != want {
		t.Errorf("0.1 mm in crumbs are %v", sum)
	}
}

func TestLooks(t *testing.T) {
	for text, want := range map[string]bool{
		";generated by": true, "\n\nG28": true, "M140 S60": true, "T0\n": true, "\xEF\xBB\xBF; x": true,
		"": false, "solid part": false, "# obj\nv 1 2 3": false, "g group": false, "PK\x03\x04": false, ";\x00\x00": false, "Model": false, "\n": false,
	} {
		if Looks([]byte(text)) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func printText(lines int) []byte {
	var b bytes.Buffer
	b.WriteString(begin + "M83\nG1 X10 Y10 Z0.2 F3000\n")
	for i := range lines {
		fmt.Fprintf(&b, "G1 X%d.%03d Y%d.%03d E.%05d ; wall\n", 10+i%100, i%1000, 10+i%90, i%997, 1000+i%500)
	}
	return b.Bytes()
}

func TestNoAllocationPerLine(t *testing.T) {
	text := printText(5000)
	if n := testing.AllocsPerRun(3, func() {
		if _, err := Check(bytes.NewReader(text), options()); err != nil {
			t.Fatal(err)
		}
	}); n > 50 {
		t.Errorf("%v allocations in 5,000 lines", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	text := printText(10_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Check(bytes.NewReader(text), options()); err != nil {
			b.Fatal(err)
		}
	}
}
