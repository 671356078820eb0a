package updater

import (
	"context"
	"errors"
	"fmt"

	"platen/updater/slot"
)

// part is the target of a kind that belongs to t.
func (t Target) part(kind string) (Target, bool) {
	for _, p := range t.Set {
		if p.Kind == kind {
			return p, true
		}
	}
	return Target{}, false
}

// fillRoot makes sure that the root file system of a release is in a partition and
// returns which. Without one of its own it runs on the one that runs now.
func (u *Updater) fillRoot(ctx context.Context, t Target) (slot.Name, error) {
	if u.cfg.Root == nil {
		return slot.None, nil
	}
	cur, err := u.cfg.Root.Current()
	if err != nil {
		return slot.None, fmt.Errorf("find out which root file system runs: %w", err)
	}
	part, ok := t.part(KindRoot)
	if !ok {
		return cur, nil
	}
	rec, err := u.cfg.Log.Load()
	if err != nil && !errors.Is(err, slot.ErrRecord) {
		return slot.None, err
	}
	if cur == slot.None {
		return slot.None, fmt.Errorf("the running root file system is in neither partition: %w", ErrNoPart)
	}
	if err := u.keepRoot(cur); err != nil {
		return slot.None, err
	}
	for _, n := range [...]slot.Name{cur, cur.Other()} {
		if rec.Root(n).Digest == part.SHA256 && (n == cur || u.rootHolds(n, *rec.Root(n))) {
			return n, nil
		}
	}
	n := cur.Other()
	if err := u.write(ctx, part, place{slot.Root, n, u.cfg.Root}); err != nil {
		return slot.None, err
	}
	return n, u.name(part, n, (*slot.Record).Root)
}

// rootHolds reports whether a partition that does not run still reads back as want.
func (u *Updater) rootHolds(n slot.Name, want slot.Part) bool {
	in, ok := u.cfg.Root.(reader)
	if !ok {
		return false
	}
	f, err := in.Read(n)
	if err != nil {
		return false
	}
	defer f.Close() // only read
	sum, err := slot.Sum(f, int64(want.Size))
	return err == nil && sum == want.Digest
}

// keepRoot has the confirmed slots that do not say on which root file system they run, as
// the one from the factory, run on cur: that is what a failed trial goes back to.
func (u *Updater) keepRoot(cur slot.Name) error {
	_, err := u.cfg.Log.Update(func(r *slot.Record) error {
		for i := range r.Slots {
			if s := &r.Slots[i]; s.Confirmed && s.Root == slot.None {
				s.Root = cur
			}
		}
		return nil
	})
	return err
}

// fillImage makes sure that the firmware image of a release is kept and returns where.
// Without one of its own it runs with the firmware of the running slot, or, if none runs, of
// the confirmed one.
func (u *Updater) fillImage(ctx context.Context, t Target, cur slot.Name) (slot.Name, error) {
	if u.cfg.Controller == nil {
		return slot.None, nil
	}
	rec, err := u.cfg.Log.Load()
	if err != nil && !errors.Is(err, slot.ErrRecord) {
		return slot.None, err
	}
	has := slot.None
	if cur == slot.None { // the factory binary, in place of what is confirmed
		cur = rec.Active
	}
	if cur != slot.None {
		has = rec.Slot(cur).Image
	}
	part, ok := t.part(KindController)
	if !ok {
		return has, nil
	}
	for _, n := range [...]slot.Name{has, has.Other()} {
		if n != slot.None && rec.Image(n).Digest == part.SHA256 && rec.Image(n).Release == part.Release {
			return n, nil
		}
	}
	n := has.Other()
	if err := u.write(ctx, part, place{slot.Image, n, u.images(cur)}); err != nil {
		return slot.None, err
	}
	return n, u.name(part, n, (*slot.Record).Image)
}

// name gives what was written to a place its release number, if it is what was signed.
func (u *Updater) name(t Target, n slot.Name, of func(*slot.Record, slot.Name) *slot.Part) error {
	_, err := u.cfg.Log.Update(func(r *slot.Record) error {
		p := of(r, n)
		if p.Digest != t.SHA256 {
			return fmt.Errorf("release %d, %s: %w", t.Release, t.Kind, ErrSlot)
		}
		p.Release = t.Release
		return nil
	})
	return err
}

// confirmRoot makes the root file system of slot n the one that starts from now on.
func (u *Updater) confirmRoot(n slot.Name) error {
	if u.cfg.Root == nil {
		return nil
	}
	rec, err := u.cfg.Log.Load()
	if err != nil {
		return err
	}
	want := rec.Slot(n).Root
	if want == slot.None {
		return nil
	}
	cur, err := u.cfg.Root.Current()
	if err == nil && cur != want {
		err = ErrSlot
	}
	if err == nil {
		err = u.cfg.Root.Confirm(want)
	}
	if err != nil {
		return fmt.Errorf("confirm root file system %s: %w", want, err)
	}
	return nil
}

// images are the kept images of the controller's firmware, for an agent that runs from
// slot cur.
type images struct {
	fs  slot.FS
	log *slot.Log
	cur slot.Name
}

func (u *Updater) images(cur slot.Name) images { return images{u.cfg.Images, u.cfg.Log, cur} }

func (images) file(n slot.Name) string { return "controller-" + n.String() }

// Read opens what is in place n, for deltas.
func (m images) Read(n slot.Name) (slot.File, error) { return m.fs.Open(m.file(n), slot.Read) }

// Open empties a place that neither the running nor the confirmed slot needs.
func (m images) Open(n slot.Name) (Writer, error) {
	_, err := m.log.Update(func(r *slot.Record) error {
		for _, x := range [...]slot.Name{slot.A, slot.B} {
			switch s := r.Slot(x); {
			case s.Image != n:
			case x == m.cur || x == r.Active:
				return fmt.Errorf("slot %s runs with firmware image %s: %w", x, n, ErrSlot)
			default:
				r.EndTrial(x)
				*s = slot.Slot{}
			}
		}
		*r.Image(n) = slot.Part{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	f, err := m.log.BeginFile(m.fs, m.file(n), slot.Create, slot.Image, n)
	if err != nil {
		return nil, err
	}
	return &imageWriter{Fill: f, m: m, n: n}, nil
}

type imageWriter struct {
	*slot.Fill
	m images
	n slot.Name
}

// Close makes the image durable and enters in the record what it read back.
func (w *imageWriter) Close() error {
	got, err := w.Finish()
	if err == nil {
		err = slot.Commit(w.m.fs, w.m.file(w.n)+".new", w.m.file(w.n))
	}
	if err == nil {
		_, err = w.m.log.Update(func(r *slot.Record) error {
			*r.Image(w.n) = got
			r.Filling = slot.Filling{}
			return nil
		})
	}
	return err
}

// read opens a kept image that holds what the record says.
func (m images) read(n slot.Name, want slot.Part) (slot.File, error) {
	f, err := m.fs.Open(m.file(n), slot.Read)
	if err != nil {
		return nil, fmt.Errorf("open firmware image %s: %w", n, errors.Join(ErrSlot, err))
	}
	size, err := f.Size()
	if err == nil && uint64(size) != want.Size {
		err = ErrSlot
	}
	var sum [32]byte
	if err == nil {
		sum, err = slot.Sum(f, size)
	}
	if err == nil && sum != want.Digest {
		err = ErrSlot
	}
	if err != nil {
		return nil, fmt.Errorf("firmware image %s: %w", n, errors.Join(err, f.Close()))
	}
	return f, nil
}
