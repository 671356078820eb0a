package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"platen/agent/intake"
	"platen/updater"
	"platen/updater/trust"
)

// bundleTime is how long reading releases off a stick may take in all.
const bundleTime = 15 * time.Minute

var (
	errNoBundle  = &refusal{"update-bundle", "no stick has a bundle of releases: copy NAME.tuf to one (platen-ota bundle)"}
	errOddBundle = &refusal{"update-bundle", "the bundle is no regular file: give the file that platen-ota bundle has made"}
)

// updateFrom stages a release from where a request says: a bundle whose descriptor came
// with it, bundles on USB sticks, or else the repository.
func (a *Agent) updateFrom(ctx context.Context, req intake.Request, file *os.File, reply func(intake.Reply) error) error {
	if a.updates == nil {
		return errNoUpdates
	}
	switch {
	case req.USB:
		return a.updateFromSticks(ctx, reply)
	case file == nil:
		return a.updateNow(ctx, reply)
	}
	st, err := file.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return errOddBundle
	}
	return a.updateFromBundle(ctx, file, st.Size(), reply)
}

// updateFromBundle has the update client ask a bundle in place of its mirrors, once. A
// check of the update loop that comes in between asks the bundle too.
func (a *Agent) updateFromBundle(ctx context.Context, r io.ReaderAt, size int64, reply func(intake.Reply) error) error {
	b, err := trust.OpenBundle(r, size)
	if err != nil {
		return &updateError{err}
	}
	a.useBundle(b)
	defer a.useBundle(nil)
	return a.updateNow(ctx, reply)
}

func (a *Agent) useBundle(b *trust.Bundle) {
	a.updates.mu.Lock()
	defer a.updates.mu.Unlock()
	a.locks.source.Use(b)
}

// updateFromSticks tries the bundles of all sticks, until one is of use. If none is, the
// answer is that of the first.
func (a *Agent) updateFromSticks(ctx context.Context, reply func(intake.Reply) error) error {
	return a.withSticks(ctx, func(sticks []openStick, more func(time.Duration)) error {
		more(bundleTime)
		var last *intake.Reply
		first := error(errNoBundle)
		for _, s := range sticks {
			if s.err != nil {
				first = s.err
				continue
			}
			for i := range s.stick.Bundles() {
				r, size, err := s.stick.Bundle(i)
				if err == nil {
					err = a.updateFromBundle(ctx, r, size, func(r intake.Reply) error { last = &r; return nil })
				}
				if err == nil && last.Event == "staged" {
					return reply(*last)
				}
				if err != nil && (errors.Is(first, errNoBundle) || errors.Is(first, updater.ErrUnavailable)) {
					first = fmt.Errorf("the bundle on %s: %w", s.name, err)
				}
			}
		}
		if last != nil {
			return reply(*last)
		}
		return first
	})
}
