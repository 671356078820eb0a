package hil

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"platen/agent/console"
	"platen/agent/pid1/volume"
	"platen/cross/image"
	"platen/hal/sim"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wired writes the file of a pseudo board below dir: its console is a pty, its relay the shell.
func wired(t *testing.T, dir, tty string) string {
	t.Helper()
	path := filepath.Join(dir, "bench.toml")
	check(t, os.WriteFile(path, fmt.Appendf(nil, `board = "sim"
console = %q
controller = %q
host = "192.168.7.1"
ek_ca = ["maker.pem"]
on = ["sh", "-c", "echo on >> relay"]
off = ["sh", "-c", "echo off >> relay"]
flash = ["sh", "-c", "echo $0 >> relay", "{image}"]
`, tty, tty), 0o600))
	return path
}

// TestWired tries a real board's side on a pseudo board: relay, flash and console.
func TestWired(t *testing.T) {
	dir := t.TempDir()
	master, tty, err := sim.OpenPTY()
	check(t, err)
	defer master.Close()
	w, err := ReadWired(wired(t, dir, tty))
	check(t, err)
	if a := w.About(); a.Name != "bench" || a.Printer != "sim" || a.Host != "192.168.7.1" || a.EKCAs[0] != filepath.Join(dir, "maker.pem") {
		t.Errorf("it is %+v", a)
	}
	w.Controller = "" // the pseudo board has one line
	check(t, w.Flash(t.Context(), "/an/image"))
	wires, err := w.On(t.Context())
	check(t, err)
	if wires.Controller != nil {
		t.Error("there is a controller's line that nobody named")
	}
	go func() {
		fmt.Fprint(master, "U-Boot 2023.01\r\nplaten-init: agent started\r\n")
		// It ends with the pty.
		_ = console.Serve(context.Background(), master, func(_ context.Context, args []string, in io.Reader, out, errs io.Writer) int {
			p, _ := io.ReadAll(in)
			fmt.Fprintf(out, "%s %s\n", strings.Join(args, "+"), p)
			fmt.Fprintln(errs, "said")
			return len(args) - 1
		})
	}()
	var log strings.Builder
	c := newConsole(wires.Console, &log)
	if l, err := c.Wait(t.Context(), "agent started", "FATAL"); err != nil || !strings.Contains(l, "agent started") {
		t.Errorf("waited for %q, %v", l, err)
	}
	if out, err := c.Ask(t.Context(), []byte("input"), "status"); err != nil || out != "status input\n" {
		t.Errorf("answered %q, %v", out, err)
	}
	var failed *Failed
	if _, err := c.Ask(t.Context(), nil, "queue", "print", "x"); !errors.As(err, &failed) || failed.Code != 2 || !strings.Contains(err.Error(), "said") {
		t.Errorf("a command that fails: %v", err)
	}
	check(t, w.Cut(t.Context()))
	check(t, c.Close())
	if !strings.Contains(log.String(), "U-Boot 2023.01") || c.Count("U-Boot") != 1 || c.Count("#") != 0 {
		t.Errorf("the log is %q", log.String())
	}
	if text, err := os.ReadFile(filepath.Join(dir, "relay")); err != nil || string(text) != "/an/image\non\noff\n" {
		t.Errorf("the relay was told %q, %v", text, err)
	}
}

func TestReadWired(t *testing.T) {
	if _, err := ReadWired(""); !errors.Is(err, ErrNoBoard) {
		t.Errorf("no file: %v", err)
	}
	dir := t.TempDir()
	good, err := os.ReadFile(wired(t, dir, "/dev/null"))
	check(t, err)
	path := filepath.Join(dir, "x.toml")
	for _, text := range []string{"", "nonsense", string(good) + "wrong = 1\n", strings.Replace(string(good), "host", "ghost", 1),
		strings.Replace(string(good), "off = ", "flip = ", 1), strings.Replace(string(good), `board = "sim"`, "", 1)} {
		check(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := ReadWired(path); err == nil || errors.Is(err, ErrNoBoard) {
			t.Errorf("%q was taken: %v", text, err)
		}
	}
	check(t, os.WriteFile(path, good, 0o600))
	w, err := ReadWired(path)
	check(t, err)
	if _, err := w.On(t.Context()); err == nil {
		t.Error("a console that is no serial line was opened")
	}
	w.OffCommand = []string{"sh", "-c", "echo stuck; exit 3"}
	if err := w.Cut(t.Context()); err == nil || !strings.Contains(err.Error(), "stuck") {
		t.Errorf("a relay that fails: %v", err)
	}
	if example, err := ReadWired(filepath.Join("testdata", "board.toml")); err != nil || example.Board != "bench-rpi4" {
		t.Errorf("the example: %+v, %v", example, err)
	}
}

// TestController: it counts what it is told, and remembers where it stood.
func TestController(t *testing.T) {
	var log strings.Builder
	c := newController(sim.Fastest, &log)
	if s := c.Stats(); s.Lines != 0 {
		t.Error("it has counted without power")
	}
	c.cut()
	here, there := net.Pipe()
	check(t, c.power(there))
	r := bufio.NewReader(here)
	say := func(lines ...string) {
		t.Helper()
		for _, l := range lines {
			if _, err := io.WriteString(here, l+"\n"); err != nil {
				t.Fatal(err)
			}
			for {
				answer, err := r.ReadString('\n')
				check(t, err)
				if strings.HasPrefix(answer, "ok") {
					break
				}
			}
		}
	}
	say("G28", "M302 P1", "G1 X30 Y40 F6000", "G1 X50 Y60 E1.5", "G1 X70 Y80 E3", "M400")
	check(t, c.After(t.Context(), 0, 2))
	if c.Moves() != 2 || string(c.Program()) != "G1 X50 Y60 E1.5\nG1 X70 Y80 E3\n" || c.Stats().Moves < 3 {
		t.Errorf("%d moves, %q, %+v", c.Moves(), c.Program(), c.Stats())
	}
	go io.Copy(io.Discard, r)
	c.cut()
	if c.place[0].MM() != 70 || c.place[1].MM() != 80 {
		t.Errorf("its head stands at %v", c.place)
	}
	if !strings.Contains(log.String(), "power off after") || c.Stats().Lines != 0 {
		t.Errorf("the log is %q", log.String())
	}
}

// TestSentAgain: a line that is sent again, because its answer did not come, counts once; numbers that begin
// anew are other lines.
func TestSentAgain(t *testing.T) {
	c := newController(sim.Fastest, io.Discard)
	for _, l := range []string{"N0M110 N0*125", "N1G1 X5 Y5 E1*1", "N2G1 X6 Y5 E2*1", "N1G1 X5 Y5 E1*1", "N2 G1 X6 Y5 E2*1", "N3G1 X7 E3*1",
		"N0M110 N0*125", "N1G1 X8 E4*1", "G1 X9 E5"} {
		c.note([]byte(l + "\n"))
	}
	if c.Moves() != 5 {
		t.Errorf("%d moves of 5", c.Moves())
	}
}

// TestTry: after a failure nothing more is tried, and results are written however it ended.
func TestTry(t *testing.T) {
	step := func(err error) func(*Bench, context.Context) (string, error) {
		return func(*Bench, context.Context) (string, error) { return "said\ntwice", err }
	}
	var out strings.Builder
	b, err := NewBench(Config{Dir: t.TempDir(), Out: &out, Short: true, Board: &Wired{}})
	check(t, err)
	defer b.Close()
	results, err := b.Try(t.Context(), []Scenario{{Name: "first", run: step(nil)}, {Name: "long", Long: true, run: step(nil)},
		{Name: "print", Prints: true, run: step(nil)}, {Name: "bad", run: step(errControl)}, {Name: "last", run: step(nil)}})
	if !errors.Is(err, errControl) {
		t.Errorf("ended with %v", err)
	}
	var got []string
	for _, r := range results {
		got = append(got, r.Name+" "+r.Result)
	}
	if want := "first ok, long left out, print left out, bad FAILED, last left out"; strings.Join(got, ", ") != want {
		t.Errorf("results are %v", got)
	}
	text, err := os.ReadFile(b.Path("results.txt"))
	if err != nil || string(text) != out.String() || !strings.Contains(out.String(), "         twice\n") {
		t.Errorf("results.txt has %q, %v; printed %q", text, err, out.String())
	}
	var kept []Result
	raw, err := os.ReadFile(b.Path("results.json"))
	check(t, err)
	if err := json.Unmarshal(raw, &kept); err != nil || len(kept) != 5 {
		t.Errorf("results.json: %v", err)
	}
}

// TestClean: a model in a file is found, and nothing in one without it.
func TestClean(t *testing.T) {
	b, err := NewBench(Config{Dir: t.TempDir(), Out: io.Discard})
	check(t, err)
	defer b.Close()
	path := filepath.Join(t.TempDir(), "image")
	data := make([]byte, 1<<20)
	check(t, os.WriteFile(path, data, 0o600))
	check(t, b.clean(path, b.console.Name()))
	copy(data[700_000:], b.canary.STL())
	check(t, os.WriteFile(path, data, 0o600))
	if err := b.clean(b.console.Name(), path); !errors.Is(err, errFound) || !strings.HasSuffix(err.Error(), " of image") {
		t.Errorf("a model on a disk: %v", err)
	}
}

// xored is a disk whose state is encrypted in a simple way.
type xored struct{ s *clearState }

func (x xored) ReadAt(p []byte, off int64) (int, error) {
	n, err := partition(x).ReadAt(p, off+volume.DataOffset)
	for i := range p[:n] {
		p[i] ^= 0x5a
	}
	return n, err
}

// TestState: what is in the encrypted state is found in clear and not on the disk; a state that does not
// come out in clear is an error.
func TestState(t *testing.T) {
	b, err := NewBench(Config{Dir: t.TempDir(), Out: io.Discard})
	check(t, err)
	defer b.Close()
	at := image.Find("state").Offset + volume.DataOffset
	path := filepath.Join(t.TempDir(), "image")
	write := func(data []byte, off int64) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		check(t, err)
		check(t, f.Truncate(at+1<<20))
		for i := range data {
			data[i] ^= 0x5a
		}
		_, err = f.WriteAt(data, at+off)
		check(t, errors.Join(err, f.Close()))
	}
	s := &clearState{}
	s.ReaderAt = xored{s}
	search := func(r io.Reader) error {
		hits, err := b.patterns().Reader(r, "state")
		return errors.Join(err, found(hits))
	}
	write(nil, 0)
	if err := s.read(path, search); err == nil {
		t.Error("a state that is not in clear was searched")
	}
	write([]byte{0x53, 0xef}, 1080)
	check(t, s.read(path, search))
	write(b.canary.STL(), 300_000)
	check(t, b.clean(path))
	if err := s.read(path, search); !errors.Is(err, errFound) {
		t.Errorf("a model in the state: %v", err)
	}
}

// TestNames: results can be told apart.
func TestNames(t *testing.T) {
	names := map[string]bool{}
	for _, s := range append(Scenarios(), Controls()...) {
		if names[s.Name] || s.run == nil {
			t.Errorf("scenario %q is there twice, or does nothing", s.Name)
		}
		names[s.Name] = true
	}
}

// TestOnly: what is tried alone has what it needs before it.
func TestOnly(t *testing.T) {
	var got []string
	for _, s := range Only(Scenarios(), "doctor") {
		got = append(got, s.Name)
	}
	if want := []string{"image", "boot", "doctor", "enrolment", "consent and telemetry"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	if n := len(Only(Scenarios(), "leak")); n != 0 {
		t.Errorf("%d scenarios for a name that none has", n)
	}
}
