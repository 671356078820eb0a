package sim

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// repetierRecorded lists the recordings of Repetier-Firmware that the simulator is held
// to. Two that stand beside them are of another firmware on the same line, with
// bytes missing: repetier-fault-open and repetier-text-hazards say "T:210.00 /200.00"
// as Marlin does. Faults are held to the firmware's source instead.
var repetierRecorded = []struct {
	name string
	how  strictness
}{
	{"repetier-boot-ident", wordForWord},
	{"repetier-line-errors", wordForWord},
	{"repetier-stream-lines", wordForWord},
	{"repetier-cold-extrude-unknown", wordForWord},
	{"repetier-busy-keepalive", wordForWord},
	{"repetier-autoreport", wordForWord},
	{"repetier-estop-bare-m112", wordForWord},
	{"repetier-quickstop-m410", wordForWord},
	{"repetier-reset-mid-stream", wordForWord},
	{"repetier-heat-wait", shape},
}

// replayRepetier is replay with a bed whose thermistor says nothing that the
// firmware's table knows, as it was on the bench.
func replayRepetier(t *testing.T, recs []record) string {
	t.Helper()
	cfg := Config{Firmware: Repetier}
	cfg.defaults()
	m := newMCU(&cfg)
	bed := m.therm.bed()
	bed.temp, bed.held = math.NaN(), true
	b := &bench{}
	for _, r := range recs {
		at := time.Duration(r.T * float64(time.Second))
		s := r.text()
		switch {
		case r.D == "tx":
			m.schedule(at, func(m *mcu) { m.receive(latin1(s)) })
		case r.D == "ctl" && !strings.Contains(s, " B"):
			m.schedule(at, func(m *mcu) { benchControl(t, m, s) })
		}
		b.end = at + 50*time.Millisecond
	}
	m.run(b)
	return b.out.String()
}

// repetierTimers are the lines that come when the host has been silent for a while:
// how often between two of its lines depends on milliseconds.
var repetierTimers = regexp.MustCompile(`(?m)^wait\r\n|((?:^\r\nResend:\d+\r\nok\r\n)(?:\r\nResend:\d+\r\nok\r\n)+)`)

// timers counts them.
func repetierCount(s string) (waits, resends int) {
	return strings.Count(s, "\nwait\r\n"), strings.Count(s, "\nResend:")
}

var repetierVary = regexp.MustCompile(`COMPILED:\w+ +\d+ \d+|T:\d+\.\d\d|@:\d+`)

func repetierFolded(s string, how strictness) []string {
	s = repetierTimers.ReplaceAllStringFunc(s, func(m string) string {
		if strings.HasPrefix(m, "wait") {
			return ""
		}
		return m[:strings.Index(m, "ok\r\n")+len("ok\r\n")]
	})
	s = repetierVary.ReplaceAllString(s, "#")
	lines := folded(s, how)
	if n := len(lines); n > 0 && lines[n-1] == "" {
		lines = lines[:n-1]
	}
	return lines
}

func TestRepetierReplay(t *testing.T) {
	own, err := filepath.Glob("testdata/repetier/*.jsonl")
	if err != nil || len(own) == 0 {
		t.Fatalf("no recordings in testdata/repetier: %v", err)
	}
	for _, path := range own {
		t.Run(filepath.Base(path), func(t *testing.T) {
			recs := readTranscript(t, path)
			compareRepetier(t, recs, wordForWord)
		})
	}
	if _, err := os.Stat(recordings); err != nil {
		return
	}
	for _, r := range repetierRecorded {
		t.Run(r.name, func(t *testing.T) {
			compareRepetier(t, readTranscript(t, filepath.Join(recordings, r.name+".jsonl")), r.how)
		})
	}
}

func compareRepetier(t *testing.T, recs []record, how strictness) {
	t.Helper()
	was, is := heard(recs), replayRepetier(t, recs)
	want, got := repetierFolded(was, how), repetierFolded(is, how)
	if extra := len(got) - len(want); how == wordForWord && extra > 0 && extra <= 9 {
		got = got[:len(want)] // the recording ends before the firmware has said everything
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what the firmware says differs (-recorded +simulator):\n%s", d)
	}
	w1, r1 := repetierCount(was)
	w2, r2 := repetierCount(is)
	if d := w1 - w2; d < -2 || d > 2 {
		t.Errorf("wait was said %d times, recorded are %d", w2, w1)
	}
	if d := r1 - r2; d < -r1/8-1 || d > r1/8+1 {
		t.Errorf("a line was asked for %d times, recorded are %d", r2, r1)
	}
}

// TestRepetierFlood: forty lines at once overrun the buffers of both. Which byte is
// lost first depends on microseconds; after it nothing is taken any more, and the
// line after the last one that was taken is asked for.
func TestRepetierFlood(t *testing.T) {
	path := filepath.Join(recordings, "repetier-flood-no-wait.jsonl")
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join("testdata", "repetier", "flood.jsonl.in")
	}
	said := replayRepetier(t, readTranscript(t, path))
	taken := regexp.MustCompile(`(?m)^ok ([1-9]\d*)\r$`).FindAllStringSubmatch(said, -1)
	asked := regexp.MustCompile(`(?m)^Resend:(\d+)\r$`).FindAllStringSubmatch(said, -1)
	if len(taken) < 5 || len(taken) > 39 || len(asked) < 5 {
		t.Fatalf("%d lines taken and %d asked for: not a flood\n%s", len(taken), len(asked), said)
	}
	for i, m := range taken {
		if want := strconv.Itoa(i + 1); m[1] != want {
			t.Errorf("ok %s where line %s was due", m[1], want)
		}
	}
	for _, m := range asked {
		if want := strconv.Itoa(len(taken) + 1); m[1] != want {
			t.Errorf("line %s asked for, due is %s", m[1], want)
		}
	}
}
