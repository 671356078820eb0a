package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"platen/agent/config"
	"platen/agent/consent"
	"platen/agent/durable"
	"platen/agent/intake"
	"platen/updater"
	"platen/updater/translog"
	"platen/updater/trust"
)

// secondLocks is what a release needs by policy beside the signatures of its makers: that
// a transparency log has it, and that the owner has approved it.
type secondLocks struct {
	source *trust.Client // says what the log has
	owner  bool
}

// logPolicy reads the keys of the log that the configuration asks for; nil if it asks for
// none.
func logPolicy(u *config.Update) (*translog.Policy, error) {
	if u.LogKey == "" {
		return nil, nil
	}
	key, err := os.ReadFile(u.LogKey)
	if err != nil {
		return nil, fmt.Errorf("reading update.log_key: %w", err)
	}
	var witnesses []string
	for _, path := range u.Witnesses {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading update.witnesses: %w", err)
		}
		witnesses = append(witnesses, string(text))
	}
	p, err := translog.NewPolicy(string(key), witnesses, u.Quorum)
	if err != nil {
		return nil, fmt.Errorf("reading update.log_key: %w", err)
	}
	return p, nil
}

// refusedMirror notes in the audit log that what a mirror said was refused, whatever other
// mirrors say. One that cannot be reached has said nothing, and the same again within an
// hour is no news.
func (a *Agent) refusedMirror() func(error) {
	var last string
	var at time.Time
	return func(err error) { // called by whoever refreshes, one at a time
		what := updater.Code(err)
		if what == "unavailable" || what == last && time.Since(at) < time.Hour {
			return
		}
		last, at = what, time.Now()
		a.updated(0, "refused-"+what)
	}
}

// unlocked is nil for a release that every second lock lets in.
func (a *Agent) unlocked(ctx context.Context, t updater.Target) error {
	if a.locks.source == nil {
		return nil
	}
	if err := a.locks.source.Logged(ctx, t); err != nil {
		return err
	}
	if !a.locks.owner {
		return nil
	}
	approval, err := os.ReadFile(a.ownerPath())
	if errors.Is(err, fs.ErrNotExist) {
		return updater.ErrOwner
	}
	if err != nil {
		return fmt.Errorf("reading what the owner has approved: %w", err)
	}
	statement, err := consent.OpenRelease(approval, a.cfg.OwnerKey)
	if err != nil || !bytes.Equal(statement, releaseStatement(t)) {
		return updater.ErrOwner
	}
	return nil
}

func (a *Agent) ownerPath() string { return filepath.Join(a.cfg.State, "release.approved") }

// releaseStatement is what the owner signs: the release, with all that comes with it.
func releaseStatement(t updater.Target) []byte {
	text := translog.Leaf(t)
	for _, member := range t.Set {
		text = append(text, translog.Leaf(member)...)
	}
	return consent.ReleaseStatement(text)
}

var (
	errNoUpdates = &refusal{"update-off", "updates are not configured: set [update] in the configuration"}
	errNotAsked  = &refusal{"update-owner", "releases need no word of the owner here: set update.owner in the configuration"}
	errWord      = &refusal{"update-signature", consent.ErrRelease.Error()}
)

// waiting answers with the statement of the newest release, to be signed by the owner.
func (a *Agent) waiting(ctx context.Context, reply func(intake.Reply) error) error {
	if a.updates == nil {
		return errNoUpdates
	}
	a.updates.mu.Lock()
	defer a.updates.mu.Unlock()
	t, err := a.updates.up.Check(ctx)
	if err != nil {
		return &updateError{err}
	}
	return reply(intake.Reply{Text: string(releaseStatement(t))})
}

// approveRelease keeps the owner's word on a release; the last one counts.
func (a *Agent) approveRelease(approval []byte) error {
	if a.updates == nil {
		return errNoUpdates
	}
	if !a.locks.owner {
		return errNotAsked
	}
	if _, err := consent.OpenRelease(approval, a.cfg.OwnerKey); err != nil {
		return errWord
	}
	if err := durable.Replace(a.ownerPath(), approval); err != nil {
		return fmt.Errorf("keeping what the owner has approved: %w", err)
	}
	a.log.Info("release approved by the owner")
	return nil
}
