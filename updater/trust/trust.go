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
//   - Metadata and releases never go back, though the disk be wiped or restored: what
//     was seen last is kept in the TPM as well ([Memory]).
//   - Time never goes back either. The moment metadata is checked against is the latest
//     of the clock, the moment of the last successful refresh, that moment and what the
//     TPM has counted since, and the moments at which verified roots and targets say
//     they were signed.
//   - A mirror can neither fill the memory nor hold the client for ever, and what it
//     refuses or spoils the next mirror may serve.
//   - After a refused refresh everything is as before.
//   - Who may release what is told in the top-level targets alone: see [Client.Find].
//
// # Non-requirements
//
//   - Resisting somebody who can write to the TPM: he is the superuser already.
//   - Knowing at once that a mirror is frozen: that shows when its timestamp expires.
//
// # Layout
//
// In Config.Dir: roots/N.root.json for every root after the factory's, the newest
// timestamp.json, snapshot.json and targets.json and those of delegated roles, byte for
// byte as received, and "floor" (one line of JSON). Each is written beside, made durable
// and renamed. In Config.Memory: [Marks].
//
// # Failures
//
//   - A cached file that is torn, empty or not valid any more is fetched again.
//   - A lost floor file counts as no floor; the TPM has it, and the updater raises it
//     again from the slot record before every refresh.
//   - Marks that cannot be read or kept stop the refresh: updater.ErrFloor. Marks that are
//     damaged stop it until [Client.Repair]: updater.ErrMarks.
//   - Power lost between the TPM and the disk leaves the marks ahead of the store, which
//     is then fetched again. Marks are kept before a raise is reported as done.
package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"platen/updater"
	"platen/updater/role"
	"platen/updater/slot"
	"platen/updater/translog"
)

// Config is what a Client works with. Dir, FactoryRoot and URL are needed.
type Config struct {
	Dir         string           // the client's own folder
	FactoryRoot []byte           // the root metadata the printer was made with
	URL         string           // of the repository: http, https or file, or a path of a folder
	Mirrors     []string         // where it is as well, asked in this order after URL
	Files       string           // where the targets are; "": "targets/" of the repository
	Board       string           // whose delegated roles are loaded; "": every board's
	Printer     string           // a name of this printer that never changes, for rollouts by share
	Ring        string           // the ring that its owner put it into, for rollouts; "": none
	Client      *http.Client     // nil: one with timeouts of its own
	Now         func() time.Time // nil: time.Now
	NTP         []string         // "host:port" of servers that are asked if the clock is not set
	Memory      Memory           // marks beyond the reach of the disk; nil: none
	Ticks       Ticks            // a count of milliseconds that goes on over restarts; nil: none
	Log         *translog.Policy // the log that has to have a release; nil: none
	Floor       updater.Floor    // what the build itself knows: its release, its time
	MaxTarget   int64            // largest target in bytes; 0: 256 MiB
	Stall       time.Duration    // 64 KiB have to arrive in it; 0: 30 s
	Logger      *slog.Logger     // nil: none

	// Foreign takes any TUF repository, with delegations of every kind, for
	// [Client.Lookup] alone: such a client finds no releases.
	Foreign bool
	// Refused is told of every mirror whose metadata was refused, even if another one's
	// was taken then; nil: nobody is.
	Refused func(error)
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
	cfg     Config
	store   store
	usual   []mirror // of the configuration
	mirrors []mirror // those that are asked now
	at      int      // of mirrors: which is asked
	floor   updater.Floor
	marks   Marks // what Memory holds
	kept    bool  // marks have been read
	root    []byte
	time    timer                            // beside the clock
	set     *trustedmetadata.TrustedMetadata // nil until a refresh succeeded
	broken  map[role.Place]error             // whose role's metadata could not be used then
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
	if cfg.Refused == nil {
		cfg.Refused = func(error) {}
	}
	return cfg
}

// New returns a client. The factory root has to be valid; nothing is fetched.
func New(cfg Config) (*Client, error) {
	var mirrors []mirror
	for _, at := range append([]string{cfg.URL}, cfg.Mirrors...) {
		m, err := newMirror(at, cfg.Files, cfg.Client)
		if err != nil {
			return nil, err
		}
		mirrors = append(mirrors, m)
	}
	dir, err := slot.OpenDir(cfg.Dir, "roots")
	if err != nil {
		return nil, err
	}
	return newClient(cfg, dir, mirrors...)
}

func newClient(cfg Config, fsys slot.FS, mirrors ...mirror) (*Client, error) {
	cfg = cfg.defaults()
	c := &Client{cfg: cfg, store: store{fsys}, usual: mirrors, mirrors: mirrors, floor: cfg.Floor}
	if _, err := c.begin(); err != nil {
		return nil, fmt.Errorf("factory root: %w", err)
	}
	kept, err := c.store.loadFloor()
	if err != nil {
		cfg.Logger.Warn("stored floor cannot be read", "reason", err.Error())
	}
	c.lift(kept)
	ctx, cancel := context.WithTimeout(context.Background(), memoryTime)
	defer cancel()
	if err := c.remember(ctx); err != nil { // it is asked again before anything is believed
		cfg.Logger.Warn("marks cannot be read", "reason", err.Error())
	}
	return c, nil
}

// Close lets go of the folders of the store and of the mirrors.
func (c *Client) Close() error {
	var errs []error
	if dir, ok := c.store.fs.(io.Closer); ok {
		errs = append(errs, dir.Close())
	}
	return errors.Join(errs...)
}

// Root is the newest root that was verified, byte for byte as it was received. It may be
// newer than the rest: roots are kept though what follows them is refused.
func (c *Client) Root() []byte { return c.root }

// begin starts a new set of metadata from the factory root.
func (c *Client) begin() (set *trustedmetadata.TrustedMetadata, err error) {
	err = guard(func() error {
		set, err = trustedmetadata.New(c.cfg.FactoryRoot)
		return err
	})
	if err != nil {
		return nil, classify("root", err)
	}
	c.root = c.cfg.FactoryRoot
	c.believe(set.Root.Signed.UnrecognizedFields, set.Root.Signed.Expires)
	return set, nil
}

// Floor is what this printer never goes below, as far as the client knows.
func (c *Client) Floor() updater.Floor { return c.floor }

// Raise lifts the floor durably, first in the TPM and then on the disk.
func (c *Client) Raise(f updater.Floor) error {
	ctx, cancel := context.WithTimeout(context.Background(), memoryTime)
	defer cancel()
	if err := c.remember(ctx); err != nil {
		return err
	}
	c.lift(f)
	next := c.marks
	next.Release = max(next.Release, c.floor.Release)
	if err := c.keep(ctx, next); err != nil {
		return err
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
