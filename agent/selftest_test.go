package agent

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"platen/agent/catalog"
	"platen/agent/config"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/seam"
	"platen/agent/seam/link"
	"platen/agent/telemetry"
)

// tester is a supervisor with a session that is ready, and the session's end of the seam.
func tester(t *testing.T) (*supervisor, *link.Conn) {
	t.Helper()
	near, end, err := link.Pair()
	if err != nil {
		t.Fatal(err)
	}
	far, err := link.FromFile(end)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	s := &supervisor{log: slog.New(slog.DiscardHandler), conn: near, ready: &seam.Ready{}, onStatus: func(seam.Status) {}}
	s.status.Phase = seam.PhaseIdle
	return s, far
}

// P5: no machine is moved of which nobody has said that its bed is clear, none with a job, and none
// on trial; the one that is counts as no job to anybody.
func TestSelfTestIsAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*supervisor)
		want   error
	}{
		"control":         {func(*supervisor) {}, nil},
		"bed not clear":   {func(s *supervisor) { s.clear = false }, errBed},
		"a job runs":      {func(s *supervisor) { s.done = make(chan seam.Receipt, 2) }, errBusy},
		"agent goes":      {func(s *supervisor) { s.going = true }, errGoing},
		"on trial":        {func(s *supervisor) { s.trial = true }, errNotReady},
		"fault":           {func(s *supervisor) { s.status.Phase = seam.PhaseFault }, errNotReady},
		"no session ever": {func(s *supervisor) { s.none = true }, errNoSession},
	} {
		s, far := tester(t)
		s.clear = true
		c.change(s)
		jobs, tests := 0, 0
		s.onReceipt = func(seam.Receipt) { jobs++ }
		s.onTest = func(seam.Receipt) { tests++ }
		data := 0
		s.onData = func(seam.Message) { data++ }
		receipts, err := s.selfTest(&seam.Test{Job: [16]byte{7}})
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.want != nil {
			continue
		}
		if m, _, err := far.Receive(); err != nil || *m.(*seam.Test) != (seam.Test{Job: [16]byte{7}}) {
			t.Errorf("the session got %v, %v", m, err)
		}
		if err := s.free(); !errors.Is(err, errBusy) {
			t.Errorf("while it runs: %v", err)
		}
		s.take(&seam.Duty{N: 1}) // of a job, which this is not
		s.take(&seam.Tested{Job: [16]byte{8}})
		s.take(&seam.Tested{Job: [16]byte{7}, Half: 5})
		s.take(&seam.Receipt{Job: [16]byte{7}, Code: seam.CodeDone})
		if jobs != 0 || tests != 1 || data != 1 || s.figures() == nil || s.figures().Half != 5 {
			t.Errorf("%d jobs, %d tests, %d figures", jobs, tests, data)
		}
		s.ended(false)
		n := 0
		for range receipts {
			n++
		}
		if n != 1 || s.testing || !s.clear || !s.spent {
			t.Errorf("afterwards: %d receipts, testing %v, clear %v", n, s.testing, s.clear)
		}
	}
}

// A self-test whose session dies has ended, too: its owner's log says so, and the next begins anew.
func TestLostSelfTestEnds(t *testing.T) {
	s, _ := tester(t)
	s.clear = true
	var ends []seam.Receipt
	s.onTest = func(r seam.Receipt) { ends = append(ends, r) }
	job := [16]byte{7}
	if _, err := s.selfTest(&seam.Test{Job: job}); err != nil {
		t.Fatal(err)
	}
	s.ended(false)
	if len(ends) != 1 || ends[0] != (seam.Receipt{Job: job}) || s.testing {
		t.Errorf("ended with %+v", ends)
	}
}

// While nothing runs, and of another job, figures and shares are nothing.
func TestFiguresOfNothing(t *testing.T) {
	s, _ := tester(t)
	data := 0
	s.onData = func(seam.Message) { data++ }
	s.take(&seam.Tested{})
	s.take(&seam.Duty{N: 1})
	if data != 0 || s.figures() != nil {
		t.Error("figures of no test were taken")
	}
	s.done = make(chan seam.Receipt, 2)
	if s.take(&seam.Duty{N: 1}); data != 1 {
		t.Error("control: the shares of a job were not taken")
	}
}

// P8: of a file, recipients whose grant names the item are told what the owner's key makes of it, and
// without a key nobody is told anything.
func TestDigestsFollowGrants(t *testing.T) {
	path := filepath.Join(t.TempDir(), "digest.key")
	if err := consent.GenerateDigestKey(path); err != nil {
		t.Fatal(err)
	}
	key, err := consent.LoadDigestKey(path)
	if err != nil {
		t.Fatal(err)
	}
	file := [32]byte{1, 2, 3}
	grant := func(r byte, items ...catalog.ID) consent.Grant {
		g, err := consent.New(consent.Terms{Recipient: evidence.RecipientID{r}, Name: "x", Profile: catalog.Vendor, From: time.Now(), Serial: 5, Items: items})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	named, other, silent := grant(1, catalog.State, catalog.JobDigest), grant(2, catalog.JobDigest), grant(3)
	a := &Agent{cfg: &config.Config{DigestKey: key}}
	told := a.digestsFor([]consent.Grant{named, other, silent}, file[:])
	if len(told) != 2 || told[telemetry.Key(named)] != key.Of(named.Recipient, 5, file) || told[telemetry.Key(other)] == told[telemetry.Key(named)] {
		t.Errorf("told %v", told)
	}
	if told := a.digestsFor([]consent.Grant{named}, file[:31]); len(told) != 0 {
		t.Error("a digest of another length was taken")
	}
	a.cfg.DigestKey = nil
	if told := a.digestsFor([]consent.Grant{named}, file[:]); len(told) != 0 {
		t.Error("without a key something is told")
	}
}
