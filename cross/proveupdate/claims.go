package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/boot/boottest"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// caught runs the cuts with a seeded mistake and says which invariant noticed it.
func caught(name string, b bug) (string, error) {
	states, err := cuts(usual, boottest.Boards["uboot-count"], b, plan{7, 1 << 30, 1, 1})
	is, ok := errors.AsType[broken](err)
	if !ok {
		return "", fmt.Errorf("control: %s is not noticed in %d states: %v", name, states, err)
	}
	return fmt.Sprintf("%s caught by %s", name, is.invariant), nil
}

// claimCuts is that no power cut breaks an invariant.
func claimCuts(board string, p plan) (string, error) {
	n := 0
	for _, s := range [...]story{usual, firstFails} {
		states, err := cuts(s, boottest.Boards[board], sane, p)
		if n += states; err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d states", n), nil
}

// claimControls is that each seeded mistake is noticed.
func claimControls() (text string, err error) {
	for _, c := range []struct {
		name string
		bug  bug
	}{{"bootloader armed before the read-back", armedEarly}, {"read-back skipped", unread}, {"fsyncs swapped", syncsSwapped}} {
		said, err := caught(c.name, c.bug)
		if err != nil {
			return "", err
		}
		text += said + "; "
	}
	return text[:len(text)-2], nil
}

// claimFloor is that neither a lost record nor lost metadata lowers the floor.
func claimFloor() (string, error) {
	for _, lost := range []string{"slots", "floor"} {
		refused, err := rollback(sane, lost)
		if err != nil || !refused {
			return "", fmt.Errorf("with %s lost an older release is taken: %w", lost, err)
		}
	}
	refused, err := rollback(floorForgotten, "slots")
	if err != nil || refused {
		return "", fmt.Errorf("control: a floor that is not persisted is not noticed: %w", err)
	}
	return "record lost, metadata lost; floor not persisted caught", nil
}

// rollback lives a printer's story, loses a file, offers an older release, and reports
// whether it is refused.
func rollback(b bug, lost string) (refused bool, err error) {
	d := updatertest.NewDisk()
	w, err := newWorld(d, boottest.Boards["uboot-count"], b)
	if err == nil {
		err = w.live(func(string) {})
	}
	if err != nil {
		return false, err
	}
	p, _ := d.Contents(lost)
	d.Damage(lost, make([]byte, len(p)))
	root, err := boottest.Root(d, slot.NewLog(d), w.fw, slot.B)
	if err != nil {
		return false, err
	}
	up, err := w.updater(root, boot.Choice{}, set{3, 0, 0})
	if err != nil {
		return false, err
	}
	_, err = up.Check(context.Background())
	if errors.Is(err, updater.ErrRollback) {
		return true, nil
	}
	return false, err
}

// watched is a disk that notes what is written while the printer is hot.
type watched struct {
	*updatertest.Disk
	hot    bool
	after  int // bytes that are still written before it gets hot
	burned int // bytes of releases written while hot
}

type watchedFile struct {
	slot.File
	d    *watched
	name string
}

func (d *watched) Open(name string, mode slot.Mode) (slot.File, error) {
	f, err := d.Disk.Open(name, mode)
	return watchedFile{f, d, name}, err
}

func (f watchedFile) WriteAt(p []byte, off int64) (int, error) {
	if f.name != "slots" {
		if f.d.hot {
			f.d.burned += len(p)
		}
		f.d.after -= len(p)
		f.d.hot = f.d.hot || f.d.after <= 0
	}
	return f.File.WriteAt(p, off)
}

// claimCold is that nothing of a release is written while the printer is hot or prints,
// whenever that begins.
func claimCold() (string, error) {
	n := 0
	for after := 0; after < 6000; after += 450 {
		burned, err := whileHot(after, false)
		if err != nil || burned > 0 {
			return "", fmt.Errorf("hot after %d bytes: %d more were written: %w", after, burned, err)
		}
		n++
	}
	if burned, err := whileHot(450, true); err != nil || burned == 0 {
		return "", fmt.Errorf("control: an update while hot is not noticed: %w", err)
	}
	return fmt.Sprintf("hot at %d moments; update while hot caught", n), nil
}

// whileHot stages a release on a printer that gets hot on the way, and returns how much of it
// was written from then on. careless does not ask whether it is hot: a control.
func whileHot(after int, careless bool) (burned int, err error) {
	d := updatertest.NewDisk()
	w, err := newWorld(d, boottest.Boards["uboot-count"], sane)
	if err != nil {
		return 0, err
	}
	offer := usual.offers[0]
	a, err := w.start(offer)
	if err != nil {
		return 0, err
	}
	disk := &watched{Disk: d, after: after, hot: after == 0}
	w.disk, w.hold = disk, func() bool { return disk.hot && !careless }
	root, err := boottest.Root(disk, slot.NewLog(disk), w.fw, a.root)
	if err != nil {
		return 0, err
	}
	up, err := w.updater(root, a.choice, offer)
	if err != nil {
		return 0, err
	}
	_, err = up.Stage(context.Background())
	if careless {
		return disk.burned, err
	}
	if disk.hot && !errors.Is(err, updater.ErrHeld) {
		return 0, fmt.Errorf("it was not held: %w", err)
	}
	burned, disk.hot, disk.after = disk.burned, false, 1<<30
	if _, err := up.Stage(context.Background()); err != nil { // cold again: it goes on
		return 0, fmt.Errorf("when it is cold again: %w", err)
	}
	p, _ := d.Contents("b/platen")
	if !bytes.Equal(p, contents(updater.KindAgent, offer.agent)) {
		return 0, errors.New("what was staged in the end is not the release")
	}
	return burned, nil
}
