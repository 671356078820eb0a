package boot_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"testing"
	"time"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// source offers one release.
type source struct {
	release int
	floor   updater.Floor
}

func (*source) Refresh(context.Context) error { return nil }
func (s *source) Floor() updater.Floor        { return s.floor }
func (s *source) Raise(f updater.Floor) error {
	s.floor.Release = max(s.floor.Release, f.Release)
	return nil
}

func (s *source) Find(board, kind string) (updater.Target, error) {
	data := image(s.release)
	return updater.Target{Path: "x", Board: board, Kind: kind, Release: uint64(s.release),
		Size: int64(len(data)), SHA256: sha256.Sum256(data)}, nil
}

func (s *source) Download(_ context.Context, t updater.Target, w io.Writer) error {
	data := image(int(t.Release))
	for len(data) > 0 { // as it comes from a network
		n := min(700, len(data))
		if _, err := w.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func newUpdater(t *testing.T, d *updatertest.Disk, running slot.Name, offer int) *updater.Updater {
	t.Helper()
	s := boot.OpenFS(d, running)
	s.Log().SetSteps(slot.DefaultEvery, 700) // many writes that are not durable
	u, err := updater.New(updater.Config{Board: "sim", Kind: "agent", Release: 1, Source: &source{release: offer}, Bootloader: s, Log: s.Log()})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// story is what happens to a printer: two updates that work, one that fails its
// trial, one that works after it. Each thing that was reported as done is marked.
func story(t *testing.T, d *updatertest.Disk) {
	t.Helper()
	if err := boot.InstallFS(d, bytes.NewReader(image(1)), 1); err != nil {
		t.Fatal(err)
	}
	d.Mark("confirmed 1")
	for release := 2; release <= 5; release++ {
		c := start(t, d)
		if _, err := newUpdater(t, d, c.Slot, release).Stage(context.Background()); err != nil {
			t.Fatal(err)
		}
		d.Mark(fmt.Sprintf("staged %d", release))
		c = start(t, d)
		if !c.Trial || c.Entry.Release != uint64(release) {
			t.Fatalf("release %d starts, trial %v; want release %d on trial", c.Entry.Release, c.Trial, release)
		}
		d.Mark(fmt.Sprintf("tried %d", release))
		if release == 4 {
			failTrial(t, d)
			d.Mark("failed 4")
			continue
		}
		if err := newUpdater(t, d, c.Slot, release).Confirm(); err != nil {
			t.Fatal(err)
		}
		d.Mark(fmt.Sprintf("confirmed %d", release))
	}
}

func start(t *testing.T, d *updatertest.Disk) boot.Choice {
	t.Helper()
	c := boot.Pick(d, quiet)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return c
}

func failTrial(t *testing.T, d *updatertest.Disk) {
	t.Helper()
	_, err := slot.NewLog(d).Update(func(r *slot.Record) error { r.FallBack(slot.Crashed); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

// promised is what the marks before a cut promise.
func promised(acked []string) (confirmed, failed uint64, staged uint64) {
	for _, m := range acked {
		var n uint64
		if _, err := fmt.Sscanf(m, "confirmed %d", &n); err == nil {
			confirmed, staged = n, 0
		} else if _, err := fmt.Sscanf(m, "staged %d", &n); err == nil {
			staged = n
		} else if _, err := fmt.Sscanf(m, "failed %d", &n); err == nil {
			failed, staged = n, 0
		}
	}
	return confirmed, failed, staged
}

// checkCut checks the invariants of a printer that starts after a cut, and returns
// what started.
func checkCut(t *testing.T, d *updatertest.Disk, acked []string, at string) boot.Choice {
	t.Helper()
	confirmed, failed, staged := promised(acked)
	c := start(t, d)
	if c.Slot == slot.None {
		if confirmed != 0 {
			t.Fatalf("%s: no slot starts after release %d was confirmed", at, confirmed)
		}
		return c
	}
	data, _ := d.Contents(path(c.Slot))
	if !bytes.Equal(data, image(int(c.Entry.Release))) {
		t.Fatalf("%s: slot %s starts and does not hold release %d", at, c.Slot, c.Entry.Release)
	}
	if c.Entry.Release < confirmed {
		t.Fatalf("%s: release %d starts after %d was confirmed", at, c.Entry.Release, confirmed)
	}
	// The trial of release 4 may have ended already: it is one that fails.
	if c.Entry.Release < staged && staged != 4 {
		t.Fatalf("%s: release %d starts after %d was staged", at, c.Entry.Release, staged)
	}
	if failed != 0 && c.Entry.Release == failed {
		t.Fatalf("%s: release %d starts after it failed", at, failed)
	}
	rec, err := slot.NewLog(d).Load()
	if err != nil || rec.Floor < confirmed {
		t.Fatalf("%s: floor %d, %v; release %d was confirmed", at, rec.Floor, err, confirmed)
	}
	return c
}

// nextUpdate updates to a release newer than any, without help.
func nextUpdate(t *testing.T, d *updatertest.Disk, c boot.Choice, at string) {
	t.Helper()
	const newest = 9
	u := newUpdater(t, d, c.Slot, newest)
	if c.Trial {
		if err := u.Confirm(); err != nil {
			t.Fatalf("%s: confirm: %v", at, err)
		}
	}
	if _, err := u.Stage(context.Background()); err != nil {
		t.Fatalf("%s: the next update: %v", at, err)
	}
	if c = start(t, d); c.Entry.Release != newest || !c.Trial {
		t.Fatalf("%s: release %d starts after the next update", at, c.Entry.Release)
	}
	if err := newUpdater(t, d, c.Slot, newest).Confirm(); err != nil {
		t.Fatalf("%s: confirm the next update: %v", at, err)
	}
}

// TestPowerCuts cuts the power in every way after every effect of the story, starts
// the printer, cuts that start in every way, too, and then updates once more.
func TestPowerCuts(t *testing.T) {
	d := updatertest.NewDisk()
	story(t, d)
	states, all, begun := 0, 0, time.Now()
	each, least := 1, 10000
	if testing.Short() {
		each, least = 8, 1000
	}
	for c := range d.Crashes(7) {
		if all++; all%each != 0 {
			continue
		}
		states++
		choice := checkCut(t, c.Disk, c.Acked, c.At)
		for again := range c.Disk.Crashes(7) {
			states++
			second := checkCut(t, again.Disk, c.Acked, c.At+" / "+again.At)
			if states%16 == 0 {
				nextUpdate(t, again.Disk, second, c.At+" / "+again.At)
			}
		}
		nextUpdate(t, c.Disk, choice, c.At)
	}
	if states < least {
		t.Fatalf("only %d states", states)
	}
	t.Logf("%d states in %v, %d effects", states, time.Since(begun).Round(time.Millisecond), d.Effects())
}

// lazy is a disk that forgets to synchronise slots: the control of the power cuts.
type lazy struct{ *updatertest.Disk }

type lazyFile struct{ slot.File }

func (lazyFile) Sync() error { return nil }

func (l lazy) Open(name string, mode slot.Mode) (slot.File, error) {
	f, err := l.Disk.Open(name, mode)
	if err != nil || mode != slot.Program {
		return f, err
	}
	return lazyFile{f}, nil
}

func TestPowerCutsNoticeMissingSync(t *testing.T) {
	d := updatertest.NewDisk()
	if err := boot.InstallFS(lazy{d}, bytes.NewReader(image(1)), 1); err != nil {
		t.Fatal(err)
	}
	d.Mark("confirmed 1")
	dead := 0
	for c := range d.Crashes(7) {
		if start(t, c.Disk).Slot == slot.None && len(c.Acked) > 0 {
			dead++
		}
	}
	if dead == 0 {
		t.Fatal("a slot that is never synchronised survived every cut")
	}
}
