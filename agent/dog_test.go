package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/config"
	"platen/agent/seam"
)

// benchDog is an agent with a pipe for a watchdog, and what was written into it.
func benchDog(t *testing.T) (*Agent, func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dog")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	log := slog.New(slog.DiscardHandler)
	a := &Agent{
		cfg: &config.Config{Watchdog: path, WatchdogTime: config.Duration(12 * time.Second)}, log: log,
		sup: &supervisor{log: log, bounds: patience}, // which has not begun yet
	}
	if retry := a.dog.open(a.cfg, log); retry || a.dog.file() == nil {
		t.Fatal("the watchdog does not open")
	}
	var all strings.Builder
	return a, func() string {
		buf := make([]byte, 256)
		r.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, _ := r.Read(buf); n > 0 {
			all.Write(buf[:n])
		}
		return all.String()
	}
}

// TestPettedWhileSessionsAreUnderControl: not for longer.
func TestPettedWhileSessionsAreUnderControl(t *testing.T) {
	a, wrote := benchDog(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.pet(ctx) }()
	eventually(t, "petted twice", func() bool { return len(wrote()) >= 2 })
	a.sup.mu.Lock()
	a.sup.moved = time.Now().Add(-patience.open - patience.exit)
	a.sup.mu.Unlock()
	time.Sleep(100 * time.Millisecond) // what was under way
	before := wrote()
	time.Sleep(5 * time.Second) // two periods
	if after := wrote(); after != before {
		t.Errorf("petted with a session out of control: %q, then %q", before, after)
	}
	a.sup.move()
	eventually(t, "control: petted again", func() bool { return len(wrote()) > len(before) })
	cancel()
	if err := <-done; err != nil || !strings.HasSuffix(wrote(), "V") {
		t.Errorf("ended with %v after %q", err, wrote())
	}
}

// TestLetGo: the timer is stopped only if nobody is to pet any more.
func TestLetGo(t *testing.T) {
	for name, c := range map[string]struct {
		busy  bool
		cause error
		stops bool
	}{
		"idle":          {false, context.Canceled, true},
		"a print":       {true, context.Canceled, false},
		"a new release": {false, ErrRestart, false},
		"a part failed": {false, errNoJob, true},
	} {
		a, wrote := benchDog(t)
		if c.busy {
			a.sup.done = make(chan seam.Receipt)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(c.cause)
		if err := a.letGo(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := wrote() == "V"; got != c.stops {
			t.Errorf("%s: %q", name, wrote())
		}
		if a.dog.file() != nil || a.dog.state(true) == "" {
			t.Errorf("%s: still there", name)
		}
	}
}

// TestNoDog: an agent without one, and one whose watchdog is missing, go on.
func TestNoDog(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	a := &Agent{cfg: &config.Config{Watchdog: filepath.Join(t.TempDir(), "none"), WatchdogTime: config.Duration(time.Minute)}, log: log, sup: &supervisor{}}
	if s := a.dog.state(false); s != "not configured" {
		t.Error(s)
	}
	if retry := a.dog.open(a.cfg, log); retry || !strings.HasPrefix(a.dog.state(true), "missing") {
		t.Errorf("%t, %s", retry, a.dog.state(true))
	}
	if err := a.pet(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLife: a status shows life only if the supervision has gone round.
func TestLife(t *testing.T) {
	s := &supervisor{bounds: patience}
	status := func(beat uint8, p seam.Phase) bool { return s.life(&seam.Status{Phase: p, Beat: beat}) }
	for range 2 {
		if !status(0, seam.PhaseConnecting) {
			t.Error("a session that opens its controller shows life by talking")
		}
	}
	s.ready = &seam.Ready{}
	if !status(3, seam.PhasePrinting) || status(3, seam.PhasePrinting) || !status(4, seam.PhasePrinting) {
		t.Error("a ready session shows life by its beat")
	}
	if !status(4, seam.PhaseDone) || !s.life(&seam.Receipt{}) {
		t.Error("one that ends shows life by talking")
	}
	s.moved = time.Now()
	if !s.alive() {
		t.Error("not alive after a sign of life")
	}
	s.moved = time.Now().Add(-patience.silent - patience.exit)
	if s.alive() {
		t.Error("alive without one")
	}
	s.ready = nil // it opens its controller, which takes longer
	if !s.alive() {
		t.Error("a session that opens its controller has more time")
	}
}
