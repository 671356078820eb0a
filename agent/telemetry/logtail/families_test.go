package logtail

import (
	"reflect"
	"strings"
	"testing"

	"platen/agent/seam"
)

// Each family: lines as its software writes them, and what is made of them.
func TestFamilies(t *testing.T) {
	type step struct {
		line  string
		want  verdict
		phase seam.Phase
		fault uint8
	}
	for family, steps := range map[string][]step{
		"klipper": {
			{"Starting Klippy...", restarted, seam.PhaseConnecting, 0},
			{"Loaded MCU 'mcu' 106 commands (v0.12.0 / gcc)", unknown, seam.PhaseConnecting, 0},
			{"Configured MCU 'mcu' (1024 moves)", known, seam.PhaseIdle, 0},
			{"Starting SD card print (position 0)", known, seam.PhasePrinting, 0},
			{"Stats 12.3: gcodein=0  mcu: mcu_awake=0.01 heater_bed: target=60 temp=60.1 pwm=0.3 extruder1: target=0 temp=22.0 pwm=0.000 print_stall=0 extruder: target=210 temp=209.8 pwm=0.5", known, seam.PhasePrinting, 0},
			{"Exiting SD card print (position 3650248)", known, seam.PhasePaused, 0},
			{"Starting SD card print (position 3650248)", known, seam.PhasePrinting, 0},
			{"Finished SD card print", known, seam.PhaseIdle, 0},
			{"Exiting SD card print (position 9999999)", known, seam.PhaseIdle, 0},
			{"Starting SD card print (position 0)", known, seam.PhasePrinting, 0},
			{"Transition to shutdown state: Heater extruder not heating at expected rate", failed, seam.PhaseFault, faultThermal},
			{"Starting Klippy...", restarted, seam.PhaseConnecting, 0},
			{"Transition to shutdown state: Lost communication with MCU 'mcu'", failed, seam.PhaseFault, faultTimeout},
			{"Transition to shutdown state: MCU 'mcu' shutdown: ADC out of range", failed, seam.PhaseFault, faultSensor},
			{"Unhandled exception during connect", failed, seam.PhaseFault, faultSensor},
		},
		"moonraker": {
			{"2026-03-01 10:00:00,123 [server.py:main()] - Starting Moonraker - Version v0.9.3", restarted, seam.PhaseConnecting, 0},
			{"2026-03-01 10:00:05,123 [klippy_connection.py:_check_ready()] - Klippy ready", known, seam.PhaseIdle, 0},
			{"2026-03-01 10:00:05,130 [job_state.py:_handle_started()] - Job state initialized: standby", known, seam.PhaseIdle, 0},
			{"2026-03-01 10:01:00,000 [job_state.py:_status_update()] - Job Started: a.gcode", known, seam.PhasePrinting, 0},
			{"2026-03-01 10:02:00,000 [job_state.py:_status_update()] - Job State Changed - Prev State: printing, New State: paused", known, seam.PhasePaused, 0},
			{"2026-03-01 10:03:00,000 [job_state.py:_status_update()] - Job State Changed - Prev State: paused, New State: resumed", known, seam.PhasePrinting, 0},
			{"2026-03-01 10:04:00,000 [job_state.py:_status_update()] - Job State Changed - Prev State: printing, New State: complete", known, seam.PhaseIdle, 0},
			{"2026-03-01 10:05:00,000 [klippy_connection.py:_process_status_update()] - Klippy has shutdown", failed, seam.PhaseFault, faultController},
			{"System Time: 1789478735.440660, Usage: 2.84%, Memory: 19936 kB", unknown, seam.PhaseFault, faultController},
		},
		"octoprint": {
			{"2026-03-01 10:00:00,000 - octoprint.startup - INFO - Starting OctoPrint 1.10.2", restarted, seam.PhaseConnecting, 0},
			{`2026-03-01 10:00:09,000 - octoprint.util.comm - INFO - Changing monitoring state from "Connecting" to "Operational"`, known, seam.PhaseIdle, 0},
			{`2026-03-01 10:01:09,000 - octoprint.util.comm - INFO - Changing monitoring state from "Operational" to "Printing from SD"`, known, seam.PhasePrinting, 0},
			{"2026-03-01 10:01:10,000 - Recv: T:209.9 /210.0 B:60.1 /60.0 @:0", known, seam.PhasePrinting, 0},
			{"2026-03-01 10:01:11,000 - Send: N12 G1 X10 Y20 E0.4*85", known, seam.PhasePrinting, 0},
			{`2026-03-01 10:02:09,000 - octoprint.util.comm - INFO - Changing monitoring state from "Printing" to "Paused"`, known, seam.PhasePaused, 0},
			{"2026-03-01 10:02:10,000 - octoprint.plugins.tracking - ERROR - Unable to reach", failed, seam.PhasePaused, 0},
			{`2026-03-01 10:03:09,000 - octoprint.util.comm - INFO - Changing monitoring state from "Paused" to "Offline after error"`, failed, seam.PhaseFault, faultController},
			{"2026-03-01 10:04:00,000 - octoprint.server - INFO - a line of no consequence", unknown, seam.PhaseFault, faultController},
		},
		"marlin": {
			{"start", restarted, seam.PhaseConnecting, 0},
			{"File opened: A.GCO Size: 1000", known, seam.PhasePrinting, 0},
			{"ok T:209.9 /210.0 B:60.1 /60.0 C:31.0 /0.0 @:0 B@:0", known, seam.PhasePrinting, 0},
			{"echo:busy: paused for user", known, seam.PhasePaused, 0},
			{"//action:resumed", known, seam.PhasePrinting, 0},
			{"Error:Line Number is not Last Line Number+1, Last Line: 7", failed, seam.PhasePrinting, 0},
			{"Done printing file", known, seam.PhaseIdle, 0},
			{"Error:Thermal Runaway, system stopped! Heater_ID: 0", failed, seam.PhaseFault, faultThermal},
			{"X:0.00 Y:0.00 Z:0.00 E:0.00 Count X:0 Y:0 Z:0", unknown, seam.PhaseFault, faultThermal},
		},
		"duet": {
			{"power up + 00:00:02 [warn] Event logging started at level warn", restarted, seam.PhaseConnecting, 0},
			{"2026-03-01 10:00:00 [warn] Started printing file 0:/gcodes/a.gcode", known, seam.PhasePrinting, 0},
			{"2026-03-01 10:01:00 [warn] Printing paused at X10.0 Y20.0 Z0.3", known, seam.PhasePaused, 0},
			{"2026-03-01 10:02:00 [warn] Printing resumed", known, seam.PhasePrinting, 0},
			{"2026-03-01 10:03:00 Warning: driver 0 not responding", known, seam.PhasePrinting, 0},
			{"2026-03-01 11:36:00 Finished printing file 0:/gcodes/a.gcode, print time was 1h 36m", known, seam.PhaseIdle, 0},
			{"2026-03-01 12:00:00 [warn] Error: Heater 1 fault: heater fault, temperature rising too slowly", failed, seam.PhaseFault, faultThermal},
			{"2026-03-01 12:00:01 something else", unknown, seam.PhaseFault, faultThermal},
		},
	} {
		var s state
		for _, st := range steps {
			if got := families[family](&s, st.line); got != st.want || s.phase != st.phase || s.fault != st.fault {
				t.Errorf("%s: %q is %d, phase %v, fault %d; want %d, %v, %d", family, st.line, got, s.phase, s.fault, st.want, st.phase, st.fault)
			}
		}
	}
	if len(Families()) != 5 {
		t.Errorf("control: families %v", Families())
	}
}

func TestTemperatures(t *testing.T) {
	var s state
	klipper(&s, "Stats 1.0: heater_bed: target=60 temp=59.5 pwm=0.1 extruder: target=210 temp=200.1 pwm=1.0 extruder9: target=1 temp=2 chamber: target=0 temp=30.0")
	want := []seam.Heater{{ID: 0, Actual: 59_500, Target: 60_000}, {ID: 1, Actual: 30_000}, {ID: 8, Actual: 200_100, Target: 210_000}}
	if !reflect.DeepEqual(s.heaters, want) {
		t.Errorf("heaters %+v, want %+v", s.heaters, want)
	}
	klipper(&s, "Stats 2.0: heater_bed: target=60 temp=7837.7 pwm=0.1 extruder: target=nan temp=1e309")
	if !reflect.DeepEqual(s.heaters, want) {
		t.Errorf("no temperatures changed them: %+v", s.heaters)
	}
	marlin(&s, "T:21.0 /0.0 B:20.0 /0.0 T0:21.0 /0.0 T1:22.5 /205.0 @:0 B@:0")
	if s.heaters[0].Actual != 20_000 || len(s.heaters) != 4 || s.heaters[3] != (seam.Heater{ID: 9, Actual: 22_500, Target: 205_000}) {
		t.Errorf("heaters %+v", s.heaters)
	}
	if st := s.status(); st.Phase != seam.PhaseConnecting || st.NHeaters != 4 {
		t.Errorf("a printer that is not known to be idle is told as %+v", st)
	}
}

// A state can hold codes and temperatures, and nothing of a line's text.
func TestStateHoldsNoText(t *testing.T) {
	holdsText := func(ty reflect.Type) bool {
		var walk func(reflect.Type) bool
		walk = func(ty reflect.Type) bool {
			switch ty.Kind() {
			case reflect.String, reflect.Interface, reflect.Map, reflect.Pointer:
				return true
			case reflect.Slice, reflect.Array:
				return walk(ty.Elem())
			case reflect.Struct:
				for i := range ty.NumField() {
					if walk(ty.Field(i).Type) {
						return true
					}
				}
			}
			return false
		}
		return walk(ty)
	}
	if holdsText(reflect.TypeFor[state]()) {
		t.Error("a state can hold text")
	}
	if !holdsText(reflect.TypeFor[struct {
		state
		Line string
	}]()) {
		t.Error("control: text is not noticed")
	}
}

// No line ends a parser, whatever it holds, and a state stays within its bounds.
func FuzzFamilies(f *testing.F) {
	for _, line := range []string{"Stats 1: extruder: target=1 temp=2", "T:1 /2 B:3 /4", "power up + 1 [", "2026-03-01 10:00:00 ", "] - Job State Changed - ", strings.Repeat("T0:1 /1 ", 50)} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for name, parse := range families {
			var s state
			parse(&s, line)
			if st := s.status(); st.Phase < seam.PhaseConnecting || st.Phase > seam.PhaseFault || len(s.heaters) > seam.MaxHeaters {
				t.Errorf("%s: %+v", name, st)
			}
		}
	})
}
