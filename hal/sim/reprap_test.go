package sim

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRepRapReplay holds the simulator to conversations that were written by hand after
// the firmware's source.
func TestRepRapReplay(t *testing.T) {
	paths, err := filepath.Glob("testdata/reprap/*.jsonl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no conversations in testdata/reprap: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			recs := readTranscript(t, path)
			_, got := replay(t, Config{Firmware: RepRap}, recs)
			if d := cmp.Diff(strings.Split(heard(recs), "\n"), strings.Split(got, "\n")); d != "" {
				t.Errorf("what the firmware says differs (-written +simulator):\n%s", d)
			}
		})
	}
}

// TestRepRapStopWaits: M112 is read only when the line before it is done, and from then
// on nothing moves or heats.
func TestRepRapStopWaits(t *testing.T) {
	var moves []Move
	cfg := Config{Firmware: RepRap, Hotend: 190_000, OnMove: func(m Move) { moves = append(moves, m) }}
	recs := []record{
		tx(0.2, "G28\nM104 S200\nG1 X100 F3000\n"),
		tx(10, "G1 X100 Y100 F600\nG4 P1\nM112\nG1 X0\n"), // ten seconds, and the dwell waits for them
		tx(30, "M105\n"),
	}
	m, got := replay(t, cfg, recs)
	if !strings.Contains(got, "Emergency Stop!") || !strings.Contains(got, "Error: G1: Machine is halted") {
		t.Fatalf("it says %q", got)
	}
	if len(moves) != 2 || moves[1].Cut || m.therm.hotend().target != 0 || !m.refusing {
		t.Errorf("moves %v, target %v", moves, m.therm.hotend().target)
	}
}

func tx(at float64, s string) record {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	b = append(b, strings.NewReplacer("\n", `\n`, `"`, `\"`).Replace(s)...)
	return record{T: at, D: "tx", S: append(b, '"')}
}

// TestRepRapHeaterFaults: a sensor that breaks and a heater that does not heat are found
// and told, and the heater goes off.
func TestRepRapHeaterFaults(t *testing.T) {
	for what, text := range map[string]string{
		"open T0":       "Error: Heater 1 fault: failed to read sensor",
		"short T0":      "Error: Heater 1 fault: failed to read sensor",
		"heaterfail T0": "Error: Heater 1 fault: temperature rising too slowly",
		"stat":          "",
	} {
		recs := []record{tx(0.2, "M104 S200\n"), {T: 5, D: "ctl", S: []byte(`"` + what + `"`)}, tx(60, "M105\n")}
		m, got := replay(t, Config{Firmware: RepRap}, recs)
		if text == "" {
			if strings.Contains(got, "fault") || m.therm.hotend().target == 0 {
				t.Errorf("control: %q", got)
			}
			continue
		}
		if !strings.Contains(got, text) || m.therm.hotend().target != 0 {
			t.Errorf("%s: %q, target %v", what, got, m.therm.hotend().target)
		}
	}
}

// TestRepetierFaults: the same of Repetier-Firmware, which then refuses everything until
// M999.
func TestRepetierFaults(t *testing.T) {
	for what, text := range map[string]string{
		"open T0":       "fatal:Heater/sensor error",
		"short T0":      "fatal:Heater/sensor error",
		"heaterfail T0": "fatal:Heater decoupled during rising",
		"stat":          "",
	} {
		recs := []record{tx(0.2, "M104 S200\n"), {T: 5, D: "ctl", S: []byte(`"` + what + `"`)},
			tx(100, "M104 S100\n"), tx(101, "M999\n"), tx(102, "M104 S50\n"), tx(103, "G4 P1\n")}
		m, got := replay(t, Config{Firmware: Repetier}, recs)
		refused := strings.Count(got, "fatal:")
		if text == "" {
			if refused != 0 {
				t.Errorf("control: %q", got)
			}
			continue
		}
		if !strings.Contains(got, text) || refused != 2 || m.therm.hotend().target != 50 {
			t.Errorf("%s: refused %d times, target %v\n%s", what, refused, m.therm.hotend().target, got)
		}
	}
}

// TestRepRapArcs: an arc ends where it should, by short ways on its circle; one without
// a centre is refused.
func TestRepRapArcs(t *testing.T) {
	var moves []Move
	cfg := Config{Firmware: RepRap, OnMove: func(m Move) { moves = append(moves, m) }}
	recs := []record{tx(0.2, "G28\nG1 X20 Y10 F6000\nG3 X10 Y20 I-10 J0\nG2 X9 Y9\n"), tx(60, "M105\n")}
	_, got := replay(t, cfg, recs)
	if !strings.Contains(got, "no I or J or R parameter") {
		t.Errorf("it says %q", got)
	}
	pieces := 0
	for _, m := range moves[1:] {
		pieces++
		if d := math.Hypot(m.To[0].MM()-10, m.To[1].MM()-10); math.Abs(d-10) > 0.01 {
			t.Errorf("%.3f mm from the centre", d)
		}
	}
	if last := moves[len(moves)-1]; pieces != 15 || last.To[0].MM() != 10 || last.To[1].MM() != 20 {
		t.Errorf("%d pieces, the last to %v %v", pieces, last.To[0], last.To[1])
	}
}
