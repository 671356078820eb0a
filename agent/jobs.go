package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha1" // OAEP in the form that 3MF demands
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"platen/agent/attest"
	"platen/agent/confine"
	"platen/agent/intake"
	"platen/agent/seam"
)

// jobError is why a job did not end well, with the code of its receipt.
type jobError struct{ receipt seam.Receipt }

// Error says what happened and what to do.
func (e *jobError) Error() string { return e.receipt.Code.String() + ": " + e.receipt.Reason.String() }

// ErrorCode is "job-refused", "job-fault" or "job-cancelled".
func (e *jobError) ErrorCode() string { return "job-" + e.receipt.Code.String() }

// refusal is why a request was not taken, with its code for programs.
type refusal struct{ code, what string }

// Error says what to do.
func (e *refusal) Error() string { return e.what }

// ErrorCode is the code.
func (e *refusal) ErrorCode() string { return e.code }

var (
	errNoFile   = &refusal{"file-missing", "no file came with the request"}
	errProfile  = &refusal{"profile-size", "the profile is too large: leave out what is not set"}
	errStopping = &refusal{"stopping", "the agent is stopping; a print that has begun goes on by itself"}
)

// print takes in a job: a sealed file with its ticket, or, without one, a file in
// clear that its owner gives at the printer. It returns when the job has ended, or
// once it is loaded if the client does not wait.
func (a *Agent) print(ctx context.Context, req intake.Request, file *os.File, reply func(intake.Reply) error) error {
	if len(req.Profile) > seam.MostProfile {
		return errProfile
	}
	if err := confine.Fit(os.DirFS(cmp.Or(a.cfg.Proc, "/proc")), 0, a.cfg.AllowSwap); err != nil {
		return &refusal{"system-unfit", err.Error()}
	}
	receipts, err := a.begin(ctx, req, file)
	if err != nil {
		return err
	}
	a.log.Info("job started", "sealed", req.Envelope != nil || req.USB)
	if err := reply(intake.Reply{Event: "accepted"}); err != nil {
		return nil // the client is gone; the job is not
	}
	return a.follow(ctx, receipts, req.Detach, reply)
}

// begin starts the job of a request: one of a USB stick, a sealed file, or one in clear.
func (a *Agent) begin(ctx context.Context, req intake.Request, file *os.File) (receipts <-chan seam.Receipt, err error) {
	if req.USB {
		err = a.fromStick(ctx, req, func(envelope []byte, sealed io.Reader, size int64) error {
			req.Envelope = envelope
			receipts, err = a.sealed(ctx, req, sealed, size)
			return err
		})
		return receipts, err
	}
	if file == nil {
		return nil, errNoFile
	}
	size, err := intake.Regular(file)
	if err != nil {
		return nil, err
	}
	if req.Envelope != nil {
		return a.sealed(ctx, req, file, size)
	}
	return a.clear(ctx, req, file, size)
}

// sealed checks a ticket against a sealed file and this printer, counts the copy, has the
// TPM unwrap the file key, and hands all to a session. The copy is counted before the key
// is there, and after all else: a file that is not for this printer, or a printer that is
// not ready, costs none.
func (a *Agent) sealed(ctx context.Context, req intake.Request, file io.Reader, size int64) (<-chan seam.Receipt, error) {
	ticket, err := intake.OpenTicket(ctx, req.Envelope, a.cfg.OperatorKeys)
	if err != nil {
		return nil, err
	}
	if err := a.unsealed(ctx); err != nil {
		return nil, err
	}
	if err := a.ledger.Problem(); err != nil {
		return nil, err
	}
	if _, _, busy := a.sup.snapshot(); busy || !a.holding.TryLock() {
		return nil, errBusy // before the file takes memory
	}
	defer a.holding.Unlock()
	if size > int64(a.cfg.MaxJob) {
		return nil, intake.ErrTooBig
	}
	held, err := intake.Hold(file, int64(a.cfg.MaxJob))
	if err != nil {
		return nil, err
	}
	defer held.Close()
	return a.startHeld(ctx, ticket, held, req)
}

// startHeld is the rest of sealed, for a file that is in memory: one of the queue as well.
func (a *Agent) startHeld(ctx context.Context, ticket intake.Ticket, held *intake.Held, req intake.Request) (<-chan seam.Receipt, error) {
	if err := a.unsealed(ctx); err != nil { // before a copy is counted
		return nil, err
	}
	if err := a.ledger.Problem(); err != nil {
		return nil, err
	}
	if err := ticket.Check(a.tpm.ID().String(), held, time.Now()); err != nil {
		return nil, err
	}
	tag, err := a.ticketTag(req, ticket)
	if err != nil {
		return nil, err
	}
	from, err := a.recovery.admit(req.Resume, [16]byte(ticket.Job), tag, a.board.Recovers())
	if err != nil {
		return nil, err
	}
	if err := a.left(ticket, from); err != nil {
		return nil, err
	}
	if err := a.identity.Sealed(held.Header); err != nil {
		return nil, err
	}
	start := seam.Start{Format: seam.FormatAny, Sealed: true, Plate: req.Plate, Size: uint64(held.PlainSize())}
	copy(start.Job[:], ticket.Job)
	goingOn(&start, from)
	f, err := held.File()
	if err != nil {
		return nil, err
	}
	if err := a.sup.await(ctx); err != nil {
		return nil, err
	}
	a.recovery.settle(ctx) // of the copy before, if it was of this ticket
	a.delivery.handed(ticket)
	taken := false
	receipts, err := a.sup.start(&start, f, along{profile: req.Profile}, func() (err error) {
		if err := a.takeCopy(ctx, ticket, tag, from); err != nil {
			return err
		}
		taken = true
		a.digests(ticket.Digest)
		start.FileKey, err = intake.FileKey(held.Header, a.identity)
		return err
	})
	if err != nil && taken {
		a.recovery.back(start.Job, from)
	}
	return receipts, err
}

// openLedger opens the record of printed copies.
func (a *Agent) openLedger(ctx context.Context) error {
	key, err := a.tpm.Secret("ledger")
	if err != nil {
		return err
	}
	if a.ledger, err = intake.OpenLedger(ctx, filepath.Join(a.cfg.State, "tickets.json"), key, a.tpm, time.Now()); err != nil {
		return err
	}
	if err := a.ledger.Problem(); err != nil {
		a.log.Error("no ticket is taken", "error", err.Error())
	}
	return nil
}

// recredit gives copies back, or begins the record anew, on an operator's word.
func (a *Agent) recredit(ctx context.Context, envelope []byte) error {
	r, err := intake.OpenRecredit(ctx, envelope, a.cfg.OperatorKeys, a.tpm.ID().String())
	if err != nil {
		return err
	}
	if err := a.unsealed(ctx); err != nil {
		return err
	}
	a.recovery.settle(ctx)
	if err := a.ledger.Credit(ctx, r, time.Now()); err != nil {
		return err
	}
	a.log.Info("re-credit carried out", "count", a.ledger.Count())
	return nil
}

// clear passes the descriptor of a file on. The agent does not read it: if parts of it
// are encrypted to the printer, the client sends their wrapped keys along.
func (a *Agent) clear(ctx context.Context, req intake.Request, file *os.File, size int64) (<-chan seam.Receipt, error) {
	keys, err := a.unwrap(ctx, req.Wrapped)
	if err != nil {
		return nil, err
	}
	defer clear(keys)
	if err := a.sup.await(ctx); err != nil {
		return nil, err
	}
	mark, from, err := a.clearMark(ctx, req)
	if err != nil {
		return nil, err
	}
	start := seam.Start{Format: seam.FormatAny, Plate: req.Plate, Size: uint64(size)}
	goingOn(&start, from)
	rand.Read(start.Job[:])
	mark.Job = start.Job
	receipts, err := a.sup.start(&start, file, along{keys, req.Profile}, func() error {
		a.recovery.begin(mark)
		a.digests(req.Digest)
		return nil
	})
	if err != nil {
		a.recovery.back(start.Job, from)
	}
	return receipts, err
}

// unwrap has the TPM open content keys.
func (a *Agent) unwrap(ctx context.Context, wrapped []intake.Wrapped) ([]seam.Key, error) {
	if len(wrapped) > seam.MostKeys {
		return nil, attest.ErrContent
	}
	keys := make([]seam.Key, 0, len(wrapped))
	for _, w := range wrapped {
		digest, mask := hashOf(w.Digest), hashOf(w.Mask)
		if digest == nil || mask == nil || w.Group < 0 || w.Group >= seam.MostKeys {
			return nil, attest.ErrContent
		}
		key, err := a.tpm.ContentKey().Decrypt(ctx, digest, mask, w.Key)
		if err != nil {
			return nil, err
		}
		k := seam.Key{Group: uint8(w.Group)}
		if copy(k.Key[:], key) != len(k.Key) || len(key) != len(k.Key) {
			return nil, attest.ErrContent
		}
		clear(key)
		keys = append(keys, k)
	}
	return keys, nil
}

// hashOf is the hash of a name in a request, nil if there is none.
func hashOf(name string) func() hash.Hash {
	switch name {
	case "sha1":
		return sha1.New
	case "sha256":
		return sha256.New
	}
	return nil
}

// contentKey answers with the key that 3MF packages are encrypted to.
func (a *Agent) contentKey(ctx context.Context, reply func(intake.Reply) error) error {
	pub, err := a.tpm.ContentKey().Public(ctx)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return fmt.Errorf("writing the content key: %w", err)
	}
	return reply(intake.Reply{Text: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))})
}

// eventDelete says that the session holds all that it prints from: the model indexed in its
// memory, or the program. Nothing of the file is read any more, neither where it came from
// nor its ciphertext here. Only a print that a power loss breaks asks for it again. Of a sealed
// job its text is the printer's receipt for that: see evidence.Delivery.
const eventDelete = "safe-to-delete"

// follow reports a job to its client until its session has ended with its last
// receipt. A client that goes away ends the report, not the job.
func (a *Agent) follow(ctx context.Context, receipts <-chan seam.Receipt, detach bool, reply func(intake.Reply) error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last *seam.Receipt
	for {
		select {
		case r, ok := <-receipts:
			if !ok {
				a.recovery.settle(ctx) // before anybody counts on it
			}
			switch {
			case !ok && last == nil && ctx.Err() != nil:
				return errStopping // the agent let go of the session
			case !ok && last == nil:
				return errSession
			case !ok && last.Code == seam.CodeDone:
				return nil
			case !ok:
				return &jobError{*last}
			case r.Code == seam.CodeLoaded:
				reply(intake.Reply{Event: "loaded"})
				reply(intake.Reply{Event: eventDelete, Text: a.delivered(ctx, r.Job)})
				if detach {
					return nil
				}
			default:
				last = &r
			}
		case <-tick.C:
			st, _, _ := a.sup.snapshot()
			if err := reply(intake.Reply{Event: "progress", Text: fmt.Sprintf("%s %d%%", st.Phase, st.Progress)}); err != nil {
				return nil
			}
		case <-ctx.Done():
			return errStopping // or the client is gone, and nobody hears it
		}
	}
}
