package updater_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/boot/boottest"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// listed is offered, and counts what was fetched by kind.
type listed struct {
	offered
	kinds map[string]int
}

func (l *listed) Download(ctx context.Context, t updater.Target, w io.Writer) error {
	l.kinds[t.Kind]++
	return l.offered.Download(ctx, t, w)
}

// rooted is a printer from the factory that has two partitions, and an updater that runs
// from slot a and partition a. It is offered a set with a root file system.
func rooted(t *testing.T) (*updatertest.Disk, *updater.Updater, *listed) {
	t.Helper()
	d, fw := factory(t), boottest.Boards["uboot-count"]
	err := errors.Join(fw.Factory(d), slot.Replace(d, boottest.Partition(slot.A), []byte("root one")),
		slot.Replace(d, boottest.Partition(slot.B), make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	s := boot.OpenFS(d, slot.A)
	root, err := boottest.Root(d, s.Log(), fw, slot.A)
	if err != nil {
		t.Fatal(err)
	}
	l := &listed{offered{t: part(updater.KindAgent, 2)}, map[string]int{}}
	l.t.Set = []updater.Target{part(updater.KindRoot, 2)}
	u, err := updater.New(updater.Config{Board: "sim", Kind: updater.KindAgent, Source: l, Bootloader: s, Log: s.Log(), Root: root})
	if err != nil {
		t.Fatal(err)
	}
	return d, u, l
}

func stage(t *testing.T, u *updater.Updater) {
	t.Helper()
	if _, err := u.Stage(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// align is a start of the board from a partition, up to what the launcher does about it.
func align(t *testing.T, d *updatertest.Disk, running slot.Name) (boot.Choice, boot.Turn) {
	t.Helper()
	root, err := boottest.Root(d, slot.NewLog(d), boottest.Boards["uboot-count"], running)
	if err != nil {
		t.Fatal(err)
	}
	c := boot.Pick(d, slog.New(slog.DiscardHandler))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	turn, _, err := root.Align(c, [16]byte{1})
	if err != nil && !errors.Is(err, updater.ErrSlot) {
		t.Fatal(err)
	}
	return c, turn
}

func endTrial(t *testing.T, d *updatertest.Disk) {
	t.Helper()
	_, err := slot.NewLog(d).Update(func(r *slot.Record) error {
		r.FallBack(slot.Crashed)
		r.Bad = 0
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFirstRootGoesBack: the release of the factory goes back to its root file system when
// the first one that an update brings fails.
func TestFirstRootGoesBack(t *testing.T) {
	d, u, _ := rooted(t)
	stage(t, u)
	endTrial(t, d)
	c, turn := align(t, d, slot.B)
	if c.Slot != slot.A || turn != boot.Reboot {
		t.Errorf("slot %s starts on the root file system that failed: turn %d", c.Slot, turn)
	}
}

// TestRootIsReadBack: a root file system that an earlier update has left is used if it is
// whole, and else fetched again.
func TestRootIsReadBack(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		d, u, l := rooted(t)
		stage(t, u)
		endTrial(t, d)
		want := 1
		if damaged {
			damage(d)
			want = 2
		}
		stage(t, u)
		p, _ := d.Contents(boottest.Partition(slot.B))
		if l.kinds[updater.KindRoot] != want || !bytes.HasPrefix(p, []byte(updater.KindRoot)) {
			t.Errorf("damaged %v: fetched %d times, want %d; it holds %q", damaged, l.kinds[updater.KindRoot], want, p[:8])
		}
	}
}

// TestDamagedRootIsForgotten: a root file system that does not read back when it is to be
// tried is not counted on again.
func TestDamagedRootIsForgotten(t *testing.T) {
	d, u, _ := rooted(t)
	stage(t, u)
	damage(d)
	if c, turn := align(t, d, slot.A); !c.Trial || turn != boot.PickAgain {
		t.Fatalf("trial %v, turn %d", c.Trial, turn)
	}
	rec, err := slot.NewLog(d).Load()
	if err != nil || rec.Why != slot.Damaged || !rec.Root(slot.B).Empty() {
		t.Errorf("%v; failed for %v; the record says that root file system b holds %+v", err, rec.Why, *rec.Root(slot.B))
	}
}

// damage changes a byte of partition b.
func damage(d *updatertest.Disk) {
	p, _ := d.Contents(boottest.Partition(slot.B))
	p = bytes.Clone(p)
	p[1] ^= 1
	d.Damage(boottest.Partition(slot.B), p)
}

// failing is a disk whose partition b changes what is written to it.
type failing struct{ *updatertest.Disk }

type failingFile struct{ slot.File }

func (d failing) Open(name string, mode slot.Mode) (slot.File, error) {
	f, err := d.Disk.Open(name, mode)
	if err == nil && name == boottest.Partition(slot.B) {
		f = failingFile{f}
	}
	return f, err
}

func (f failingFile) WriteAt(p []byte, off int64) (int, error) {
	p = bytes.Clone(p)
	p[len(p)-1] ^= 8
	return f.File.WriteAt(p, off)
}

// proving is listed, and holds what is written to be durable against what was signed.
type proving struct{ *listed }

func (p proving) Download(ctx context.Context, t updater.Target, w io.Writer) error {
	if err := p.listed.Download(ctx, t, w); err != nil {
		return err
	}
	sum, err := w.(updater.Proven).Sum()
	if err == nil && sum != t.SHA256 {
		err = updater.ErrTarget
	}
	return err
}

// TestFailingMedium: a partition that does not give back what was written to it is refused as
// that, nothing is counted on, and on a sound one the same release is staged.
func TestFailingMedium(t *testing.T) {
	for _, sound := range []bool{true, false} {
		d, _, l := rooted(t)
		fsys, fw, s := slot.FS(failing{d}), boottest.Boards["uboot-count"], boot.OpenFS(d, slot.A)
		if sound {
			fsys = d
		}
		root, err := boottest.Root(fsys, s.Log(), fw, slot.A)
		if err != nil {
			t.Fatal(err)
		}
		u, err := updater.New(updater.Config{Board: "sim", Kind: updater.KindAgent, Source: proving{l}, Bootloader: s, Log: s.Log(), Root: root})
		if err != nil {
			t.Fatal(err)
		}
		_, err = u.Stage(t.Context())
		if sound && err != nil || !sound && (!errors.Is(err, updater.ErrSlot) || !errors.Is(err, slot.ErrMedium)) {
			t.Errorf("sound %v: %v", sound, err)
		}
		rec, err := s.Log().Load()
		if err != nil || (rec.Trying == slot.B) != sound || rec.Root(slot.B).Empty() == sound || !sound && rec.Filling != (slot.Filling{}) {
			t.Errorf("sound %v: %+v, %v", sound, rec, err)
		}
	}
}
