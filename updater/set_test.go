package updater_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// offered is a source of one release, whose contents are its path.
type offered struct {
	t       updater.Target
	fetched int
}

func part(kind string, release uint64) updater.Target {
	p := []byte(kind)
	return updater.Target{Path: kind, Board: "sim", Kind: kind, Release: release, Size: int64(len(p)), SHA256: sha256.Sum256(p)}
}

func (*offered) Refresh(context.Context) error                 { return nil }
func (*offered) Floor() updater.Floor                          { return updater.Floor{} }
func (*offered) Raise(updater.Floor) error                     { return nil }
func (o *offered) Find(string, string) (updater.Target, error) { return o.t, nil }

func (o *offered) Download(_ context.Context, t updater.Target, w io.Writer) error {
	o.fetched++
	_, err := io.WriteString(w, t.Path)
	return err
}

// fake is a controller that takes nothing, or cannot be read.
type fake struct {
	has            uint64
	refuses, blind bool
	tries          int
}

func (f *fake) Installed(context.Context) (uint64, error) { return f.has, nil }

func (f *fake) Install(_ context.Context, release uint64, r io.Reader) error {
	f.tries++
	if _, err := io.Copy(io.Discard, r); err != nil || f.refuses {
		return errors.Join(err, errors.New("the line is cut"))
	}
	f.has = release
	return nil
}

func (f *fake) Save(_ context.Context, w io.Writer) error {
	if f.blind {
		return errors.New("it is protected")
	}
	_, err := io.WriteString(w, "old firmware")
	return err
}

// bench is an updater on a disk in memory that runs from a slot.
func bench(t *testing.T, d *updatertest.Disk, running slot.Name, o *offered, c updater.Controller) *updater.Updater {
	t.Helper()
	s := boot.OpenFS(d, running)
	cfg := updater.Config{Board: "sim", Kind: updater.KindAgent, Source: o, Bootloader: s, Log: s.Log(), Hardware: "rev-b"}
	if c != nil {
		cfg.Controller, cfg.Images = c, d
	}
	u, err := updater.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func factory(t *testing.T) *updatertest.Disk {
	t.Helper()
	d := updatertest.NewDisk()
	old := io.LimitReader(zeros{}, 100)
	if err := boot.InstallFS(d, old, 1); err != nil {
		t.Fatal(err)
	}
	return d
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestUnfit: what could not be installed here is refused before a byte of it is fetched.
func TestUnfit(t *testing.T) {
	agent := part(updater.KindAgent, 2)
	for name, c := range map[string]struct {
		change func(*updater.Target)
		want   error
	}{
		"another revision":  {func(t *updater.Target) { t.Hardware = []string{"rev-a", "rev-c"} }, updater.ErrHardware},
		"this revision":     {func(t *updater.Target) { t.Hardware = []string{"rev-a", "rev-b"} }, nil},
		"no root partition": {func(t *updater.Target) { t.Set = []updater.Target{part(updater.KindRoot, 2)} }, updater.ErrNoPart},
		"what nobody knows": {func(t *updater.Target) { t.Set = []updater.Target{part("toaster", 2)} }, updater.ErrNoPart},
		"a part twice": {func(t *updater.Target) {
			t.Set = []updater.Target{part(updater.KindController, 2), part(updater.KindController, 3)}
		}, updater.ErrMetadata},
		"a number that cannot be": {func(t *updater.Target) { t.Set = []updater.Target{part(updater.KindController, slot.Factory)} }, updater.ErrMetadata},
		"with firmware":           {func(t *updater.Target) { t.Set = []updater.Target{part(updater.KindController, 2)} }, nil},
	} {
		o := &offered{t: agent}
		c.change(&o.t)
		_, err := bench(t, factory(t), slot.A, o, &fake{}).Stage(t.Context())
		if !errors.Is(err, c.want) || (err == nil) != (o.fetched > 0) {
			t.Errorf("%s: %v, %d files fetched; want %v", name, err, o.fetched, c.want)
		}
	}
}

// staged is a printer whose slot b is on trial with firmware 2 for the controller.
func staged(t *testing.T, c updater.Controller) (*updatertest.Disk, *updater.Updater) {
	t.Helper()
	d, o := factory(t), &offered{t: part(updater.KindAgent, 2)}
	o.t.Set = []updater.Target{part(updater.KindController, 2)}
	if _, err := bench(t, d, slot.A, o, c).Stage(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d, bench(t, d, slot.B, o, c)
}

// TestSettle: the firmware of a set is installed, and what was there before is kept for the
// slot to fall back to.
func TestSettle(t *testing.T) {
	c := &fake{}
	d, u := staged(t, c)
	if ok, err := u.Settled(t.Context()); ok || err != nil {
		t.Fatalf("settled %v, %v before anything was flashed", ok, err)
	}
	if err := u.Settle(t.Context()); err != nil || c.has != 2 {
		t.Fatalf("firmware %d, %v", c.has, err)
	}
	old := bench(t, d, slot.A, &offered{}, c)
	if err := old.Settle(t.Context()); err != nil || c.has != slot.Factory {
		t.Fatalf("after the fall-back: firmware %d, %v", c.has, err)
	}
}

// TestNoWayBack: a controller whose firmware cannot be kept is not flashed.
func TestNoWayBack(t *testing.T) {
	c := &fake{blind: true}
	_, u := staged(t, c)
	if err := u.Settle(t.Context()); !errors.Is(err, updater.ErrNoWayBack) || c.tries != 0 {
		t.Errorf("%v after %d tries", err, c.tries)
	}
}

// TestFactoryBinaryUpdates: where the confirmed slot does not start any more, the factory
// binary stages a release with firmware beside the image that slot needs.
func TestFactoryBinaryUpdates(t *testing.T) {
	for _, at := range [...]slot.Name{slot.A, slot.B} {
		d, o := factory(t), &offered{t: part(updater.KindAgent, 2)}
		o.t.Set = []updater.Target{part(updater.KindController, 2)}
		_, err := slot.NewLog(d).Update(func(r *slot.Record) error {
			r.Slot(slot.A).Image = at
			*r.Image(at) = slot.Part{Release: 1, Size: 1, Digest: [32]byte{1}}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bench(t, d, slot.None, o, &fake{}).Stage(t.Context()); err != nil {
			t.Errorf("image %s: %v", at, err)
		}
		rec, err := slot.NewLog(d).Load()
		if err != nil || rec.Image(at).Empty() || rec.Slot(rec.Active).Image != at || rec.Slot(rec.Trying).Image != at.Other() {
			t.Errorf("image %s: %+v, %v", at, rec, err)
		}
	}
}

// TestGivenUp: a controller that does not take its firmware is not flashed for ever, also
// over restarts, until somebody says so.
func TestGivenUp(t *testing.T) {
	c := &fake{refuses: true}
	d, _ := staged(t, c)
	for range 30 {
		u := bench(t, d, slot.B, &offered{}, c)
		if err := u.Settle(t.Context()); err == nil {
			t.Fatal("settled")
		}
	}
	if c.tries < 3 || c.tries > 10 {
		t.Errorf("flashed %d times", c.tries)
	}
	u := bench(t, d, slot.B, &offered{}, c)
	if err := u.Settle(t.Context()); !errors.Is(err, updater.ErrGivenUp) {
		t.Errorf("%v, want ErrGivenUp", err)
	}
	c.refuses = false
	changed, err := u.Forgive()
	if err = errors.Join(err, u.Settle(t.Context())); err != nil || !changed || c.has != 2 {
		t.Errorf("after it was forgiven: firmware %d, %v", c.has, err)
	}
}

// TestGiveUp: the reason that a release on trial gives stays; a confirmed one gives none.
func TestGiveUp(t *testing.T) {
	d, u := staged(t, &fake{})
	if err := u.GiveUp(slot.NoUplink); err != nil {
		t.Fatal(err)
	}
	rec, err := slot.NewLog(d).Update(func(r *slot.Record) error { r.FallBack(slot.Crashed); return nil })
	if err != nil || rec.Why != slot.NoUplink || rec.Bad != 2 {
		t.Errorf("bad release %d, reason %v, %v", rec.Bad, rec.Why, err)
	}
	if err := bench(t, d, slot.A, &offered{}, nil).GiveUp(slot.BadHeat); err != nil {
		t.Fatal(err)
	}
	if rec, err := slot.NewLog(d).Load(); err != nil || rec.Why != slot.NoUplink {
		t.Errorf("a confirmed release gave the reason %v, %v", rec.Why, err)
	}
}
