package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/consent"
	"platen/agent/intake"
	"platen/agent/seam"
	"platen/agent/seam/link"
)

// A job waits for a session that gets ready, for a while, and for nothing else.
func TestAwait(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*supervisor, context.CancelFunc) // after a second
		want   error
		after  time.Duration
	}{
		"gets ready": {func(s *supervisor, _ context.CancelFunc) { s.conn, s.ready = &link.Conn{}, &seam.Ready{} }, nil, time.Second},
		"never":      {func(*supervisor, context.CancelFunc) {}, errNotReady, readyTime},
		"faulty": {func(s *supervisor, _ context.CancelFunc) {
			s.conn, s.ready, s.status.Phase = &link.Conn{}, &seam.Ready{}, seam.PhaseFault
		}, errNotReady, readyTime},
		"taken": {func(s *supervisor, _ context.CancelFunc) { s.done = make(chan seam.Receipt) }, errBusy, time.Second},
		"gone":  {func(_ *supervisor, cancel context.CancelFunc) { cancel() }, errStopping, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := &supervisor{log: slog.New(slog.DiscardHandler)}
			time.AfterFunc(time.Second, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				c.change(s, cancel)
			})
			began := time.Now()
			err := s.await(ctx)
			if !same(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
			if took := time.Since(began).Round(100 * time.Millisecond); took != c.after {
				t.Errorf("%s: after %v, want %v", name, took, c.after)
			}
		})
	}
}

// TestSessionsThatCannotBeStarted: behind a session that ended with its job the next comes at once, and only
// the next: where none can be started the pauses grow as ever.
func TestSessionsThatCannotBeStarted(t *testing.T) {
	for spent, want := range map[bool]int{true: 5, false: 4} { // at 0 seconds, if spent twice, and at 1, 3 and 7
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
				if n++; n == 100 {
					cancel()
				}
				return len(p), nil
			}), nil))
			s := &supervisor{log: log, args: []string{"no program takes a \x00"}, spent: spent}
			time.AfterFunc(10*time.Second, cancel)
			s.run(ctx)
			if n != want {
				t.Errorf("behind a job: %v; started %d times in ten seconds, want %d", spent, n, want)
			}
		})
	}
}

// writerFunc writes.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// same tells errors apart by identity, and none from any.
func same(got, want error) bool {
	return (got == nil) == (want == nil) && (want == nil || errors.Is(got, want))
}

// A session that ends without a last receipt is told apart from one that goes on
// without its agent, and from one that did its job.
func TestEndedSession(t *testing.T) {
	for _, c := range []struct {
		receipts []seam.Code
		alone    bool
		says     string
	}{
		{nil, false, "without a receipt"},
		{[]seam.Code{seam.CodeLoaded}, false, "without a receipt"},
		{[]seam.Code{seam.CodeLoaded}, true, "goes on without its agent"},
		{[]seam.Code{seam.CodeLoaded, seam.CodeDone}, false, "code=done"},
		{[]seam.Code{seam.CodeRefused}, false, "code=refused"},
	} {
		var log bytes.Buffer
		s := &supervisor{log: slog.New(slog.NewTextHandler(&log, nil)), job: [16]byte{7}, done: make(chan seam.Receipt, 8)}
		s.status.Fault = 3
		done := s.done
		s.receipt(seam.Receipt{Job: [16]byte{8}, Code: seam.CodeDone}) // of another job
		for _, code := range c.receipts {
			s.receipt(seam.Receipt{Job: s.job, Code: code})
		}
		s.ended(c.alone)
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, c.says) {
			t.Errorf("%v, %t: the log says %q, want %q", c.receipts, c.alone, text, c.says)
		}
		n := 0
		for range done {
			n++
		}
		if n != len(c.receipts) {
			t.Errorf("%v: %d receipts arrive", c.receipts, n)
		}
		st, _, busy := s.snapshot()
		if busy || st.Phase != seam.PhaseConnecting || st.Fault != 3 {
			t.Errorf("%v: left %+v, busy %t", c.receipts, st, busy)
		}
		if err := s.command(seam.KindCancel); !errors.Is(err, errNotReady) {
			t.Errorf("a command to nobody: %v", err)
		}
	}
}

// What is asked of a job that there is not is refused; a halt never is.
func TestCommandsWithoutAJob(t *testing.T) {
	conn, end, err := link.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	session, err := link.FromFile(end)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	s := &supervisor{conn: conn, ready: &seam.Ready{Dialect: 1}}
	for _, k := range []seam.Kind{seam.KindPause, seam.KindResume, seam.KindCancel} {
		if err := s.jobCommand(k); !errors.Is(err, errNoJob) {
			t.Errorf("command %d: %v", k, err)
		}
	}
	if err := s.skip(1); !errors.Is(err, errNoJob) {
		t.Errorf("an object of no job: %v", err)
	}
	s.done = make(chan seam.Receipt)
	if s.skip(0) == nil {
		t.Error("there is an object 0")
	}
	if err := errors.Join(s.jobCommand(seam.KindCancel), s.command(seam.KindHalt), s.skip(2)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []seam.Kind{seam.KindCancel, seam.KindHalt} {
		m, _, err := session.Receive()
		if c, ok := m.(*seam.Command); err != nil || !ok || c.Kind != want {
			t.Errorf("the session gets %v, %v, want command %d", m, err, want)
		}
	}
	m, _, err := session.Receive()
	if c, ok := m.(*seam.Skip); err != nil || !ok || c.Object != 2 {
		t.Errorf("the session gets %v, %v", m, err)
	}
}

// What a client is told follows from the receipts; a job has ended when its session
// has.
func TestFollow(t *testing.T) {
	for _, c := range []struct {
		receipts []seam.Receipt
		detach   bool
		code     string // of the error
		events   string // with "safe-to-delete" behind each "loaded"
	}{
		{[]seam.Receipt{{Code: seam.CodeLoaded}, {Code: seam.CodeDone}}, false, "", "loaded"},
		{[]seam.Receipt{{Code: seam.CodeLoaded}}, true, "", "loaded"},
		{[]seam.Receipt{{Code: seam.CodeLoaded}}, false, "session-lost", "loaded"},
		{nil, true, "session-lost", ""},
		{[]seam.Receipt{{Code: seam.CodeRefused, Reason: seam.ReasonFormat}}, true, "job-refused", ""},
		{[]seam.Receipt{{Code: seam.CodeLoaded}, {Code: seam.CodeCancelled}}, false, "job-cancelled", "loaded"},
		{[]seam.Receipt{{Code: seam.CodeLoaded}, {Code: seam.CodeFault, Reason: seam.ReasonMachine}}, false, "job-fault", "loaded"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &Agent{log: slog.New(slog.DiscardHandler), sup: &supervisor{}}
			receipts := make(chan seam.Receipt)
			go func() {
				defer close(receipts)
				for _, r := range c.receipts {
					receipts <- r
				}
				time.Sleep(1500 * time.Millisecond) // the session closes its port
			}()
			var events []string
			began := time.Now()
			err := a.follow(t.Context(), receipts, c.detach, func(r intake.Reply) error {
				if r.Event != "progress" {
					events = append(events, r.Event)
				}
				return nil
			})
			loaded := c.detach && c.events != ""
			if took := time.Since(began); !loaded && took != 1500*time.Millisecond || loaded && took != 0 {
				t.Errorf("%v: told after %v", c.receipts, took)
			}
			if got, want := strings.Join(events, " "), strings.Replace(c.events, "loaded", "loaded "+eventDelete, 1); got != want {
				t.Errorf("%v: events %q, want %q", c.receipts, got, want)
			}
			if codeOf(err) != c.code {
				t.Errorf("%v: %v, want code %q", c.receipts, err, c.code)
			}
			for range receipts { // until the session has ended
			}
		})
	}
}

func codeOf(err error) string {
	var coded intake.Coded
	if err == nil {
		return ""
	}
	if !errors.As(err, &coded) {
		return "none"
	}
	return coded.ErrorCode()
}

// An agent that stops does not tell its clients that their prints are done.
func TestFollowOfAnAgentThatStops(t *testing.T) {
	a := &Agent{log: slog.New(slog.DiscardHandler), sup: &supervisor{}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, receipts := range map[string]chan seam.Receipt{"open": make(chan seam.Receipt), "closed": closed()} {
		for range 20 { // either case of a select that has two
			if err := a.follow(ctx, receipts, false, func(intake.Reply) error { return nil }); !errors.Is(err, errStopping) {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func closed() chan seam.Receipt {
	c := make(chan seam.Receipt)
	close(c)
	return c
}

func TestGrantCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, err := range []error{
		consent.ErrSignature, consent.ErrRecord, consent.ErrCatalogue, consent.ErrTime, consent.ErrPrinter, consent.ErrSerial,
		errors.New("a disk that is full"),
	} {
		code := grantCode(fmt.Errorf("wrapped: %w", err))
		if seen[code] || !strings.HasPrefix(code, "grant-") {
			t.Errorf("%v has code %q", err, code)
		}
		seen[code] = true
	}
}
