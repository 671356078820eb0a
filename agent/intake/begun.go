package intake

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// begun is a counted copy whose print has not ended. If a power loss breaks it, it goes on as
// the same copy: see [Ledger.Resume].
//
// What is printed is not on the disk but for a marker, and a disk can be set back. So the
// TPM's counter rises with every quarter of a print, when a print is taken up, and when it
// ends, and a marker names the count that it belongs to: one from before the quarter that
// was reached is refused. Setting the disk back and cutting the power gains less than a
// quarter each time, and a copy is taken up [MostResumes] times: never a whole copy more.
type begun struct {
	At      uint64 `json:"at"`      // count that its marker has to name
	Before  uint64 `json:"before"`  // the one before that: of a marker that a power loss kept from being renewed
	Layer   uint32 `json:"layer"`   // at which the count rose
	Resumed int    `json:"resumed"` // how often it was taken up
}

// MostResumes is how often one copy is taken up after a power loss.
const MostResumes = 3

// Begun is the count that a marker of the job's copy has to name, 0 if none is being
// printed.
func (l *Ledger) Begun(job []byte) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.book.Taken[hex.EncodeToString(job)]; e.Open != nil && l.bad == nil {
		return e.Open.At
	}
	return 0
}

// Reach notes that the copy that is being printed under count at has reached another quarter,
// at a layer, and returns the count from now on. If the disk does not take that, the TPM
// counts it nevertheless.
func (l *Ledger) Reach(ctx context.Context, job []byte, at uint64, layer uint32, now time.Time) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := hex.EncodeToString(job)
	e, err := l.begun(id, at)
	if err != nil {
		return at, err
	}
	next := l.next(now)
	e.Open = &begun{At: next.Count, Before: at, Layer: layer, Resumed: e.Open.Resumed}
	next.Taken[id] = e
	if err := l.force(ctx, &next); err != nil {
		return at, fmt.Errorf("counting a quarter of a copy: %w", err)
	}
	return next.Count, nil
}

// Over notes that the copy that was printed under count at is not going on any more.
func (l *Ledger) Over(ctx context.Context, job []byte, at uint64, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := hex.EncodeToString(job)
	e, err := l.begun(id, at)
	if err != nil {
		return err
	}
	next := l.next(now)
	e.Open = nil
	next.Taken[id] = e
	if err := l.force(ctx, &next); err != nil {
		return fmt.Errorf("closing a copy: %w", err)
	}
	return nil
}

// Resumable is the TicketError "resume" if the copy of which a marker says that it was being
// printed under count at, and had reached layer, is not to go on, and a LedgerError if no
// ticket is taken. Nothing is counted.
func (l *Ledger) Resumable(t Ticket, at uint64, layer uint32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bad != nil {
		return l.bad
	}
	e := l.book.Taken[hex.EncodeToString(t.Job)]
	switch b := e.Open; {
	case b == nil:
		return refuse("resume", "no copy of it is being printed")
	case at != b.At && (at != b.Before || layer != b.Layer):
		return refuse("resume", "the copy had got farther than the printer's disk says, or was taken up already: ask the operator for a re-credit")
	case b.Resumed >= MostResumes:
		return refuse("resume", "the copy was taken up %d times: ask the operator for a re-credit", MostResumes)
	}
	return nil
}

// Resume takes up a broken copy once, if it is Resumable, and returns the count from now on.
// No further copy is counted.
func (l *Ledger) Resume(ctx context.Context, t Ticket, at uint64, layer uint32, now time.Time) (uint64, error) {
	if err := l.Resumable(t, at, layer); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.settle(ctx); err != nil {
		return 0, err
	}
	id := hex.EncodeToString(t.Job)
	next := l.next(now)
	e := next.Taken[id]
	if e.Open == nil {
		return 0, errOver
	}
	e.Open = &begun{At: next.Count, Before: at, Layer: layer, Resumed: e.Open.Resumed + 1}
	next.Taken[id] = e
	if err := l.turn(ctx, &next); err != nil {
		return 0, fmt.Errorf("taking up the copy: %w", err)
	}
	return next.Count, nil
}

var errOver = errors.New("the copy is not being printed any more")

// begun is the entry of a job that is being printed under count at. The lock is held.
func (l *Ledger) begun(id string, at uint64) (entry, error) {
	e := l.book.Taken[id]
	if l.bad != nil {
		return e, l.bad
	}
	if e.Open == nil || e.Open.At != at {
		return e, errOver
	}
	return e, nil
}

// force makes next the book, on the TPM at least: a disk that takes nothing more must not
// keep a print from counting. Until the disk has taken it, after a power loss no ticket is
// taken.
func (l *Ledger) force(ctx context.Context, next *book) error {
	err := l.settle(ctx)
	if err == nil {
		err = l.turn(ctx, next)
	}
	if err == nil || l.half != nil || l.bad != nil { // it is the TPM that did not
		return err
	}
	n, cerr := l.counter.CountTicket(ctx)
	if cerr != nil {
		return errors.Join(err, cerr)
	}
	l.book, l.owed = *next, true
	if n != next.Count {
		l.distrust(n, "something else counts on this TPM")
	}
	return l.bad
}
