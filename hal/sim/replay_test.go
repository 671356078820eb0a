package sim

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// record is one line of a transcript: seconds, direction (tx is host to firmware,
// rx firmware to host, ctl what the bench did, note) and text.
type record struct {
	T float64         `json:"t"`
	D string          `json:"d"`
	S json.RawMessage `json:"s"`
}

func (r record) text() string {
	var s string
	if json.Unmarshal(r.S, &s) != nil {
		return "" // the first note is an object
	}
	return s
}

func readTranscript(t *testing.T, path string) []record {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var recs []record
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var r record
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		recs = append(recs, r)
	}
	if len(recs) < 3 {
		t.Fatalf("%s: only %d records", path, len(recs))
	}
	return recs
}

// bench is a port without a host: time passes as the firmware spends it, and what
// the firmware says is collected.
type bench struct {
	end time.Duration
	out strings.Builder
}

func (b *bench) pace(m *mcu, t time.Duration) bool {
	if t >= b.end {
		m.halt(poweredOff)
	}
	return true
}

func (b *bench) write(_ *mcu, p []byte) { b.out.Write(p) }
func (b *bench) unplug()                {}

// latin1 is the bytes of a text in which each character stands for one byte.
func latin1(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

// replay lets the firmware hear the host's side of a transcript at its times, with
// what the bench did, and returns what it said.
func replay(t *testing.T, cfg Config, recs []record) (*mcu, string) {
	t.Helper()
	cfg.defaults()
	m := newMCU(&cfg)
	b := &bench{}
	for _, r := range recs {
		at := time.Duration(r.T * float64(time.Second))
		s := r.text()
		switch r.D {
		case "tx":
			m.schedule(at, func(m *mcu) { m.receive(latin1(s)) })
		case "ctl":
			m.schedule(at, func(m *mcu) { benchControl(t, m, s) })
		}
		b.end = at + 50*time.Millisecond
	}
	m.run(b)
	return m, b.out.String()
}

func benchControl(t *testing.T, m *mcu, s string) {
	var verb, name string
	var temp float64
	if f := strings.Fields(s); len(f) > 0 {
		verb = f[0]
		if len(f) > 1 {
			name = f[1]
		}
		if len(f) > 2 {
			if err := json.Unmarshal([]byte(f[2]), &temp); err != nil {
				t.Errorf("bench: %q: %v", s, err)
			}
		}
	}
	h := m.therm.hotend()
	if name == "B" {
		h = m.therm.bed()
	}
	switch verb {
	case "heal":
		h.broken, h.dead = sensorFine, false
	case "free":
		h.held = false
	case "temp":
		h.temp = temp
		if temp == 22 {
			h.temp = m.therm.ambient
		}
	case "force":
		h.temp, h.held = temp, true
	case "open":
		h.broken = sensorOpen
	case "short":
		h.broken = sensorShort
	case "heaterfail":
		h.dead = true
	case "reset":
		m.halt(resetting)
	case "stat":
	default:
		t.Errorf("bench: %q is not known", s)
	}
}

var buildText = regexp.MustCompile(`(?m)^(echo: Compiled: ).*$|(Marlin 2\.0\.9\.5 )\([^)]*\)`)

// normal is a side of a transcript without what no two builds share.
func normal(s string) []string {
	s = buildText.ReplaceAllString(s, "$1$2(build)")
	return strings.Split(s, "\n")
}

func heard(recs []record) string {
	var s strings.Builder
	for _, r := range recs {
		if r.D == "rx" {
			s.Write(latin1(r.text()))
		}
	}
	return s.String()
}

// TestReplay holds the simulator to transcripts: to those in testdata word for word,
// and to recordings of real firmware where these stand beside the checkout.
func TestReplay(t *testing.T) {
	t.Run("testdata", replayOwn)
	if _, err := os.Stat(recordings); err == nil {
		t.Run("recorded", replayRecorded)
	}
}

func replayOwn(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts in testdata: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			recs := readTranscript(t, path)
			cfg := Config{}
			if strings.HasPrefix(filepath.Base(path), "rich-") {
				cfg = richBuild()
			}
			_, got := replay(t, cfg, recs)
			if d := cmp.Diff(normal(heard(recs)), normal(got)); d != "" {
				t.Errorf("what the firmware says differs (-transcript +simulator):\n%s", d)
			}
		})
	}
}

func richBuild() Config {
	return Config{EmergencyParser: true, AdvancedOK: true, HostActions: true, Wait: time.Second}
}

// strictness is how close to a recording the simulator is held.
type strictness uint8

const (
	wordForWord strictness = iota
	shape                  // the same kinds of lines in the same order, however often
)

// recorded lists the recordings of real firmware that the simulator is held to.
// Left out are floods: which byte an
// overrun eats depends on microseconds; [TestFlood] covers them.
var recorded = []struct {
	name string
	how  strictness
}{
	{"marlin2-boot-ident", wordForWord},
	{"marlin2-line-errors", wordForWord},
	{"marlin2-stream-lines", wordForWord},
	{"marlin2-cold-extrude-unknown", wordForWord},
	{"marlin2-busy-keepalive", wordForWord},
	{"marlin2-autoreport", wordForWord},
	{"marlin2-idle-10s", wordForWord},
	{"marlin2-text-hazards", wordForWord},
	{"marlin2-estop-bare-m112", wordForWord},
	{"marlin2-estop-numbered-m112", wordForWord},
	{"marlin2-estop-queue-really-full", wordForWord},
	{"marlin2-reset-mid-stream", wordForWord},
	{"marlin2-fault-open", wordForWord},
	{"marlin2-fault-short", wordForWord},
	{"marlin2-fault-dead", wordForWord},
	{"marlin2-quickstop-m410", wordForWord},
	{"marlin2-home", shape},
	{"marlin2-heat-wait", shape},
	{"marlin2-heat-cancel", shape},
	{"marlin2-estop-during-m109", shape},
	{"marlin2rich-boot-ident", wordForWord},
	{"marlin2rich-line-errors", wordForWord},
	{"marlin2rich-stream-lines", wordForWord},
	{"marlin2rich-cold-extrude-unknown", wordForWord},
	{"marlin2rich-busy-keepalive", wordForWord},
	{"marlin2rich-estop-bare-m112", wordForWord},
	{"marlin2rich-estop-queue-really-full", wordForWord},
	{"marlin2rich-reset-mid-stream", wordForWord},
	{"marlin2rich-estop-during-m109", shape},
}

// What may differ: temperatures (another model of the same heater), the step at which
// M410 stopped, and how full the planner is at a moment. The rich build has options
// that the simulator has not.
var (
	temperature = regexp.MustCompile(`-?\d+\.\d\d /|@:\d+|W:[\d?]`)
	stopped     = regexp.MustCompile(`X:5[89]\.\d\d|Count X:7\d\d`)
	room        = regexp.MustCompile(`P\d+ B\d`)
	richOnly    = regexp.MustCompile(`(?m)^(wait|area:.*|echo:; Filament load/unload:|echo:  M603.*|//action:notification 0s\r)\n|(AUTOREPORT_POS):\d`)
)

func folded(s string, how strictness) []string {
	s = temperature.ReplaceAllString(s, "#")
	s = stopped.ReplaceAllString(s, "#")
	s = room.ReplaceAllString(s, "#")
	s = richOnly.ReplaceAllString(s, "$2")
	lines := normal(s)
	if how == wordForWord {
		return lines
	}
	var kinds []string
	for _, l := range lines {
		if !slices.Contains(kinds, l) {
			kinds = append(kinds, l)
		}
	}
	return kinds
}

var recordings = filepath.Join("..", "..", "..", "shared", "facts", "serial")

func replayRecorded(t *testing.T) {
	for _, r := range recorded {
		t.Run(r.name, func(t *testing.T) {
			recs := readTranscript(t, filepath.Join(recordings, r.name+".jsonl"))
			cfg := Config{}
			if strings.HasPrefix(r.name, "marlin2rich") {
				cfg = richBuild()
			}
			_, got := replay(t, cfg, recs)
			if d := cmp.Diff(folded(heard(recs), r.how), folded(got, r.how)); d != "" {
				t.Errorf("what the firmware says differs (-recorded +simulator):\n%s", d)
			}
		})
	}
}
