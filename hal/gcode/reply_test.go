package gcode

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/hal"
	"platen/hal/motion"

	"github.com/google/go-cmp/cmp"
)

func parse(text string) Reply {
	var r Reply
	Parse([]byte(text), &r)
	return r
}

func TestParseKinds(t *testing.T) {
	for text, want := range map[string]Reply{
		"":                           {Kind: Empty, Line: -1, Queue: -1},
		"  ":                         {Kind: Empty, Line: -1, Queue: -1},
		"ok":                         {Kind: OK, Line: -1, Queue: -1},
		"ok P15 B3":                  {Kind: OK, Line: -1, Queue: 3},
		"ok N27 P15 B3":              {Kind: OK, Line: 27, Queue: 3},
		"ok N2x P15 B3":              {Kind: OK, Line: -1, Queue: -1},
		"ok N9999999999":             {Kind: OK, Line: -1, Queue: -1},
		"okay":                       {Kind: Note, Line: -1, Queue: -1},
		"Resend: 8":                  {Kind: Resend, Line: 8, Queue: -1},
		"Resend:8":                   {Kind: Resend, Line: 8, Queue: -1},
		"Resend: N8":                 {Kind: Resend, Line: 8, Queue: -1},
		"rs 8":                       {Kind: Resend, Line: 8, Queue: -1},
		"Resend: 8x":                 {Kind: Garbage, Line: -1, Queue: -1},
		"Resend: ":                   {Kind: Garbage, Line: -1, Queue: -1},
		"start":                      {Kind: Start, Line: -1, Queue: -1},
		"start printing":             {Kind: Note, Line: -1, Queue: -1},
		"wait":                       {Kind: Wait, Line: -1, Queue: -1},
		"waiting":                    {Kind: Note, Line: -1, Queue: -1},
		"echo:busy: processing":      {Kind: Busy, Line: -1, Queue: -1},
		"echo:busy: paused for user": {Kind: Busy, Line: -1, Queue: -1},
		"//action:cancel":            {Kind: Action, Line: -1, Queue: -1},
		"FIRMWARE_NAME:Marlin 2.0.9": {Kind: Firmware, Line: -1, Queue: -1},
		"Cap:EEPROM:1":               {Kind: Cap, Line: -1, Queue: -1},
		"\x8f\xf0":                   {Kind: Garbage, Line: -1, Queue: -1},
		"o\x00k":                     {Kind: Garbage, Line: -1, Queue: -1},
		"X:1.00 Y:2.00 Z:3.00 E:0.00 Count X:80 Y:160 Z:1200": {Kind: Note, Line: -1, Queue: -1},
		"TM: error |1.240198|>1.200000":                       {Kind: Note, Line: -1, Queue: -1},
		"T:":                                                  {Kind: Note, Line: -1, Queue: -1},
		"T:9999.0 /0.0":                                       {Kind: Note, Line: -1, Queue: -1},
		"Error:checksum mismatch, Last Line: 1":               {Kind: Refusal, Line: -1, Queue: -1},
		"Error:Line Number is not Last Line Number+1, Last Line: 3": {Kind: Refusal, Line: -1, Queue: -1},
		"Error:No Checksum with line number, Last Line: 3":          {Kind: Refusal, Line: -1, Queue: -1},
		"echo:Unknown command: \"39 G1 MINTEMP kill() called\"":     {Kind: Note, Line: -1, Queue: -1},
		"echo:SD init fail": {Kind: Note, Line: -1, Queue: -1},
		"Error:MINTEMP triggered, system stopped! Heater_ID: E0":     {Kind: Fault, Fault: hal.FaultSensor, Line: -1, Queue: -1},
		": Extruder switched off. MAXTEMP triggered !":               {Kind: Fault, Fault: hal.FaultSensor, Line: -1, Queue: -1},
		"Error:0: Heaters switched off. MINTEMP triggered!":          {Kind: Fault, Fault: hal.FaultSensor, Line: -1, Queue: -1},
		"Error:Heating failed, system stopped! Heater_ID: E0":        {Kind: Fault, Fault: hal.FaultThermal, Line: -1, Queue: -1},
		"Error:Thermal Runaway, system stopped! Heater_ID: bed":      {Kind: Fault, Fault: hal.FaultThermal, Line: -1, Queue: -1},
		"Error: THERMAL RUNAWAY (PREHEAT HOTEND)":                    {Kind: Fault, Fault: hal.FaultThermal, Line: -1, Queue: -1},
		"echo: cold extrusion prevented":                             {Kind: Fault, Fault: hal.FaultThermal, Line: -1, Queue: -1},
		"echo:Homing Failed":                                         {Kind: Fault, Fault: hal.FaultEndstop, Line: -1, Queue: -1},
		"Error:Printer halted. kill() called!":                       {Kind: Fault, Fault: hal.FaultController, Line: -1, Queue: -1},
		"Error:Printer stopped due to errors. Supervision required.": {Kind: Fault, Fault: hal.FaultController, Line: -1, Queue: -1},
		"echo:M112 Shutdown":                                         {Kind: Fault, Fault: hal.FaultController, Line: -1, Queue: -1},
		"M112 called. Emergency Stop.":                               {Kind: Fault, Fault: hal.FaultController, Line: -1, Queue: -1},
		"!! Lost communication":                                      {Kind: Fault, Fault: hal.FaultController, Line: -1, Queue: -1},
		"echo: too long extrusion prevented":                         {Kind: Fault, Fault: hal.FaultController, Line: -1, Queue: -1},
	} {
		if d := cmp.Diff(want, parse(text)); d != "" {
			t.Errorf("%q:\n%s", text, d)
		}
	}
}

func TestParseTemperatures(t *testing.T) {
	hot, bed := motion.HotEnd, motion.Bed
	for text, want := range map[string][]Temp{
		"ok T:21.87 /0.00 B:21.87 /60.00 @:0 B@:127": {
			{ID: hot, Actual: 21870, HasTarget: true, HasPower: true},
			{ID: bed, Actual: 21870, Target: 60000, HasTarget: true, Power: 255, HasPower: true}},
		" T:148.51 /170.00 B:45.00 /50.00 @:64 B@:0 W:?": {
			{ID: hot, Actual: 148510, Target: 170000, HasTarget: true, Power: 128, HasPower: true},
			{ID: bed, Actual: 45000, Target: 50000, HasTarget: true, HasPower: true}},
		"ok T:21.5 /0.0 B:21.2 /0.0 T0:22.5 /0.0 @:0 B@:0 P:21.2 A:22.5": {
			{ID: hot, Actual: 22500, HasTarget: true, HasPower: true},
			{ID: bed, Actual: 21200, HasTarget: true, HasPower: true}},
		"T:145.42 E:0 B:47.9": {{ID: hot, Actual: 145420}, {ID: bed, Actual: 47900}},
		"T:95.2 E:0 W:?":      {{ID: hot, Actual: 95200}},
		"ok T:20.0/200.0 T0:20.0/200.0 T1:-3.5/0.0 C:30.1 /45 @0:12 @1:0": {
			{ID: hot, Actual: 20000, Target: 200000, HasTarget: true, Power: 24, HasPower: true},
			{ID: hot + 1, Actual: -3500, HasTarget: true, HasPower: true},
			{ID: motion.Chamber, Actual: 30100, Target: 45000, HasTarget: true}},
		"ok T:21.x /0.00": nil,
		"ok T21.0":        nil,
	} {
		r := parse(text)
		if d := cmp.Diff(want, r.Temps[:r.NTemps], cmp.Transformer("", func(t []Temp) []Temp { return append([]Temp{}, t...) })); d != "" {
			t.Errorf("%q:\n%s", text, d)
		}
	}
	for text, want := range map[string]bool{"T:95.2 E:0 W:?": true, "T:145.42 E:0 B:47.9": true, "T:21.0 /0.0 B:21.0 /0.0 @:0 B@:0": false} {
		if r := parse(text); r.Waiting != want || r.Kind != Report {
			t.Errorf("%q: waiting %v, kind %v", text, r.Waiting, r.Kind)
		}
	}
}

func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		line, name, glued string
		tools             int
	}{
		{"FIRMWARE_NAME:Marlin 2.0.9.5 (Nov 21 2026 16:55:40) SOURCE_CODE_URL:github.com/MarlinFirmware/Marlin PROTOCOL_VERSION:1.0 MACHINE_TYPE:3D Printer EXTRUDER_COUNT:2 UUID:cede",
			"Marlin 2.0.9.5 (Nov 21 2026 16:55:40)", "", 2},
		{"FIRMWARE_NAME:Prusa-Firmware 3.14.0 based on Marlin FIRMWARE_URL:https://github.com PROTOCOL_VERSION:1.0 MACHINE_TYPE:MK3S EXTRUDER_COUNT:1Cap:AUTOREPORT_TEMP:1",
			"Prusa-Firmware 3.14.0 based on Marlin", "Cap:AUTOREPORT_TEMP:1", 1},
		{"FIRMWARE_NAME:" + strings.Repeat("x", 100), strings.Repeat("x", 64), "", 1},
		{"FIRMWARE_NAME:Marlin EXTRUDER_COUNT:0", "Marlin EXTRUDER_COUNT:0", "", 1},
	} {
		name, tools, glued := ParseFirmware([]byte(c.line))
		if name != c.name || tools != c.tools || glued != c.glued {
			t.Errorf("%q: %q, %d, %q", c.line, name, tools, glued)
		}
	}
	for line, want := range map[string]string{"Cap:EEPROM:1": "EEPROM", "Cap:EEPROM:0": "", "Cap::1": "", "Cap:X": "", "EEPROM:1": ""} {
		name, has := ParseCap([]byte(line))
		if has != (want != "") || has && name != want {
			t.Errorf("%q: %q, %v", line, name, has)
		}
	}
}

// TestSplit feeds lines in pieces of every size.
func TestSplit(t *testing.T) {
	long := strings.Repeat("x", 300)
	text := "start\r\nok\n\n" + long + "\nok T:1\n" + strings.Repeat("y", 256) + "\nhalf"
	want := []string{"start", "ok", "", "\x00", "ok T:1", strings.Repeat("y", 256)}
	for size := 1; size < 40; size++ {
		var s Splitter
		var got []string
		for rest := []byte(text); len(rest) > 0; {
			n := min(size, len(rest))
			for in := rest[:n]; len(in) > 0; {
				line, left, more := s.Next(in)
				in = left
				if !more {
					break
				}
				got = append(got, string(line))
			}
			rest = rest[n:]
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("pieces of %d:\n%s", size, d)
		}
	}
}

// FuzzReplies feeds whatever a line can carry into splitter, parser and link. None
// may panic, and a link that has sent n lines never says that more were taken.
func FuzzReplies(f *testing.F) {
	seeds, err := filepath.Glob("testdata/replies/*.txt")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range seeds {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, uint8(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		l := NewLink(Config{})
		b := newBench(t, 1, chances{})
		l.Restart(b.now)
		var s Splitter
		sent := uint64(0)
		for len(in) > 0 {
			wire := l.AppendWire(nil, b.now)
			sent += uint64(bytes.Count(wire, []byte("\n")))
			line, rest, more := s.Next(in)
			if in = rest; !more {
				break
			}
			var r Reply
			Parse(line, &r)
			if r.NTemps > len(r.Temps) || r.Kind == Fault && r.Fault == hal.FaultNone {
				t.Fatalf("%+v", r)
			}
			b.now = b.now.Add(1e6 * (1 << (step % 12)))
			if l.Handle(&r, b.now) != nil || l.Tick(b.now) != nil {
				return
			}
			if l.Accepted() > sent || l.Proven() > l.Accepted() {
				t.Fatalf("%d proven, %d accepted, %d sent", l.Proven(), l.Accepted(), sent)
			}
			if l.Ready() {
				l.Add([]byte("G1 X1"))
			}
		}
	})
}

// TestCorpus keeps the seeds: they are told apart by what must be found in them.
func TestCorpus(t *testing.T) {
	seen := map[ReplyKind]int{}
	names, err := filepath.Glob("testdata/replies/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			seen[parse(strings.TrimRight(line, "\r\n")).Kind]++
		}
	}
	for k := OK; k <= Garbage; k++ {
		if seen[k] == 0 {
			t.Errorf("no reply of kind %d among the seeds", k)
		}
	}
}

func BenchmarkParseOK(b *testing.B) {
	var r Reply
	line := []byte("ok N12345 P15 B3")
	for b.Loop() {
		Parse(line, &r)
	}
}

func BenchmarkParseReport(b *testing.B) {
	var r Reply
	line := []byte(" T:21.87 /0.00 B:21.87 /0.00 @:0 B@:0")
	for b.Loop() {
		Parse(line, &r)
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	var r Reply
	for _, text := range []string{"ok", "ok N12345 P15 B3", " T:21.87 /0.00 B:21.87 /0.00 @:0 B@:0", "Resend: 17",
		"Error:checksum mismatch, Last Line: 1", "echo:busy: processing", "X:1.00 Y:2.00 Z:3.00 E:0.00"} {
		line := []byte(text)
		if n := testing.AllocsPerRun(100, func() { Parse(line, &r) }); n != 0 {
			t.Errorf("%q: %v allocations", text, n)
		}
	}
}
