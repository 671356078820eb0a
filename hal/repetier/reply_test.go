package repetier

import (
	"encoding/hex"
	"testing"

	"platen/hal"
	"platen/hal/driver"
	"platen/hal/gcode"
	"platen/hal/motion"
	"platen/hal/unit"
)

// TestParse reads lines as the firmware writes them (recordings of 1.0.4, its source).
func TestParse(t *testing.T) {
	f := &firmware{}
	for line, want := range map[string]gcode.Reply{
		"ok 12":                        {Kind: gcode.OK, Line: 12},
		"ok":                           {Kind: gcode.Note, Line: -1},
		"ok 1x":                        {Kind: gcode.Garbage, Line: -1},
		"Resend:16":                    {Kind: gcode.Resend, Line: 16},
		"skip 9":                       {Kind: gcode.Note, Line: -1},
		"wait":                         {Kind: gcode.Wait, Line: -1},
		"start":                        {Kind: gcode.Start, Line: -1},
		"Detected EEPROM version:20":   {Kind: gcode.Start, Line: -1},
		"busy:heating":                 {Kind: gcode.Busy, Line: -1},
		"busy:processing":              {Kind: gcode.Busy, Line: -1},
		"Error:Wrong checksum":         {Kind: gcode.Refusal, Line: -1},
		"Error:expected line 4 got 6":  {Kind: gcode.Refusal, Line: -1},
		"Got:M117 printer halted":      {Kind: gcode.Note, Line: -1}, // an echo
		"Unknown command:M9999 ":       {Kind: gcode.Note, Line: -1},
		"X:0.00 Y:0.00 Z:0.000 E:0.00": {Kind: gcode.Note, Line: -1},
		"extruder 0: temp sensor defect marked defect": {Kind: gcode.Fault, Line: -1, Fault: hal.FaultSensor},
		"fatal:Heater decoupled during rising - x":     {Kind: gcode.Fault, Line: -1, Fault: hal.FaultThermal},
		"fatal:G29 leveling failed! - x":               {Kind: gcode.Fault, Line: -1, Fault: hal.FaultEndstop},
		"RequestStop:":                                 {Kind: gcode.Fault, Line: -1, Fault: hal.FaultController},
	} {
		var r gcode.Reply
		f.Parse([]byte(line), &r)
		if r.Kind != want.Kind || r.Line != want.Line || r.Fault != want.Fault {
			t.Errorf("%q: kind %d line %d fault %v, want %d %d %v", line, r.Kind, r.Line, r.Fault, want.Kind, want.Line, want.Fault)
		}
	}
}

func TestReport(t *testing.T) {
	f := &firmware{}
	var r gcode.Reply
	f.Parse([]byte("T:192.71 /210 B:NAN /0 B@:0 @:200 T0:192.71 /210 @0:200 T1:21.50 /0 @1:0 D1:1"), &r)
	want := []gcode.Temp{
		{ID: motion.HotEnd, Actual: 192_710, Target: 210_000, Power: 200, HasTarget: true, HasPower: true},
		{ID: motion.HotEnd + 1, Actual: 21_500, HasTarget: true, HasPower: true},
	}
	if r.Kind != gcode.Report || r.NTemps != len(want) || r.Temps[0] != want[0] || r.Temps[1] != want[1] {
		t.Errorf("kind %d, %+v", r.Kind, r.Temps[:r.NTemps])
	}
	for _, bad := range []string{"T:x /0", "T:", "T:1e3 /0", "T:99999 /0", "T:20 /nan"} {
		f.Parse([]byte(bad), &r)
		if r.Kind == gcode.Report {
			t.Errorf("%q is a report of %+v", bad, r.Temps[:r.NTemps])
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"ok 12", "Resend:16", "T:22.78 /0 B:NAN /0 B@:0 @:0", "fatal:x", "Got:N1 M105", "T:-1.5 /0 T0:"} {
		f.Add([]byte(s))
	}
	fw := &firmware{}
	f.Fuzz(func(t *testing.T, line []byte) {
		var r gcode.Reply
		fw.Parse(line, &r)
		if r.NTemps < 0 || r.NTemps > len(r.Temps) || r.Kind == gcode.OK && r.Line < 0 || r.Kind == gcode.Fault && r.Fault == hal.FaultNone {
			t.Errorf("%q: %+v", line, r)
		}
		for _, temp := range r.Temps[:r.NTemps] {
			if temp.Actual > 1500*unit.Degree || temp.Actual < -1500*unit.Degree {
				t.Errorf("%q: %v", line, temp.Actual)
			}
		}
		fw.Identify(line, &r)
	})
}

// TestFrame holds commands to the layout of parseBinary, worked out by hand.
func TestFrame(t *testing.T) {
	for cmd, want := range map[string]string{
		"M105":           "8300e90369d9be",                      // N and M, both short
		"G1 X1 F600":     "8d01e903010000803f00001644" + "9620", // X and F are decimals
		"M400":           "83100000e9039001" + "125f",           // an M code beyond 255 needs the second version
		"M104 T0 S200\n": "8306e9036800c8000000a753",
	} {
		got, ok := appendFrame(nil, 1001, []byte(cmd))
		if !ok || hex.EncodeToString(got) != want {
			t.Errorf("%q: %x, want %s", cmd, got, want)
		}
	}
	for _, cmd := range []string{"M117 hello", "G2 X1 I1", "G1 X1234567890123456", "@pause"} {
		if got, ok := appendFrame(nil, 1001, []byte(cmd)); ok || len(got) != 0 {
			t.Errorf("%q became %x", cmd, got)
		}
	}
}

// TestEncoder puts what this firmware puts differently.
func TestEncoder(t *testing.T) {
	e := &encoder{tools: 2, level: "G32"}
	e.AppendStart(nil)
	for _, c := range []struct {
		op   motion.Op
		want string
	}{
		{motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 204_600}, "M109 T0 S205\n"},
		{motion.Op{Kind: motion.WaitHeater, Heater: motion.Bed, Temp: 60_000}, "M190 S60\n"},
		{motion.Op{Kind: motion.WaitHeater, Heater: motion.Bed}, "M140 S0\n"},
		{motion.Op{Kind: motion.SetHeater, Heater: motion.HotEnd + 1, Temp: 100_000}, "M104 T1 S100\n"},
		{motion.Op{Kind: motion.SetAccel, Accel: 800}, "M201 X800 Y800\n"},
		{motion.Op{Kind: motion.Level}, "G32\n"},
		{motion.Op{Kind: motion.MotorsOff, Axes: motion.X | motion.E}, "M18 X0 E0\n"},
		{motion.Op{Kind: motion.SetAdvance, Wait: 40e6}, ""},
	} {
		got, err := e.Append(nil, c.op)
		if err != nil || string(got) != c.want {
			t.Errorf("%v: %q (%v), want %q", c.op, got, err, c.want)
		}
	}
	for _, op := range []motion.Op{
		{Kind: motion.SetHeater, Heater: motion.Chamber}, {Kind: motion.SetHeater, Heater: motion.HotEnd + 2}, {Kind: motion.SetFan, Index: 2},
	} {
		if got, err := e.Append(nil, op); err == nil || len(got) != 0 {
			t.Errorf("%v became %q", op, got)
		}
	}
}

// TestProfile refuses controllers that cannot be worked with.
func TestProfile(t *testing.T) {
	for line, good := range map[string]bool{
		"FIRMWARE_NAME:Repetier_1.0.4 PROTOCOL_VERSION:1.0 EXTRUDER_COUNT:1 REPETIER_PROTOCOL:3": true,
		"FIRMWARE_NAME:Repetier_0.70 PROTOCOL_VERSION:1.0 EXTRUDER_COUNT:1 REPETIER_PROTOCOL:1":  false,
		"FIRMWARE_NAME:Repetier_0.60 PROTOCOL_VERSION:1.0 EXTRUDER_COUNT:1":                      false,
		"FIRMWARE_NAME:Marlin 2.0.9.5 PROTOCOL_VERSION:1.0 EXTRUDER_COUNT:1":                     false,
	} {
		f := New(driver.Options{})
		var r gcode.Reply
		f.Parse([]byte(line), &r)
		if !f.Identify([]byte(line), &r) {
			t.Errorf("%q is no answer", line)
		}
		if _, err := f.Profile(); (err == nil) != good {
			t.Errorf("%q: %v", line, err)
		}
	}
}
