package intake

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"platen/agent/durable"
)

// Counter is a number that only rises and that no disk holds: an NV counter of the TPM.
type Counter interface {
	Tickets(ctx context.Context) (n uint64, fresh bool, err error) // fresh: there was none before
	CountTicket(ctx context.Context) (uint64, error)               // adds one
}

// Ledger counts the copies that tickets were used for. It holds job ids and counts, no
// design data.
//
// Requirements: a copy once taken stays taken, whatever becomes of the disk: rolled back,
// copied to another printer, edited, or cut from power at any moment. A power cut costs
// at most one copy. Layout: one JSON file, replaced by rename, with a count and an
// HMAC-SHA256 under a key that only the TPM can make. A copy is taken by writing the file
// with the next count and then raising the TPM's counter to it; only then is the job
// opened. So a file is good if its count is the counter's, or, after a power cut between
// the two, one above: then the counter follows. Failures: a file that is missing, older,
// or not this TPM's stops all tickets, and a power cut in the moment in which a new
// printer writes its first one does too: a [Recredit] begins a new one.
type Ledger struct {
	path    string
	key     [32]byte
	counter Counter

	mu   sync.Mutex
	book book
	half *book // on the disk, and the counter may have risen to it; nil if there is none
	owed bool  // the counter has risen to book, and the disk did not take it
	bad  error // why no ticket is taken, nil if they are
}

// book is what is kept.
type book struct {
	Count uint64           `json:"count"` // the TPM's, with this book
	Taken map[string]entry `json:"taken"`
	Ended time.Time        `json:"ended,omitzero"` // latest end of a ticket that was forgotten
	Since time.Time        `json:"since,omitzero"` // tickets from before are not taken
}

type entry struct {
	Copies   int       `json:"copies"`
	NotAfter time.Time `json:"not_after"`
	Open     *begun    `json:"open,omitempty"` // the last of the copies, while it is printed
}

// pages is the file.
type pages struct {
	Book json.RawMessage `json:"book"`
	MAC  Hex             `json:"mac"`
}

// LedgerError is why the printer takes no ticket at all.
type LedgerError struct {
	Count uint64 // the TPM's
	What  string
}

// Error says what to do.
func (e *LedgerError) Error() string {
	return fmt.Sprintf("no ticket is taken: %s: ask the operator for a re-credit at count %d (platen-fleet recredit)", e.What, e.Count)
}

// ErrorCode is "ledger".
func (e *LedgerError) ErrorCode() string { return "ledger" }

// OpenLedger reads the ledger at path, or starts one on a TPM that has never counted. key
// is the TPM's, and now the time: tickets that were made long before the first ledger of a
// printer are not taken. A ledger that cannot be trusted opens and takes no ticket: see
// [Ledger.Problem]. An error is one of the TPM or of the disk.
func OpenLedger(ctx context.Context, path string, key [32]byte, c Counter, now time.Time) (*Ledger, error) {
	l := &Ledger{path: path, key: key, counter: c}
	n, fresh, err := c.Tickets(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the ticket ledger: %w", err)
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist) && fresh:
		l.book = book{Count: n, Taken: map[string]entry{}, Since: now.Add(-early)}
		return l, l.write(&l.book)
	case errors.Is(err, os.ErrNotExist):
		l.distrust(n, "the record of printed copies is gone")
		return l, nil
	case err != nil:
		return nil, fmt.Errorf("opening the ticket ledger: %w", err)
	}
	return l, l.read(ctx, b, n)
}

// early is how old a ticket may be when a printer starts its first ledger: old enough for
// clocks that differ, and too young for one that was used before its counter was undefined.
const early = 5 * time.Minute

// distrust takes no ticket any more.
func (l *Ledger) distrust(n uint64, what string) {
	l.book = book{Count: n, Taken: map[string]entry{}}
	l.bad = &LedgerError{n, what}
}

// read takes the file over, if it is this TPM's and goes with its counter.
func (l *Ledger) read(ctx context.Context, file []byte, n uint64) error {
	var p pages
	if strictJSON(file, &p) != nil || !hmac.Equal(p.MAC, l.mac(p.Book)) {
		l.distrust(n, "the record of printed copies was altered, or is another printer's")
		return nil
	}
	if err := strictJSON(p.Book, &l.book); err != nil || l.book.Taken == nil {
		l.distrust(n, "the record of printed copies was written by another release")
		return nil
	}
	if l.book.Count == n+1 { // power was cut before the counter rose
		var err error
		if n, err = l.counter.CountTicket(ctx); err != nil {
			return fmt.Errorf("opening the ticket ledger: %w", err)
		}
	}
	if l.book.Count != n {
		l.distrust(n, "the record of printed copies is an older one")
	}
	return nil
}

func (l *Ledger) mac(b []byte) []byte {
	m := hmac.New(sha256.New, l.key[:])
	m.Write(b)
	return m.Sum(nil)
}

// Problem is a LedgerError if no ticket is taken.
func (l *Ledger) Problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bad
}

// Count is the TPM's count, which a re-credit has to name.
func (l *Ledger) Count() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book.Count
}

// Left is the TicketError "copies" if all copies of the ticket were taken, and a
// LedgerError if no ticket is. It takes none.
func (l *Ledger) Left(t Ticket) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left(t)
}

func (l *Ledger) left(t Ticket) error {
	e, known := l.book.Taken[hex.EncodeToString(t.Job)]
	switch {
	case l.bad != nil:
		return l.bad
	case e.Copies >= t.Copies:
		return refuse("copies", "all %d copies were printed: ask the operator for another ticket", t.Copies)
	case !known && !t.NotAfter.After(l.book.Ended): // may be a forgotten one, after the clock was set back
		return refuse("copies", "the printer has forgotten tickets as old as this one: ask the operator for another ticket")
	case t.NotBefore.Before(l.book.Since):
		return refuse("copies", "it was made before the printer's record of copies began anew: ask the operator for another ticket")
	}
	return nil
}

// Take counts one copy of the ticket. The TicketError "copies" says that all were
// taken. What is not printed although it was counted, a re-credit gives back.
func (l *Ledger) Take(ctx context.Context, t Ticket, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.settle(ctx); err != nil {
		return err
	}
	if err := l.left(t); err != nil {
		return err
	}
	next := l.next(now)
	id := hex.EncodeToString(t.Job)
	next.Taken[id] = entry{l.book.Taken[id].Copies + 1, t.NotAfter, &begun{At: next.Count}}
	if err := l.turn(ctx, &next); err != nil {
		return fmt.Errorf("counting the copy: %w", err)
	}
	return nil
}

// next is the book with the next count and without what ended long ago.
func (l *Ledger) next(now time.Time) book {
	next := book{Count: l.book.Count + 1, Taken: map[string]entry{}, Ended: l.book.Ended, Since: l.book.Since}
	for id, old := range l.book.Taken {
		if now.Sub(old.NotAfter) <= keepEnded {
			next.Taken[id] = old
		} else if old.NotAfter.After(next.Ended) {
			next.Ended = old.NotAfter
		}
	}
	return next
}

// turn makes next the book: on the disk, and then for good.
func (l *Ledger) turn(ctx context.Context, next *book) error {
	if err := l.write(next); err != nil {
		return err
	}
	l.half = next
	n, err := l.counter.CountTicket(ctx)
	if err != nil {
		return err
	}
	l.book, l.bad, l.half = *next, nil, nil
	if n != next.Count {
		l.distrust(n, "something else counts on this TPM")
		return l.bad
	}
	return nil
}

// settle finds out whether the counter has risen though the TPM did not say so.
func (l *Ledger) settle(ctx context.Context) error {
	if l.owed {
		if err := l.write(&l.book); err != nil {
			return fmt.Errorf("counting the copy: %w", err)
		}
		l.owed = false
	}
	if l.half == nil {
		return nil
	}
	n, _, err := l.counter.Tickets(ctx)
	if err != nil {
		return fmt.Errorf("counting the copy: %w", err)
	}
	if n == l.half.Count {
		l.book, l.bad = *l.half, nil
	}
	l.half = nil
	return nil
}

// keepEnded is how long the count of a ticket that has ended is kept. When it is
// forgotten, all that ended no later are refused from then on: a clock that is set
// forward and back again frees no copy.
const keepEnded = 30 * 24 * time.Hour

// write replaces the file.
func (l *Ledger) write(b *book) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	file, err := json.Marshal(pages{text, l.mac(text)})
	if err != nil {
		return err
	}
	return durable.Replace(l.path, file)
}
