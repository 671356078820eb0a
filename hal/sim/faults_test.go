package sim

import (
	"strings"
	"testing"
	"time"
)

func TestParseFaults(t *testing.T) {
	f, err := ParseFaults("corrupt:0.01, drop-ok:1/5000,dup-ok:1,reset@90,thermistor-open@2m,heater-dead@1.5s,unplug@3, replug@4s,action:cancel@9")
	want := Faults{
		Corrupt: 10_000, DropOK: 200, DupOK: Always, ResetAt: 90 * second, ThermistorOpenAt: 120 * second,
		HeaterDeadAt: 1500 * ms, UnplugAt: 3 * second, ReplugAt: 4 * second, ActionAt: 9 * second, Action: "cancel",
	}
	if err != nil || f != want {
		t.Errorf("got %+v, %v", f, err)
	}
	if f, err := ParseFaults(""); err != nil || f != (Faults{}) {
		t.Errorf("empty list: %+v, %v", f, err)
	}
	for _, bad := range []string{
		"corrupt", "corrupt:2", "corrupt:NaN", "corrupt:-1", "corrupt:1/0", "corrupt:0/0", "corrupt:3/2", "reset:3", "reset@x", "reset@0", "reset@-1s",
		"drop-ok@3", "fire@3", "corrupt:0.1,corrupt:0.2", "reset@1,reset@2", "replug@3", "unplug@5,replug@4", "corrupt:0.1@3", "reset:now@3",
	} {
		if _, err := ParseFaults(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	for _, k := range FaultKinds() {
		form, does := k.Usage()
		if form == "" || does == "" {
			t.Errorf("%v is not explained", k)
		}
		if _, err := ParseFaults("unplug@1," + strings.NewReplacer(":P", ":0.5", "@T", "@9").Replace(form)); (err != nil) != (k == FaultUnplug) {
			t.Errorf("%q as the help has it: %v", form, err)
		}
	}
}

// suffers lets a printer hear a patient host for two minutes under one fault.
func suffers(t *testing.T, f Faults) (m *mcu, out string, moves []Move) {
	t.Helper()
	says := []say{{second, "M104 S200\nM106\n"}}
	for i := 1; i <= 100; i++ {
		says = append(says, say{20*second + time.Duration(i)*400*ms, numbered(i, "G1 X"+string(rune('1'+i%9))+" F6000")})
	}
	cfg := Config{Faults: f, OnMove: func(m Move) { moves = append(moves, m) }, Seed: 5}
	m, out = hear(t, cfg, 120*second, says...)
	return m, out, moves
}

// TestEachFaultHappens checks for every kind that it is counted, that the printer
// shows it, and that without the fault it does not.
func TestEachFaultHappens(t *testing.T) {
	plain, plainOut, plainMoves := suffers(t, Faults{})
	if plain.stats.Injected != 0 || len(plainMoves) != 100 || plain.stats.Resends != 0 {
		t.Fatalf("control: %+v, %d moves", plain.stats, len(plainMoves))
	}
	differs := func(m *mcu, out string, _ []Move) bool { return out != plainOut }
	resends := func(m *mcu, _ string, _ []Move) bool { return m.stats.Resends > 0 }
	hot := func(m *mcu) *heater { return m.therm.hotend() }
	at := 30 * second
	for _, c := range []struct {
		kind  Fault
		f     Faults
		shows func(m *mcu, out string, moves []Move) bool
	}{
		{FaultCorrupt, Faults{Corrupt: Always / 10}, resends},
		{FaultCorruptReply, Faults{CorruptReply: Always / 10}, differs},
		{FaultDropByte, Faults{DropByte: Always / 10}, resends},
		{FaultBurst, Faults{Burst: Always / 10}, resends},
		{FaultGarbage, Faults{Garbage: Always / 10}, differs},
		{FaultHalfLine, Faults{HalfLine: Always / 5}, func(_ *mcu, _ string, moves []Move) bool {
			return len(moves) == 100 && moves[50].Start != plainMoves[50].Start || moves[51].Start != plainMoves[51].Start || moves[52].Start != plainMoves[52].Start
		}},
		{FaultDelay, Faults{Delay: Always / 3}, func(_ *mcu, out string, moves []Move) bool { return len(moves) == 100 && len(out) <= len(plainOut) }},
		{FaultDropOK, Faults{DropOK: Always / 10}, func(_ *mcu, out string, _ []Move) bool {
			return strings.Count(out, "ok\n") < strings.Count(plainOut, "ok\n")
		}},
		{FaultDupOK, Faults{DupOK: Always / 10}, func(_ *mcu, out string, _ []Move) bool {
			return strings.Count(out, "ok\n") > strings.Count(plainOut, "ok\n")
		}},
		{FaultFakeOK, Faults{FakeOK: Always / 10}, func(m *mcu, out string, _ []Move) bool {
			return strings.Count(out, "ok\n") == strings.Count(plainOut, "ok\n")+int(m.stats.InjectedBy[FaultFakeOK])
		}},
		{FaultResendStorm, Faults{ResendStorm: Always / 10}, func(m *mcu, _ string, _ []Move) bool { return m.stats.Resends >= 19 }},
		{FaultReset, Faults{ResetAt: at}, func(m *mcu, out string, _ []Move) bool { return strings.Count(out, "External Reset") == 2 }},
		{FaultBrownOut, Faults{BrownOutAt: at}, func(m *mcu, out string, _ []Move) bool { return strings.Contains(out, "Brown out Reset") }},
		{FaultSilent, Faults{SilentAt: at}, func(m *mcu, out string, moves []Move) bool {
			return len(out) < len(plainOut)-100 && len(moves) < 30 && hot(m).temp > 240
		}},
		{FaultWrongBaud, Faults{WrongBaudAt: at}, func(_ *mcu, out string, moves []Move) bool { return len(moves) < 30 && out != plainOut }},
		{FaultAction, Faults{ActionAt: at}, func(_ *mcu, out string, _ []Move) bool { return strings.Contains(out, "\n//action:pause\n") }},
		{FaultUnplug, Faults{UnplugAt: at}, func(m *mcu, _ string, moves []Move) bool { return m.now < at+second && len(moves) < 30 }},
		{FaultThermistorOpen, Faults{ThermistorOpenAt: at}, func(_ *mcu, out string, _ []Move) bool { return strings.Contains(out, "MINTEMP") }},
		{FaultThermistorShort, Faults{ThermistorShortAt: at}, func(_ *mcu, out string, _ []Move) bool { return strings.Contains(out, "MAXTEMP") }},
		{FaultThermistorStuck, Faults{ThermistorStuckAt: at}, func(m *mcu, out string, _ []Move) bool {
			return strings.Contains(out, "Heating failed")
		}},
		{FaultThermistorDrift, Faults{ThermistorDriftAt: 45 * second}, func(m *mcu, _ string, _ []Move) bool {
			return m.stats.Kills == 0 && hot(m).temp > hot(m).reading()+10
		}},
		{FaultHeaterDead, Faults{HeaterDeadAt: at}, func(m *mcu, _ string, _ []Move) bool { return hot(m).temp < hot(plain).temp-20 }},
		{FaultHeaterOn, Faults{HeaterOnAt: at}, func(m *mcu, out string, _ []Move) bool {
			return strings.Contains(out, "MAXTEMP") && hot(m).temp > 275
		}},
		{FaultFanDead, Faults{FanDeadAt: at}, func(m *mcu, _ string, _ []Move) bool { return m.therm.rpm < 100 && plain.therm.rpm > 4500 }},
		{FaultSlip, Faults{SlipAt: at}, func(m *mcu, _ string, moves []Move) bool {
			return len(moves) == 100 && moves[99].To == plainMoves[99].To && m.pose.offset[axX] < plain.pose.offset[axX]-0.02
		}},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			m, out, moves := suffers(t, c.f)
			if m.stats.InjectedBy[c.kind] == 0 || m.stats.Injected == 0 || m.stats.InjectedBy[c.kind] != m.stats.Injected {
				t.Errorf("counted: %d of %d", m.stats.InjectedBy[c.kind], m.stats.Injected)
			}
			if !c.shows(m, out, moves) {
				t.Errorf("it does not show: %+v, hot end at %.1f, reads %.1f, %d moves, %d bytes of %d\n%s",
					m.stats, hot(m).temp, hot(m).reading(), len(moves), len(out), len(plainOut), out[max(0, len(out)-300):])
			}
		})
	}
}

// TestFaultsRepeat checks that the same seed damages the same bytes.
func TestFaultsRepeat(t *testing.T) {
	f := Faults{Corrupt: Always / 20, CorruptReply: Always / 20, DropByte: Always / 20, Burst: Always / 20, Garbage: Always / 20,
		HalfLine: Always / 20, Delay: Always / 20, DropOK: Always / 20, DupOK: Always / 20, FakeOK: Always / 20, ResendStorm: Always / 200}
	a, outA, _ := suffers(t, f)
	b, outB, _ := suffers(t, f)
	if outA != outB || a.stats != b.stats {
		t.Error("two printers with one seed differ")
	}
}
