package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"platen/agent/intake"
	"platen/agent/intake/fetch"
)

// looks is how often Run looks at a queue in which nothing happens: tickets end.
const looks = time.Minute

// Run fetches the files of jobs that wait for theirs, one at a time, until ctx ends. A source that
// is slow holds the others up for one attempt only.
func (q *Queue) Run(ctx context.Context, c *fetch.Client) error {
	for ctx.Err() == nil {
		changed := q.Changed()
		j, wait := q.due()
		if j != nil {
			q.attempt(ctx, c, j)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// due is the waiting job whose time for an attempt came first, or how long until one's comes.
func (q *Queue) due() (first *job, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.prune()
	for _, j := range q.jobs {
		if j.state == Waiting && (first == nil || j.dueAt().Before(first.dueAt())) {
			first = j
		}
	}
	if first == nil {
		return nil, looks
	}
	if wait = time.Until(first.dueAt()); wait > 0 {
		return nil, min(wait, looks)
	}
	return first, 0
}

func (j *job) dueAt() time.Time {
	if j.load == nil {
		return time.Time{}
	}
	return j.load.Due()
}

// attempt tries to get the file of a job.
func (q *Queue) attempt(ctx context.Context, c *fetch.Client, j *job) {
	q.mu.Lock()
	if j.state != Waiting || !slices.Contains(q.jobs, j) { // it went meanwhile, or is another one of its id
		q.mu.Unlock()
		return
	}
	ctx, j.cancel = context.WithDeadline(ctx, j.ticket.NotAfter)
	defer j.cancel()
	j.state = Fetching
	q.notify()
	q.mu.Unlock()

	err := j.begin()
	if err == nil {
		err = c.Attempt(ctx, j.load)
	}
	var held *intake.Held
	if err == nil {
		held, err = j.filling.Held()
		j.filling = nil // its memory is the held file's, or gone
	}
	q.attempted(ctx, j, held, err)
}

// begin makes the memory of a job's file, and the download into it, unless they are there.
func (j *job) begin() (err error) {
	if j.load != nil {
		return nil
	}
	if j.filling, err = intake.NewFilling(); err != nil {
		return err
	}
	j.load = fetch.NewDownload(fetch.File{Sources: j.ticket.Sources, Size: j.ticket.Size, Digest: [32]byte(j.ticket.Digest)}, j.filling)
	return nil
}

// attempted notes what came of an attempt.
func (q *Queue) attempted(ctx context.Context, j *job, held *intake.Held, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.Contains(q.jobs, j) { // dropped meanwhile
		if held != nil {
			held.Close()
		}
		j.release()
		return
	}
	var fault *fetch.Error
	switch {
	case err == nil:
		j.state, j.held, j.why, j.load = Ready, held, "", nil
		q.log.Info("job's file is there", "job", j.id)
	case ctx.Err() != nil:
		j.state = Waiting // for the end of its ticket, or of the agent
	case errors.As(err, &fault) && !fault.Final:
		if j.state = Waiting; j.why != fault.Code {
			q.log.Warn("job's file not fetched yet", "job", j.id, "code", fault.Code, "error", fault.What)
		}
		j.why = fault.Code
	default:
		j.state, j.why = Failed, "failed"
		if fault != nil {
			j.why = fault.Code
		} else if coded, ok := err.(intake.Coded); ok {
			j.why = coded.ErrorCode()
		}
		j.release()
		q.log.Error("job's file cannot be fetched", "job", j.id, "code", j.why, "error", err.Error())
	}
	q.notify()
}

// release lets the memory of a file go that has not all come.
func (j *job) release() {
	if j.filling != nil {
		j.filling.Close()
	}
	j.filling, j.load = nil, nil
}
