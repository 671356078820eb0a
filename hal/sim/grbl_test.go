package sim

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// grblPace is how fast the clock of the recorded processors went, which were simulated
// as well: moves show it.
const grblPace = 0.7

// grblReplay lets grbl hear the host's side of a transcript at its times, with what
// the bench did, and returns what it said.
func grblReplay(t *testing.T, cfg Config, recs []record, pace float64) string {
	t.Helper()
	cfg.defaults()
	m := newMCU(&cfg)
	g := m.fw.(*grbl)
	b := &bench{}
	for _, r := range recs {
		at, s := time.Duration(r.T*pace*float64(time.Second)), r.text()
		b.end = at + 50*time.Millisecond
		switch {
		case r.D == "tx":
			m.schedule(at, func(m *mcu) { m.receive(latin1(s)) })
		case r.D == "ctl" && s == "reset":
			m.schedule(at, func(m *mcu) { m.halt(resetting) })
		case r.D == "ctl" && s == "pin B1 0":
			m.schedule(at, func(*mcu) { g.trip() })
		case r.D == "ctl" && s == "pin B1 1":
		case r.D == "ctl":
			t.Errorf("bench: %q is not known", s)
		}
	}
	m.run(b)
	return b.out.String()
}

// What may differ from a recording: where it is and how fast while it moves (its clock
// is that of a simulated processor), and how much room it has then.
var (
	grblMoving = regexp.MustCompile(`(<(?:Run|Hold:\d|Jog|Idle|Alarm)\|MPos:)[^|]*\|(Bf:\d+,\d+\|)?FS:\d+,0`)
	grblBuild  = regexp.MustCompile(`\[VER:1\.1\w\.\d+:\]`)
)

// grblFolded is a side of a transcript without these. Status reports come when the
// main program looks, so that they may stand before or behind an ok.
func grblFolded(s string) []string {
	s = grblMoving.ReplaceAllString(s, "${1}#")
	s = grblBuild.ReplaceAllString(s, "[VER]")
	var lines, reports []string
	for l := range strings.Lines(s) {
		if strings.HasPrefix(l, "<") {
			reports = append(reports, l)
		} else {
			lines = append(lines, l)
		}
	}
	return append(lines, reports...)
}

// grblWhole ends a recording where the recorded program hung.
func grblWhole(recs []record) []record {
	for i, r := range recs {
		if r.D == "tx" && i+1 < len(recs) && strings.HasPrefix(recs[i+1].text(), "TIMEOUT") && recs[i].text() == "$20=0\n" {
			return recs[:i]
		}
	}
	return recs
}

// TestGRBLOwn holds grbl and grblHAL to recordings of this simulator that were read
// line by line against the sources of grbl 1.1h (protocol.c, gcode.c, system.c).
func TestGRBLOwn(t *testing.T) {
	paths, err := filepath.Glob("testdata/grbl/*.jsonl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts in testdata/grbl: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".jsonl"), func(t *testing.T) {
			cfg := Config{Firmware: GRBL, Baud: 115200}
			if strings.Contains(path, "grblhal-") {
				cfg.Firmware = GRBLHAL
			}
			recs := readTranscript(t, path)
			if d := cmp.Diff(heard(recs), grblReplay(t, cfg, recs, 1)); d != "" {
				t.Errorf("what the firmware says differs (-transcript +simulator):\n%s", d)
			}
		})
	}
}

// TestGRBLRecorded holds grbl and grblHAL to recordings of the real ones, word for
// word but for times, build strings, and positions on the way.
func TestGRBLRecorded(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(recordings, "grbl*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(recordings); err != nil {
		t.Skip("no recordings of real firmware beside the checkout")
	}
	if len(paths) < 14 {
		t.Fatalf("there are %d recordings of grbl and grblHAL", len(paths))
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".jsonl"), func(t *testing.T) {
			cfg := Config{Firmware: GRBL, Baud: 115200}
			if strings.Contains(path, "grblhal-") {
				cfg.Firmware = GRBLHAL
			}
			recs := grblWhole(readTranscript(t, path))
			got, want := grblFolded(grblReplay(t, cfg, recs, grblPace)), grblFolded(heard(recs))
			if strings.Contains(path, "flood") {
				floodJudge(t, got, want, cfg.Firmware)
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("what the firmware says differs (-recorded +simulator):\n%s", d)
			}
		})
	}
}

// floodJudge compares what comes of more lines than there is room for. grbl answers
// those that fit, and waits for the end of the one that was cut off; grblHAL has room
// for them all, and is slower in the recording.
func floodJudge(t *testing.T, got, want []string, fw Firmware) {
	t.Helper()
	count := func(lines []string, answer string) (n int) {
		for _, l := range lines {
			if strings.HasPrefix(l, answer) {
				n++
			}
		}
		return n
	}
	g, w := count(got, "ok"), count(want, "ok")
	if fw == GRBL && (g < w-2 || g > w+2) || g < w || count(got, "error") != count(want, "error") {
		t.Errorf("%d lines were answered by ok, %d in the recording:\n%s", g, w, strings.Join(got, ""))
	}
}
