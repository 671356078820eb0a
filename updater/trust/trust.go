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
	"fmt"
	"log/slog"
	"net/http"
	"time"

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
	maxRoot      = 128 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 256 << 10
	maxTargets   = 2 << 20
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

// defaults fills in what was left out.
func (cfg Config) defaults() Config {
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
	return cfg
}

// New returns a client. The factory root has to be valid; nothing is fetched.
func New(cfg Config) (*Client, error) {
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
	cfg = cfg.defaults()
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
	c.lift(updater.Floor{Time: set.RefTime.Truncate(time.Hour)}) // spares the flash
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
