package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"platen/agent/consent"
	"platen/agent/durable"
	"platen/agent/intake"
	"platen/updater"
)

// What stands in the way of updates and only somebody at the printer may clear away: a
// release that failed its trial, a controller that was given up, and damaged marks in the
// TPM. All of it is in the audit log.

var errNothing = &refusal{"update-nothing", "nothing stands in the way of an update: no release has failed here, and the TPM's marks are whole"}

// failedFile has the failure that is in the audit log.
const failedFile = "update.failed"

// failed notes once in the audit log, and then in its own file, that a release failed its
// trial, and why: the reason is the probe's or the launcher's.
func (a *Agent) failed(b updater.Booted) {
	if b.Bad == 0 {
		return
	}
	a.updates.failed.Store(int64(b.Why) + 1)
	told, err := json.Marshal(struct {
		Release uint64 `json:"release"`
		Why     string `json:"why"`
	}{b.Bad, b.Why.String()})
	if err != nil {
		return
	}
	path := filepath.Join(a.cfg.State, failedFile)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, told) {
		return
	}
	a.updated(b.Bad, "failed-"+b.Why.String())
	if err := durable.Replace(path, told); err != nil {
		a.log.Warn("what was noted of a failed release is not kept", "error", err.Error())
	}
}

// whyFailed is catalog.UpdateFailed: one more than the reason, 0 if no release has failed.
func (a *Agent) whyFailed() int64 {
	if a.updates == nil {
		return 0
	}
	return a.updates.failed.Load()
}

// forgive lets a release that failed its trial be tried again, and a controller that did
// not take its firmware be flashed again.
func (a *Agent) forgive(reply func(intake.Reply) error) error {
	if a.updates == nil {
		return errNoUpdates
	}
	a.updates.mu.Lock()
	defer a.updates.mu.Unlock()
	b, err := a.updates.up.Booted()
	if err != nil {
		return err
	}
	// Before the release is let go: should it fail again for the same reason, that is noted.
	if err := durable.Remove(filepath.Join(a.cfg.State, failedFile)); err != nil {
		return fmt.Errorf("forgiving the release: %w", err)
	}
	changed, err := a.updates.up.Forgive()
	if err != nil {
		return fmt.Errorf("forgiving the release: %w", err)
	}
	if !changed {
		return errNothing
	}
	a.updates.failed.Store(0)
	a.updated(b.Bad, "forgiven")
	a.setUpdateState("")
	return reply(intake.Reply{Event: "forgiven", Text: fmt.Sprint(b.Bad)})
}

// floorStatement is what somebody says who has damaged marks repaired: in this start of the
// board, so that it cannot be said again later.
func (a *Agent) floorStatement(release uint64) []byte {
	return consent.ReleaseStatement(fmt.Appendf(nil, "repair of the floor\nprinter %s\nstart %d\nno release above %d has run\n",
		a.tpm.ID(), a.tpm.BootCount(), release))
}

// repairFloor answers with the statement by which damaged marks are repaired, or repairs
// them by one: signed by the owner, if the printer knows one.
func (a *Agent) repairFloor(ctx context.Context, req intake.Request, reply func(intake.Reply) error) error {
	if a.updates == nil {
		return errNoUpdates
	}
	if _, err := a.releaseFloor(ctx); !errors.Is(err, updater.ErrMarks) {
		if err == nil {
			err = errNothing
		}
		return err
	}
	a.updates.mu.Lock()
	defer a.updates.mu.Unlock()
	b, err := a.updates.up.Booted()
	if err != nil {
		return err
	}
	release := max(b.Floor, b.Release, req.Release)
	if req.Envelope == nil {
		return reply(intake.Reply{Text: string(a.floorStatement(release))})
	}
	statement := req.Envelope
	if a.cfg.OwnerKey != nil {
		if statement, err = consent.OpenRelease(req.Envelope, a.cfg.OwnerKey); err != nil {
			return errWord
		}
	}
	var said uint64
	if _, line, ok := bytes.Cut(statement, []byte("\nno release above ")); ok {
		_, err = fmt.Sscanf(string(line), "%d has run\n", &said)
	}
	release = max(release, said)
	if err != nil {
		return errWord
	}
	if !bytes.Equal(statement, a.floorStatement(release)) {
		return &refusal{"update-word", "that is about another printer, another start of it, or other releases: print it again with platen update repair"}
	}
	if err := a.locks.source.Repair(ctx, release); err != nil {
		return &updateError{err}
	}
	a.updated(release, "floor-repaired")
	a.log.Warn("marks of updates repaired", "release", release)
	return reply(intake.Reply{Event: "repaired", Text: fmt.Sprint(release)})
}
