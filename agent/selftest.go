package agent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"platen/agent/audit"
	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/intake"
	"platen/agent/seam"
	"platen/agent/telemetry"
)

// errBed is why a machine is not moved with nobody's word.
var errBed = &refusal{"bed-unknown", "nobody has said that the bed is clear: take off what lies there, then platen selftest --clear"}

// selfTest moves the machine by the catalogue's motion and reports until it has ended. It is asked
// for at the local socket alone: there is no message of a fleet, and no date, that begins one.
func (a *Agent) selfTest(ctx context.Context, req intake.Request, reply func(intake.Reply) error) error {
	if a.recovery.pending() {
		return errBroken // it may lie there
	}
	if req.Clear {
		if err := a.sup.bedClear(); err != nil {
			return err
		}
	}
	if err := a.sup.await(ctx); err != nil {
		return err
	}
	var t seam.Test
	rand.Read(t.Job[:])
	receipts, err := a.sup.selfTest(&t)
	if err != nil {
		return err
	}
	a.log.Warn("the machine moves: self-test")
	a.audit.Note(audit.Entry{Event: audit.SelfTest, Code: "begun"})
	if err := reply(intake.Reply{Event: "moving"}); err != nil {
		return nil // the client is gone; the machine is not
	}
	return a.followTest(ctx, receipts, reply)
}

// followTest reports a self-test to its client.
func (a *Agent) followTest(ctx context.Context, receipts <-chan seam.Receipt, reply func(intake.Reply) error) error {
	var last *seam.Receipt
	for {
		select {
		case r, ok := <-receipts:
			switch {
			case ok:
				last = &r
			case last == nil && ctx.Err() != nil:
				return errStopping
			case last == nil:
				return errSession
			case last.Code != seam.CodeDone:
				return &jobError{*last}
			default:
				return reply(intake.Reply{Event: "tested", Test: a.sup.figures()})
			}
		case <-ctx.Done():
			return errStopping // or the client is gone, and nobody hears it
		}
	}
}

// testEnded notes how a self-test has ended; one without a code was lost with its session.
func (a *Agent) testEnded(r seam.Receipt) {
	a.machine.TestEnded(r)
	how := "lost"
	if r.Code != 0 {
		how = r.Code.String()
	}
	a.audit.Note(audit.Entry{Event: audit.SelfTest, Code: code(how)})
}

// selfTest has the session run the self-test, and returns the channel of its receipt.
func (s *supervisor) selfTest(t *seam.Test) (<-chan seam.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.free(); err != nil {
		return nil, err
	}
	if !s.clear {
		return nil, errBed
	}
	if err := s.conn.Send(t, nil); err != nil {
		return nil, err
	}
	s.job, s.told, s.done, s.testing, s.tested = t.Job, 0, make(chan seam.Receipt, 2), true, nil
	return s.done, nil
}

// figures are what the last self-test has measured, for its owner; nil without any.
func (s *supervisor) figures() *intake.TestView {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tested == nil {
		return nil
	}
	t := s.tested
	v := &intake.TestView{
		Motion: fmt.Sprintf("%x", binary.BigEndian.AppendUint32(nil, uint32(catalog.MotionNumber()))),
		Half:   t.Half, Most: t.Most, Longest: t.Longest, Noise: t.Noise, Resends: t.Resends, Errors: t.Errors,
	}
	for i, a := range t.Axes {
		v.Axes = append(v.Axes, intake.AxisView{Axis: "xyz"[i : i+1], Sweep: a.Sweep})
		if a.Felt {
			v.Axes[i].Spread, v.Axes[i].Shift = &a.Spread, &a.Shift
		}
	}
	return v
}

// digests tells what each recipient is to be told of the file of the job that begins, by the
// file's SHA-256: of a sealed job, that of the sealed file. Nothing else of it is kept.
func (a *Agent) digests(file []byte) {
	var grants []consent.Grant
	if a.consent != nil {
		grants = a.consent.Grants(time.Now())
	}
	a.machine.Digests(a.digestsFor(grants, file))
}

// digestsFor is what is told of a file under the grants that name it.
func (a *Agent) digestsFor(grants []consent.Grant, file []byte) map[string]int64 {
	told := map[string]int64{}
	for _, g := range grants {
		if a.cfg.DigestKey != nil && len(file) == sha256.Size && slices.Contains(g.Items, catalog.JobDigest) {
			told[telemetry.Key(g)] = a.cfg.DigestKey.Of(g.Recipient, g.Serial, [sha256.Size]byte(file))
		}
	}
	return told
}
