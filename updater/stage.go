package updater

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"platen/updater/slot"
)

// Stage checks, writes a newer release into the slot that does not run, together with
// everything that belongs to it, and puts it on trial. After nil the caller restarts,
// through the bootloader, into it.
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
	if err := u.fill(ctx, t, b.Slot, idle); err != nil {
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

// fits refuses a release that could not be installed here, before any of it is fetched.
func (u *Updater) fits(t Target) error {
	if len(t.Hardware) > 0 && !slices.Contains(t.Hardware, u.cfg.Hardware) {
		return fmt.Errorf("release %d: %w", t.Release, ErrHardware)
	}
	for i, part := range t.Set {
		known := part.Kind == KindRoot && u.cfg.Root != nil || part.Kind == KindController && u.cfg.Controller != nil
		if !known {
			return fmt.Errorf("release %d, %s: %w", t.Release, part.Kind, ErrNoPart)
		}
		if part.Release >= slot.Factory || slices.ContainsFunc(t.Set[:i], func(o Target) bool { return o.Kind == part.Kind }) {
			return fmt.Errorf("release %d brings a %s twice, or with a number that cannot be: %w", t.Release, part.Kind, ErrMetadata)
		}
	}
	return nil
}

// fill puts t on trial in slot idle. What an interrupted stage left there already, and
// still reads back, is not fetched again.
func (u *Updater) fill(ctx context.Context, t Target, cur, idle slot.Name) error {
	root, err := u.fillRoot(ctx, t)
	if err != nil {
		return err
	}
	image, err := u.fillImage(ctx, t, cur)
	if err != nil {
		return err
	}
	rec, err := u.cfg.Log.Load()
	if err != nil && !errors.Is(err, slot.ErrRecord) {
		return err
	}
	if has := *rec.Slot(idle); has.Digest == t.SHA256 && !has.Confirmed {
		if err := u.try(t, idle, root, image); !errors.Is(err, ErrSlot) {
			return err
		}
	}
	if err := u.write(ctx, t, place{slot.Agent, idle, u.cfg.Bootloader}); err != nil {
		return err
	}
	if u.cfg.Hold() { // the download may have taken long
		return ErrHeld
	}
	return u.try(t, idle, root, image)
}

// place is where a target is written.
type place struct {
	kind slot.Kind
	name slot.Name
	in   opener
}

// opener is the part of a Bootloader that writes.
type opener interface {
	Open(slot.Name) (Writer, error)
}

func (p place) String() string {
	return [...]string{slot.Agent: "slot ", slot.Root: "root file system ", slot.Image: "firmware image "}[p.kind] + p.name.String()
}

// write fetches t into a place. If it is interrupted, the next write of the same contents
// goes on from there; what turns out not to be the signed contents is thrown away.
func (u *Updater) write(ctx context.Context, t Target, p place) error {
	for again := false; ; again = true {
		resumed, err := u.writeOnce(ctx, t, p, again)
		if err == nil {
			return nil
		}
		// What an interrupted download left was damaged since, or a delta did not do: once
		// more from the beginning, and whole.
		if !again && (errors.Is(err, ErrTarget) && resumed || errors.Is(err, errDelta)) {
			continue
		}
		return fmt.Errorf("write release %d to %s: %w", t.Release, p, err)
	}
}

func (u *Updater) writeOnce(ctx context.Context, t Target, p place, whole bool) (resumed bool, err error) {
	if err := u.cfg.Log.Plan(p.kind, p.name, t.SHA256); err != nil {
		return false, err
	}
	w, err := p.in.Open(p.name)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", p, err)
	}
	m := &meter{Proven: w, done: w.Head().Size(), total: t.Size, progress: u.cfg.Progress, hold: u.cfg.Hold}
	resumed = m.done > 0
	err = u.fetch(ctx, t, p, m, whole || resumed)
	if err == nil {
		return resumed, w.Close()
	}
	if errors.Is(err, ErrTarget) || errors.Is(err, ErrSlot) || errors.Is(err, errDelta) {
		return resumed, errors.Join(err, u.discard(w, p))
	}
	return resumed, errors.Join(err, w.Keep(!errors.Is(err, ErrHeld)))
}

// discard closes a writer whose contents are not to be used.
func (u *Updater) discard(w io.Closer, p place) error {
	err := w.Close()
	_, undo := u.cfg.Log.Update(func(r *slot.Record) error {
		switch p.kind {
		case slot.Agent:
			*r.Slot(p.name) = slot.Slot{}
		case slot.Root:
			*r.Root(p.name) = slot.Part{}
		case slot.Image:
			*r.Image(p.name) = slot.Part{}
		}
		r.Filling = slot.Filling{}
		return nil
	})
	return errors.Join(err, undo)
}

// try gives the slot its release number and what belongs to it, if it holds what was
// signed, and puts it on trial.
func (u *Updater) try(t Target, idle, root, image slot.Name) error {
	_, err := u.cfg.Log.Update(func(r *slot.Record) error {
		s := r.Slot(idle)
		if s.Digest != t.SHA256 {
			return fmt.Errorf("slot %s: %w", idle, ErrSlot)
		}
		s.Release, s.Root, s.Image = t.Release, root, image
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

// meter reports the progress of what passes through it, and stops it when the printer
// gets busy.
type meter struct {
	Proven
	done, total int64
	progress    func(done, total int64)
	hold        func() bool
	err         error // what it failed with
}

func (m *meter) Write(p []byte) (int, error) {
	if m.hold() {
		m.err = ErrHeld
		return 0, m.err
	}
	n, err := m.Proven.Write(p)
	m.done, m.err = m.done+int64(n), err
	m.progress(m.done, m.total)
	return n, err
}

// Sum is what the place holds.
func (m *meter) Sum() (sum [32]byte, err error) {
	if sum, err = m.Proven.Sum(); errors.Is(err, slot.ErrMedium) {
		err = errors.Join(ErrSlot, err)
	}
	m.err = err
	return sum, err
}
