package logtail

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"platen/agent/seam"
)

// follower is a tail whose lines a test sees, over kills of it.
type follower struct {
	t    *rapid.T
	cfg  Config
	tail *Tail
	seen []string
}

func (f *follower) start() {
	var err error
	if f.tail, err = New(f.cfg); err != nil {
		f.t.Fatal(err)
	}
	// What was seen behind the place that is kept counts for nothing: it comes again.
	f.seen = f.seen[:f.tail.place.Counts.Lines]
	f.tail.parse = func(_ *state, line string) verdict {
		f.seen = append(f.seen, line)
		return known
	}
}

func (f *follower) look() {
	if err := f.tail.look(context.Background()); err != nil {
		f.t.Fatal(err)
	}
}

// kill ends it as a power cut does: nothing is written down.
func (f *follower) kill() {
	f.tail.close()
	f.start()
}

// writer is a program that writes a log, and what turns it over.
type writer struct {
	t     *rapid.T
	path  string
	n     int
	wrote []string
	open  string // a line without its end
	copy  bool   // copied and truncated, not renamed
}

func (w *writer) add(text string) {
	f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		w.t.Fatal(err)
	}
}

func (w *writer) line() {
	w.n++
	text := fmt.Sprintf("line %d %s", w.n, strings.Repeat("x", w.n%97))
	w.add(text + "\n")
	w.wrote = append(w.wrote, w.open+text)
	w.open = ""
}

func (w *writer) part() {
	w.n++
	text := fmt.Sprintf("part %d;", w.n)
	w.add(text)
	w.open += text
}

// rotate turns the log over, keeping all that there were. What has no end of a line is ended
// by it.
func (w *writer) rotate() {
	if w.open != "" {
		w.line()
	}
	for i := 30; i > 0; i-- {
		if _, err := os.Stat(fmt.Sprintf("%s.%d", w.path, i)); err == nil {
			w.rename(fmt.Sprintf("%s.%d", w.path, i), fmt.Sprintf("%s.%d", w.path, i+1))
		}
	}
	if !w.copy {
		w.rename(w.path, w.path+".1")
		w.line()
		return
	}
	b, err := os.ReadFile(w.path)
	if err == nil {
		err = os.WriteFile(w.path+".1", b, 0o600)
	}
	if err == nil {
		err = os.Truncate(w.path, 0)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.line()
}

func (w *writer) rename(from, to string) {
	if err := os.Rename(from, to); err != nil {
		w.t.Fatal(err)
	}
}

// Each whole line is taken once, in order, whatever turns the log over and whenever the
// agent is killed.
func TestEachLineOnce(t *testing.T) {
	most := 60
	if testing.Short() {
		most = 20
	}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "logtail")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		w := &writer{t: t, path: filepath.Join(dir, "x.log"), copy: rapid.Bool().Draw(t, "copies")}
		f := &follower{t: t, cfg: Config{Path: w.path, Family: "marlin", Place: filepath.Join(dir, "place")}}
		f.start()
		f.look() // there is no file yet: it is followed from its beginning
		w.line()
		f.look()
		rotations := 0
		for _, op := range rapid.SliceOfN(rapid.SampledFrom([]string{"line", "line", "line", "part", "look", "look", "rotate", "kill", "keep"}), 1, most).Draw(t, "ops") {
			switch op {
			case "line":
				w.line()
			case "part":
				w.part()
			case "look":
				f.look()
			case "rotate":
				if rotations++; rotations < 25 {
					w.rotate()
				}
			case "kill":
				f.kill()
			case "keep":
				f.look()
				f.tail.end()
				f.start()
			}
		}
		if w.open != "" {
			w.line()
		}
		for range 30 * (grace + 2) {
			f.look()
		}
		if !slices.Equal(f.seen, w.wrote) {
			t.Fatalf("saw %d lines of %d: %q, want %q", len(f.seen), len(w.wrote), f.seen, w.wrote)
		}
		if c := f.tail.place.Counts; c.Lines != uint64(len(w.wrote)) || c.Lost != 0 {
			t.Fatalf("counts %+v for %d lines", c, len(w.wrote))
		}
		f.tail.close()
	})
}

// tail makes a tail over a file with text, begun before the text was written.
func tail(t *testing.T, family, text string) (*Tail, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.log")
	tl, err := New(Config{Path: path, Family: family, Place: filepath.Join(dir, "place")})
	if err != nil {
		t.Fatal(err)
	}
	look(t, tl)
	write(t, path, text)
	look(t, tl)
	t.Cleanup(tl.close)
	return tl, path
}

func look(t *testing.T, tl *Tail) {
	t.Helper()
	if err := tl.look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// A log that is there already is followed from its end, and not its last, half line.
func TestBeginsAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.log")
	write(t, path, "start\nstart\nsta")
	tl, err := New(Config{Path: path, Family: "marlin", Place: filepath.Join(dir, "place")})
	if err != nil {
		t.Fatal(err)
	}
	defer tl.close()
	look(t, tl)
	if c := tl.Counts(); c != (Counts{}) {
		t.Errorf("counts %+v of the past", c)
	}
	write(t, path, "rt\nok\n")
	look(t, tl)
	if c := tl.Counts(); c != (Counts{Lines: 2, Restarts: 1}) {
		t.Errorf("counts %+v, want two lines and a restart", c)
	}
}

// TestLinesOfAJobAreNotCounted: a host that writes down all that the controller says would
// tell how long a job's program is. Nor is what comes before anything is known of the printer.
func TestLinesOfAJobAreNotCounted(t *testing.T) {
	steps := strings.Repeat("what no parser knows\n", 7) + strings.Repeat("y", 2*maxLine) + "\n"
	for text, want := range map[string]uint64{
		steps: 0, "File opened: x\n" + steps: 0, "File opened: x\n//action:pause\n" + steps: 0,
		"start\n" + steps: 8, "File opened: x\n" + steps + "Done printing file\n" + steps: 8, // the control
	} {
		tl, _ := tail(t, "marlin", text)
		if c := tl.Counts(); c.Unknown != want {
			t.Errorf("%.20q: %d lines are unknown, want %d", text, c.Unknown, want)
		}
	}
}

func TestLongLinesAndHoles(t *testing.T) {
	tl, path := tail(t, "marlin", "start\n"+strings.Repeat("y", 5*maxLine)+"\nstart\n")
	if c := tl.Counts(); c != (Counts{Lines: 3, Unknown: 1, Restarts: 2}) {
		t.Errorf("counts %+v with a long line", c)
	}
	if cap(tl.buf) > 4*chunk {
		t.Errorf("%d bytes are kept for one line", cap(tl.buf))
	}
	// Truncated under a writer that goes on where it was: a hole of zeros.
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("start\n"), 200_000); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		look(t, tl)
	}
	if c := tl.Counts(); c != (Counts{Lines: 4, Unknown: 1, Restarts: 3, Lost: 1}) {
		t.Errorf("counts %+v behind a hole", c)
	}
}

// A log that was overwritten while nobody looked is begun anew, and that is counted.
func TestLost(t *testing.T) {
	tl, path := tail(t, "marlin", "start\nok\n")
	if err := os.WriteFile(path, []byte("ok\nok\nstart\nok\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		look(t, tl)
	}
	if c := tl.Counts(); c != (Counts{Lines: 6, Restarts: 2, Lost: 1}) {
		t.Errorf("counts %+v", c)
	}
}

// What is told of the printer ends when its log does.
func TestStatusIsTold(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "klippy.log")
	write(t, path, "")
	told := make(chan seam.Status, 100)
	tl, err := New(Config{Path: path, Family: "klipper", Place: filepath.Join(dir, "place"), Every: time.Millisecond, Set: func(st seam.Status) {
		select {
		case told <- st:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tl.Run(ctx) }()
	for limit := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) { // until it has begun, at the end
		if _, err := os.Stat(filepath.Join(dir, "place")); err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("the log is not followed")
		}
	}
	write(t, path, "Starting SD card print (position 0)\nStats 1.0: heater_bed: target=60 temp=59.5 pwm=0.1 extruder: target=210 temp=200.1 pwm=1.0\n")
	guard := time.After(2 * time.Minute)
	for {
		select {
		case st := <-told:
			if st.NHeaters < 2 {
				continue // the first line alone
			}
			want := seam.Status{Phase: seam.PhasePrinting, NHeaters: 2, Ambient: seam.NoAmbient}
			want.Heaters[0] = seam.Heater{ID: 0, Actual: 59_500, Target: 60_000}
			want.Heaters[1] = seam.Heater{ID: 8, Actual: 200_100, Target: 210_000}
			if st != want {
				t.Errorf("told %+v, want %+v", st, want)
			}
		case <-guard:
			t.Error("nothing was told")
		}
		break
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	again, err := New(Config{Path: path, Family: "klipper", Place: filepath.Join(dir, "place")})
	if err != nil {
		t.Fatal(err)
	}
	if c := again.Counts(); c.Lines != 2 {
		t.Errorf("after a restart in order: %+v", c)
	}
	tl.last = time.Now().Add(-time.Hour)
	for len(told) > 0 {
		<-told
	}
	tl.step(t.Context())
	if st := <-told; st != (seam.Status{Phase: seam.PhaseConnecting, Ambient: seam.NoAmbient}) {
		t.Errorf("a printer whose log has ended is told as %+v", st)
	}
	tl.close()
}

// BenchmarkLook is one look at a log to which ten lines were added.
func BenchmarkLook(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "klippy.log")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	tl, err := New(Config{Path: path, Family: "klipper", Place: filepath.Join(dir, "place")})
	if err != nil {
		b.Fatal(err)
	}
	defer tl.close()
	lines := strings.Repeat("Stats 12.3: gcodein=0  mcu: mcu_awake=0.01 heater_bed: target=60 temp=60.1 pwm=0.3 print_stall=0 extruder: target=210 temp=209.8 pwm=0.5\n", 10)
	for b.Loop() {
		if _, err := f.WriteString(lines); err != nil {
			b.Fatal(err)
		}
		if err := tl.look(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
