package updater

import (
	"context"
	"errors"
	"slices"

	"platen/updater/delta"
	"platen/updater/slot"
)

// Delta is a signed file that makes a target out of other contents (package delta).
type Delta struct {
	Path   string   // name in the signed metadata
	From   [32]byte // digest of the contents it starts from
	Size   int64    // length of the delta in bytes
	SHA256 [32]byte // digest of the delta
}

// reader is a place whose contents can be read: for a delta that starts from its other
// side, and to find out whether they are whole.
type reader interface {
	Read(slot.Name) (slot.File, error)
}

// base is what the other side of p holds: a delta of t that starts from it, and its
// contents. It returns nil if there is none.
func (u *Updater) base(t Target, p place) (*Delta, slot.File, int64, error) {
	in, ok := p.in.(reader)
	if !ok || len(t.Deltas) == 0 {
		return nil, nil, 0, nil
	}
	rec, err := u.cfg.Log.Load()
	if err != nil {
		return nil, nil, 0, err
	}
	var has slot.Part
	switch other := p.name.Other(); p.kind {
	case slot.Agent:
		s := rec.Slot(other)
		has = slot.Part{Size: s.Size, Digest: s.Digest}
	case slot.Root:
		has = *rec.Root(other)
	case slot.Image:
		has = *rec.Image(other)
	}
	i := slices.IndexFunc(t.Deltas, func(d Delta) bool { return !has.Empty() && d.From == has.Digest })
	if i < 0 {
		return nil, nil, 0, nil
	}
	f, err := in.Read(p.name.Other())
	return &t.Deltas[i], f, int64(has.Size), err
}

// errDelta reports that a delta did not do: the whole target is to be fetched.
var errDelta = errors.New("the delta did not make the release")

// byDelta writes t to m by a delta, and reports whether there was one. After errDelta
// what was written is of no use.
func (u *Updater) byDelta(ctx context.Context, t Target, p place, m *meter) (bool, error) {
	d, old, size, err := u.base(t, p)
	if d == nil && err == nil {
		return false, nil
	}
	if err != nil {
		return true, errors.Join(errDelta, err)
	}
	patch := delta.NewPatcher(old, size, m, t.Size)
	file := Target{Path: d.Path, Board: t.Board, Kind: t.Kind, Release: t.Release, Size: d.Size, SHA256: d.SHA256}
	err = u.cfg.Source.Download(ctx, file, patch)
	if err == nil {
		err = patch.Close()
	}
	if err = errors.Join(err, old.Close()); err == nil {
		var sum [32]byte
		if sum, err = m.Sum(); err == nil && sum != t.SHA256 {
			err = ErrTarget
		}
	}
	switch {
	case err == nil:
		u.cfg.Logger.Info("release made by a delta", "release", t.Release, "kind", t.Kind, "bytes", d.Size)
		return true, nil
	case m.err != nil, ctx.Err() != nil: // the whole target would fare no better
		return true, err
	}
	u.cfg.Logger.Warn("delta refused", "release", t.Release, "kind", t.Kind, "reason", err.Error())
	return true, errors.Join(errDelta, err)
}

// fetch writes t to a place: whole, or if it may be by a delta.
func (u *Updater) fetch(ctx context.Context, t Target, p place, m *meter, whole bool) error {
	if !whole {
		if tried, err := u.byDelta(ctx, t, p, m); tried {
			return err
		}
	}
	return u.cfg.Source.Download(ctx, t, m)
}
