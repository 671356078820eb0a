package trust

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"platen/updater"
	"platen/updater/role"
)

// Refresh fetches and verifies the newest metadata, from the first of the mirrors whose
// metadata is good. An error is one of the reasons of package updater, that of the first
// mirror that answered; then Find goes on answering from what was verified before. What
// fails here, in the TPM or on the disk, is no mirror's fault: no other one is asked. If no
// mirror has usable metadata of a delegated role, the rest counts, and Find says why for
// what is that role's.
func (c *Client) Refresh(ctx context.Context) error {
	if err := c.remember(ctx); err != nil {
		return err
	}
	c.tell(ctx)
	var first error
	var rest *verified // where all was good but some role's metadata
	for i := range c.mirrors {
		c.at = i
		got, err := c.refresh(ctx)
		switch {
		case err == nil && len(got.broken) == 0:
			return c.take(ctx, got)
		case errors.Is(err, errHere):
			return err
		case err == nil:
			if err = got.why(); rest == nil {
				rest = got
			}
		}
		c.cfg.Logger.Warn("update metadata refused", "mirror", i, "code", updater.Code(err), "reason", err.Error())
		c.cfg.Refused(err)
		if first == nil || errors.Is(first, updater.ErrUnavailable) && !errors.Is(err, updater.ErrUnavailable) {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if rest == nil || ctx.Err() != nil {
		return first
	}
	return c.take(ctx, rest)
}

// verified is what one mirror has, before it counts.
type verified struct {
	set    *trustedmetadata.TrustedMetadata
	broken map[role.Place]error
	floor  updater.Floor // to which it lifts
	at     int           // of mirrors
}

// why is the reason of one of the roles whose metadata cannot be used.
func (v *verified) why() error {
	first := slices.MinFunc(slices.Collect(maps.Keys(v.broken)), func(a, b role.Place) int { return strings.Compare(a.String(), b.String()) })
	return v.broken[first]
}

// take makes what a mirror has count, durably.
func (c *Client) take(ctx context.Context, v *verified) error {
	before := c.floor
	c.at = v.at
	c.lift(v.floor)
	c.lift(updater.Floor{Time: c.certain().Truncate(time.Hour)}) // spares the flash
	if err := c.mark(ctx, v.set); err != nil {
		c.floor = before
		return err
	}
	if err := c.store.saveFloor(c.floor); err != nil {
		c.floor = before
		return fmt.Errorf("keep the floor of time: %w", err)
	}
	c.set, c.broken = v.set, v.broken
	return nil
}

// refresh verifies what the present mirror has. The floor stays where it is.
func (c *Client) refresh(ctx context.Context) (*verified, error) {
	before := c.floor
	defer func() { c.floor = before }()
	set, err := c.begin()
	if err != nil {
		return nil, err
	}
	w := &walk{TrustedMetadata: set, marks: c.marks, broken: map[role.Place]error{}}
	w.pass()
	for _, step := range [...]func(context.Context, *walk) error{
		c.loadRoots, c.loadTimestamp, c.loadSnapshot, c.loadTargets, c.loadRoles,
	} {
		set.RefTime = c.now()
		if err := step(ctx, w); err != nil {
			return nil, err
		}
	}
	// The targets may have told a later time than was believed so far.
	set.RefTime = c.now()
	if set.Timestamp.Signed.IsExpired(set.RefTime) || set.Snapshot.Signed.IsExpired(set.RefTime) ||
		set.Root.Signed.IsExpired(set.RefTime) {
		return nil, fmt.Errorf("metadata older than the targets it names: %w", updater.ErrExpired)
	}
	return &verified{set, w.broken, c.floor, c.at}, nil
}

// loadRoots walks from the factory root over the kept ones to the newest one.
func (c *Client) loadRoots(ctx context.Context, w *walk) error {
	for range maxRotations {
		data, err := c.store.root(w.Root.Signed.Version + 1)
		if err != nil || c.updateRoot(w, data) != nil {
			break // what cannot be used is fetched
		}
	}
	for range maxRotations {
		next := w.Root.Signed.Version + 1
		data, err := c.get(ctx, fmt.Sprintf("%d.root.json", next), maxRoot)
		if errors.Is(err, errNotFound) {
			return w.arrive()
		}
		if err != nil {
			return fmt.Errorf("fetch root %d: %w", next, err)
		}
		if err := c.updateRoot(w, data); err != nil {
			return fmt.Errorf("root %d: %w", next, err)
		}
		if err := c.store.saveRoot(next, data); err != nil {
			return fmt.Errorf("keep root %d: %w", next, err)
		}
	}
	return fmt.Errorf("more than %d new roots at once: %w", maxRotations, updater.ErrTooLong)
}

func (c *Client) updateRoot(w *walk, data []byte) error {
	err := guard(func() error {
		_, err := w.UpdateRoot(data)
		return err
	})
	if err != nil {
		return classify("root", err)
	}
	w.pass()
	c.root = data
	c.believe(w.Root.Signed.UnrecognizedFields, w.Root.Signed.Expires)
	w.RefTime = c.now()
	return nil
}

// versioned is the name under which the repository has a version of a role's metadata.
func versioned(w *walk, name string, version int64) string {
	if !w.Root.Signed.ConsistentSnapshot {
		return name + ".json"
	}
	return fmt.Sprintf("%d.%s.json", version, name)
}

func (c *Client) loadTimestamp(ctx context.Context, w *walk) error {
	if data, err := c.store.load("timestamp", maxTimestamp); err == nil {
		// One that has expired still counts against rollback; one that is not valid
		// any more does not count.
		_ = updateTimestamp(w, data)
	}
	data, err := c.get(ctx, "timestamp.json", maxTimestamp)
	if err != nil {
		return fmt.Errorf("fetch timestamp: %w", absent(err))
	}
	err = updateTimestamp(w, data)
	same := errors.Is(err, &metadata.ErrEqualVersionNumber{})
	if err != nil && !same {
		return fmt.Errorf("timestamp: %w", classify("timestamp", err))
	}
	if err := above("timestamp", w.Timestamp.Signed.Version, w.marks.Timestamp); err != nil {
		return err
	}
	if err := above("snapshot", w.Timestamp.Signed.Meta["snapshot.json"].Version, w.marks.Snapshot); err != nil || same {
		return err
	}
	return c.store.save("timestamp", data)
}

func updateTimestamp(w *walk, data []byte) error {
	return guard(func() error {
		md, err := metadata.Timestamp().FromBytes(data)
		if err != nil {
			return err
		}
		if m := md.Signed.Meta["snapshot.json"]; m == nil || m.Version < 1 || m.Length < 0 || m.Length > maxSnapshot {
			return fmt.Errorf("names no snapshot: %w", updater.ErrMetadata)
		}
		_, err = w.UpdateTimestamp(data)
		return err
	})
}

func (c *Client) loadSnapshot(ctx context.Context, w *walk) error {
	if data, err := c.store.load("snapshot", maxSnapshot); err == nil && updateSnapshot(w, data, true) == nil {
		return above("targets", w.Snapshot.Signed.Meta["targets.json"].Version, w.marks.Targets)
	}
	meta := w.Timestamp.Signed.Meta["snapshot.json"]
	limit := int64(maxSnapshot)
	if meta.Length > 0 {
		limit = meta.Length
	}
	data, err := c.get(ctx, versioned(w, "snapshot", meta.Version), limit)
	if err != nil {
		return fmt.Errorf("fetch snapshot: %w", absent(err))
	}
	if err := updateSnapshot(w, data, false); err != nil {
		return fmt.Errorf("snapshot: %w", classify("snapshot", err))
	}
	if err := above("targets", w.Snapshot.Signed.Meta["targets.json"].Version, w.marks.Targets); err != nil {
		return err
	}
	return c.store.save("snapshot", data)
}

func updateSnapshot(w *walk, data []byte, stored bool) error {
	return guard(func() error {
		want := w.Timestamp.Signed.Meta["snapshot.json"]
		if !stored {
			if err := want.VerifyLengthHashes(data); err != nil {
				return err
			}
		}
		md, err := metadata.Snapshot().FromBytes(data)
		if err != nil {
			return err
		}
		for _, m := range md.Signed.Meta {
			if m == nil || m.Version < 1 || m.Length < 0 {
				return fmt.Errorf("names a file without version: %w", updater.ErrMetadata)
			}
		}
		if m := md.Signed.Meta["targets.json"]; m == nil || m.Length > maxTargets {
			return fmt.Errorf("names no targets: %w", updater.ErrMetadata)
		}
		if !stored && md.Signed.Version != want.Version {
			return fmt.Errorf("version %d in the place of %d: %w", md.Signed.Version, want.Version, updater.ErrMixed)
		}
		_, err = w.UpdateSnapshot(data, stored)
		return err
	})
}

func (c *Client) loadTargets(ctx context.Context, w *walk) error {
	return c.loadRole(ctx, w, metadata.TARGETS, metadata.ROOT)
}

// updateTargets verifies the metadata of the role targets, or of one that it delegates to.
func (c *Client) updateTargets(w *walk, data []byte, role, parent string) error {
	return guard(func() error {
		md, err := w.UpdateDelegatedTargets(data, role, parent)
		if err != nil {
			return err
		}
		for _, t := range md.Signed.Targets {
			if t == nil {
				return fmt.Errorf("an entry is empty: %w", updater.ErrMetadata)
			}
		}
		if role == metadata.TARGETS { // who may release one thing does not move the time of all
			c.believe(md.Signed.UnrecognizedFields, md.Signed.Expires)
		}
		return nil
	})
}

// guard turns a panic of the metadata parser into an error.
func guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the parser gave up: %w", updater.ErrMetadata)
		}
	}()
	return fn()
}

// classify gives an error of go-tuf its reason. role is the file it is about.
func classify(role string, err error) error {
	reason := updater.ErrMetadata
	switch {
	case updater.Code(err) != "failed":
		return err
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		reason = updater.ErrExpired
	case errors.Is(err, &metadata.ErrUnsignedMetadata{}), errors.Is(err, &metadata.ErrValue{}):
		reason = updater.ErrSignature // ErrValue: threshold below 1, unknown or doubled key ids
	case errors.Is(err, &metadata.ErrBadVersionNumber{}) && role != "targets":
		reason = updater.ErrRollback
	case errors.Is(err, &metadata.ErrBadVersionNumber{}), errors.Is(err, &metadata.ErrLengthOrHashMismatch{}),
		role == "snapshot" && errors.Is(err, &metadata.ErrRepository{}):
		reason = updater.ErrMixed
	}
	return fmt.Errorf("%w (%s)", reason, err.Error())
}
