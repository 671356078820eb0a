// Package updater replaces the running release by a newer signed one, so that no
// power cut and no bad release leaves a printer that does not boot.
//
// Start at [Updater]. Its [Source] (package trust) says what is signed and newest,
// its [Bootloader] (package boot, for the agent's own binary) owns the two slots.
// [Updater.Stage] streams the target into the slot that is not running and puts it
// on trial; after the restart [Updater.Confirm] makes it the confirmed one once the
// caller has found it healthy, and raises the floor below which this printer never
// goes again. If nobody confirms, the bootloader falls back.
//
// What was done survives in package slot. A refusal carries one of this package's
// errors, and [Code] names it.
package updater

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"platen/updater/slot"
)

// Bootloader owns the two slots and decides which one starts next.
type Bootloader interface {
	// Current is the slot that is running; None is the factory binary.
	Current() (slot.Name, error)
	// Try puts a slot that was written through Open on trial: it starts next, a
	// bounded number of times, until it is confirmed. It fails for the confirmed slot
	// and for one whose contents do not read back.
	Try(slot.Name) error
	// Confirm ends the trial of a slot: it is the one that starts from now on.
	Confirm(slot.Name) error
	// Open empties a slot that is neither confirmed nor running and returns a writer
	// of its new contents.
	Open(slot.Name) (Writer, error)
}

// Writer writes the contents of a slot, behind what an earlier one has left there. Close
// makes them durable, reads them back and enters in the record what was read.
type Writer interface {
	Proven
	io.Closer
	// Keep makes durable what it has written, closes it and leaves that for another one. If
	// all is true, it writes before what it still holds.
	Keep(all bool) error
}

// Installer updates something that has no slots, such as a motion controller.
type Installer interface {
	// Installed is the number of the release that is there, 0 if it has none.
	Installed(ctx context.Context) (uint64, error)
	// Install replaces it by the release read from r.
	Install(ctx context.Context, release uint64, r io.Reader) error
}

// Target is a signed file of a release.
type Target struct {
	Path    string   // name in the signed metadata
	Board   string   // board it is for
	Kind    string   // what it replaces: "agent"
	Release uint64   // number of the release
	Size    int64    // length in bytes
	SHA256  [32]byte // digest of the contents

	// Set is what belongs to the release beside this target: each a target of its own, of
	// another kind, and without a Set. All of it is put on trial, confirmed or taken back
	// as one.
	Set []Target
	// Hardware names the revisions of the board that the release is for; empty: any.
	Hardware []string
	Deltas   []Delta // ways to make it out of something older

	// Measured are SHA-256 digests of what printers measure of it beside or instead of the
	// target itself: of an agent, the board files in it; of a controller's firmware, the
	// bytes in flash, where the file is Intel HEX. At most [MaxMeasured].
	Measured [][32]byte

	// PCRs are what registers of the TPM's SHA-256 bank hold after a start of it, by register,
	// from the release's metadata: of a root file system those of the boot; nil: it says none.
	PCRs map[uint8][32]byte

	// Approvals are the states in which printers open jobs, from the release's metadata
	// (package approval reads them), nil if there are none.
	Approvals []byte
}

// MaxMeasured bounds the digests in [Target.Measured].
const MaxMeasured = 64

// The kinds of targets that make up a set.
const (
	KindAgent      = "agent"      // leads the set
	KindRoot       = "rootfs"     // a root file system
	KindController = "controller" // the motion controller's firmware
)

// Resumed is a writer that holds the beginning of a target already. A Source hashes what
// Head reads, and fetches and writes the rest.
type Resumed interface {
	io.Writer
	Head() *io.SectionReader
}

// Proven is a writer that hashes what is written as the medium gives it back, the head
// included: a Source that holds Sum against the signed digest need not hash anything. Sum
// makes durable what was written; its error is not the Source's fault.
type Proven interface {
	Resumed
	Sum() ([32]byte, error)
}

// Floor is what a printer never goes below.
type Floor struct {
	Release uint64    // number of a release
	Time    time.Time // a moment that has certainly passed
}

// Source says what is signed and fetches it. *trust.Client is one.
type Source interface {
	// Refresh fetches and verifies the newest metadata.
	Refresh(ctx context.Context) error
	// Find is the highest release for a board in the metadata of the last Refresh.
	Find(board, kind string) (Target, error)
	// Download writes the contents of t to w as they arrive, and returns nil only if
	// all of them were written and are the signed ones.
	Download(ctx context.Context, t Target, w io.Writer) error
	// Floor is the floor the source has kept.
	Floor() Floor
	// Raise lifts the source's floor durably; it never lowers it.
	Raise(f Floor) error
}

// Config is what an Updater works with. Board, Kind, Source, Bootloader and Log are
// needed.
type Config struct {
	Board      string // board id
	Kind       string // which target: "agent"
	Release    uint64 // number this binary was built as; counts if it runs from no slot
	Source     Source
	Bootloader Bootloader
	Log        *slot.Log
	Hold       func() bool // reports that nothing may be changed now; nil: never
	Hardware   string      // revision of the board, as releases name it; "" if there is only one
	Root       Bootloader  // of the root file system's partitions; nil: releases cannot bring one
	Controller Controller  // the motion controller; nil: releases cannot bring its firmware
	Images     slot.FS     // where images of its firmware are kept; needed with Controller
	// Accept says why a release is not to be staged; nil: any is.
	Accept   func(context.Context, Target) error
	Progress func(done, total int64) // bytes of the download; may be nil
	Logger   *slog.Logger            // may be nil
}

// Updater updates one kind of target on one printer. Its methods are called by one
// goroutine at a time.
type Updater struct{ cfg Config }

// New returns an Updater.
func New(cfg Config) (*Updater, error) {
	if cfg.Board == "" || cfg.Kind == "" || cfg.Source == nil || cfg.Bootloader == nil || cfg.Log == nil {
		return nil, errors.New("updater needs a board, a kind, a source, a bootloader and a slot log")
	}
	if cfg.Hold == nil {
		cfg.Hold = func() bool { return false }
	}
	if cfg.Accept == nil {
		cfg.Accept = func(context.Context, Target) error { return nil }
	}
	if cfg.Controller != nil && cfg.Images == nil {
		return nil, errors.New("updater needs a place for images of the controller's firmware")
	}
	if cfg.Progress == nil {
		cfg.Progress = func(int64, int64) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Updater{cfg}, nil
}

// Booted is what runs now.
type Booted struct {
	Slot    slot.Name // None: the factory binary
	Release uint64
	Digest  [32]byte // of the slot's contents; zero for the factory binary
	Trial   bool     // not confirmed yet
	Floor   uint64   // no release below it is ever staged
	Bad     uint64   // the release that failed its last trial, 0 if none
	Why     slot.Why // why that trial failed
	Staged  uint64   // the release that starts next, 0 if none
}

// Booted says what runs now, and what it knows of the trial.
func (u *Updater) Booted() (Booted, error) {
	cur, err := u.cfg.Bootloader.Current()
	if err != nil {
		return Booted{}, fmt.Errorf("find out which slot runs: %w", err)
	}
	rec, err := u.cfg.Log.Load()
	if err != nil && !errors.Is(err, slot.ErrRecord) {
		return Booted{}, err
	}
	floor := max(rec.Floor, u.cfg.Source.Floor().Release)
	b := Booted{Slot: cur, Release: u.cfg.Release, Floor: floor, Bad: rec.Bad, Why: rec.Why}
	if cur != slot.None {
		s := rec.Slot(cur)
		b.Digest, b.Trial = s.Digest, rec.Trying == cur
		if s.Release != 0 {
			b.Release = s.Release
		}
	}
	if rec.Trying != slot.None && rec.Trying != cur {
		b.Staged = rec.Slot(rec.Trying).Release
	}
	return b, nil
}

// Check fetches the metadata and returns the target that Stage would stage. It
// returns ErrUpToDate if nothing is newer, and one of the reasons of this package
// if what is newest may not be used.
func (u *Updater) Check(ctx context.Context) (Target, error) {
	b, err := u.Booted()
	if err != nil {
		return Target{}, err
	}
	if err := u.refresh(ctx); err != nil {
		return Target{}, err
	}
	t, err := u.cfg.Source.Find(u.cfg.Board, u.cfg.Kind)
	if err != nil {
		return Target{}, fmt.Errorf("find release for %s: %w", u.cfg.Board, err)
	}
	switch {
	case t.Release < b.Floor:
		return t, fmt.Errorf("release %d is below the floor %d: %w", t.Release, b.Floor, ErrRollback)
	case t.Release <= b.Release:
		return t, ErrUpToDate
	case t.Release == b.Bad:
		return t, fmt.Errorf("release %d: %w", t.Release, ErrFailedBefore)
	}
	return t, u.fits(t)
}

// refresh exchanges floors with the source before and after it fetches, so that
// neither of the two copies being lost lowers them.
func (u *Updater) refresh(ctx context.Context) error {
	rec, err := u.cfg.Log.Load()
	if err != nil && !errors.Is(err, slot.ErrRecord) {
		return err
	}
	if err := u.cfg.Source.Raise(Floor{rec.Floor, time.Unix(rec.Clock, 0)}); err != nil {
		return fmt.Errorf("raise the source's floor: %w", err)
	}
	if err := u.cfg.Source.Refresh(ctx); err != nil {
		return fmt.Errorf("refresh update metadata: %w", err)
	}
	f := u.cfg.Source.Floor()
	_, err = u.cfg.Log.Update(func(r *slot.Record) error {
		r.RaiseFloor(f.Release, f.Time.Unix())
		return nil
	})
	return err
}

// Confirm makes the running slot the confirmed one and raises the floor to its
// release. The caller has found the release healthy before. If the running slot is
// confirmed already, or the factory binary runs, it only keeps the floors level.
func (u *Updater) Confirm() error {
	b, err := u.Booted()
	if err != nil {
		return err
	}
	if b.Slot != slot.None && b.Trial {
		if err := u.confirmRoot(b.Slot); err != nil {
			return err
		}
		if err := u.cfg.Bootloader.Confirm(b.Slot); err != nil {
			return fmt.Errorf("confirm slot %s: %w", b.Slot, err)
		}
		_, err := u.cfg.Log.Update(func(r *slot.Record) error {
			r.Confirm(b.Slot)
			return nil
		})
		if err != nil {
			return err
		}
		if b, err = u.Booted(); err != nil {
			return err
		}
		if b.Trial {
			return fmt.Errorf("slot %s is still on trial after it was confirmed: %w", b.Slot, ErrSlot)
		}
		u.cfg.Logger.Info("release confirmed", "release", b.Release, "slot", b.Slot.String())
	}
	return u.cfg.Source.Raise(Floor{Release: b.Floor})
}

// Forgive lets a release that failed its trial here be tried again, and a controller that
// was given up be flashed again. It reports whether there was either.
func (u *Updater) Forgive() (changed bool, err error) {
	_, err = u.cfg.Log.Update(func(r *slot.Record) error {
		changed = r.Bad != 0 || r.Flashes >= maxFlashes
		r.Bad, r.Flashes = 0, 0
		return nil
	})
	return changed, err
}
