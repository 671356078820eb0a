package agent

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"platen/agent/intake"
	"platen/agent/intake/queue"
	"platen/agent/seam"
	"platen/agent/seam/link"
)

// TestBedClear: an automatic job begins once somebody has looked, on a printer that is idle, and the
// word is good for one job.
func TestBedClear(t *testing.T) {
	s := &supervisor{conn: &link.Conn{}, ready: &seam.Ready{}, status: seam.Status{Phase: seam.PhaseIdle}}
	if s.inviting() || s.isClear() {
		t.Error("a bed that nobody has looked at is clear")
	}
	if err := s.bedClear(); err != nil || !s.inviting() {
		t.Fatalf("control: %v, inviting %v", err, s.inviting())
	}
	for name, busy := range map[string]*supervisor{
		"no session": {status: s.status}, "a fault": {conn: s.conn, ready: s.ready, status: seam.Status{Phase: seam.PhaseFault}},
		"a job":   {conn: s.conn, ready: s.ready, status: s.status, done: make(chan seam.Receipt)},
		"loading": {conn: s.conn, ready: s.ready, status: seam.Status{Phase: seam.PhaseLoading}},
		"a stop":  {conn: s.conn, ready: s.ready, status: s.status, going: true},
	} {
		if busy.clear = true; busy.inviting() {
			t.Errorf("%s: a job may begin by itself", name)
		}
	}
	s.done = make(chan seam.Receipt)
	if err := s.bedClear(); !errors.Is(err, errBusy) {
		t.Errorf("a bed is clear in the middle of a print: %v", err)
	}
}

// TestUnbegun: what cannot be printed now waits, what can never be goes, and what somebody has to see to
// is not begun again by itself.
func TestUnbegun(t *testing.T) {
	for err, want := range map[error]queue.End{
		errBusy: queue.Again, errNotReady: queue.Again, errGoing: queue.Again, errStopping: queue.Again, errBroken: queue.Again, errForeign: queue.Again,
		&intake.TicketError{Code: "copies"}: queue.Over, intake.ErrNotSealedHere: queue.Over,
		&intake.LedgerError{}: queue.Broke, errors.New("the TPM does not answer"): queue.Broke, &refusal{code: "system-unfit"}: queue.Broke,
	} {
		if got := unbegun(fmt.Errorf("starting: %w", err)); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

// TestRefusalsDoNotFillTheLog: a broker that sends nonsense all day is logged now and then.
func TestRefusalsDoNotFillTheLog(t *testing.T) {
	var r refusals
	now := time.Now()
	lines := 0
	for i := range 600 { // a minute
		for _, code := range []string{"ticket-form", "ticket-signature"} {
			if r.news(code, now.Add(time.Duration(i)*100*time.Millisecond)) {
				lines++
			}
		}
	}
	if lines != 12 {
		t.Errorf("%d lines in a minute, want 12", lines)
	}
	if errorCode(fmt.Errorf("x: %w", errRetained)) != "offer-retained" || errorCode(errors.New("x")) != "failed" {
		t.Error("codes of errors")
	}
}
