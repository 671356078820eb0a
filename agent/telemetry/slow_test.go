package telemetry

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/evidence"
)

// slow is a TPM that takes its time for a quote, one after the other.
type slow struct {
	quoter
	takes time.Duration
	free  chan struct{}
}

func (s slow) Quote(ctx context.Context, digest [32]byte) (evidence.Quote, error) {
	select {
	case <-s.free:
	case <-ctx.Done():
		return evidence.Quote{}, ctx.Err()
	}
	time.Sleep(s.takes)
	s.free <- struct{}{}
	return s.quoter.Quote(ctx, digest)
}

// TestSlowTPM: where ten recipients want a message every two seconds each and a quote takes 0.3 s,
// one quote covers several messages by their Merkle root, and none is lost. With a TPM that
// is quick each message has a quote of its own, which is the control.
func TestSlowTPM(t *testing.T) {
	for name, takes := range map[string]time.Duration{"slow": 300 * time.Millisecond, "quick": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tpm := slow{quoter{1}, takes, make(chan struct{}, 1)}
				tpm.free <- struct{}{}
				r := start(t, func(c *Config) { c.Quoter = tpm })
				defer func() { r.stop() }()
				var all []consent.Grant
				for n := range byte(10) {
					all = append(all, allow(t, evidence.RecipientID{10 + n}, catalog.Owner, time.Hour, 1))
				}
				r.grants.set(all...)
				time.Sleep(2*time.Minute + 500*time.Millisecond)
				synctest.Wait()
				by := map[evidence.RecipientID][]sentFrame{}
				for _, f := range r.wire.sent() {
					by[f.to] = append(by[f.to], f)
				}
				for _, g := range all {
					covered(t, by[g.Recipient], takes > 100*time.Millisecond)
				}
			})
		})
	}
}

// covered checks the frames of one recipient: every message once, in order, none dropped.
func covered(t *testing.T, frames []sentFrame, several bool) {
	t.Helper()
	headers, msgs := read(t, frames)
	most, next := uint64(0), uint64(0)
	for _, h := range headers {
		if h.First != next || h.Dropped != 0 {
			t.Errorf("batch %d begins with message %d, %d dropped; want %d", h.Seq, h.First, h.Dropped, next)
		}
		next, most = h.First+h.Count, max(most, h.Count)
	}
	if int(next) != len(msgs) || next < 50 {
		t.Errorf("%d messages in %d batches, numbered up to %d", len(msgs), len(headers), next)
	}
	if several != (most > 1) {
		t.Errorf("at most %d messages have one quote", most)
	}
}
