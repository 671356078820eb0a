package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"platen/agent/cli"
	"platen/hal/sim"
)

// start runs the command and returns its events and a way to end it.
func start(t *testing.T, args ...string) (events *bufio.Scanner, stop func() int) {
	t.Helper()
	r, w := io.Pipe()
	root := command()
	root.SetArgs(args)
	root.SetOut(w)
	root.SetErr(t.Output())
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(ctx, root)
		w.Close()
	}()
	var result *int
	stop = func() int {
		cancel()
		if result == nil {
			c := <-code
			result = &c
		}
		return *result
	}
	t.Cleanup(func() {
		r.Close()
		stop()
	})
	return bufio.NewScanner(r), stop
}

// next reads events up to the first of a kind.
func next(t *testing.T, events *bufio.Scanner, kind string) event {
	t.Helper()
	for events.Scan() {
		var e event
		if err := json.Unmarshal(events.Bytes(), &e); err != nil {
			t.Fatalf("%q: %v", events.Text(), err)
		}
		if e.Event == kind {
			return e
		}
	}
	t.Fatalf("no event %q came", kind)
	return event{}
}

func TestPrintOnAPTY(t *testing.T) {
	link := filepath.Join(t.TempDir(), "printer")
	if err := os.Symlink("/nowhere", link); err != nil { // left by an earlier run
		t.Fatal(err)
	}
	events, stop := start(t, "--pty", link, "--speed", "max", "-o", "jsonl", "--status-every", "30ms")
	ready := next(t, events, "ready")
	if to, err := os.Readlink(link); err != nil || to != ready.Port {
		t.Errorf("link to %q, %v; ready says %q", to, err, ready.Port)
	}
	port, err := os.OpenFile(link, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	lines := bufio.NewScanner(port)
	until := func(prefix string) {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), prefix) {
				return
			}
		}
		t.Fatalf("%q did not come: %v", prefix, lines.Err())
	}
	until("echo:Hardcoded")
	cmds := []string{"G28", "M109 S200", "G92 E0"}
	for z := 1; z <= 3; z++ {
		cmds = append(cmds, "G1 Z"+string(rune('0'+z))+" F300", "G92 E0", "G1 X90 Y20 E2 F3000", "G92 E0", "G1 X20 Y20 E2")
	}
	cmds = append(cmds, "M400", "G4 P100")
	for _, c := range cmds {
		if _, err := port.WriteString(c + "\n"); err != nil {
			t.Fatal(err)
		}
		until("ok")
	}
	st := next(t, events, "status")
	if st.Hotend < 150 {
		t.Errorf("status %+v", st)
	}
	if _, err := port.WriteString("M104 S0\nM84\n"); err != nil {
		t.Fatal(err)
	}
	end := next(t, events, "end")
	if end.Result != "finished" || end.Layers != 3 || end.Moves != 9 || end.Filament != 12 || end.ZMM != 3 || end.Moving {
		t.Errorf("end %+v", end)
	}
	go func() { // so that the last event finds a reader
		for events.Scan() {
		}
	}()
	if code := stop(); code != cli.ExitOK {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link was left behind")
	}
}

func TestUnplugged(t *testing.T) {
	events, stop := start(t, "--speed", "max", "-o", "jsonl", "--faults", "unplug@0.2")
	next(t, events, "ready")
	if events.Scan() {
		t.Errorf("an unplugged printer says %q", events.Text())
	}
	if code := stop(); code != cli.ExitFailed {
		t.Errorf("exit code %d", code)
	}
}

// TestReplugged pulls the cable and plugs it in again: the port is gone, and then it
// is another one under the same name.
func TestReplugged(t *testing.T) {
	link := filepath.Join(t.TempDir(), "printer")
	events, stop := start(t, "marlin2", "--pty", link, "--speed", "20", "-o", "jsonl", "--fault", "unplug@2,replug@6")
	first := next(t, events, "ready")
	second := next(t, events, "ready")
	if to, err := os.Readlink(link); err != nil || to != second.Port {
		t.Errorf("link to %q, %v; ready says %q, then %q", to, err, first.Port, second.Port)
	}
	port, err := os.OpenFile(link, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	if _, err := port.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(port)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Marlin") {
	}
	if lines.Err() != nil {
		t.Errorf("the printer does not talk: %v", lines.Err())
	}
	go func() {
		for events.Scan() {
		}
	}()
	if code := stop(); code != cli.ExitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestHelp(t *testing.T) {
	text := help()
	for _, fw := range sim.Firmwares() {
		if !strings.Contains(text, "\n  "+fw.String()+" ") {
			t.Errorf("help does not list %v", fw)
		}
	}
	for _, k := range sim.FaultKinds() {
		if form, _ := k.Usage(); !strings.Contains(text, "\n  "+form+" ") {
			t.Errorf("help does not list %v", k)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--speed", "0"}, {"--speed", "fast"}, {"--volume", "200"}, {"--volume", "200x200x9"}, {"--faults", "fire"},
		{"--status-every", "-1s"}, {"extra"}, {"marlin2", "extra"}, {"--extruders", "9"}, {"--noise", "-1"}, {"--fault", "replug@3"},
	} {
		_, stop := start(t, args...)
		done := make(chan int, 1)
		go func() { done <- stop() }()
		select {
		case code := <-done:
			if code != cli.ExitUsage {
				t.Errorf("%v: exit code %d", args, code)
			}
		case <-time.After(time.Minute):
			t.Errorf("%v was taken", args)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stop := start(t, "--pty", file)
	if code := stop(); code != cli.ExitFailed {
		t.Errorf("a file in place of the link: exit code %d", code)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "keep" {
		t.Errorf("the file is gone: %v", err)
	}
}

func TestText(t *testing.T) {
	for e, want := range map[event]string{
		{Event: "ready", Port: "/dev/pts/9"}:                                                             "ready on /dev/pts/9\n",
		{Event: "status", Lines: 20, Layers: 2, ZMM: 0.4, SimTime: 61.7, Hotend: 209.6, Bed: 60}:         "layer 2, z 0.40 mm, 20 lines, 62 s, hot end 210 °C, bed 60 °C\n",
		{Event: "end", Result: "killed", Lines: 20, Layers: 2, SimTime: 70, Filament: 12.34, Resends: 1}: "killed: 2 layers, 20 lines, 70 s, 12.3 mm of filament, 1 resends\n",
	} {
		if got := e.text(); got != want {
			t.Errorf("%s: %q, want %q", e.Event, got, want)
		}
	}
}
