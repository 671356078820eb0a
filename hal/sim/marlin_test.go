package sim

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// lines says each line a second after the one before.
func lines(from time.Duration, text ...string) []say {
	var says []say
	for i, s := range text {
		says = append(says, say{from + time.Duration(i)*second, s + "\n"})
	}
	return says
}

func TestTools(t *testing.T) {
	cfg := Config{Extruders: 2}
	m, out := hear(t, cfg, 20*second, lines(second, "M104 T1 S60", "T1", "T2", "M104 T2 S50", "M105")...)
	if m.therm.tool(1).target != 60 || m.therm.tool(0).target != 0 {
		t.Errorf("targets %v and %v", m.therm.tool(0).target, m.therm.tool(1).target)
	}
	for _, want := range []string{"echo:Active Extruder: 1\n", "echo:T2 Invalid extruder\n", "echo:M104 Invalid extruder 2\n", " T0:", " T1:", " @1:"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if _, out := hear(t, Config{}, 10*second, lines(second, "T1", "M104 T1 S60")...); strings.Contains(out, "Active") || !strings.Contains(out, "echo:T1 Invalid extruder\n") {
		t.Errorf("one extruder: %s", out)
	}
}

func TestChamber(t *testing.T) {
	m, out := hear(t, Config{Chamber: true}, 400*second, lines(second, "M141 S35", "M105", "M191 S30", "M118 warm")...)
	if !strings.Contains(out, " C:") || !strings.Contains(out, "warm\r\n") || m.therm.chamber().temp < 29 {
		t.Errorf("chamber at %.1f\n%s", m.therm.chamber().temp, out[:min(len(out), 1500)])
	}
	if m, out := hear(t, Config{}, 10*second, lines(second, "M141 S35", "M105")...); m.stats.Unknown != 1 || strings.Contains(out, " C:") {
		t.Errorf("without a chamber:\n%s", out)
	}
}

func TestLevelling(t *testing.T) {
	m, out := hear(t, Config{Leveling: true}, 200*second, append(lines(second, "G29", "G28"), lines(60*second, "G29", "M420 S1 V")...)...)
	if strings.Count(out, "Bilinear Leveling Grid:\n") != 2 || !strings.Contains(out, "echo:Home XYZ First\n") || !strings.Contains(out, "echo:Bed Leveling ON\n") {
		t.Errorf("levelling:\n%s", out)
	}
	if !m.fw.(*marlin2).bed.active || m.stats.Moves != 0 || m.now < 60*second {
		t.Errorf("%+v", m.stats)
	}
	if m, _ := hear(t, Config{}, 60*second, lines(second, "G28", "G29", "M420 S1")...); m.stats.Unknown != 2 {
		t.Errorf("without a probe %d commands were unknown, want 2", m.stats.Unknown)
	}
}

// TestSettingsOutliveAReset: what M500 has stored is there after a restart, and what
// was only set is not.
func TestSettingsOutliveAReset(t *testing.T) {
	for fw, after := range map[Firmware]string{Marlin2: "stored settings retrieved", Marlin1: "", PrusaMK3: ""} {
		steps := func(text ...string) float64 {
			cfg := Config{Firmware: fw, Faults: Faults{ResetAt: 30 * second}}
			m, out := hear(t, cfg, 60*second, append(lines(15*second, text...), lines(45*second, "M501", "M503")...)...)
			if slices.Contains(text, "M500") && !strings.Contains(out, after) {
				t.Errorf("%v: %s", fw, out)
			}
			return m.plan.lim.stepsPerMM[axX]
		}
		if v := steps("M92 X81", "M500", "M92 X82"); v != 81 {
			t.Errorf("%v: %.0f steps/mm after M500 and a reset, want 81", fw, v)
		}
		if v := steps("M92 X81"); v == 81 {
			t.Errorf("%v: a setting outlived a reset without M500", fw)
		}
	}
}

func TestFlow(t *testing.T) {
	fed := func(text ...string) int64 {
		m, _ := hear(t, Config{}, 20*second, lines(second, append([]string{"M302 P1", "M83"}, text...)...)...)
		return m.stats.Filament
	}
	if f := fed("G1 X10 E4 F3000"); f != 4000 {
		t.Errorf("control: %d µm", f)
	}
	if f := fed("M221 S50", "G1 X10 E4 F3000"); f != 2000 {
		t.Errorf("half the flow: %d µm", f)
	}
}

// TestUserWaits: M0 ends by M108, by its time or not at all; without EMERGENCY_PARSER
// it is unknown.
func TestUserWaits(t *testing.T) {
	oks := func(cfg Config, text ...string) int {
		_, out := hear(t, cfg, 30*second, lines(second, text...)...)
		return strings.Count(out, "ok\n")
	}
	on := Config{EmergencyParser: true}
	if n := oks(on, "M0", "M105"); n != 0 {
		t.Errorf("M0 went on by itself: %d oks", n)
	}
	if n := oks(on, "M0", "M108"); n != 2 {
		t.Errorf("M108 did not end M0: %d oks", n)
	}
	if n := oks(on, "M0 S5"); n != 1 {
		t.Errorf("five seconds did not end M0: %d oks", n)
	}
	if m, _ := hear(t, Config{}, 5*second, lines(second, "M0")...); m.stats.Unknown != 1 {
		t.Error("M0 is known without EMERGENCY_PARSER")
	}
}

// TestOldNumbers: Marlin 1 reads an exponent where a host has left out the blank
// before E, Prusa and Marlin 2 do not.
func TestOldNumbers(t *testing.T) {
	for text, want := range map[string][2]float64{
		"X10E5": {10e5, 10}, "X-1.5": {-1.5, -1.5}, "X 2.": {2, 2}, "X.5E": {.5, .5}, "X": {0, 0}, "X--1": {0, 0}, "X1.2.3": {1.2, 1.2}, "X3E-1": {.3, 3},
	} {
		for i, exponent := range []bool{true, false} {
			l := oldLine{text, exponent}
			if v, ok := l.value('X'); !ok || v != want[i] {
				t.Errorf("%q, exponent %v: %v, want %v", text, exponent, v, want[i])
			}
		}
	}
	moved := func(fw Firmware) float64 {
		var x float64
		hear(t, Config{Firmware: fw, OnMove: func(m Move) { x = m.To[0].MM() }}, 30*second, lines(20*second, "M302 S0", "G92 E0", "G1X10E5F6000")...)
		return x
	}
	for fw, want := range map[Firmware]float64{Marlin1: 230, PrusaMK3: 10, Marlin2: 10} {
		if x := moved(fw); x != want {
			t.Errorf("%v drove X10E5 to %v, want %v", fw, x, want)
		}
	}
}

func TestNoise(t *testing.T) {
	readings := func(cfg Config) map[float64]bool {
		cfg.defaults()
		m := newMCU(&cfg)
		seen := map[float64]bool{}
		for at := second; at < 60*second; at += second {
			m.schedule(at, func(m *mcu) { seen[m.therm.hotend().reading()] = true })
		}
		m.run(&bench{end: 60 * second})
		return seen
	}
	if n := len(readings(Config{})); n != 1 {
		t.Errorf("a perfect sensor says %d different things", n)
	}
	noisy := readings(Config{Noise: 200, Seed: 1})
	if len(noisy) < 5 || len(noisy) > 40 {
		t.Errorf("a noisy sensor with steps says %d different things in 59 readings", len(noisy))
	}
	for v := range noisy {
		if math.Abs(v-21.87) > 1.5 {
			t.Errorf("a reading of %.2f", v)
		}
	}
	other := 0
	for v := range readings(Config{Noise: 200, Seed: 2}) {
		if !noisy[v] {
			other++
		}
	}
	if other == 0 {
		t.Error("another seed makes no difference")
	}
}

// TestFan: it takes a moment to turn, and cools the hot end, whose controller gives
// more power for it.
func TestFan(t *testing.T) {
	still, _ := hear(t, Config{}, 300*second, lines(second, "M104 S200")...)
	windy, _ := hear(t, Config{}, 300*second, lines(second, "M104 S200", "M106 S255")...)
	if windy.therm.rpm < 4900 || windy.therm.rpm > 5100 || still.therm.rpm != 0 {
		t.Errorf("fan turns at %.0f and %.0f", windy.therm.rpm, still.therm.rpm)
	}
	if a, b := still.therm.hotend().power, windy.therm.hotend().power; b < a*1.05 {
		t.Errorf("power %.0f in still air and %.0f in wind", a, b)
	}
	start, _ := hear(t, Config{}, 2*second, say{1900 * ms, "M106 S255\n"})
	if r := start.therm.rpm; r <= 0 || r > 2500 {
		t.Errorf("after 0.1 s the fan turns at %.0f", r)
	}
}

// TestClassicJerk: at a right angle each axis changes its speed by all of it, which
// may be no more than its jerk.
func TestClassicJerk(t *testing.T) {
	p := &planner{lim: marlin1Limits()}
	p.resize(plannerBlocks)
	p.add(0, [3]float64{20, 0, 0}, 0, 50, -1)
	p.add(0, [3]float64{20, 20, 0}, 0, 50, -1)
	p.add(0, [3]float64{20, 40, 0}, 0, 50, -1)
	blocks := drain(p)
	near(t, "corner speed", blocks[1].shape.entry, 20, 0.01)
	near(t, "speed where the line goes straight on", blocks[2].shape.entry, 50, 0.01)
}

// TestTuning: M303 finds a controller that holds a temperature, and uses it only if
// it is told to.
func TestTuning(t *testing.T) {
	for _, c := range []struct {
		line string
		uses bool
	}{{"M303 E0 S200 C4 U1", true}, {"M303 E0 S200 C4", false}} {
		m, out := hear(t, Config{}, 1500*second, say{second, c.line + "\n"}, say{1200 * second, "M104 S200\n"})
		h := m.therm.hotend()
		if !strings.Contains(out, "\nPID Autotune finished!") || strings.Count(out, " bias: ") != 4 || strings.Count(out, "Classic PID") != 2 {
			t.Fatalf("%s: %s", c.line, out)
		}
		if uses := h.kp != 22.2; uses != c.uses || h.kp < 5 || h.ki < 0.05 || h.kd < 5 {
			t.Errorf("%s: P %.2f I %.2f D %.2f", c.line, h.kp, h.ki, h.kd)
		}
		if math.Abs(h.temp-200) > 2 || m.stats.Kills != 0 {
			t.Errorf("%s: then it holds %.1f °C, not 200", c.line, h.temp)
		}
	}
	for line, want := range map[string]string{
		"M303 E0 S400": "failed! Temperature too high", "M303 E-1 S60": "failed! Bad heater id", "M303 E3": "failed! Bad heater id",
	} {
		if _, out := hear(t, Config{}, 60*second, say{second, line + "\n"}); !strings.Contains(out, want) {
			t.Errorf("%s: %s", line, out)
		}
	}
	m, _ := hear(t, Config{}, 100*second, say{second, "M303 E0 S200\n"}, say{50 * second, "M108\n"}, say{51 * second, "M105\n"})
	if h := m.therm.hotend(); h.power != 0 || m.stats.Lines != 3 {
		t.Errorf("M108 does not end it: %+v", m.stats)
	}
}
