// Package queue holds jobs that wait for the printer: sealed files with their tickets, as
// ciphertext, in memory only.
//
// Start at [New]. A job comes in by [Queue.Offer], as a ticket whose file is yet to be fetched,
// which [Queue.Run] does, or by [Queue.Add] with its file. It leaves when its last copy is
// printed, when it is dropped, or when its ticket ends. A queue is bounded by number
// and bytes, and a job that waits for its file has its bytes already. It outlives
// sessions and not the agent: after a restart, jobs have to be offered or added again.
//
// Nothing here starts a print, and nothing here counts a copy: whoever prints calls
// [Queue.Take], has the ledger count, and calls [Queue.Give] at the end.
package queue

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"platen/agent/intake"
	"platen/agent/intake/fetch"
)

// State is how far a job in a queue is.
type State string

// The states.
const (
	Waiting  State = "waiting"  // for its file
	Fetching State = "fetching" // its file
	Ready    State = "ready"    // to be printed
	Printing State = "printing" //
	Stopped  State = "stopped"  // its print did not end well: it is printed again only if its owner says so
	Failed   State = "failed"   // no source has its file
)

// Error is why a queue did not do what it was asked for.
type Error struct {
	Code string // "full", "large", "known", "none", "many", "printing", "waiting", "early" or "source"
	What string
}

// Error says what to do.
func (e *Error) Error() string { return e.What }

// ErrorCode is the code behind "queue-".
func (e *Error) ErrorCode() string { return "queue-" + e.Code }

var (
	errFull     = &Error{"full", "the queue is full: print or drop a job (platen queue), or raise queue_jobs or queue_bytes"}
	errLarge    = &Error{"large", "the sealed file is larger than the queue: raise queue_bytes and max_job in the printer's configuration"}
	errKnown    = &Error{"known", "the job is in the queue already"}
	errNone     = &Error{"none", "there is no such job in the queue: see platen queue"}
	errMany     = &Error{"many", "several jobs in the queue begin like that: give more of the id"}
	errPrinting = &Error{"printing", "the job is being printed: platen cancel ends it"}
	errWaiting  = &Error{"waiting", "the job's file is not there yet: see platen queue"}
	errFailed   = &Error{"waiting", "no source has the job's file: drop it, and have it offered again"}
	errEarly    = &Error{"early", "the job's ticket is not valid yet: see platen queue"}
	errSource   = &Error{"source", "the ticket names no source: ask the operator for one with platen-fleet ticket --source"}
)

// Limits bound a queue.
type Limits struct {
	Jobs  int   // how many
	Bytes int64 // of all sealed files together
	Each  int64 // of one
}

// Queue is a queue of jobs, in the order in which they came. Its methods may be called from
// any goroutine.
type Queue struct {
	limits Limits
	log    *slog.Logger

	mu      sync.Mutex
	jobs    []*job
	changed chan struct{} // closed at the next change
}

type job struct {
	id     string
	ticket intake.Ticket
	state  State
	why    string // Failed or Waiting: the last fault of a source, as a code
	held   *intake.Held

	// Until its file is there. While the state is Fetching, both are the fetching goroutine's.
	filling *intake.Filling
	load    *fetch.Download
	cancel  context.CancelFunc // of the attempt under way
}

// New makes an empty queue. log takes what an operator should know; it says nothing of
// models, and of jobs their random ids.
func New(l Limits, log *slog.Logger) *Queue {
	return &Queue{limits: l, log: log, changed: make(chan struct{})}
}

// Offer takes in a job whose file is yet to be fetched from the ticket's sources. The ticket
// was checked before. A job whose file no source had is replaced.
func (q *Queue) Offer(t intake.Ticket) error {
	if len(t.Sources) == 0 {
		return errSource
	}
	if t.Size <= 0 {
		return intake.ErrNotSealed
	}
	return q.enter(&job{ticket: t, state: Waiting})
}

// Add takes in a job with its file, which is the queue's from then on unless there is an
// error. Ticket and file were held against each other before.
func (q *Queue) Add(t intake.Ticket, h *intake.Held) error {
	return q.enter(&job{ticket: t, state: Ready, held: h})
}

func (q *Queue) enter(j *job) error {
	j.id = name(j.ticket)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.prune()
	if i := q.index(j.id); i >= 0 {
		if old := q.jobs[i]; old.state != Failed && !(old.state == Waiting && j.state == Ready) {
			return errKnown
		}
	}
	if err := q.room(j.id, j.ticket.Size); err != nil {
		return err // one that it would have replaced stays
	}
	if i := q.index(j.id); i >= 0 {
		q.remove(i)
	}
	q.jobs = append(q.jobs, j)
	q.notify()
	q.log.Info("job queued", "job", j.id, "state", string(j.state), "bytes", j.ticket.Size)
	return nil
}

// Room is an error if the job of a ticket, of so many bytes, would not be taken in: asked
// before its file takes memory.
func (q *Queue) Room(t intake.Ticket, bytes int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.prune()
	return q.room(name(t), bytes)
}

// name is what a ticket's job is called.
func name(t intake.Ticket) string { return fmt.Sprintf("%x", []byte(t.Job)) }

// room is Room while the lock is held, for the job of an id: one that it replaces takes no room.
func (q *Queue) room(id string, bytes int64) error {
	if bytes > min(q.limits.Each, q.limits.Bytes) {
		return errLarge
	}
	others := 0
	for _, j := range q.jobs {
		if j.id == id {
			continue
		}
		others++
		if j.state != Failed { // which has no memory any more
			bytes += j.ticket.Size
		}
	}
	if others >= q.limits.Jobs || bytes > q.limits.Bytes {
		return errFull
	}
	return nil
}

// index is the place of a job, -1 if it is not there. The lock is held.
func (q *Queue) index(id string) int {
	return slices.IndexFunc(q.jobs, func(j *job) bool { return j.id == id })
}

// remove takes a job out and lets its memory go; an attempt under way lets go of it itself.
// The lock is held.
func (q *Queue) remove(i int) {
	j := q.jobs[i]
	q.jobs = slices.Delete(q.jobs, i, i+1)
	switch {
	case j.held != nil:
		j.held.Close()
	case j.state == Fetching:
		j.cancel()
	case j.filling != nil:
		j.filling.Close()
	}
	q.notify()
}

// prune takes out what has ended. The lock is held.
func (q *Queue) prune() {
	now := time.Now()
	for i := len(q.jobs) - 1; i >= 0; i-- {
		if j := q.jobs[i]; j.state != Printing && now.After(j.ticket.NotAfter) {
			q.log.Info("job dropped: its ticket has ended", "job", j.id)
			q.remove(i)
		}
	}
}

// notify wakes whoever waits for a change. The lock is held.
func (q *Queue) notify() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Changed is closed at the next change.
func (q *Queue) Changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

// List is what is in the queue, the next first.
func (q *Queue) List() []intake.Queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.prune()
	list := make([]intake.Queued, 0, len(q.jobs))
	for _, j := range q.jobs {
		list = append(list, intake.Queued{ID: j.id, State: string(j.state), Why: j.why, Size: j.ticket.Size, Copies: j.ticket.Copies,
			NotBefore: j.ticket.NotBefore, NotAfter: j.ticket.NotAfter})
	}
	return list
}

// Next is [Queue.Take]'s name for the first job that can be printed.
const Next = "next"

// Take takes a job to be printed; it stays in the queue until [Queue.Give]. id is the beginning of
// its id, if that is one job's only, or [Next]. Held is the queue's.
func (q *Queue) Take(id string) (full string, t intake.Ticket, h *intake.Held, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.prune()
	j, err := q.find(id)
	switch {
	case err != nil:
		return "", t, nil, err
	case j.state == Printing:
		return "", t, nil, errPrinting
	case j.state == Failed:
		return "", t, nil, errFailed
	case j.held == nil:
		return "", t, nil, errWaiting
	case time.Now().Before(j.ticket.NotBefore):
		return "", t, nil, errEarly
	}
	j.state = Printing
	q.notify()
	return j.id, j.ticket, j.held, nil
}

// find is the one job whose id begins like that. The lock is held.
func (q *Queue) find(id string) (*job, error) {
	var found *job
	for _, j := range q.jobs {
		if id == Next && j.state == Ready && !time.Now().Before(j.ticket.NotBefore) {
			return j, nil
		}
		if id == "" || !strings.HasPrefix(j.id, id) {
			continue
		}
		if found != nil {
			return nil, errMany
		}
		found = j
	}
	if found == nil {
		return nil, errNone
	}
	return found, nil
}

// End is what becomes of a job that was taken.
type End uint8

// The ends.
const (
	Again End = iota // it was not begun, or copies of it are left: it waits for its turn
	Broke            // its print did not end well
	Over             // it is of no more use
)

// Give gives a job back that was taken.
func (q *Queue) Give(id string, end End) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := q.index(id)
	if i < 0 || q.jobs[i].state != Printing {
		return
	}
	switch end {
	case Over:
		q.remove(i)
	case Broke:
		q.jobs[i].state = Stopped
	default:
		q.jobs[i].state = Ready
	}
	q.notify()
}

// Drop takes a job out. id is as in [Queue.Take], but not [Next]. It costs no copy.
func (q *Queue) Drop(id string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.prune()
	if id == Next {
		return errNone
	}
	j, err := q.find(id)
	if err != nil {
		return err
	}
	if j.state == Printing {
		return errPrinting
	}
	q.remove(q.index(j.id))
	q.log.Info("job dropped", "job", j.id)
	return nil
}

// Close lets all memory go. The queue is of no more use.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.jobs) > 0 {
		q.remove(len(q.jobs) - 1)
	}
}
