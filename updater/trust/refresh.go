package trust

import (
	"context"
	"errors"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"platen/updater"
)

// loadRoots walks from the factory root over the kept ones to the newest one.
func (c *Client) loadRoots(ctx context.Context, set *trustedmetadata.TrustedMetadata) error {
	for range maxRotations {
		next := set.Root.Signed.Version + 1
		data, err := c.store.root(next)
		if err != nil || c.updateRoot(set, data) != nil {
			break // what cannot be used is fetched
		}
	}
	for range maxRotations {
		next := set.Root.Signed.Version + 1
		data, err := c.get(ctx, fmt.Sprintf("%d.root.json", next), maxRoot)
		if errors.Is(err, errNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("fetch root %d: %w", next, err)
		}
		if err := c.updateRoot(set, data); err != nil {
			return fmt.Errorf("root %d: %w", next, err)
		}
		if err := c.store.saveRoot(next, data); err != nil {
			return fmt.Errorf("keep root %d: %w", next, err)
		}
	}
	return fmt.Errorf("more than %d new roots at once: %w", maxRotations, updater.ErrTooLong)
}

func (c *Client) updateRoot(set *trustedmetadata.TrustedMetadata, data []byte) error {
	err := guard(func() error {
		_, err := set.UpdateRoot(data)
		return err
	})
	if err != nil {
		return classify("root", err)
	}
	c.believe(set.Root.Signed.UnrecognizedFields, set.Root.Signed.Expires)
	set.RefTime = c.now()
	return nil
}

func (c *Client) loadTimestamp(ctx context.Context, set *trustedmetadata.TrustedMetadata) error {
	if data, err := c.store.load("timestamp", maxTimestamp); err == nil {
		// One that has expired still counts against rollback; one that is not valid
		// any more does not count.
		_ = updateTimestamp(set, data)
	}
	data, err := c.get(ctx, "timestamp.json", maxTimestamp)
	if err != nil {
		return fmt.Errorf("fetch timestamp: %w", absent(err))
	}
	err = updateTimestamp(set, data)
	if errors.Is(err, &metadata.ErrEqualVersionNumber{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("timestamp: %w", classify("timestamp", err))
	}
	return c.store.save("timestamp", data)
}

func updateTimestamp(set *trustedmetadata.TrustedMetadata, data []byte) error {
	return guard(func() error {
		md, err := metadata.Timestamp().FromBytes(data)
		if err != nil {
			return err
		}
		if m := md.Signed.Meta["snapshot.json"]; m == nil || m.Version < 1 || m.Length < 0 || m.Length > maxSnapshot {
			return fmt.Errorf("names no snapshot: %w", updater.ErrMetadata)
		}
		_, err = set.UpdateTimestamp(data)
		return err
	})
}

func (c *Client) loadSnapshot(ctx context.Context, set *trustedmetadata.TrustedMetadata) error {
	if data, err := c.store.load("snapshot", maxSnapshot); err == nil && updateSnapshot(set, data, true) == nil {
		return nil
	}
	meta := set.Timestamp.Signed.Meta["snapshot.json"]
	limit := int64(maxSnapshot)
	if meta.Length > 0 {
		limit = meta.Length
	}
	data, err := c.get(ctx, fmt.Sprintf("%d.snapshot.json", meta.Version), limit)
	if err != nil {
		return fmt.Errorf("fetch snapshot: %w", absent(err))
	}
	if err := updateSnapshot(set, data, false); err != nil {
		return fmt.Errorf("snapshot: %w", classify("snapshot", err))
	}
	return c.store.save("snapshot", data)
}

func updateSnapshot(set *trustedmetadata.TrustedMetadata, data []byte, stored bool) error {
	return guard(func() error {
		want := set.Timestamp.Signed.Meta["snapshot.json"]
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
		_, err = set.UpdateSnapshot(data, stored)
		return err
	})
}

func (c *Client) loadTargets(ctx context.Context, set *trustedmetadata.TrustedMetadata) error {
	if data, err := c.store.load("targets", maxTargets); err == nil && c.updateTargets(set, data) == nil {
		return nil
	}
	meta := set.Snapshot.Signed.Meta["targets.json"]
	limit := int64(maxTargets)
	if meta.Length > 0 {
		limit = meta.Length
	}
	data, err := c.get(ctx, fmt.Sprintf("%d.targets.json", meta.Version), limit)
	if err != nil {
		return fmt.Errorf("fetch targets: %w", absent(err))
	}
	if err := c.updateTargets(set, data); err != nil {
		return fmt.Errorf("targets: %w", classify("targets", err))
	}
	return c.store.save("targets", data)
}

func (c *Client) updateTargets(set *trustedmetadata.TrustedMetadata, data []byte) error {
	return guard(func() error {
		md, err := set.UpdateTargets(data)
		if err != nil {
			return err
		}
		for _, t := range md.Signed.Targets {
			if t == nil {
				return fmt.Errorf("an entry is empty: %w", updater.ErrMetadata)
			}
		}
		c.believe(md.Signed.UnrecognizedFields, md.Signed.Expires)
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
