package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/seam"
	"platen/cross/rig/rigtest"
)

// TestMain lets the test binary be a session process of one of several kinds.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "session" {
		unix.SetNonblock(3, false)
		say(&seam.Status{Phase: seam.PhaseIdle})
		say(&seam.Ready{Dialect: 1})
		sessions[os.Args[2]]()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func say(m seam.Message) { write(seam.Append(nil, m)) }

// write sends a packet, and ends the process once nobody takes it.
func write(p []byte) {
	if _, err := unix.Write(3, p); err != nil {
		os.Exit(0)
	}
}

// asked waits for a job, and ends the process once the agent is gone.
func asked() *seam.Start {
	buf := make([]byte, seam.MaxMessage)
	for {
		n, err := unix.Read(3, buf)
		if err != nil || n == 0 {
			os.Exit(0)
		}
		if m, err := seam.Parse(buf[:n]); err == nil {
			if st, ok := m.(*seam.Start); ok {
				return st
			}
		}
	}
}

var sessions = map[string]func(){
	"good": func() {
		go func() {
			for beat := uint8(1); ; beat++ {
				say(&seam.Status{Phase: seam.PhaseIdle, Beat: beat})
				time.Sleep(50 * time.Millisecond)
			}
		}()
		st := asked()
		say(&seam.Receipt{Job: st.Job, Code: seam.CodeLoaded})
		say(&seam.Receipt{Job: st.Job, Code: seam.CodeDone})
	},
	"silent": func() { asked() },
	"stuck": func() { // its supervision does not go round
		go func() {
			for ; ; time.Sleep(20 * time.Millisecond) {
				say(&seam.Status{Phase: seam.PhaseIdle, Beat: 7})
			}
		}()
		asked()
	},
	"stays": func() { unix.Close(3); time.Sleep(10 * time.Second) },
	"garbage": func() {
		for {
			write([]byte("garbage"))
		}
	},
	"flood": func() {
		st := asked()
		for range 20 {
			say(&seam.Receipt{Job: st.Job, Code: seam.CodeLoaded})
		}
		for range 20 {
			say(&seam.Receipt{Job: st.Job, Code: seam.CodeDone})
			say(&seam.Receipt{Job: st.Job, Code: seam.CodeFault, Reason: seam.ReasonMachine})
		}
		for {
			say(&seam.Status{Phase: seam.PhaseIdle})
		}
	},
	"memory": func() {
		if os.Getenv("GOMEMLIMIT") != "134217728" {
			say(&seam.Status{Phase: seam.PhaseFault})
		} else {
			say(&seam.Status{Phase: seam.PhaseDone})
		}
		asked()
	},
}

// wedged are the kinds that are killed; a machine under load must not make one of any other.
var wedged = []string{"silent", "stuck", "stays", "garbage"}

// record keeps a log for a test to look at.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) count(s string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.buf.String(), s)
}

// supervise runs sessions of a kind until the test ends. It counts their statuses.
func supervise(t *testing.T, kind string) (*supervisor, *record, func() int) {
	t.Helper()
	rigtest.Starts(t)
	log := &record{}
	var mu sync.Mutex
	n := 0
	patient := bounds{open: time.Minute, silent: 3 * time.Second, exit: 10 * time.Second}
	if slices.Contains(wedged, kind) {
		patient = bounds{open: 5 * time.Second, silent: 400 * time.Millisecond, exit: 200 * time.Millisecond}
	}
	s := &supervisor{
		log: slog.New(slog.NewTextHandler(log, nil)), args: []string{"session", kind},
		onStatus: func(seam.Status) { mu.Lock(); n++; mu.Unlock() },
		bounds:   patient,
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return s, log, func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestHangingSessionsAreKilled(t *testing.T) {
	for kind, want := range map[string]string{
		"silent":  "session says nothing any more: killed",
		"stuck":   "session says nothing any more: killed",
		"stays":   "session does not end with its seam: killed",
		"garbage": "session sends what are no messages: killed",
	} {
		t.Run(kind, func(t *testing.T) {
			_, log, _ := supervise(t, kind)
			begun := time.Now()
			eventually(t, want, func() bool { return log.count(want) >= 3 }) // and so are the next ones
			if took := time.Since(begun); took < firstRetry {
				t.Errorf("three sessions in %v", took)
			}
			if n := log.count("session sent what is no message"); n > log.count(want)+1 {
				t.Errorf("%d log entries for garbage", n)
			}
		})
	}
	t.Run("control", func(t *testing.T) {
		_, log, statuses := supervise(t, "good")
		eventually(t, "statuses", func() bool { return statuses() > 70 }) // 3.5 s, longer than the patience
		if log.count("killed") != 0 {
			t.Errorf("a good session is killed:\n%s", log.buf.String())
		}
	})
}

func TestFloodIsBounded(t *testing.T) {
	s, log, statuses := supervise(t, "flood")
	if err := s.await(t.Context()); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	receipts, err := s.start(&seam.Start{Job: [16]byte{1}, Format: seam.FormatAny}, nil, along{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []seam.Code{seam.CodeLoaded, seam.CodeDone} {
		if r := <-receipts; r.Code != want {
			t.Fatalf("%s, want %s", r.Code, want)
		}
	}
	eventually(t, "statuses", func() bool { return statuses() > 2*maxRate }) // the control
	n := statuses()
	if took := time.Since(begun); n > (int(took.Seconds())+2)*maxRate {
		t.Errorf("%d statuses taken in %v", n, took)
	}
	select {
	case r := <-receipts:
		t.Errorf("a third receipt: %s", r.Code)
	default:
	}
	if n := log.count("job ended"); n != 1 {
		t.Errorf("%d ends of one job in the log", n)
	}
}

func TestSessionMemoryIsBounded(t *testing.T) {
	s, _, _ := supervise(t, "memory")
	eventually(t, "the bound", func() bool {
		st, _, _ := s.snapshot()
		if st.Phase == seam.PhaseFault {
			t.Fatal("the session has no bound on its memory")
		}
		return st.Phase == seam.PhaseDone
	})
}

func TestStartZeroesTheFileKey(t *testing.T) {
	s, _, _ := supervise(t, "good")
	for _, count := range []func() error{func() error { return errNotReady }, nil} {
		if err := s.await(t.Context()); err != nil {
			t.Fatal(err)
		}
		st := &seam.Start{Job: [16]byte{1}, Format: seam.FormatAny, Sealed: true, FileKey: [16]byte{1, 2, 3}}
		content := []seam.Key{{Group: 1, Key: [32]byte{4}}}
		if _, err := s.start(st, nil, along{keys: content}, count); (err == nil) != (count == nil) {
			t.Fatalf("start: %v", err)
		}
		if st.FileKey != [16]byte{} || content[0] != (seam.Key{}) {
			t.Errorf("a key is still in memory, started: %t", count == nil)
		}
	}
}

// TestNoJobBeforeRestart retires a supervisor: not while a job runs, and then for good.
func TestNoJobBeforeRestart(t *testing.T) {
	s, _, _ := supervise(t, "good")
	if err := s.await(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.done = make(chan seam.Receipt, 2)
	s.mu.Unlock()
	if s.retire() {
		t.Error("retired while a job runs")
	}
	s.mu.Lock()
	s.done = nil
	s.mu.Unlock()
	hot := &supervisor{status: seam.Status{NHeaters: 1, Heaters: [seam.MaxHeaters]seam.Heater{{Target: 60_000}}}}
	if hot.retire() {
		t.Error("retired while a heater is on")
	}
	if err := s.await(t.Context()); err != nil {
		t.Fatalf("control: %v", err)
	}
	if !s.retire() {
		t.Error("not retired though nothing goes on")
	}
	if _, err := s.start(&seam.Start{Job: [16]byte{1}, Format: seam.FormatAny}, nil, along{}, nil); !errors.Is(err, errGoing) {
		t.Errorf("a job after that: %v", err)
	}
}

// TestRestartWaits stages a release while a job runs.
func TestRestartWaits(t *testing.T) {
	s := &supervisor{log: slog.New(slog.DiscardHandler), done: make(chan seam.Receipt, 2)}
	restarted := make(chan struct{})
	a := &Agent{sup: s, updates: &updates{restart: func() { close(restarted) }}}
	var wg sync.WaitGroup
	wg.Go(func() { a.restart(t.Context()) })
	select {
	case <-restarted:
		t.Error("restarted in the middle of a job")
	case <-time.After(time.Second):
	}
	s.mu.Lock()
	s.done = nil
	s.mu.Unlock()
	select {
	case <-restarted:
	case <-time.After(time.Minute):
		t.Error("control: never restarted")
	}
	wg.Wait()
}
