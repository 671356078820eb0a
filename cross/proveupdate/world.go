package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/boot/boottest"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

var quiet = slog.New(slog.DiscardHandler)

// set is what one release consists of; 0 leaves a part out.
type set struct{ agent, root, controller uint64 }

// contents are the bytes of a part of a release: different for each.
func contents(kind string, n uint64) []byte {
	size := map[string]int{updater.KindAgent: 1700, updater.KindRoot: 2600, updater.KindController: 900}[kind]
	text := fmt.Appendf(nil, "%s %d. ", kind, n)
	return bytes.Repeat(text, size/len(text)+int(n))
}

// target is a part as signed metadata has it.
func target(kind string, n uint64) updater.Target {
	p := contents(kind, n)
	return updater.Target{Path: kind, Board: "sim", Kind: kind, Release: n, Size: int64(len(p)), SHA256: sha256.Sum256(p)}
}

// target is the release as signed metadata has it.
func (s set) target() updater.Target {
	t := target(updater.KindAgent, s.agent)
	if s.root != 0 {
		t.Set = append(t.Set, target(updater.KindRoot, s.root))
	}
	if s.controller != 0 {
		t.Set = append(t.Set, target(updater.KindController, s.controller))
	}
	return t
}

// source offers one release. Its floor is on the same disk, in a file of its own, as the
// store of package trust is.
type source struct {
	disk  slot.FS
	offer set
	lazy  bool // forgets floors: a control
}

func (*source) Refresh(context.Context) error { return nil }

func (s *source) Floor() updater.Floor {
	p, err := slot.ReadAll(s.disk, "floor", 64)
	var f updater.Floor
	if err == nil {
		fmt.Sscan(string(p), &f.Release)
	}
	return f
}

func (s *source) Raise(f updater.Floor) error {
	if s.lazy || f.Release <= s.Floor().Release {
		return nil
	}
	return slot.Replace(s.disk, "floor", fmt.Append(nil, f.Release))
}

func (s *source) Find(string, string) (updater.Target, error) { return s.offer.target(), nil }

// chunk is how much arrives at once.
const chunk = 800

func (*source) Download(_ context.Context, t updater.Target, w io.Writer) error {
	p, head := contents(t.Kind, t.Release), []byte(nil)
	if r, ok := w.(updater.Resumed); ok {
		var err error
		if head, err = io.ReadAll(r.Head()); err != nil {
			return err
		}
	}
	if !bytes.HasPrefix(p, head) {
		return updater.ErrTarget
	}
	for rest := range slices.Chunk(p[len(head):], chunk) {
		if _, err := w.Write(rest); err != nil {
			return err
		}
	}
	return nil
}

// device is a motion controller in the eyes of the updater, and of the invariants.
type device interface {
	updater.Controller
	// pending reports whether its flash may hold anything.
	pending() bool
	// holds reports whether it has the firmware of a release; 0 is the factory's.
	holds(release uint64) bool
}

// mcu is a motion controller on the same disk: its flash, which is written page by page, and
// a journal. It keeps what package flash promises of the real ones.
type mcu struct{ disk slot.FS }

const (
	mcuFlash   = "mcu"
	mcuJournal = "mcu-journal"
	mcuPage    = 256
)

func (c mcu) factory() error {
	return slot.Replace(c.disk, mcuFlash, append(contents(updater.KindController, 0), make([]byte, 2048)...))
}

func (c mcu) Installed(context.Context) (uint64, error) {
	p, err := slot.ReadAll(c.disk, mcuJournal, 64)
	var state string
	var n uint64
	if err == nil {
		fmt.Sscan(string(p), &state, &n)
	}
	if state != "confirmed" {
		n = 0
	}
	return n, nil
}

func (c mcu) holds(release uint64) bool {
	p, err := slot.ReadAll(c.disk, mcuFlash, 1<<20)
	return err == nil && bytes.Equal(bytes.TrimRight(p, "\x00"), contents(updater.KindController, release))
}

func (c mcu) pending() bool {
	p, err := slot.ReadAll(c.disk, mcuJournal, 64)
	return err == nil && bytes.HasPrefix(p, []byte("writing"))
}

func (c mcu) Save(_ context.Context, w io.Writer) error {
	if c.pending() {
		return errors.New("it is not confirmed")
	}
	p, err := slot.ReadAll(c.disk, mcuFlash, 1<<16)
	if err == nil {
		_, err = w.Write(bytes.TrimRight(p, "\x00"))
	}
	return err
}

func (c mcu) Install(_ context.Context, release uint64, r io.Reader) error {
	p, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := slot.Replace(c.disk, mcuJournal, fmt.Appendf(nil, "writing %d", release)); err != nil {
		return err
	}
	f, err := c.disk.Open(mcuFlash, slot.Edit)
	if err != nil {
		return err
	}
	size, err := f.Size()
	p = append(p, make([]byte, int(size)-len(p))...)
	for at := 0; at < len(p) && err == nil; at += mcuPage {
		_, err = f.WriteAt(p[at:min(at+mcuPage, len(p))], int64(at))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return slot.Replace(c.disk, mcuJournal, fmt.Appendf(nil, "confirmed %d", release))
}

// world is a printer on a disk in memory.
type world struct {
	disk  slot.FS
	ctrl  device
	fw    boottest.Firmware
	bug   bug
	story story
	boot  [16]byte    // counts starts of the board
	hold  func() bool // reports that the printer is hot; nil: never
}

// agent is what runs: the slot, the root file system under it, and its updater.
type agent struct {
	choice boot.Choice
	root   slot.Name
	up     *updater.Updater
}

const partitionSize = 8 << 10

// newWorld is a printer as it leaves the factory: release 1 in slot a, root file system a,
// and a controller whose firmware no release brought.
func newWorld(d *updatertest.Disk, fw boottest.Firmware, b bug) (*world, error) {
	disk := b.disk(d)
	w := &world{disk: disk, ctrl: mcu{disk}, fw: fw, bug: b, story: usual}
	err := errors.Join(slot.Replace(d, boottest.Partition(slot.A), append(contents(updater.KindRoot, 1), make([]byte, partitionSize)...)),
		slot.Replace(d, boottest.Partition(slot.B), make([]byte, 2*partitionSize)),
		fw.Factory(d), mcu{d}.factory(), boot.InstallFS(d, bytes.NewReader(contents(updater.KindAgent, 1)), 1))
	return w, err
}

// errDead reports a printer on which nothing starts.
var errDead = errors.New("nothing starts")

// start switches the board on and goes through what its bootloader and launcher do, until
// an agent runs.
func (w *world) start(offer set) (*agent, error) {
	arg := ""
	for range 40 {
		w.boot[0]++
		root := w.fw.Start(w.disk, arg, func(n slot.Name) bool { return boottest.Sound(w.disk, n) })
		if root == slot.None {
			return nil, fmt.Errorf("no root file system: %w", errDead)
		}
		a, next, err := w.launch(root, offer)
		if err != nil || a != nil {
			return a, err
		}
		arg = next
	}
	return nil, fmt.Errorf("the board restarts for ever: %w", errDead)
}

// launch is what the launcher does; no agent means that the board restarts, told arg.
func (w *world) launch(running slot.Name, offer set) (a *agent, arg string, err error) {
	log := slot.NewLog(w.disk)
	log.SetSteps(2*chunk, chunk)
	root, err := boottest.Root(w.disk, log, w.fw, running)
	if err != nil {
		return nil, "", err
	}
	for range 10 {
		c := boot.Pick(w.disk, quiet)
		c.Close() // nothing is executed
		turn, arg, err := root.Align(c, w.boot)
		switch {
		case turn == boot.PickAgain:
		case turn == boot.Reboot:
			return nil, arg, nil
		case err != nil:
			return nil, "", err
		case c.Slot == slot.None:
			return nil, "", errDead
		default:
			up, err := w.updater(root, c, offer)
			return &agent{c, running, up}, "", err
		}
	}
	return nil, "", fmt.Errorf("no slot is ever picked: %w", errDead)
}

func (w *world) updater(root *boot.Root, c boot.Choice, offer set) (*updater.Updater, error) {
	s := boot.OpenFS(w.disk, c.Slot)
	s.Log().SetSteps(2*chunk, chunk)
	return updater.New(updater.Config{Board: "sim", Kind: updater.KindAgent, Release: 1, Bootloader: s, Log: s.Log(),
		Source: &source{disk: w.disk, offer: offer, lazy: w.bug == floorForgotten},
		Root:   root, Controller: w.ctrl, Images: w.disk, Hold: w.hold})
}
