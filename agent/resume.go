package agent

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"platen/agent/cli"
	"platen/agent/intake"
	"platen/agent/marker"
	"platen/agent/seam"
)

// openMarker opens the marker, once the TPM opens what its keys open.
func (a *Agent) openMarker() error {
	key, err := a.tpm.Secret("marker")
	if err != nil {
		return err
	}
	defer clear(key[:])
	return a.recovery.open(filepath.Join(a.cfg.State, "marker"), key, a.tpm.BootCount(), a.ledger)
}

// tag is the digest of all that a print is made of: what is printed, by its ticket or, in
// clear, by the digest that its client gives, and how it is sliced. It is never written but
// sealed: by a plain digest anyone with a copy of the model could tell what was printed.
func (a *Agent) tag(req intake.Request, what []byte) [32]byte {
	h := sha256.New()
	for _, b := range [][]byte{[]byte("platen print v1"), []byte(a.board.ID), []byte(cli.Version()),
		binary.BigEndian.AppendUint64(nil, cli.Release()), {req.Plate}, req.Profile, what} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	return [32]byte(h.Sum(nil))
}

// fresh is the marker of a job that begins.
func fresh(job [16]byte, tag [32]byte) marker.Marker {
	return marker.Marker{Job: job, Tag: tag, Mark: seam.MarkLayer}
}

// takeCopy counts the copy of a ticket, or takes up the one that a power loss broke, and
// notes that it begins.
func (a *Agent) takeCopy(ctx context.Context, ticket intake.Ticket, tag [32]byte, from *marker.Marker) error {
	m := fresh([16]byte(ticket.Job), tag)
	if from == nil {
		if err := a.ledger.Take(ctx, ticket, time.Now()); err != nil {
			return err
		}
		m.Count = a.ledger.Begun(ticket.Job)
	} else {
		n, err := a.ledger.Resume(ctx, ticket, from.Count, from.Layer, time.Now())
		if err != nil {
			return err
		}
		m = *from
		m.Count = n
	}
	a.recovery.begin(m)
	return nil
}

// left says why a ticket has no copy left to begin, or none to take up.
func (a *Agent) left(ticket intake.Ticket, from *marker.Marker) error {
	if from == nil {
		return a.ledger.Left(ticket)
	}
	return a.ledger.Resumable(ticket, from.Count, from.Layer)
}

// goingOn says in the start of a job where it goes on.
func goingOn(st *seam.Start, from *marker.Marker) {
	if from != nil {
		st.From, st.Parked = from.Layer, from.Mark == seam.MarkParked
	}
}

// ticketTag is the tag of a job with a ticket.
func (a *Agent) ticketTag(req intake.Request, ticket intake.Ticket) ([32]byte, error) {
	text, err := json.Marshal(ticket)
	if err != nil {
		return [32]byte{}, fmt.Errorf("reading the ticket: %w", err)
	}
	return a.tag(req, text), nil
}

// clearMark is where a job in clear would go on, and where it does if it is to.
func (a *Agent) clearMark(ctx context.Context, req intake.Request) (m marker.Marker, from *marker.Marker, err error) {
	if err := a.unsealed(ctx); err != nil { // then there is no marker
		a.log.Warn("a power loss would break the print for good", "error", err.Error())
	}
	m = fresh([16]byte{}, a.tag(req, req.Digest))
	if len(req.Digest) != sha256.Size {
		m.Mark = seam.MarkNone
	}
	if from, err = a.recovery.admit(req.Resume, [16]byte{}, m.Tag, a.board.Recovers()); from != nil {
		m.Layer, m.Mark = from.Layer, from.Mark // the power may be lost again before a layer is told
	}
	return m, from, err
}

// discard forgets a broken print, on its owner's word that the bed is clear.
func (a *Agent) discard(ctx context.Context) error {
	if err := a.unsealed(ctx); err != nil {
		return err
	}
	if err := a.recovery.discard(); err != nil {
		return err
	}
	a.recovery.settle(ctx)
	a.log.Info("broken print forgotten")
	return nil
}

// isBroken reports whether an error is that a broken print is in the way.
func isBroken(err error) bool { return errors.Is(err, errBroken) }
