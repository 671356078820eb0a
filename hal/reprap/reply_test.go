package reprap

import (
	"strings"
	"testing"

	"platen/hal"
	"platen/hal/driver"
	"platen/hal/gcode"
	"platen/hal/motion"
	"platen/hal/unit"
)

// TestParse reads lines as the firmware's source writes them.
func TestParse(t *testing.T) {
	f := &firmware{}
	for line, want := range map[string]gcode.Reply{
		"ok":           {Kind: gcode.OK, Line: -1},
		"ok N12 P0 B0": {Kind: gcode.Garbage, Line: -1}, // it has no such ok
		"ok T:21.9 /0.0 T0:21.9 /0.0 B:21.9 /0.0":                                              {Kind: gcode.OK, Line: -1, NTemps: 2},
		"T:21.9 /0.0 T0:21.9 /0.0 B:21.9 /0.0":                                                 {Kind: gcode.Report, Line: -1, NTemps: 2},
		`{"key":"12345","flags":"","result":null}`:                                             {Kind: gcode.OK, Line: 12345},
		`{"key":"1234","flags":"","result":null}`:                                              {Kind: gcode.Note, Line: -1},
		`{"key":"1234x","flags":"","result":null}`:                                             {Kind: gcode.Note, Line: -1},
		`{"key":"state.status","flags":"","result":"idle"}`:                                    {Kind: gcode.Report, Line: -1, Idle: true},
		`{"key":"state.status","flags":"","result":"busy"}`:                                    {Kind: gcode.Report, Line: -1},
		`{"key":"state.status","flags":"","result":"halted"}`:                                  {Kind: gcode.Fault, Line: -1, Fault: hal.FaultController},
		`{"key":"move.axes[].homed","flags":"","result":[true,true,true]}`:                     {Kind: gcode.Report, Line: -1, Idle: true},
		`{"key":"move.axes[].homed","flags":"","result":[true,false,true]}`:                    {Kind: gcode.Report, Line: -1},
		"RepRapFirmware for Duet 3 MB6HC is up and running.":                                   {Kind: gcode.Start, Line: -1},
		"Emergency Stop! Reset the controller to continue.":                                    {Kind: gcode.Fault, Line: -1, Fault: hal.FaultController},
		"Error: G1: Machine is halted":                                                         {Kind: gcode.Fault, Line: -1, Fault: hal.FaultController},
		"Error: G1: insufficient axes homed":                                                   {Kind: gcode.Fault, Line: -1, Fault: hal.FaultEndstop},
		"Error: Heater 1 fault: failed to read sensor: sensor open circuit":                    {Kind: gcode.Fault, Line: -1, Fault: hal.FaultSensor},
		"Error: Heater 1 fault: temperature rising too slowly: expected 2.53°C/sec measured 0": {Kind: gcode.Fault, Line: -1, Fault: hal.FaultThermal},
		"Warning: Tool 0 was not driven because its heater temperatures were not high enough":  {Kind: gcode.Fault, Line: -1, Fault: hal.FaultThermal},
		"Warning: M9998: Command is not supported":                                             {Kind: gcode.Note, Line: -1},
		"Error: Bad command: printer halted":                                                   {Kind: gcode.Note, Line: -1},
	} {
		var r gcode.Reply
		f.Parse([]byte(line), &r)
		if r.Kind != want.Kind || r.Line != want.Line || r.Fault != want.Fault || r.Idle != want.Idle || r.NTemps != want.NTemps {
			t.Errorf("%q: %+v, want %+v", line, r, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"ok", "ok T:21.9 /0.0 T0:21.9 /0.0", `{"key":"12345","flags":"","result":null}`, "Error: G1: x", `{"key":"state.status","flags":"","result":"idle"}`} {
		f.Add([]byte(s))
	}
	fw := &firmware{}
	f.Fuzz(func(t *testing.T, line []byte) {
		var r gcode.Reply
		fw.Parse(line, &r)
		if r.NTemps < 0 || r.NTemps > len(r.Temps) || r.Kind == gcode.Fault && r.Fault == hal.FaultNone || r.Line > 99_999 && r.Kind == gcode.OK {
			t.Errorf("%q: %+v", line, r)
		}
		fw.Identify(line, &r)
	})
}

// TestLine holds lines to CRC-16/XMODEM, whose check value of "123456789" is 0x31c3.
func TestLine(t *testing.T) {
	if got := string(appendCRC([]byte("123456789"), 0)); got != "123456789*12739\n" {
		t.Errorf("CRC: %q", got)
	}
	if got := string(appendLine(nil, 7, []byte("M105"))); !strings.HasPrefix(got, "N7 M105*") || len(got) != len("N7 M105*12345\n") {
		t.Errorf("line: %q", got)
	}
}

// TestEncoder puts what this firmware puts differently.
func TestEncoder(t *testing.T) {
	e := &encoder{tools: 1, level: "G32"}
	if got := string(e.AppendStart(nil)); got != "T0 P0\nG21\nG90\nM82\nG92 E0\n" {
		t.Errorf("start: %q", got)
	}
	for _, c := range []struct {
		op   motion.Op
		want string
	}{
		{motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 204_600}, "M104 T0 S204.6\n@wait 8 204600\n"},
		{motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 204_600, Index: motion.WaitWarm}, "M104 T0 S204.6\n@warm 8 204600\n"},
		{motion.Op{Kind: motion.WaitHeater, Heater: motion.Bed}, "M140 S0\n"},
		{motion.Op{Kind: motion.SetHeater, Heater: motion.Chamber, Temp: 40_000}, "M141 S40\n"},
		{motion.Op{Kind: motion.SetFan, Fan: 1}, "M106 S0.004\n"}, // S1 would be full speed
		{motion.Op{Kind: motion.SetFan, Fan: unit.FullDuty, Index: 1}, "M106 P1 S1.000\n"},
		{motion.Op{Kind: motion.Dwell, Wait: 2e9}, "@idle\n@dwell 2000\n"},
		{motion.Op{Kind: motion.SetAdvance, Wait: 40e6}, "M572 D0 S0.0400\n"},
		{motion.Op{Kind: motion.Level}, "@idle\nG32\n"},
		{motion.Op{Kind: motion.Home}, "@idle\nG28\n"},
		{motion.Op{Kind: motion.MotorsOff, Axes: motion.X | motion.E}, "@idle\nM84 X E\n"},
	} {
		got, err := e.Append(nil, c.op)
		if err != nil || string(got) != c.want {
			t.Errorf("%v: %q (%v), want %q", c.op, got, err, c.want)
		}
	}
	if got, err := (&encoder{}).Append(nil, motion.Op{Kind: motion.Level}); err == nil || len(got) != 0 {
		t.Errorf("levelling without a command became %q", got)
	}
}

// TestProfile refuses controllers that cannot be worked with.
func TestProfile(t *testing.T) {
	const duet = "FIRMWARE_NAME: RepRapFirmware for Duet 3 MB6HC FIRMWARE_VERSION: 3.5.3 ELECTRONICS: Duet 3 MB6HC v1.02 or later FIRMWARE_DATE: 2024-09-18 11:27:36"
	for _, c := range []struct {
		line     string
		lax, usb bool
		refusal  string
	}{
		{duet, false, false, ""},
		{duet, false, true, ""},
		{duet, true, true, ""},
		{duet, true, false, "without a checksum"},
		{strings.Replace(duet, "3.5.3", "3.1.1", 1), false, true, "too old"},
		{strings.Replace(duet, "3.5.3", "2.05.1", 1), false, true, "too old"},
		{strings.Replace(duet, "RepRapFirmware for", "Marlin on", 1), false, true, "choose a board"},
	} {
		f := New(driver.Options{Pins: driver.Pins{USB: c.usb}})
		complete := false
		say := func(line string) {
			var r gcode.Reply
			f.Parse([]byte(line), &r)
			complete = f.Identify([]byte(line), &r) || complete
		}
		say(c.line)
		say("ok T:21.9 /0.0 T0:21.9 /0.0 T1:21.9 /0.0 B:21.9 /0.0 C:21.9 /0.0")
		if c.lax {
			say(`{"key":"lax","flags":"","result":null}`)
		}
		p, err := f.Profile()
		switch {
		case !complete:
			t.Error("that was the answer")
		case c.refusal == "" && (err != nil || p.Info.Tools != 2 || len(p.Heaters) != 4 || p.Info.Firmware != "RepRapFirmware for Duet 3 MB6HC 3.5.3"):
			t.Errorf("%+v: %v, %+v", c, err, p.Info)
		case c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)):
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestWaitForHeat holds when a wait ends: from either side, or from below alone.
func TestWaitForHeat(t *testing.T) {
	for _, c := range []struct {
		wait   string
		actual unit.Celsius
		ends   bool
	}{
		{opWait, 190_000, false}, {opWait, 199_000, true}, {opWait, 230_000, false},
		{opWarm, 190_000, false}, {opWarm, 199_000, true}, {opWarm, 230_000, true},
	} {
		l := newLines(true, gcode.Config{})
		seq := l.Add([]byte(c.wait + "8 200000"))
		r := gcode.Reply{Kind: gcode.Report, NTemps: 1}
		r.Temps[0] = gcode.Temp{ID: motion.HotEnd, Actual: c.actual}
		for range 2 {
			if l.Accepted() == seq {
				t.Fatalf("%q: ended after one report", c.wait)
			}
			l.warmth(&r)
		}
		if ended := l.Accepted() == seq; ended != c.ends {
			t.Errorf("%q at %v: ended %v, want %v", c.wait, c.actual, ended, c.ends)
		}
	}
}
