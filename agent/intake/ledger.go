package intake

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"platen/agent/durable"
)

// Ledger counts the copies that tickets were used for. It survives restarts: a
// count is on disk before Take returns, so that a power cut costs at most one
// copy and never gives one more. It holds job ids and counts, no design data.
//
// Requirements: a count once taken stays taken through a crash at any point. Non-
// requirements: a disk that is rolled back as a whole is not noticed here. Layout:
// one JSON file, replaced by rename. Failures: a ledger that does not parse stops
// all tickets, with an error, until it is looked at.
type Ledger struct {
	mu    sync.Mutex
	path  string
	Taken map[string]entry `json:"taken"`
	Ended time.Time        `json:"ended,omitzero"` // latest end of a ticket that was forgotten
}

type entry struct {
	Copies   int       `json:"copies"`
	NotAfter time.Time `json:"not_after"`
}

// OpenLedger reads the ledger at path, or starts one.
func OpenLedger(path string) (*Ledger, error) {
	l := &Ledger{path: path, Taken: map[string]entry{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = strictJSON(b, l)
	}
	if err == nil && l.Taken == nil {
		err = errors.New("it has no counts")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ticket ledger %s: %w; no ticket is taken until it is repaired or the tickets have ended and it is removed", path, err)
	}
	return l, nil
}

// Left is the TicketError "copies" if all copies of the ticket were taken. It takes
// none.
func (l *Ledger) Left(t Ticket) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left(t)
}

func (l *Ledger) left(t Ticket) error {
	e, known := l.Taken[hex.EncodeToString(t.Job)]
	switch {
	case e.Copies >= t.Copies:
		return refuse("copies", "all %d copies were printed: ask the operator for another ticket", t.Copies)
	case !known && !t.NotAfter.After(l.Ended): // may be a forgotten one, after the clock was set back
		return refuse("copies", "the printer has forgotten tickets as old as this one: ask the operator for another ticket")
	}
	return nil
}

// Take counts one copy of the ticket. The TicketError "copies" says that all were
// taken.
func (l *Ledger) Take(t Ticket, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.left(t); err != nil {
		return err
	}
	id := hex.EncodeToString(t.Job)
	next := Ledger{path: l.path, Taken: map[string]entry{}, Ended: l.Ended}
	for id, old := range l.Taken {
		if now.Sub(old.NotAfter) <= keepEnded {
			next.Taken[id] = old
		} else if old.NotAfter.After(next.Ended) {
			next.Ended = old.NotAfter
		}
	}
	next.Taken[id] = entry{l.Taken[id].Copies + 1, t.NotAfter}
	if err := next.write(); err != nil {
		return fmt.Errorf("counting the copy: %w", err)
	}
	l.Taken, l.Ended = next.Taken, next.Ended
	return nil
}

// keepEnded is how long the count of a ticket that has ended is kept. When it is
// forgotten, all that ended no later are refused from then on: a clock that is set
// forward and back again frees no copy.
const keepEnded = 30 * 24 * time.Hour

// write replaces the file.
func (l *Ledger) write() error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return durable.Replace(l.path, b)
}
