package agent

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"platen/agent/attest"
	"platen/agent/confine"
	"platen/agent/intake"
	"platen/agent/intake/fetch"
	"platen/agent/intake/queue"
	"platen/agent/seam"
)

// jobQueue is the queue of jobs and what fills it.
type jobQueue struct {
	*queue.Queue
	fetch    *fetch.Client
	prints   sync.WaitGroup // of jobs of the queue whose end is awaited
	refusals refusals
	refused  refusedOffers
}

// openQueue makes the queue of the configuration, empty.
func (a *Agent) openQueue() error {
	var roots *x509.CertPool // the system's
	if a.cfg.JobCA != "" {
		pem, err := os.ReadFile(a.cfg.JobCA)
		if err != nil {
			return fmt.Errorf("reading job_ca: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("reading job_ca: %s holds no PEM certificate", a.cfg.JobCA)
		}
	}
	limits := queue.Limits{Jobs: a.cfg.QueueJobs, Bytes: int64(a.cfg.QueueBytes), Each: int64(a.cfg.MaxJob)}
	a.queue.Queue, a.queue.fetch = queue.New(limits, a.log), fetch.New(roots)
	return nil
}

// queueOp answers a request about the queue.
func (a *Agent) queueOp(ctx context.Context, req intake.Request, file *os.File, reply func(intake.Reply) error) error {
	switch req.Op {
	case intake.OpQueueAdd:
		id, err := a.enqueued(ctx, req, file)
		if err != nil {
			return err
		}
		return reply(intake.Reply{Event: "queued", Text: id})
	case intake.OpQueuePrint:
		if len(req.Profile) > seam.MostProfile {
			return errProfile
		}
		receipts, err := a.startQueued(ctx, req)
		if err != nil {
			return err
		}
		if err := reply(intake.Reply{Event: "accepted"}); err != nil {
			return nil // the client is gone; the job is not
		}
		return a.follow(ctx, receipts, req.Detach, reply)
	case intake.OpQueueDrop:
		return a.queue.Drop(req.Job)
	case intake.OpBedClear:
		if a.recovery.pending() {
			return errBroken // it may lie there
		}
		return a.sup.bedClear()
	}
	return reply(intake.Reply{Queue: &intake.QueueView{
		Mode: a.cfg.Queue, Clear: a.sup.isClear(), MostJobs: a.cfg.QueueJobs, Most: int64(a.cfg.QueueBytes), Jobs: a.queue.List(), Refused: a.queue.refused.view()}})
}

// enqueued takes the sealed file of a request, or a job of a USB stick, into the queue.
func (a *Agent) enqueued(ctx context.Context, req intake.Request, file *os.File) (id string, err error) {
	if req.USB {
		err = a.fromStick(ctx, req, func(envelope []byte, sealed io.Reader, size int64) error {
			id, err = a.enqueue(ctx, envelope, sealed, size)
			return err
		})
		return id, err
	}
	if file == nil {
		return "", errNoFile
	}
	size, err := intake.Regular(file)
	if err != nil {
		return "", err
	}
	return a.enqueue(ctx, req.Envelope, file, size)
}

// enqueue takes a sealed file of size bytes into the queue, with its ticket, and returns the
// job's id. No copy is counted.
func (a *Agent) enqueue(ctx context.Context, envelope []byte, file io.Reader, size int64) (string, error) {
	ticket, err := a.admit(ctx, envelope)
	if err != nil {
		return "", err
	}
	if err := a.queue.Room(ticket, size); err != nil {
		return "", err
	}
	if !a.holding.TryLock() {
		return "", errBusy
	}
	defer a.holding.Unlock()
	held, err := intake.Hold(file, min(size, int64(a.cfg.MaxJob)))
	if err != nil {
		return "", err
	}
	if err = ticket.IsFor(held); err == nil {
		if err = a.identity.Sealed(held.Header); err == nil {
			err = a.queue.Add(ticket, held)
		}
	}
	if err != nil {
		held.Close()
		return "", err
	}
	return fmt.Sprintf("%x", []byte(ticket.Job)), nil
}

// admit opens a ticket of a job that is to wait: signed by an operator, for this printer, not
// ended, and with a copy left.
func (a *Agent) admit(ctx context.Context, envelope []byte) (intake.Ticket, error) {
	ticket, err := intake.OpenTicket(ctx, envelope, a.cfg.OperatorKeys)
	if err != nil {
		return ticket, err
	}
	if err := ticket.Offered(a.tpm.ID().String(), time.Now()); err != nil {
		return ticket, err
	}
	if err := a.unsealed(ctx); err != nil {
		return ticket, err
	}
	return ticket, a.ledger.Left(ticket)
}

// startQueued prints a job of the queue. Its receipts are noted whether the client waits for
// them or not.
func (a *Agent) startQueued(ctx context.Context, req intake.Request) (<-chan seam.Receipt, error) {
	if err := confine.Fit(os.DirFS(cmp.Or(a.cfg.Proc, "/proc")), 0, a.cfg.AllowSwap); err != nil {
		return nil, &refusal{"system-unfit", err.Error()}
	}
	id, ticket, held, err := a.queue.Take(req.Job)
	if err != nil {
		return nil, err
	}
	receipts, err := a.startHeld(ctx, ticket, held, req)
	if err != nil {
		a.queue.Give(id, unbegun(err))
		return nil, err
	}
	a.log.Info("job started", "sealed", true, "queued", id)
	seen := make(chan seam.Receipt, cap(receipts))
	a.queue.prints.Go(func() {
		defer close(seen)
		end := queue.Broke
		for r := range receipts { // closed when its session ends, or when the agent goes
			switch left := a.ledger.Left(ticket) == nil; {
			case r.Code == seam.CodeLoaded && !left: // the session has it all, and nothing is left to print
				a.queue.Give(id, queue.Over)
			case r.Code == seam.CodeDone && left:
				end = queue.Again
			case r.Code == seam.CodeDone:
				end = queue.Over
			}
			seen <- r // there is room for all
		}
		a.queue.Give(id, end)
	})
	return seen, nil
}

// unbegun is what becomes of a job that could not be started.
func unbegun(err error) queue.End {
	if isBroken(err) || errors.Is(err, errBusy) || errors.Is(err, errNotReady) || errors.Is(err, errGoing) || errors.Is(err, errStopping) || errors.Is(err, errForeign) {
		return queue.Again
	}
	if _, sealed := errors.AsType[*attest.SealedError](err); sealed { // as the system may be once it is approved
		return queue.Again
	}
	_, ticket := errors.AsType[*intake.TicketError](err)
	_, file := errors.AsType[*intake.FileError](err)
	if ticket || file {
		return queue.Over
	}
	return queue.Broke
}

// autoEvery is how often an automatic queue looks whether the printer is ready.
const autoEvery = time.Second

// autoPrint starts the next job of the queue whenever the printer is idle and somebody has said
// that its bed is clear: once each time it is said.
func (a *Agent) autoPrint(ctx context.Context) error {
	tick := time.NewTicker(autoEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !a.sup.inviting() || a.recovery.pending() || len(a.queue.List()) == 0 || a.unsealed(ctx) != nil {
			continue // the TPM is asked last
		}
		_, err := a.startQueued(ctx, intake.Request{Job: queue.Next})
		if err == nil || ctx.Err() != nil {
			continue
		}
		if code := errorCode(err); code != "queue-none" && a.queue.refusals.news(code, time.Now()) {
			a.log.Warn("job of the queue not started", "code", code, "error", err.Error())
		}
	}
}

// errorCode is the code of an error for programs.
func errorCode(err error) string {
	if coded, ok := errors.AsType[interface {
		error
		intake.Coded
	}](err); ok {
		return coded.ErrorCode()
	}
	return "failed"
}

// offered takes an offer from the fleet's broker: a ticket, and nothing but a ticket. Whatever else
// it is, it is refused and logged; nothing is said to the broker.
func (a *Agent) offered(ctx context.Context, envelope []byte, retained bool) {
	err := error(errRetained)
	if !retained {
		var ticket intake.Ticket
		if ticket, err = a.admit(ctx, envelope); err == nil {
			err = a.queue.Offer(ticket)
		}
	}
	if err == nil {
		return
	}
	a.refused(err)
	code := errorCode(err)
	a.queue.refused.note(code, time.Now())
	if a.queue.refusals.news(code, time.Now()) {
		a.log.Warn("offer refused", "code", code, "error", err.Error())
	}
}

var errRetained = &refusal{"offer-retained", "the broker gives out what it has kept, which may be old: no offer is taken like that"}

// refusals keeps the log from being filled from outside: each code is logged once in a while.
type refusals struct {
	mu   sync.Mutex
	last map[string]time.Time // there are few codes
}

const refusalEvery = 10 * time.Second

func (r *refusals) news(code string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.last[code]; ok && now.Sub(at) < refusalEvery {
		return false
	}
	if r.last == nil {
		r.last = map[string]time.Time{}
	}
	r.last[code] = now
	return true
}

// bedClear notes that somebody has looked: nothing lies on the bed.
func (s *supervisor) bedClear() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done != nil {
		return errBusy
	}
	s.clear = true
	return nil
}

// isClear reports whether the bed is known to be clear.
func (s *supervisor) isClear() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clear
}

// inviting reports whether a job may begin that nobody is there to start: its bed is known to be
// clear, and nothing else is going on.
func (s *supervisor) inviting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clear && s.free() == nil && s.status.Phase == seam.PhaseIdle
}
