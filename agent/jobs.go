package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"platen/agent/intake"
	"platen/agent/seam"
)

// jobError is why a job did not end well, with the code of its receipt.
type jobError struct{ receipt seam.Receipt }

// Error says what happened and what to do.
func (e *jobError) Error() string { return e.receipt.Code.String() + ": " + e.receipt.Reason.String() }

// ErrorCode is "job-refused", "job-fault" or "job-cancelled".
func (e *jobError) ErrorCode() string { return "job-" + e.receipt.Code.String() }

// print takes in a job: a sealed file with its ticket, or, without one, a file in
// clear that its owner gives at the printer. It returns when the job has ended, or
// once it is loaded if the client does not wait.
func (a *Agent) print(ctx context.Context, req intake.Request, file *os.File, reply func(intake.Reply) error) error {
	if file == nil {
		return errors.New("no file came with the request")
	}
	var receipts <-chan seam.Receipt
	var err error
	if req.Envelope != nil {
		receipts, err = a.sealed(ctx, req.Envelope, file)
	} else {
		receipts, err = a.clear(file)
	}
	if err != nil {
		return err
	}
	a.log.Info("job started", "sealed", req.Envelope != nil)
	if err := reply(intake.Reply{Event: "accepted"}); err != nil {
		return nil // the client is gone; the job is not
	}
	return a.follow(ctx, receipts, req.Detach, reply)
}

// sealed checks a ticket against a sealed file and this printer, counts the copy,
// has the TPM unwrap the file key and hands both on.
func (a *Agent) sealed(ctx context.Context, envelope []byte, file *os.File) (<-chan seam.Receipt, error) {
	if _, _, busy := a.sup.snapshot(); busy {
		return nil, errBusy // before a copy is counted
	}
	ticket, err := intake.OpenTicket(ctx, envelope, a.cfg.OperatorKeys)
	if err != nil {
		return nil, err
	}
	held, err := intake.Hold(file, int64(a.cfg.MaxJob))
	if err != nil {
		return nil, err
	}
	defer held.Close()
	now := time.Now()
	if err := ticket.Check(a.tpm.ID().String(), held, now); err != nil {
		return nil, err
	}
	if err := a.ledger.Take(ticket, now); err != nil {
		return nil, err
	}
	start := seam.Start{Format: seam.FormatSTL, Sealed: true, Size: uint64(held.PlainSize())}
	copy(start.Job[:], ticket.Job)
	if start.FileKey, err = intake.FileKey(held.Header, a.identity); err != nil {
		return nil, err
	}
	defer clear(start.FileKey[:])
	f, err := held.File()
	if err != nil {
		return nil, err
	}
	return a.sup.start(start, f)
}

// clear passes the descriptor of a file on. The agent does not read it.
func (a *Agent) clear(file *os.File) (<-chan seam.Receipt, error) {
	fi, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at the file: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return nil, errors.New("not a regular file: give the path of a model")
	}
	return a.sup.start(seam.Start{Format: seam.FormatSTL, Size: uint64(fi.Size())}, file)
}

// follow reports a job to its client until its last receipt.
func (a *Agent) follow(ctx context.Context, receipts <-chan seam.Receipt, detach bool, reply func(intake.Reply) error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	ended := false
	for {
		select {
		case r, ok := <-receipts:
			switch {
			case !ok && ended:
				return nil
			case !ok:
				return errSession
			case r.Code == seam.CodeLoaded:
				reply(intake.Reply{Event: "loaded"})
				if detach {
					return nil
				}
			case r.Code == seam.CodeDone:
				a.log.Info("job done")
				ended = true
			default:
				a.log.Warn("job ended", "code", r.Code.String(), "reason", int(r.Reason))
				return &jobError{r}
			}
		case <-tick.C:
			st, _, _ := a.sup.snapshot()
			if err := reply(intake.Reply{Event: "progress", Text: fmt.Sprintf("%s %d%%", st.Phase, st.Progress)}); err != nil {
				return nil
			}
		case <-ctx.Done():
			return nil // the client is gone; the job is not
		}
	}
}
