package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"

	"platen/hal/flash"
	"platen/hal/flash/image"
	"platen/hal/flash/katapult"
	"platen/hal/flash/loader"
	"platen/hal/sim/bootloader"
	"platen/updater"
	"platen/updater/boot/boottest"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// errOff is what says whatever has no power.
var errOff = errors.New("no power")

// chip is a controller with a real bootloader's simulation in it, flashed as agents do.
type chip struct {
	cfg   bootloader.Config
	disk  slot.FS // of the journal
	dev   *bootloader.Chip
	wire  *bootloader.End
	stop  context.CancelFunc
	ended chan error
}

// newChip is a controller that is on, with what is in its flash, and a disk beside it.
func newChip(cfg bootloader.Config, memory []byte, disk slot.FS, f bootloader.Faults) (*chip, error) {
	c := &chip{cfg: cfg, disk: disk, ended: make(chan error, 1)}
	cfg.Faults = f
	var err error
	if c.dev, err = bootloader.New(cfg); err != nil {
		return nil, err
	}
	if memory == nil {
		c.dev.Load(c.image(contents(updater.KindController, 0)))
	} else {
		c.dev.SetMemory(memory)
	}
	var end *bootloader.End
	c.wire, end = bootloader.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	go func() { c.ended <- c.dev.Serve(ctx, end) }()
	return c, nil
}

// off switches the controller off, and says whether its power had failed.
func (c *chip) off() (cut bool) {
	c.stop()
	err := <-c.ended
	c.ended <- err
	return errors.Is(err, bootloader.ErrCut)
}

// image is a firmware that the chip takes: with a vector table that suits it, over a few pages.
func (c *chip) image(p []byte) []byte {
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], 0x20005000)
	binary.LittleEndian.PutUint32(head[4:], c.cfg.Start+65)
	return append(head[:], bytes.Repeat(p, 3)...)
}

func (c *chip) Open(context.Context, loader.Mode) (loader.Port, error) { return chipPort{c.wire}, nil }

// chipPort is the line, which stays when it is closed.
type chipPort struct{ *bootloader.End }

func (chipPort) Close() error { return nil }

func (c *chip) Reset(ctx context.Context, _ loader.Port, boot bool) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	over := make(chan error, 1)
	go func() { over <- c.dev.Reset(ctx, boot) }()
	select {
	case err := <-over:
		return err
	case err := <-c.ended:
		c.ended <- err
		done()
		<-over
		return errOff
	}
}

func (c *chip) flasher() (*flash.Flasher, error) {
	var runs []loader.Run
	for _, size := range c.cfg.Pages {
		runs = append(runs, loader.Run{Count: 1, Size: size})
	}
	l, err := loader.NewLayout(loader.Address(c.cfg.Base), runs, loader.Address(c.cfg.Start), c.cfg.Size)
	if err != nil {
		return nil, err
	}
	b := flash.Board{MCU: c.cfg.MCU, Layout: l, Baud: 115200, Format: image.Binary}
	switch c.cfg.Kind {
	case bootloader.STK500v2:
		b.Method = flash.STK500v2
	case bootloader.STM32:
		b.Method = flash.STM32
	case bootloader.Katapult:
		b.Method, b.Entry = flash.Katapult, katapult.Entry{AppBaud: 250000, DoubleReset: true}
	}
	return flash.New(flash.Config{Board: b, Link: c, Store: c.disk})
}

// carefree agents believe that what they began to flash is there: a control.
var carefree bool

func (c *chip) Installed(ctx context.Context) (uint64, error) {
	if r, err := c.begun(); carefree && err == nil {
		return r, nil
	}
	f, err := c.flasher()
	if err != nil {
		return 0, err
	}
	return f.Installed(ctx)
}

// begun is the release that was flashed last, whether or not that ended.
func (c *chip) begun() (n uint64, err error) {
	p, err := slot.ReadAll(c.disk, "begun", 32)
	if err == nil {
		_, err = fmt.Sscan(string(p), &n)
	}
	return n, err
}

func (c *chip) Install(ctx context.Context, release uint64, r io.Reader) error {
	p, err := io.ReadAll(r)
	if err == nil && carefree {
		err = slot.Replace(c.disk, "begun", fmt.Append(nil, release))
	}
	if err != nil {
		return err
	}
	f, err := c.flasher()
	if err != nil {
		return err
	}
	return f.Install(ctx, release, bytes.NewReader(c.image(p)))
}

func (c *chip) Save(ctx context.Context, w io.Writer) error {
	f, err := c.flasher()
	if err != nil {
		return err
	}
	var p bytes.Buffer
	if err := f.Save(ctx, &p); err != nil {
		return err
	}
	_, err = w.Write(p.Bytes()[8 : 8+(p.Len()-8)/3])
	return err
}

func (c *chip) pending() bool {
	p, err := flash.Pending(c.disk)
	return !carefree && (p || err != nil)
}

func (c *chip) holds(release uint64) bool {
	return bytes.HasPrefix(c.dev.App(), c.image(contents(updater.KindController, release)))
}

// dying is a disk whose power fails after so many effects.
type dying struct {
	*updatertest.Disk
	left int // below 0: never
}

type dyingFile struct {
	slot.File
	d *dying
}

// dead counts an effect, and reports whether the power has failed before it.
func (d *dying) dead(effects int) bool {
	if d.left == 0 {
		return true
	}
	if d.left > 0 {
		d.left -= effects
	}
	return false
}

func (d *dying) Open(name string, mode slot.Mode) (slot.File, error) {
	effects := 0
	if mode == slot.Create || mode == slot.Program {
		effects = 1
	}
	if d.dead(effects) {
		return nil, errOff
	}
	f, err := d.Disk.Open(name, mode)
	return dyingFile{f, d}, err
}

func (d *dying) Rename(from, to string) error {
	if d.dead(1) {
		return errOff
	}
	return d.Disk.Rename(from, to)
}

func (d *dying) SyncDir(dir string) error {
	if d.dead(1) {
		return errOff
	}
	return d.Disk.SyncDir(dir)
}

func (f dyingFile) WriteAt(p []byte, off int64) (int, error) {
	if f.d.dead(1) {
		return 0, errOff
	}
	return f.File.WriteAt(p, off)
}

func (f dyingFile) Sync() error {
	if f.d.dead(1) {
		return errOff
	}
	return f.File.Sync()
}

// flashed is the story of a controller: a set, one that fails its trial and is taken back, and
// an agent alone.
var flashed = story{[]set{{2, 0, 2}, {4, 0, 4}, {5, 0, 0}},
	map[uint64]set{1: {1, 1, 0}, 2: {2, 1, 2}, 4: {4, 1, 4}, 5: {5, 1, 2}, 9: {9, 9, 9}}}

// chipWorld is a printer with a controller, which lives the story until its power fails: in
// the controller's operation op, or after so many effects on the disk; 0 and -1: never.
func chipWorld(cfg bootloader.Config, op, effects int) (d *updatertest.Disk, c *chip, err error) {
	d = updatertest.NewDisk()
	fw := boottest.Boards["uboot-count"]
	w, err := newWorld(d, fw, sane)
	if err != nil {
		return nil, nil, err
	}
	disk := &dying{d, -1}
	if c, err = newChip(cfg, nil, disk, bootloader.Faults{CutAt: op}); err != nil {
		return nil, nil, err
	}
	disk.left = effects
	w.disk, w.ctrl, w.story = disk, c, flashed
	d.Mark("factory")
	return d, c, w.live(d.Mark)
}

// again is that printer after the cut, on one of the states of its disk; in the controller's
// operation op its power fails once more.
func again(d *updatertest.Disk, c *chip, op int) (*world, *chip, error) {
	next, err := newChip(c.cfg, c.dev.Memory(), d, bootloader.Faults{CutAt: op})
	return &world{disk: d, ctrl: next, fw: boottest.Boards["uboot-count"], story: flashed, boot: [16]byte{100}}, next, err
}

// afterCut takes a printer through one state of its disk, cut once more on its way, and
// returns how many states that was.
func afterCut(c *chip, s updatertest.Crash, op int) (states int, err error) {
	w, first, err := again(s.Disk, c, op)
	if err != nil {
		return 0, err
	}
	err = w.survive(s.Acked)
	if !first.off() {
		return 1, err
	}
	if is, ok := errors.AsType[broken](err); ok && is.invariant != "I1" { // which says that it was cut
		return 1, err
	}
	for twice := range s.Disk.Now(uint64(op)) {
		w, second, err := again(twice.Disk, first, 0)
		if err != nil {
			return 2, err
		}
		if err = w.survive(s.Acked); err == nil {
			err = w.next()
		}
		second.off()
		return 2, err // one of them
	}
	return 1, errors.New("a cut leaves no state")
}

// chipKinds are the bootloaders, with chips that are small.
func chipKinds() map[string]bootloader.Config {
	kinds := map[string]bootloader.Config{}
	for name, k := range map[string]bootloader.Kind{"stk500v2": bootloader.STK500v2, "stm32": bootloader.STM32, "katapult": bootloader.Katapult} {
		c := bootloader.Defaults(k)
		c.Size = 5 << 10
		kinds[name] = c
	}
	return kinds
}

// TestControllers cuts the power of printers whose controllers are flashed through each
// bootloader: in operations of the controller, and after effects on the disk, each in its turn.
func TestControllers(t *testing.T) {
	want := 150
	if testing.Short() {
		want = 30
	}
	if n, err := strconv.Atoi(os.Getenv("PLATEN_PROVE_STATES")); err == nil {
		want = n
	}
	for name, cfg := range chipKinds() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				states, err := cutChips(cfg, want)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("power cuts, sets, a controller with %s: %d states", name, states)
			})
		})
	}
}

// TestControllersNotice is the control: an agent that does not ask the journal drives half a
// firmware.
func TestControllersNotice(t *testing.T) {
	for name, cfg := range chipKinds() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				carefree = true
				defer func() { carefree = false }()
				states, err := cutChips(cfg, 2000)
				if is, ok := errors.AsType[broken](err); !ok || is.invariant != "I7" {
					t.Errorf("not noticed in %d states: %v", states, err)
				}
			})
		})
	}
}

// cutChips tries so many states.
func cutChips(cfg bootloader.Config, want int) (states int, err error) {
	d, c, err := chipWorld(cfg, 0, -1)
	if err != nil {
		return 0, fmt.Errorf("without any cut: %w", err)
	}
	c.off()
	ops, effects, seen := c.dev.Ops(), d.Effects(), 0
	rng := rand.New(rand.NewPCG(1, 1))
	for round := 0; states < want; round++ {
		cfg.Seed = uint64(round) // what a cut leaves of a page
		for _, i := range rng.Perm(ops + effects) {
			op, left := i+1, -1
			if i >= ops {
				op, left = 0, i-ops
			}
			n, err := cutChip(cfg, op, left, func() bool { seen++; return seen%4 == round%4 })
			if states += n; err != nil || states >= want {
				return states, err
			}
		}
	}
	return states, nil
}

// cutChip lives the story up to a cut, and goes on from the states that are wanted.
func cutChip(cfg bootloader.Config, op, effects int, wanted func() bool) (states int, err error) {
	d, c, err := chipWorld(cfg, op, effects)
	if c != nil {
		c.off()
	}
	if err == nil || c == nil {
		return 0, nil // the story was over before, or had not begun
	}
	for s := range d.Now(cfg.Seed) {
		if len(s.Acked) == 0 || !wanted() {
			continue
		}
		n, err := afterCut(c, s, 1+(op+effects+int(cfg.Seed)+states)%23)
		if states += n; err != nil {
			return states, fmt.Errorf("operation %d, effect %d, seed %d, %s: %w", op, effects, cfg.Seed, s.At, err)
		}
	}
	return states, nil
}
