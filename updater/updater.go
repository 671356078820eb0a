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
	// of its new contents. Close makes them durable and reads them back.
	Open(slot.Name) (io.WriteCloser, error)
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

	// Approvals are the states in which printers open jobs, from the release's metadata
	// (package approval reads them), nil if there are none.
	Approvals []byte
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
	b := Booted{Slot: cur, Release: u.cfg.Release, Floor: floor, Bad: rec.Bad}
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
	return t, nil
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

// Stage checks, writes a newer release into the slot that does not run and puts it
// on trial. After nil the caller restarts, through the bootloader, into it.
func (u *Updater) Stage(ctx context.Context) (Target, error) {
	b, err := u.Booted()
	if err != nil {
		return Target{}, err
	}
	if b.Trial {
		return Target{}, ErrOnTrial
	}
	if u.cfg.Hold() {
		return Target{}, ErrHeld
	}
	t, err := u.Check(ctx)
	if err != nil {
		return t, err
	}
	if err := u.cfg.Accept(ctx, t); err != nil {
		return t, fmt.Errorf("release %d: %w", t.Release, err)
	}
	rec, err := u.cfg.Log.Load()
	if err != nil && !errors.Is(err, slot.ErrRecord) {
		return t, err
	}
	idle := idleSlot(b.Slot, rec)
	if err := u.fill(ctx, t, idle, *rec.Slot(idle)); err != nil {
		return t, err
	}
	u.cfg.Logger.Info("update staged", "release", t.Release, "slot", idle.String())
	return t, nil
}

// idleSlot is the slot that may be overwritten: never the running one and never,
// unless it runs from no slot, the confirmed one.
func idleSlot(cur slot.Name, rec slot.Record) slot.Name {
	if cur != slot.None {
		return cur.Other()
	}
	return rec.Active.Other()
}

// fill puts t on trial in slot idle. If a stage that was interrupted left t there
// already, and it still reads back, nothing is fetched again.
func (u *Updater) fill(ctx context.Context, t Target, idle slot.Name, has slot.Slot) error {
	if has.Digest == t.SHA256 && !has.Confirmed {
		if err := u.try(t, idle); !errors.Is(err, ErrSlot) {
			return err
		}
	}
	if err := u.write(ctx, t, idle); err != nil {
		return err
	}
	if u.cfg.Hold() { // the download may have taken long
		return ErrHeld
	}
	return u.try(t, idle)
}

func (u *Updater) write(ctx context.Context, t Target, idle slot.Name) error {
	w, err := u.cfg.Bootloader.Open(idle)
	if err != nil {
		return fmt.Errorf("open slot %s: %w", idle, err)
	}
	err = u.cfg.Source.Download(ctx, t, &meter{w: w, total: t.Size, progress: u.cfg.Progress})
	if err = errors.Join(err, w.Close()); err == nil {
		return nil
	}
	_, undo := u.cfg.Log.Update(func(r *slot.Record) error {
		*r.Slot(idle) = slot.Slot{}
		return nil
	})
	return errors.Join(fmt.Errorf("write release %d to slot %s: %w", t.Release, idle, err), undo)
}

// try gives the slot its release number, if it holds what was signed, and puts it
// on trial.
func (u *Updater) try(t Target, idle slot.Name) error {
	_, err := u.cfg.Log.Update(func(r *slot.Record) error {
		s := r.Slot(idle)
		if s.Digest != t.SHA256 {
			return fmt.Errorf("slot %s: %w", idle, ErrSlot)
		}
		s.Release = t.Release
		return nil
	})
	if err != nil {
		return err
	}
	if err := u.cfg.Bootloader.Try(idle); err != nil {
		return fmt.Errorf("put slot %s on trial: %w", idle, err)
	}
	return nil
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

// Forgive lets a release that failed its trial here be tried again.
func (u *Updater) Forgive() error {
	_, err := u.cfg.Log.Update(func(r *slot.Record) error {
		r.Bad = 0
		return nil
	})
	return err
}

// meter reports progress of what passes through it.
type meter struct {
	w           io.Writer
	done, total int64
	progress    func(done, total int64)
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.done += int64(n)
	m.progress(m.done, m.total)
	return n, err
}
