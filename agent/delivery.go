package agent

import (
	"context"
	"sync"
	"time"

	"platen/agent/evidence"
	"platen/agent/intake"
)

// delivery is the sealed job that was handed to the session last: what a receipt for its
// sender speaks of.
type delivery struct {
	mu     sync.Mutex
	ticket intake.Ticket
}

// handed notes the ticket of a job that is about to be handed to the session.
func (d *delivery) handed(t intake.Ticket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ticket = t
}

// of is the ticket of a job, if it has one.
func (d *delivery) of(job [16]byte) (t intake.Ticket, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ticket, string(d.ticket.Job) == string(job[:])
}

// delivered is the printer's word, signed by its TPM, that it holds all of a sealed job; ""
// for a job in clear, which was never sent, and of a TPM that does not sign: a print is not
// held up for that.
func (a *Agent) delivered(ctx context.Context, job [16]byte) string {
	t, ok := a.delivery.of(job)
	if !ok {
		return ""
	}
	key, err := a.tpm.AttestationKey(ctx)
	var text []byte
	if err == nil {
		d := evidence.Delivery{V: evidence.Version, AK: key, At: uint64(time.Now().Unix()), Job: t.Job, Digest: t.Digest}
		text, err = d.Sign(func(digest [32]byte) (evidence.Quote, error) { return a.tpm.Quote(ctx, digest) })
	}
	if err != nil {
		a.log.Warn("no receipt for the sender of a job", "error", err.Error())
	}
	return string(text)
}
