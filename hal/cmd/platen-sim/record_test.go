package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/hal/trace"
)

// TestRecord records a conversation: it can be read as a recording, and has no
// number of a move.
func TestRecord(t *testing.T) {
	file := filepath.Join(t.TempDir(), "said.jsonl")
	events, stop := start(t, "grbl", "--speed", "max", "-o", "jsonl", "--record", file)
	ready := next(t, events, "ready")
	port, err := os.OpenFile(ready.Port, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	lines := bufio.NewScanner(port)
	until := func(text string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Fatalf("%q did not come: %v", text, lines.Err())
	}
	until("Grbl")
	for _, c := range []string{"$X", "$H", "G1X-71.925F1234", "G4P0"} {
		if _, err := port.WriteString(c + "\n"); err != nil {
			t.Fatal(err)
		}
		until("ok")
	}
	if _, err := port.WriteString("?"); err != nil {
		t.Fatal(err)
	}
	until("-71.925")
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for events.Scan() {
		}
	}()
	if code := stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	<-drained
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trace.Read(strings.NewReader(string(text))); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"platen-sim grbl", "Grbl 1.1h", "$H", "G1X", "<Idle|MPos:"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the recording has no %q:\n%s", want, text)
		}
	}
	for _, secret := range []string{"71.925", "1234"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the recording has %q:\n%s", secret, text)
		}
	}
}
