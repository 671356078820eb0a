package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script is a port that answers each line of the host with the next of its texts.
type script struct {
	answers []string
	out     bytes.Buffer
	raw     bytes.Buffer
}

func (s *script) Write(p []byte) (int, error) {
	s.raw.Write(p)
	for range bytes.Count(p, []byte("\n")) {
		if len(s.answers) > 0 {
			s.out.WriteString(s.answers[0])
			s.raw.WriteString(s.answers[0])
			s.answers = s.answers[1:]
		}
	}
	return len(p), nil
}
func (s *script) Read(p []byte) (int, error) { return s.out.Read(p) }
func (s *script) Close() error               { return nil }

// record has a conversation of lines and answers recorded.
func record(t *testing.T, lines, answers []string) (*script, []Event, string) {
	t.Helper()
	s := &script{answers: answers}
	var file bytes.Buffer
	r := Record(s, &file, Options{Title: "test"})
	for _, l := range lines {
		if _, err := io.WriteString(r, l); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	text := file.String()
	events, err := Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	return s, events, text
}

func sum(line string) string {
	x := byte(0)
	for i := range len(line) {
		x ^= line[i]
	}
	return line + "*" + strconv.Itoa(int(x)) + "\n"
}

// secrets are odd numbers and words of a design that a recording must not have.
var secrets = []string{"713", "8.6427", "3917", "5.3861", "29.473", "6.1193", "bracket", "left", "cm7-flange", "4657", "91.337"}

// conversation is one that has each of the secrets.
func conversation() (lines, answers []string) {
	lines = []string{
		"M115\n", sum("N1 M110 N0"), sum("N2 M104 S215"), sum("N3 G1 X71.713 Y8.6427 E5.3861 F3917"), sum("N4 G92 E29.473"),
		sum("N5 M117 bracket left 3917"), sum("N6 G2 X71.713 Y8.6427 I-6.1193 J29.473"), "M23 cm7-flange.gco\n", "M118 E1 FIRMWARE_NAME:bracket\n",
		"G5 X8.6427 Y-29.473\n", sum("N7 G4 P4657"), "M114\n", sum("N3 G1 X71.713 Y8.6427 E5.3861 F3917"), "?", "$J=G91 X8.6427 F3917\n", "X29.473Y5.3861\n",
		"M104 S91 X91.337\n", "M204 S3917\n", "; bracket left\n", "G1 X1 (cm7-flange) Y2\n", "{\"file\":\"cm7-flange\"}\n", "G1 X29.473", " Y5.3861\n",
	}
	answers = []string{
		"FIRMWARE_NAME:Marlin 2.0.9.5 EXTRUDER_COUNT:1\nCap:EEPROM:1\nok\n", "ok\n", "ok T:21.87 /215.00 B:21.87 /0.00 @:127 B@:0\n", "ok N3 P15 B3\n", "X:71.713 Y:8.6427 Z:29.473 E:5.3861 Count X:5713 Y:691 Z:29473\nok\n",
		"//action:notification bracket left\nok\n", "Error:checksum mismatch, Last Line: 5\nResend: 6\nok\n", "Now fresh file: cm7-flange.gco\nok\n", "echo:FIRMWARE_NAME:bracket\nok\n",
		"echo:Unknown command: \"G5 X8.6427 Y-29.473\"\nok\n", "echo:busy: processing\nok\n", "X:8.6427 Y:29.473 Z:5.3861 E:6.1193 Count X: 3917 Y:4657 Z:1\nok\n",
		"Resend: 8\nok\n", "<Run|MPos:8.643,-29.473,5.3861|Bf:15,128|FS:3917,0|WCO:6.1193,0.000,0.000>\nok\n", "error:22\n", "File opened: cm7-flange.gco Size: 4657\nok\n", "ok\n", "ALARM:1\n", "Got:G5 X8.6427 Y-29.473\nok\n", "bracket 91.337\n",
	}
	return lines, answers
}

// TestNever records design data and looks for it. The control looks for it in what
// passed the port.
func TestNever(t *testing.T) {
	s, _, text := record(t, first(conversation()), second(conversation()))
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("the recording has %q", secret)
		}
		if !strings.Contains(s.raw.String(), secret) {
			t.Errorf("control: %q was never said", secret)
		}
	}
}

func first(a, _ []string) []string  { return a }
func second(_, b []string) []string { return b }

// TestKept is what a recording of the conversation still has to tell.
func TestKept(t *testing.T) {
	s, events, text := record(t, first(conversation()), second(conversation()))
	for _, want := range []string{
		"N2 M104 S215*", "M110 N0", "FIRMWARE_NAME:Marlin 2.0.9.5 EXTRUDER_COUNT:1", "Cap:EEPROM:1", "T:21.87 /215.00 B:21.87", "ok N3 P15 B3", "N3 G1 X", "Resend: 6", "Error:checksum mismatch, Last Line: 5",
		"echo:busy: processing", "error:22", "ALARM:1", `"s":"?"`, "<Run|MPos:", "Bf:15,128", "$J=G91 X", `echo:Unknown command: \"G5 X`, "N7 G4 P", "M23 ", "M117 xxx",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the recording has no %q:\n%s", want, text)
		}
	}
	var again strings.Builder
	for _, e := range events {
		if e.Dir != Note {
			again.WriteString(e.Text)
		}
	}
	if got, want := again.Len(), s.raw.Len(); got < want-8 || got > want+8 {
		t.Errorf("the recording has %d bytes of conversation, %d were said", got, want)
	}
}

// TestConsistent checks what has to fit together: a line that is sent again, its
// echo, and checksums.
func TestConsistent(t *testing.T) {
	_, events, _ := record(t, first(conversation()), second(conversation()))
	seen := map[string]string{}
	echoed := 0
	var unknown string
	for _, e := range events {
		line := strings.TrimRight(e.Text, "\r\n")
		switch {
		case e.Dir == Sent && strings.HasPrefix(line, "N"):
			body, given, _ := strings.Cut(line, "*")
			if want := strings.TrimSuffix(sum(body), "\n"); line != want {
				t.Errorf("checksum of %q is %s", body, given)
			}
			n, _, _ := strings.Cut(line, " ")
			if was, ok := seen[n]; ok && was != line {
				t.Errorf("line %s was %q and %q", n, was, line)
			} else if ok {
				echoed++
			}
			seen[n] = line
		case e.Dir == Sent && strings.HasPrefix(line, "G5"):
			unknown = line
		case e.Dir == Heard && strings.Contains(line, "G5"):
			if !strings.Contains(line, unknown) {
				t.Errorf("echo %q of %q", line, unknown)
			}
			echoed++
		}
	}
	if echoed != 3 {
		t.Errorf("control: %d lines came twice, want 3", echoed)
	}
	bad, _, _ := strings.Cut(sum("N9 G1 X12.34"), "*")
	_, events, _ = record(t, []string{bad + "*1\n"}, nil)
	if got := strings.TrimSuffix(events[1].Text, "\n"); got+"\n" == sum(strings.Split(got, "*")[0]) {
		t.Errorf("a wrong checksum became right: %q", got)
	}
}

// TestPlayed plays a recording to a host that says the same again, and to one that
// does not.
func TestPlayed(t *testing.T) {
	lines, answers := conversation()
	_, events, _ := record(t, lines, answers)
	p := NewPort(events)
	heard := 0
	buf := make([]byte, 4096)
	for _, l := range lines {
		if _, err := io.WriteString(p, l); err != nil {
			t.Fatal(err)
		}
	}
	for !p.Finished() {
		n, err := p.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		heard += bytes.Count(buf[:n], []byte("\n"))
	}
	if p.Differs() != 0 {
		t.Errorf("line %d differs", p.Differs())
	}
	if want := strings.Count(strings.Join(answers, ""), "\n"); heard != want {
		t.Errorf("%d lines were heard, want %d", heard, want)
	}
	q := NewPort(events)
	io.WriteString(q, lines[0]+"M999\n")
	if q.Differs() != 2 {
		t.Errorf("another line is found to be number %d", q.Differs())
	}
	q.Close()
	if _, err := q.Read(buf); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read of a closed port: %v", err)
	}
}

// TestFormat reads back what was written, every byte there is.
func TestFormat(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	want := []Event{{0, Note, "title"}, {2500500 * time.Microsecond, Sent, string(all)}, {time.Hour, Heard, "ok\n"}, {time.Hour, Control, "reset"}}
	var b []byte
	for _, e := range want {
		b = Append(b, e)
	}
	got, err := Read(bytes.NewReader(b))
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	for _, bad := range []string{"", "x\n", "{}\n", `{"t":-1,"d":"tx","s":"x"}` + "\n", `{"t":1,"d":"up","s":"x"}` + "\n", `{"t":1,"d":"tx","s":"€"}` + "\n"} {
		if _, err := Read(strings.NewReader(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestLimits checks a full recording, and one that cannot be written.
func TestLimits(t *testing.T) {
	var file bytes.Buffer
	r := Record(&script{}, &file, Options{Limit: 200})
	for range 100 {
		fmt.Fprintf(r, "G1 X1\n")
	}
	if err := r.Close(); err != nil || file.Len() > 400 || !strings.Contains(file.String(), "full") {
		t.Errorf("%v, %d bytes: %s", err, file.Len(), &file)
	}
	r = Record(&script{}, failing{}, Options{})
	if n, err := io.WriteString(r, "G1 X1\n"); n != 6 || err != nil {
		t.Errorf("a recording that fails keeps the port from working: %d, %v", n, err)
	}
	if err := r.Close(); !errors.Is(err, errFull) {
		t.Errorf("close: %v", err)
	}
	if err := r.Close(); !errors.Is(err, errFull) {
		t.Errorf("close again: %v", err)
	}
}

type failing struct{}

var errFull = errors.New("disk is full")

func (failing) Write([]byte) (int, error) { return 0, errFull }

// longNumber is a number of a move that chance does not repeat.
var longNumber = regexp.MustCompile(`[XYE]-?\d+\.\d{3,}`)

// TestRecordings has recordings of real firmware recorded, and looks for numbers of
// moves, and for replies that are not recognised although they could be.
func TestRecordings(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "facts", "serial", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		if paths, err = filepath.Glob(filepath.Join("..", "sim", "testdata", "*.jsonl")); err != nil || len(paths) == 0 {
			t.Fatalf("no recordings: %v", err)
		}
	}
	kept, all := 0, 0
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		events, err := Read(f)
		f.Close()
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var s scrubber
		for _, e := range events {
			for line := range strings.Lines(e.Text) {
				body := strings.TrimRight(line, "\r\n")
				switch e.Dir {
				case Sent:
					got := string(s.line(nil, []byte(body)))
					if n := longNumber.FindString(body); n != "" && strings.Contains(got, n) {
						t.Errorf("%s: coordinates of %q stay: %q", filepath.Base(path), body, got)
					}
				case Heard:
					all++
					if string(s.reply(nil, []byte(body))) == body {
						kept++
					} else if testing.Verbose() {
						t.Logf("%s: %q %q", filepath.Base(path), body, s.reply(nil, []byte(body)))
					}
				}
			}
		}
	}
	if kept*10 < all*6 {
		t.Errorf("%d of %d replies are recognised", kept, all)
	}
}

func FuzzRecorder(f *testing.F) {
	lines, answers := conversation()
	for _, l := range append(lines, answers...) {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var file bytes.Buffer
		r := Record(&script{answers: []string{string(b)}}, &file, Options{})
		r.Write(b)
		r.Write([]byte("\n"))
		io.ReadAll(r)
		r.Close()
		if _, err := Read(&file); err != nil {
			t.Fatal(err)
		}
	})
}
