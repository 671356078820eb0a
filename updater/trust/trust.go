// Package trust decides what is a release and what is not: it fetches and verifies
// the metadata of a TUF repository (The Update Framework, specification 1.0.31) and
// streams targets from it. [Client] is the updater.Source of a printer.
//
// The verification itself is go-tuf's state machine (metadata and trustedmetadata);
// everything with effects is here: fetching with limits on size and pace, storing,
// time, and the floors.
//
// # Requirements
//
//   - Only what enough of the keys of the factory root, or of roots chained to it,
//     have signed is a release. Online keys alone cannot make one.
//   - Metadata and releases never go back. Time never goes back either: the moment
//     metadata is checked against is the latest of the clock, the moment of the last
//     successful refresh, and the moments at which verified roots and targets say
//     they were signed.
//   - A mirror can neither fill the memory nor hold the client for ever.
//   - After a refused refresh everything is as before.
//
// # Non-requirements
//
//   - Delegated roles: releases are listed in the top-level targets role.
//   - Surviving the loss of both this store and the slot record: the floors are kept
//     in both, and one of them is enough.
//
// # Layout
//
// In Config.Dir: roots/N.root.json for every root after the factory's, the newest
// timestamp.json, snapshot.json and targets.json byte for byte as received, and
// "floor" (one line of JSON). Each is written beside, made durable and renamed.
//
// # Failures
//
//   - A cached file that is torn, empty or not valid any more is fetched again.
//   - A lost floor file counts as no floor; the updater raises it again from the slot
//     record before every refresh.
package trust

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"platen/updater"
	"platen/updater/slot"
)

// Config is what a Client works with. Dir, FactoryRoot and URL are needed.
type Config struct {
	Dir         string           // the client's own folder
	FactoryRoot []byte           // the root metadata the printer was made with
	URL         string           // of the repository: http, https or file, or a path of a folder
	Client      *http.Client     // nil: one with timeouts of its own
	Now         func() time.Time // nil: time.Now
	Floor       updater.Floor    // what the build itself knows: its release, its time
	MaxTarget   int64            // largest target in bytes; 0: 256 MiB
	Stall       time.Duration    // 64 KiB have to arrive in it; 0: 30 s
	Logger      *slog.Logger     // nil: none
}

// Limits of metadata files, in bytes, and of root versions in one refresh.
const (
	maxRoot      = 512 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 1 << 20
	maxTargets   = 4 << 20
	maxRotations = 256
)

// Client verifies one repository. Its methods are called by one goroutine at a time.
type Client struct {
	cfg   Config
	store store
	fetch fetcher
	floor updater.Floor
	set   *trustedmetadata.TrustedMetadata // nil until a refresh succeeded
}

var _ updater.Source = (*Client)(nil)

// New returns a client. The factory root has to be valid; nothing is fetched.
func New(cfg Config) (*Client, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxTarget <= 0 {
		cfg.MaxTarget = 256 << 20
	}
	if cfg.Stall <= 0 {
		cfg.Stall = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	fetch, err := newFetcher(cfg.URL, cfg.Client)
	if err != nil {
		return nil, err
	}
	dir, err := slot.OpenDir(cfg.Dir, "roots")
	if err != nil {
		return nil, err
	}
	return newClient(cfg, dir, fetch)
}

func newClient(cfg Config, fsys slot.FS, fetch fetcher) (*Client, error) {
	c := &Client{cfg: cfg, store: store{fsys}, fetch: fetch, floor: cfg.Floor}
	if _, err := c.begin(); err != nil {
		return nil, fmt.Errorf("factory root: %w", err)
	}
	kept, err := c.store.loadFloor()
	if err != nil {
		cfg.Logger.Warn("stored floor cannot be read", "reason", err.Error())
	}
	c.lift(kept)
	return c, nil
}

// begin starts a new set of metadata from the factory root.
func (c *Client) begin() (set *trustedmetadata.TrustedMetadata, err error) {
	err = guard(func() error {
		set, err = trustedmetadata.New(c.cfg.FactoryRoot)
		return err
	})
	if err != nil {
		return nil, classify("root", err)
	}
	c.believe(set.Root.Signed.UnrecognizedFields, set.Root.Signed.Expires)
	return set, nil
}

// Floor is what this printer never goes below, as far as the client knows.
func (c *Client) Floor() updater.Floor { return c.floor }

// Raise lifts the floor durably.
func (c *Client) Raise(f updater.Floor) error {
	before := c.floor
	c.lift(f)
	if c.floor == before {
		return nil
	}
	return c.store.saveFloor(c.floor)
}

func (c *Client) lift(f updater.Floor) {
	c.floor.Release = max(c.floor.Release, f.Release)
	if f.Time.After(c.floor.Time) {
		c.floor.Time = f.Time
	}
}

// issuedField is the field of signed roots and targets that says when they were
// signed. Both are signed with offline keys, so a thief of online keys cannot use it
// to move a printer's time forward.
const issuedField = "x-platen-issued"

// believe lifts the floor of time to the moment at which verified metadata says it
// was signed.
func (c *Client) believe(fields map[string]any, expires time.Time) {
	text, _ := fields[issuedField].(string)
	at, err := time.Parse(time.RFC3339, text)
	if err == nil && at.Before(expires) {
		c.lift(updater.Floor{Time: at})
	}
}

// now is the moment metadata is checked against.
func (c *Client) now() time.Time {
	now := c.cfg.Now().UTC()
	if c.floor.Time.After(now) {
		return c.floor.Time
	}
	return now
}

// Refresh fetches and verifies the newest metadata. An error is one of the reasons
// of package updater; then Find goes on answering from what was verified before.
func (c *Client) Refresh(ctx context.Context) error {
	before := c.floor
	set, err := c.refresh(ctx)
	if err != nil {
		c.floor = before
		c.cfg.Logger.Warn("update metadata refused", "code", updater.Code(err), "reason", err.Error())
		return err
	}
	c.set = set
	c.lift(updater.Floor{Time: set.RefTime.Truncate(time.Second)})
	if err := c.store.saveFloor(c.floor); err != nil {
		return fmt.Errorf("keep the floor of time: %w", err)
	}
	return nil
}

func (c *Client) refresh(ctx context.Context) (*trustedmetadata.TrustedMetadata, error) {
	set, err := c.begin()
	if err != nil {
		return nil, err
	}
	for _, step := range [...]func(context.Context, *trustedmetadata.TrustedMetadata) error{
		c.loadRoots, c.loadTimestamp, c.loadSnapshot, c.loadTargets,
	} {
		set.RefTime = c.now()
		if err := step(ctx, set); err != nil {
			return nil, err
		}
	}
	// The targets may have told a later time than was believed so far.
	set.RefTime = c.now()
	if set.Timestamp.Signed.IsExpired(set.RefTime) || set.Snapshot.Signed.IsExpired(set.RefTime) ||
		set.Root.Signed.IsExpired(set.RefTime) {
		return nil, fmt.Errorf("metadata older than the targets it names: %w", updater.ErrExpired)
	}
	return set, nil
}

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
