package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"platen/agent/fleet/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"platen-fleet": main})
}

// needExec skips a test where a program of this target cannot start another one: an
// emulator of the processor alone.
func needExec(t *testing.T) {
	t.Helper()
	if err := command(t.Context(), t, "version").Run(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this emulator cannot start further programs")
	}
}

func TestScripts(t *testing.T) {
	needExec(t)
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}

// command is this test binary as platen-fleet.
func command(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("platen-fleet")
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(ctx, path, args...)
}

func output(t *testing.T, args ...string) string {
	t.Helper()
	b, err := command(t.Context(), t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, b)
	}
	return strings.TrimSpace(string(b))
}

// Up says where it listens, the other commands work beside it, and SIGTERM ends it.
func TestUpSaysReadyAndStops(t *testing.T) {
	needExec(t)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	up := command(ctx, t, "up", "--dir", dir, "--name", "Test", "--listen-mqtt", "127.0.0.1:0", "--listen-https", "127.0.0.1:0", "-o", "jsonl")
	out, err := up.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	up.Stderr = os.Stderr
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var events []store.Event
	for lines.Scan() {
		var e store.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		events = append(events, e)
		if e.Event != store.Ready {
			continue
		}
		if strings.HasSuffix(e.MQTT, ":0") || strings.HasSuffix(e.HTTPS, ":0") || e.Name != "Test" {
			t.Errorf("ready: %+v", e)
		}
		if ca := output(t, "ca", "--dir", dir); ca != e.CA {
			t.Errorf("ca prints %s, ready says %s", ca, e.CA)
		}
		if code := output(t, "claim", "new", "--dir", dir); len(code) < 20 || strings.ContainsAny(code, " \n") {
			t.Errorf("claim code %q", code)
		}
		if err := up.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	if err := up.Wait(); err != nil {
		t.Errorf("up ended with %v", err)
	}
	if n := len(events); n != 2 || events[1].Event != store.Stopped {
		t.Errorf("events: %+v", events)
	}
}
