package updater

import (
	"context"
	"errors"
	"fmt"
	"io"

	"platen/updater/slot"
)

// Controller is an Installer whose present firmware can be kept for going back to it.
type Controller interface {
	Installer
	// Save writes the firmware that is there, in the form that Install takes for the
	// release slot.Factory or the one it was installed as.
	Save(ctx context.Context, w io.Writer) error
}

// maxFlashes bounds how often in a row a controller is flashed for one slot: flash wears,
// and what failed so often will fail again.
const maxFlashes = 8

// ErrGivenUp reports a controller that did not take its firmware, however often.
var ErrGivenUp = errors.New("the controller has not taken its firmware in many tries: look after it, then allow another try: platen update forgive")

// Settled reports whether the controller runs the firmware that belongs to the running
// slot. Until it does, nothing may heat or move.
func (u *Updater) Settled(ctx context.Context) (bool, error) {
	_, _, settled, err := u.wanted(ctx)
	return settled, err
}

// wanted returns the firmware that belongs to the running slot, and where it is kept.
func (u *Updater) wanted(ctx context.Context) (at slot.Name, want slot.Part, settled bool, err error) {
	if u.cfg.Controller == nil {
		return slot.None, slot.Part{}, true, nil
	}
	cur, err := u.cfg.Bootloader.Current()
	if err != nil || cur == slot.None {
		return slot.None, slot.Part{}, err == nil, err
	}
	rec, err := u.cfg.Log.Load()
	if err != nil {
		return slot.None, slot.Part{}, false, err
	}
	if at = rec.Slot(cur).Image; at == slot.None {
		return at, slot.Part{}, true, nil
	}
	want = *rec.Image(at)
	has, err := u.cfg.Controller.Installed(ctx)
	return at, want, err == nil && has == want.Release, err
}

// Settle gives the controller the firmware that belongs to the running slot: after a
// start into a new release the new one, after a fall-back the old one. It does nothing if
// the controller has it. Before the first change the firmware that is there is kept, if
// the slot to fall back to has none. ErrGivenUp ends a loop of tries.
func (u *Updater) Settle(ctx context.Context) error {
	at, want, settled, err := u.wanted(ctx)
	if settled || err != nil && at == slot.None {
		return err
	}
	if err := u.keepOld(ctx, at); err != nil {
		return err
	}
	cur, err := u.cfg.Bootloader.Current()
	if err != nil {
		return err
	}
	f, err := u.images(cur).read(at, want)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	if err := u.countFlash(); err != nil {
		return err
	}
	r := io.NewSectionReader(f, 0, int64(want.Size))
	if err := u.cfg.Controller.Install(ctx, want.Release, r); err != nil {
		return fmt.Errorf("install firmware %d: %w", want.Release, err)
	}
	_, err = u.cfg.Log.Update(func(r *slot.Record) error {
		r.Flashes = 0
		return nil
	})
	u.cfg.Logger.Info("controller settled", "release", want.Release)
	return err
}

func (u *Updater) countFlash() error {
	_, err := u.cfg.Log.Update(func(r *slot.Record) error {
		if r.Flashes >= maxFlashes {
			return ErrGivenUp
		}
		r.Flashes++
		return nil
	})
	return err
}

// keepOld keeps the firmware that is there if the confirmed slot, to which a failed trial
// falls back, does not say with which it runs. at is where the new one is kept.
func (u *Updater) keepOld(ctx context.Context, at slot.Name) error {
	rec, err := u.cfg.Log.Load()
	if err != nil {
		return err
	}
	cur, err := u.cfg.Bootloader.Current()
	if err != nil || rec.Active == slot.None || rec.Active == cur || rec.Slot(rec.Active).Image != slot.None {
		return err
	}
	release, err := u.cfg.Controller.Installed(ctx)
	if err != nil {
		return fmt.Errorf("find out which firmware the controller has: %w", err)
	}
	if release == 0 {
		release = slot.Factory
	}
	if err := u.cfg.Log.Drop(); err != nil {
		return err
	}
	old := at.Other()
	w, err := u.images(cur).Open(old)
	if err != nil {
		return err
	}
	if err := u.cfg.Controller.Save(ctx, w); err != nil {
		return fmt.Errorf("keep the controller's firmware: %w", errors.Join(ErrNoWayBack, err, w.Close()))
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("keep the controller's firmware: %w", err)
	}
	_, err = u.cfg.Log.Update(func(r *slot.Record) error {
		r.Image(old).Release = release
		r.Slot(rec.Active).Image = old
		return nil
	})
	return err
}

// GiveUp notes why the running release, which is on trial, is about to fail. It does
// nothing to one that is not on trial.
func (u *Updater) GiveUp(why slot.Why) error {
	cur, err := u.cfg.Bootloader.Current()
	if err != nil {
		return err
	}
	_, err = u.cfg.Log.Update(func(r *slot.Record) error {
		if r.Trying == cur && cur != slot.None {
			r.Why = why
		}
		return nil
	})
	return err
}
