package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// say is one thing that a test lets the firmware hear.
type say struct {
	at   time.Duration
	text string
}

// hear runs a printer for d without a host and returns what it says.
func hear(t *testing.T, cfg Config, d time.Duration, says ...say) (*mcu, string) {
	t.Helper()
	cfg.defaults()
	m := newMCU(&cfg)
	for _, s := range says {
		m.schedule(s.at, func(m *mcu) { m.receive([]byte(s.text)) })
	}
	b := &bench{end: d}
	m.run(b)
	return m, b.out.String()
}

func numbered(n int, text string) string {
	s := fmt.Sprintf("N%d %s", n, text)
	var sum byte
	for i := range s {
		sum ^= s[i]
	}
	return fmt.Sprintf("%s*%d\n", s, sum)
}

const (
	second = time.Second
	ms     = time.Millisecond
)

// flood is what a host that ignores flow control sends.
func flood() string {
	var s strings.Builder
	s.WriteString(numbered(0, "M110 N0"))
	for i := 1; i <= 40; i++ {
		s.WriteString(numbered(i, fmt.Sprintf("G1 X%d F1200", 50+i%5)))
	}
	return s.String()
}

// TestFlood sends 40 lines at once: the receive buffer overruns, and what is damaged
// is asked for again. Numbered lines are driven in order; what an overrun leaves of a
// line that lost exactly its number is driven as well, as the real firmware does.
func TestFlood(t *testing.T) {
	var lines []int64
	m, out := hear(t, Config{OnMove: func(m Move) { lines = append(lines, m.Line) }}, 20*second, say{second, flood()})
	if m.stats.Overruns == 0 || m.stats.Resends == 0 || !strings.Contains(out, "Resend: ") {
		t.Errorf("no overrun: %+v\n%s", m.stats, out)
	}
	last := int64(0)
	for _, n := range lines {
		if n == -1 {
			continue
		}
		if n != last+1 {
			t.Fatalf("drove line %d after %d", n, last)
		}
		last = n
	}
	if last < 10 || last > 20 {
		t.Errorf("drove %d lines; the real one gets about 14 of 40", last)
	}
	// Control: at one line per ok nothing is lost.
	slow := []say{{second, numbered(0, "M110 N0")}}
	for i := 1; i <= 40; i++ {
		slow = append(slow, say{second + time.Duration(i)*50*ms, numbered(i, fmt.Sprintf("G1 X%d F6000", 50+i%5))})
	}
	if m, _ := hear(t, Config{}, 20*second, slow...); m.stats.Overruns != 0 || m.stats.Resends != 0 || m.stats.Lines != 41 {
		t.Errorf("a patient host lost something: %+v", m.stats)
	}
}

// TestQueueHoldsBack checks that ok waits for room: planner 15, and four commands.
func TestQueueHoldsBack(t *testing.T) {
	var says []say
	for i := range 25 {
		says = append(says, say{second + time.Duration(i)*20*ms, fmt.Sprintf("G1 X%d F60\n", 5*(i%2)+5)})
	}
	_, out := hear(t, Config{}, 4*second, says...)
	if got := strings.Count(out, "ok\n"); got != 15 {
		t.Errorf("%d lines were acknowledged with a full planner, want 15", got)
	}
}

// TestHaltPastAFullQueue is what EMERGENCY_PARSER is for.
func TestHaltPastAFullQueue(t *testing.T) {
	halted := func(emergency bool, cmd string) time.Duration {
		says := []say{}
		for i := range 19 {
			says = append(says, say{second + time.Duration(i)*20*ms, fmt.Sprintf("G1 X%d F60\n", 5*(i%2)+5)})
		}
		at := 2500 * ms
		says = append(says, say{at, cmd})
		cfg := Config{EmergencyParser: emergency}
		cfg.defaults()
		m := newMCU(&cfg)
		for _, s := range says {
			m.schedule(s.at, func(m *mcu) { m.receive([]byte(s.text)) })
		}
		var when time.Duration
		for i := at; i < 20*second; i += 10 * ms {
			m.schedule(i, func(m *mcu) {
				if m.stats.Kills == 1 && when == 0 {
					when = m.now
				}
			})
		}
		m.run(&bench{end: 20 * second})
		return when - at
	}
	if d := halted(true, "M112\n"); d > 50*ms {
		t.Errorf("EMERGENCY_PARSER took %v to halt", d)
	}
	if d := halted(true, numbered(20, "M112")); d > 50*ms {
		t.Errorf("EMERGENCY_PARSER took %v to halt for a numbered line", d)
	}
	if d := halted(false, "M112\n"); d < second {
		t.Errorf("without it the halt waits for a free place; it took %v", d)
	}
	if d := halted(true, "M11\n"); d >= 0 {
		t.Errorf("control: M11 halted after %v", d)
	}
}

// TestHaltStopsMotionAndHeat checks what the host cannot see.
func TestHaltStopsMotionAndHeat(t *testing.T) {
	var moves []Move
	cfg := Config{OnMove: func(m Move) { moves = append(moves, m) }}
	m, _ := hear(t, cfg, 10*second,
		say{second, "M104 S210\nM140 S60\nM106 S200\n"}, say{1100 * ms, "G1 X150 F600\n"}, say{3 * second, "M112\n"})
	if m.therm.hotend().power != 0 || m.therm.bed().power != 0 || m.therm.hotend().target != 0 || m.therm.fan != 0 {
		t.Errorf("heaters after a halt: %+v", m.therm)
	}
	if len(moves) != 1 || !moves[0].Cut {
		t.Fatalf("moves: %+v", moves)
	}
	if end := moves[0].End; end < 3600*ms || end > 3700*ms {
		t.Errorf("motion ended at %v, want 0.6 s after the halt", end)
	}
	if x := moves[0].To[0].MM(); x < 23 || x > 26 { // 10 mm/s for 2.5 s
		t.Errorf("head stands at %.1f mm", x)
	}
}

// TestCorruptLinesAreNeverDriven floods a patient stream with bit errors.
func TestCorruptLinesAreNeverDriven(t *testing.T) {
	total := uint64(0)
	for seed := range uint64(40) {
		var got []Move
		cfg := Config{Seed: seed, Faults: Faults{Corrupt: Always / 5}, OnMove: func(m Move) { got = append(got, m) }}
		var says []say
		for i := 1; i <= 40; i++ { // deaf host: never resends
			says = append(says, say{second + time.Duration(i)*100*ms, numbered(i, fmt.Sprintf("G1 X%d Y1.25 F6000", 3*i))})
		}
		m, _ := hear(t, cfg, 8*second, says...)
		total += m.stats.Injected
		for i, mv := range got {
			if want := float64(3 * (i + 1)); mv.Line != int64(i+1) || mv.To[0].MM() != want {
				t.Fatalf("seed %d: drove line %d to %v, want line %d to %v", seed, mv.Line, mv.To[0], i+1, want)
			}
		}
		if m.stats.Injected > 0 && len(got) == 40 {
			t.Errorf("seed %d: %d lines were damaged and all were driven", seed, m.stats.Injected)
		}
	}
	if total == 0 {
		t.Error("no line was damaged")
	}
}

func TestOkFaults(t *testing.T) {
	count := func(f Faults) int {
		_, out := hear(t, Config{Faults: f}, 5*second, say{second, "G21\nG90\nM105\n"})
		return strings.Count(out, "ok")
	}
	if n := count(Faults{}); n != 3 {
		t.Errorf("control: %d oks, want 3", n)
	}
	if n := count(Faults{DropOK: Always}); n != 0 {
		t.Errorf("%d oks were not lost", n)
	}
	if n := count(Faults{DupOK: Always}); n != 6 {
		t.Errorf("%d oks, want 6", n)
	}
}

func TestTimedFaults(t *testing.T) {
	warm := say{second, "M104 S200\n"}
	m, out := hear(t, Config{Faults: Faults{ResetAt: 3 * second}}, 5*second, warm)
	if m.stats.Resets != 1 || strings.Count(out, "start\n") != 2 || m.therm.hotend().target != 0 {
		t.Errorf("reset: %+v target %v\n%s", m.stats, m.therm.hotend().target, out)
	}
	m, out = hear(t, Config{Faults: Faults{ThermistorOpenAt: 3 * second}}, 5*second, warm)
	if m.stats.Kills != 1 || !strings.Contains(out, "Error:MINTEMP triggered, system stopped! Heater_ID: E0\n") {
		t.Errorf("open thermistor: %+v\n%s", m.stats, out)
	}
	m, out = hear(t, Config{Faults: Faults{HeaterDeadAt: 150 * second}}, 250*second, warm)
	if m.stats.Kills != 1 || !strings.Contains(out, "Error:Thermal Runaway, system stopped! Heater_ID: E0\n") {
		t.Errorf("dead heater at temperature: %+v\n%s", m.stats, out)
	}
	m, out = hear(t, Config{Faults: Faults{HeaterDeadAt: 500 * ms}}, 60*second, warm)
	if m.stats.Kills != 1 || !strings.Contains(out, "Error:Heating failed, system stopped! Heater_ID: E0\n") {
		t.Errorf("dead heater from the start: %+v\n%s", m.stats, out)
	}
	m, _ = hear(t, Config{}, 250*second, warm)
	if m.stats.Kills != 0 || m.stats.Resets != 0 {
		t.Errorf("control: %+v", m.stats)
	}
	m, _ = hear(t, Config{Faults: Faults{UnplugAt: 2 * second}}, 5*second, warm)
	if m.now > 2100*ms {
		t.Errorf("an unplugged printer ran until %v", m.now)
	}
}

func TestHeating(t *testing.T) {
	m, out := hear(t, Config{}, 400*second, say{second, "M140 S60\nM109 S210\nM190 S60\nM118 done\n"})
	if !strings.Contains(out, "done\r\n") {
		t.Fatalf("never warm: %s", out)
	}
	if h := m.therm.hotend().temp; h < 207 || h > 213 {
		t.Errorf("hot end is at %.1f °C", h)
	}
	if b := m.therm.bed().temp; b < 57 || b > 64 {
		t.Errorf("bed is at %.1f °C", b)
	}
	at := strings.Index(out, "done")
	if n := strings.Count(out[:at], " W:"); n < 60 || n > 300 {
		t.Errorf("%d reports while waiting, one a second was expected", n)
	}
	if n := strings.Count(out, "busy: processing"); n < 30 {
		t.Errorf("%d keepalives", n)
	}
	m, _ = hear(t, Config{}, 20*second, say{second, "M104 S400\nM140 S200\n"})
	if m.therm.hotend().target != 260 || m.therm.bed().target != 140 {
		t.Errorf("targets %v and %v, want the firmware's limits", m.therm.hotend().target, m.therm.bed().target)
	}
}

func TestJournal(t *testing.T) {
	var moves []Move
	cfg := Config{OnMove: func(m Move) { moves = append(moves, m) }}
	m, _ := hear(t, cfg, 60*second,
		say{second, "G28\n"}, say{20 * second, "M302 P1\nM83\nG1 X20 Y20 Z0.2 F6000\n"},
		say{24 * second, "G1 X30 E1\n"}, say{25 * second, "G1 E-0.5\n"}, say{26 * second, "G1 Z0.4\nG1 X20 E1\n"},
		say{30 * second, "G1 X500\n"})
	s := m.stats
	if s.Moves != 6 || s.Layers != 2 || s.Clamped != 1 || s.Unhomed != 0 || s.Homes != 3 || s.Cold != 0 {
		t.Errorf("stats %+v", s)
	}
	if s.Filament != 1500 {
		t.Errorf("filament %d µm, want 1500", s.Filament)
	}
	if s.Starved != 4 { // not before the first, and the fifth came in time
		t.Errorf("starved %d times, want 4", s.Starved)
	}
	want := []float64{20, 30, 30, 30, 20, 200}
	for i, mv := range moves {
		if mv.To[0].MM() != want[i] || (i > 0 && mv.From != moves[i-1].To) || mv.End <= mv.Start {
			t.Errorf("move %d: %+v", i, mv)
		}
	}
	m, _ = hear(t, Config{}, 20*second, say{second, "G1 X10 F6000\nM400\nG1 X20\nM400\n"})
	if m.stats.Starved != 0 || m.stats.Unhomed != 2 {
		t.Errorf("waiting on purpose: %+v", m.stats)
	}
}

func TestArc(t *testing.T) {
	var last Move
	var moves int
	length := 0.0
	cfg := Config{OnMove: func(m Move) {
		moves++
		dx, dy := (m.To[0] - m.From[0]).MM(), (m.To[1] - m.From[1]).MM()
		length += dx*dx + dy*dy
		last = m
	}}
	_, out := hear(t, cfg, 20*second, say{second, "G1 X20 Y10 F6000\nG3 X10 Y20 I-10 J0\nG2 X20 Y30 R10\nG2 X1\n"})
	if moves != 1+15+15 || last.To[0].MM() != 20 || last.To[1].MM() != 30 {
		t.Errorf("%d moves, the last to %v %v", moves, last.To[0], last.To[1])
	}
	if !strings.Contains(out, "Error:G2/G3 bad parameters\n") {
		t.Errorf("an arc without a center was taken:\n%s", out)
	}
}
