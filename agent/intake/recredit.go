package intake

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// RecreditType is the DSSE payload type of a re-credit.
const RecreditType = "application/vnd.platen.recredit.v1+json"

// Recredit is an operator's word that copies which were counted are not to count: those
// of one job, because they were not printed, or, without a job, that a printer whose
// ledger is gone begins a new one. It is good once, for it names the count that it raises.
type Recredit struct {
	Printer string    `json:"printer"`          // its id
	Count   uint64    `json:"count"`            // of its ledger, now
	Job     Hex       `json:"job,omitempty"`    // of the ticket, 16 bytes
	Copies  int       `json:"copies,omitempty"` // that are given back
	Issued  time.Time `json:"issued"`           // UTC; a new ledger takes no ticket from before
}

// RecreditError is why a re-credit was refused.
type RecreditError struct{ What string }

// Error says what was wrong and what to do.
func (e *RecreditError) Error() string { return "re-credit refused: " + e.What }

// ErrorCode is "recredit".
func (e *RecreditError) ErrorCode() string { return "recredit" }

func (r Recredit) form() error {
	switch {
	case len(r.Job) == 0 && r.Copies == 0:
	case len(r.Job) != 16 || r.Copies < 1 || r.Copies > 10_000:
		return &RecreditError{"it names no job of 16 bytes with 1 to 10000 copies"}
	}
	if r.Printer == "" || r.Issued.IsZero() {
		return &RecreditError{"it names no printer or no time"}
	}
	return nil
}

// Sign puts a re-credit into a DSSE envelope signed with an operator's key.
func (r Recredit) Sign(ctx context.Context, key ed25519.PrivateKey) ([]byte, error) {
	if err := r.form(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("writing the re-credit: %w", err)
	}
	return signEnvelope(ctx, RecreditType, body, key)
}

// OpenRecredit checks the signature of an envelope against the operator keys that the
// printer trusts, and that what is inside is a re-credit for this printer.
func OpenRecredit(ctx context.Context, envelope []byte, operators []ed25519.PublicKey, printer string) (Recredit, error) {
	var r Recredit
	var env dsse.Envelope
	if len(envelope) > MaxTicket || strictJSON(envelope, &env) != nil || env.PayloadType != RecreditType {
		return r, &RecreditError{"it is none: make one with platen-fleet recredit"}
	}
	body, err := verified(ctx, &env, operators)
	if err != nil {
		return r, &RecreditError{err.Error()}
	}
	if err := strictJSON(body, &r); err != nil || !canonical(body, r) {
		return Recredit{}, &RecreditError{"it is not of this version: make it with platen-fleet recredit"}
	}
	if err := r.form(); err != nil {
		return Recredit{}, err
	}
	if r.Printer != printer {
		return Recredit{}, &RecreditError{"it is for another printer"}
	}
	return r, nil
}

// Credit carries out a re-credit.
func (l *Ledger) Credit(ctx context.Context, r Recredit, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.settle(ctx); err != nil {
		return err
	}
	if r.Count != l.book.Count {
		return &RecreditError{fmt.Sprintf("it is for count %d, the printer is at %d: it was used, or a copy was counted since", r.Count, l.book.Count)}
	}
	next := l.next(now)
	if len(r.Job) == 0 {
		next = book{Count: l.book.Count + 1, Taken: map[string]entry{}, Since: r.Issued}
	} else if l.bad != nil {
		return l.bad
	} else if e, ok := next.Taken[hex.EncodeToString(r.Job)]; !ok || e.Copies < r.Copies {
		return &RecreditError{"fewer copies of that job were counted"}
	} else {
		e.Copies -= r.Copies
		e.Open = nil // what is given back is not taken up besides
		next.Taken[hex.EncodeToString(r.Job)] = e
	}
	if err := l.turn(ctx, &next); err != nil {
		return fmt.Errorf("giving copies back: %w", err)
	}
	return nil
}
