package sim

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// strictness is how close to a recording the simulator is held.
type strictness uint8

const (
	wordForWord strictness = iota
	steady                 // but for how often what comes by itself does
	shape                  // the same kinds of lines in the same order, however often
	flooded                // the same in any order, whatever numbers they have and whatever the errors are
)

// built is a build of a firmware that was recorded.
type built struct {
	cfg    Config
	vary   *regexp.Regexp
	beside map[string]strictness // recordings that are not held word for word, and why
}

// builds are the firmwares that were recorded, by the first part of the file's name.
// Every file with such a name is replayed.
var builds = map[string]built{
	"marlin2": {
		beside: map[string]strictness{
			"flood-no-wait":     flooded, // which byte an overrun eats depends on microseconds
			"estop-queue-full":  flooded, // floods as well
			"home":              steady,  // where the head stood is not known
			"heat-wait":         steady,  // another model of the same heater
			"heat-cancel":       steady,
			"estop-during-m109": steady,
		},
	},
	"marlin2rich": {
		cfg: richBuild(),
		beside: map[string]strictness{
			"flood-no-wait":     flooded,
			"estop-queue-full":  flooded,
			"estop-during-m109": steady,
			"autoreport":        steady, // it says wait once a second, and here once more or less
			"host-prompt":       steady,
			"idle-10s":          steady,
			"line-errors":       steady,
			"quickstop-m410":    steady,
			"reset-mid-stream":  steady,
		},
	},
	"mk3": { // recorded at half speed or less
		cfg:  Config{Firmware: PrusaMK3},
		vary: prusaClock,
		beside: map[string]strictness{
			"flood-no-wait":           flooded,
			"fault-open":              shape,  // the display changes while the sensor heals
			"autoreport":              shape,  // so do its reports
			"estop-queue-full":        shape,  // how many moves end while the host waits
			"cold-extrude-unknown":    steady, // how often it is busy, or reports
			"estop-during-m109":       steady,
			"estop-numbered-m112":     steady,
			"estop-queue-really-full": steady,
			"fault-dead":              steady,
			"heat-cancel":             steady,
			"heat-wait":               steady,
			"home":                    steady,
			"thermal-anomaly-paused":  steady,
			"reset-mid-stream":        shape, // how many lines it had read
		},
	},
	"um2": {
		cfg: Config{Firmware: Marlin1},
		beside: map[string]strictness{
			"flood-no-wait":     flooded,
			"estop-queue-full":  flooded,
			"reset-mid-stream":  shape, // how much it had read of the last line
			"fault-open":        shape, // a sensor that heals in the middle of a round
			"heat-wait":         steady,
			"heat-cancel":       steady,
			"estop-during-m109": steady,
		},
	},
}

// prusaClock is what the MK3 says besides: how often depends on how slow the machine
// was on which it was recorded.
var prusaClock = regexp.MustCompile(`(?m)^TM: error \|.*\n`)

func richBuild() Config {
	return Config{EmergencyParser: true, AdvancedOK: true, HostActions: true, Wait: time.Second}
}

// What may differ: temperatures (another model of the same heater), the step at which
// M410 stopped, and how full the planner is at a moment.
var (
	temperature = regexp.MustCompile(`-?\d+\.\d\d? /|T:\d+\.\d\d? E:|B:\d+\.\d$|@:\d+|W:[\d?]`)
	stopped     = regexp.MustCompile(`X:5[89]\.\d\d|Count X:7\d\d|Count X: \d+\.\d\d|CZPX\w+`)
	room        = regexp.MustCompile(`P\d+ B\d`)
	byItself    = regexp.MustCompile(`(?m)^( ?T:.* [EB]:.*|echo:busy: .*|wait)\n`)
	number      = regexp.MustCompile(`-?\d+(\.\d+)?`)
	buildText   = regexp.MustCompile(`(?m)^(echo: Compiled: ).*$|^(Compiled: ).*$|(Marlin 2\.0\.9\.5 )\([^)]*\)|(echo: Last Updated: )\w+ +\d+ \d+ [\d:]+`)
	lost        = regexp.MustCompile(`^(Error:.*|Resend: .*|RX timeout|Full RX Buffer|echo:Unknown command: .*)$`)
	ticking     = regexp.MustCompile(`\d+ min, \d+ sec`)
)

// normal is a side of a transcript without what no two builds share.
func normal(s string) []string {
	return strings.Split(buildText.ReplaceAllString(s, "$1$2$3$4(build)"), "\n")
}

func folded(s string, how strictness) []string {
	if how >= steady {
		s = byItself.ReplaceAllString(s, "")
	}
	for _, r := range []*regexp.Regexp{temperature, stopped, room, ticking} {
		s = r.ReplaceAllString(s, "#")
	}
	s = buildText.ReplaceAllString(s, "$1$2$3$4(build)")
	if how == flooded {
		s = number.ReplaceAllString(s, "#")
	}
	lines := strings.Split(s, "\n")
	if how < shape {
		return lines
	}
	var kinds []string
	for _, l := range lines {
		if !slices.Contains(kinds, l) {
			kinds = append(kinds, l)
		}
	}
	if how == flooded {
		for i, l := range kinds {
			if lost.MatchString(l) {
				kinds[i] = "(something was lost)"
			}
		}
		slices.Sort(kinds)
		kinds = slices.Compact(kinds)
	}
	return kinds
}

var recordings = filepath.Join("..", "..", "..", "shared", "facts", "serial")

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
			switch kind, _, _ := strings.Cut(filepath.Base(path), "-"); kind {
			case "rich":
				cfg = richBuild()
			case "full":
				cfg = richBuild()
				cfg.Wait = 0
			case "um2", "mk3":
				cfg = builds[kind].cfg
			}
			_, got := replay(t, cfg, recs)
			if d := cmp.Diff(normal(heard(recs)), normal(got)); d != "" {
				t.Errorf("what the firmware says differs (-transcript +simulator):\n%s", d)
			}
		})
	}
}

// replayRecorded replays every recording of the builds that are known here; a folder
// without them is an error.
func replayRecorded(t *testing.T) {
	for name, b := range builds {
		paths, err := filepath.Glob(filepath.Join(recordings, name+"-*.jsonl"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no recordings of %s: %v", name, err)
		}
		for scenario := range b.beside {
			if !slices.Contains(paths, filepath.Join(recordings, name+"-"+scenario+".jsonl")) {
				t.Errorf("there is no recording %s-%s that could be held less strictly", name, scenario)
			}
		}
		for _, path := range paths {
			scenario := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), name+"-"), ".jsonl")
			t.Run(name+"-"+scenario, func(t *testing.T) {
				compare(t, &b, readTranscript(t, path), b.beside[scenario])
			})
		}
	}
}

func compare(t *testing.T, b *built, recs []record, how strictness) {
	t.Helper()
	_, got := play(t, b.cfg, recs, func(s string) int { return strings.Count(byItself.ReplaceAllString(s, ""), "\n") })
	was := heard(recs)
	if b.vary != nil {
		was, got = b.vary.ReplaceAllString(was, ""), b.vary.ReplaceAllString(got, "")
	}
	if d := cmp.Diff(folded(was, how), folded(got, how)); d != "" {
		t.Errorf("what the firmware says differs (-recorded +simulator):\n%s", d)
	}
	if how == steady && byItself.MatchString(was) && !byItself.MatchString(got) {
		t.Error("what comes by itself does not")
	}
}
