package flash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal/sim/bootloader"
	"platen/updater/updatertest"
)

// small makes a chip small enough that every operation can be cut, with an image that
// ends within a page.
func small(c bootloader.Config) (bootloader.Config, int) {
	switch c.Kind {
	case bootloader.STK500v2:
		c.Size = 8 * 256
		return c, 7*256 - 60
	default:
		c.Size = 5 << 10
		return c, 4<<10 - 60
	}
}

// cutAt installs with a power cut at an operation, on a controller and a disk that both
// lose power. It returns what was wrong on the way back, and false if the installation
// ended before the cut.
func cutAt(t *testing.T, c bootloader.Config, op, seed int, order func([]int) []step) (wrong []string, cut bool) {
	ctx := t.Context()
	c, size := small(c)
	c.Seed = uint64(op + 1000*seed)
	before, after := firmware(c, c.Size, 1), firmware(c, size, 2)
	c.Faults.CutAt = op
	r := newRig(t, c, before, after)
	defer func() { r.off() }()
	f := r.flasher()
	f.plan = order
	if err := f.Install(ctx, 2, bytes.NewReader(after)); err == nil {
		return nil, false
	}
	if err := r.off(); !errors.Is(err, bootloader.ErrCut) {
		t.Fatalf("operation %d: the installation failed without a cut: %v", op, err)
	}
	r.ended <- nil // off is called once more
	disk := atOnce(t, r.disk)
	r.disk = disk
	// Power is back: nobody has told the controller anything yet.
	r.again(bootloader.Faults{})
	time.Sleep(10 * time.Second) // longer than any bootloader waits
	synctest.Wait()
	if _, err := r.ask(ctx); err == nil && !bytes.HasPrefix(r.chip.App(), before) && !bytes.HasPrefix(r.chip.App(), after) {
		wrong = append(wrong, "half a firmware answers")
	}
	for _, s := range r.chip.Starts() {
		if !s.Whole {
			wrong = append(wrong, "half a firmware was started")
		}
	}
	if p, err := Pending(r.disk); !p || err != nil {
		wrong = append(wrong, fmt.Sprintf("heaters and motion are allowed: %v", err))
	}
	r.again(bootloader.Faults{CutAt: 1 + (op+seed)%13}) // power fails again while it recovers
	err := r.flasher().Resume(ctx)
	if err != nil {
		if p, _ := Pending(r.disk); !p {
			wrong = append(wrong, "not pending after a second cut")
		}
		r.again(bootloader.Faults{})
		err = r.flasher().Resume(ctx)
	}
	if err != nil {
		wrong = append(wrong, fmt.Sprintf("resume: %v", err))
	}
	r.holds(after)
	if p, err := Pending(r.disk); p || err != nil {
		wrong = append(wrong, fmt.Sprintf("still pending after it was resumed: %v", err))
	}
	return wrong, true
}

// atOnce is the disk as it is if the power fails now and nothing more reaches it.
func atOnce(t *testing.T, d *updatertest.Disk) *updatertest.Disk {
	t.Helper()
	var last *updatertest.Disk
	d.Mark("now")
	for s := range d.Crashes(1) {
		if len(s.Acked) > 0 {
			last = s.Disk
			break
		}
	}
	if last == nil {
		t.Fatal("no state of the disk")
	}
	return last
}

// decisive says whether an operation concerns the page that decides what starts: then a
// cut may leave half a firmware startable on what has no reset and boot pins.
func decisive(c bootloader.Config, op, last int) bool {
	switch c.Kind {
	case bootloader.Katapult: // its last page is written block by block, the first one first
		return op == 1 || op > last-1024/c.Block
	default: // the erase of page 0, and the last write: an AVR's page, an STM32's first 32 bytes
		return op == 1 || op == last
	}
}

// TestEveryCut cuts the power in every flash operation of an installation, and once more
// while it is resumed.
func TestEveryCut(t *testing.T) {
	each(t, func(t *testing.T, c bootloader.Config) {
		last := operations(t, c)
		if last < 16 {
			t.Fatalf("only %d operations", last)
		}
		seeds := 1
		if os.Getenv("PLATEN_SOAK") != "" {
			seeds = 50
		}
		for i := range seeds * last {
			op, seed := 1+i%last, i/last
			wrong, cut := cutAt(t, c, op, seed, plan)
			if !cut {
				t.Fatalf("operation %d of %d was not reached", op, last)
			}
			for _, w := range wrong {
				if w == "half a firmware was started" && decisive(c, op, last) {
					continue
				}
				t.Errorf("cut in operation %d of %d, seed %d: %s", op, last, seed, w)
			}
		}
	})
}

// operations counts those of an installation without a cut.
func operations(t *testing.T, c bootloader.Config) int {
	t.Helper()
	c, size := small(c)
	after := firmware(c, size, 2)
	r := newRig(t, c, firmware(c, c.Size, 1), after)
	defer r.off()
	if err := r.flasher().Install(t.Context(), 2, bytes.NewReader(after)); err != nil {
		t.Fatal(err)
	}
	r.holds(after)
	return r.chip.Ops()
}

// TestCutNotices is the control of TestEveryCut: whoever writes page 0 first, or does
// not make it blank, leaves half a firmware that starts.
func TestCutNotices(t *testing.T) {
	orders := map[string]func([]int) []step{
		"page 0 first": func(dirty []int) []step {
			var s []step
			for _, n := range dirty {
				s = append(s, step{page: n})
			}
			return s
		},
		"page 0 last but not blank": func(dirty []int) []step {
			var s []step
			for _, n := range dirty[1:] {
				s = append(s, step{page: n})
			}
			return append(s, step{page: 0})
		},
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, c bootloader.Config) {
				if c.Kind == bootloader.STK500v2 && !c.Addressed && name != "page 0 first" {
					return // this bootloader erases page 0 whatever is written first
				}
				last := operations(t, c)
				for op := 3; op < last-2; op++ {
					wrong, cut := cutAt(t, c, op, 0, order)
					if !cut {
						break
					}
					for _, w := range wrong {
						if w == "half a firmware was started" {
							return
						}
					}
				}
				t.Error("nothing was noticed")
			})
		})
	}
}

// TestDiskCut cuts the power at every effect on the disk, and looks whether what the
// journal then says is true of the controller.
func TestDiskCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		c := bootloader.Defaults(bootloader.STM32)
		first, second := firmware(c, 3000, 1), firmware(c, 2000, 2)
		r := newRig(t, c, first, second)
		defer func() { r.off() }()
		if err := r.flasher().Install(ctx, 1, bytes.NewReader(first)); err != nil {
			t.Fatal(err)
		}
		r.disk.Mark("first")
		f := r.flasher()
		touched := false
		f.cfg.Progress = func(s Stage, _, _ int) {
			if s == Write && !touched {
				touched = true
				r.disk.Mark("touched")
			}
		}
		if err := f.Install(ctx, 2, bytes.NewReader(second)); err != nil {
			t.Fatal(err)
		}
		r.disk.Mark("second")
		states := 0
		for s := range r.disk.Crashes(3) {
			states++
			if why := contradicts(t, r.flasherOn(s.Disk), s); why != "" {
				t.Errorf("%s: %s", s.At, why)
			}
		}
		if states < 50 {
			t.Errorf("only %d states", states)
		}
	})
}

// contradicts returns what of a journal after a cut is not so.
func contradicts(t *testing.T, f *Flasher, s updatertest.Crash) string {
	pending, err := Pending(s.Disk)
	n, err2 := f.Installed(t.Context())
	last := ""
	if len(s.Acked) > 0 {
		last = s.Acked[len(s.Acked)-1]
	}
	switch {
	case err != nil || err2 != nil:
		return fmt.Sprintf("the journal is damaged: %v, %v", err, err2)
	case pending && n != 0:
		return "installed and pending"
	case last == "touched" && !pending && n != 2:
		return fmt.Sprintf("the flash is being written, and release %d counts", n)
	case last == "second" && (pending || n != 2):
		return fmt.Sprintf("reported as done, and pending %v, release %d", pending, n)
	case last == "first" && !pending && n != 1:
		return fmt.Sprintf("the old release is gone, and %d counts", n)
	}
	if pending {
		r, err := load(s.Disk)
		if err == nil {
			_, err = kept(s.Disk, r, f.cfg.Board.Layout)
		}
		if err != nil {
			return fmt.Sprintf("pending without an image to resume from: %v", err)
		}
	}
	return ""
}
