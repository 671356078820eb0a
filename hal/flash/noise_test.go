package flash

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal/flash/loader"
	"platen/hal/sim/bootloader"
	"platen/updater/slot"
	"platen/updater/updatertest"

	"pgregory.net/rapid"
)

// TestNoise installs over lines that lose, damage, invent and delay bytes and refuse
// requests. Either the controller is confirmed and holds every byte, or it is not
// confirmed.
func TestNoise(t *testing.T) {
	installed, failed := 0, 0
	var seen bootloader.Stats
	rapid.Check(t, func(rt *rapid.T) {
		all := kinds()
		name := rapid.SampledFrom([]string{"stk500v2", "stk500v2-addressed", "stm32", "stm32-short", "katapult"}).Draw(rt, "kind")
		level := rapid.SampledFrom([]float64{0, 1e-5, 1e-4, 1e-3}).Draw(rt, "level")
		c := all[name]
		c.Seed = rapid.Uint64().Draw(rt, "seed")
		rng := rand.New(rand.NewPCG(c.Seed, 3))
		share := func() float64 { return level * rng.Float64() }
		c.Faults = bootloader.Faults{Corrupt: share(), Drop: share(), Garbage: share(), Nack: 20 * share(), Late: 10 * share()}
		size := rapid.IntRange(300, c.Size/2).Draw(rt, "size")
		synctest.Test(t, func(t *testing.T) {
			after := firmware(c, size, c.Seed)
			r := newRig(t, c, firmware(c, c.Size, 1), after)
			defer r.off()
			err := r.flasher().Install(t.Context(), 2, bytes.NewReader(after))
			pending, perr := Pending(r.disk)
			s := r.chip.Stats()
			seen.Corrupted += s.Corrupted
			seen.Dropped += s.Dropped
			seen.Garbage += s.Garbage
			seen.Nacked += s.Nacked
			seen.Late += s.Late
			switch {
			case perr != nil:
				rt.Errorf("journal: %v", perr)
			case err == nil && pending:
				rt.Errorf("installed and pending")
			case err == nil && !bytes.HasPrefix(r.chip.App(), after):
				rt.Errorf("a wrong byte was confirmed")
			case err != nil && !pending && r.chip.Ops() > 0:
				rt.Errorf("failed (%v) after the flash was touched, and not pending", err)
			case err != nil:
				failed++
				if level < 1e-4 {
					rt.Errorf("nearly no faults, and yet: %v", err)
				}
			default:
				installed++
			}
			if s.Outside > 0 && name != "stm32" && name != "stm32-short" {
				rt.Errorf("%d operations outside of the application", s.Outside)
			}
		})
	})
	t.Logf("%d installed, %d failed, faults %+v", installed, failed, seen)
	if installed == 0 || !testing.Short() && (seen.Corrupted == 0 || seen.Dropped == 0 || seen.Nacked == 0 || seen.Late == 0) {
		t.Errorf("%d installed, %d failed, faults %+v: nothing was tried", installed, failed, seen)
	}
}

// blind is a loader that says of every page that it reads back right.
type blind struct {
	loader.Loader
	pages [][]byte
}

func (b *blind) Write(ctx context.Context, page int, data []byte) error {
	b.pages[page] = bytes.Clone(data)
	return b.Loader.Write(ctx, page, data)
}

func (b *blind) Read(_ context.Context, page int, dst []byte) error {
	copy(dst, b.pages[page])
	return nil
}

// TestNoiseNotices is the control of TestNoise: without reading back, damaged bytes do
// get confirmed, since one XOR does not find them all.
func TestNoiseNotices(t *testing.T) {
	for seed := range uint64(400) {
		wrong := false
		synctest.Test(t, func(t *testing.T) {
			c := bootloader.Defaults(bootloader.STK500v2)
			c.Seed, c.Faults = seed, bootloader.Faults{Corrupt: 3e-3}
			after := firmware(c, 4000, seed)
			r := newRig(t, c, firmware(c, c.Size, 1), after)
			defer r.off()
			f := r.flasher()
			open := f.open
			f.open = func() (loader.Loader, error) {
				l, err := open()
				return &blind{l, make([][]byte, 64)}, err
			}
			err := f.Install(t.Context(), 2, bytes.NewReader(after))
			wrong = err == nil && !bytes.HasPrefix(r.chip.App(), after)
		})
		if wrong {
			return
		}
	}
	t.Error("no damaged byte was ever confirmed: TestNoise would not notice one")
}

// TestImages refuses what is not for the board before anybody is asked anything.
func TestImages(t *testing.T) {
	each(t, func(t *testing.T, c bootloader.Config) {
		r := newRig(t, c, firmware(c, c.Size, 1))
		defer r.off()
		elsewhere := firmware(c, 2000, 3)
		binary.LittleEndian.PutUint32(elsewhere[4:], 0x08010001)
		cases := map[string][]byte{
			"nothing":   nil,
			"blank":     bytes.Repeat([]byte{0xff}, 1000),
			"zero":      make([]byte, 1000),
			"too large": append(firmware(c, c.Size, 2), 1),
		}
		if c.Kind != bootloader.STK500v2 {
			cases["built for another address"] = elsewhere
		}
		for name, p := range cases {
			if err := r.flasher().Install(t.Context(), 2, bytes.NewReader(p)); err == nil {
				t.Errorf("%s: installed", name)
			}
		}
		if err := r.flasher().Install(t.Context(), 0, bytes.NewReader(firmware(c, 2000, 2))); err == nil {
			t.Error("release 0 was installed")
		}
		if n := r.chip.Ops(); n != 0 {
			t.Errorf("%d operations", n)
		}
	})
}

// TestOtherFirmware has somebody else flash the controller behind our back.
func TestOtherFirmware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		c := bootloader.Defaults(bootloader.STM32)
		ours, theirs := firmware(c, 3000, 1), firmware(c, 3000, 2)
		r := newRig(t, c, ours, theirs)
		defer func() { r.off() }()
		f := r.flasher()
		f.cfg.Probe = r.ask
		if err := f.Install(ctx, 5, bytes.NewReader(ours)); err != nil {
			t.Fatal(err)
		}
		r.chip.Load(theirs)
		r.again(bootloader.Faults{})
		if n, err := f.Installed(ctx); n != 0 || err != nil {
			t.Errorf("release %d, %v", n, err)
		}
		if err := f.Compare(ctx); !errors.Is(err, ErrVerify) {
			t.Errorf("compare: %v", err)
		}
		if err := f.Install(ctx, 5, bytes.NewReader(ours)); err != nil {
			t.Fatal(err)
		}
		if n, err := f.Installed(ctx); n != 5 || err != nil {
			t.Errorf("release %d, %v", n, err)
		}
	})
}

// TestNotErased has an image that reaches where an AVR's bootloader does not erase: what
// was there shows through, and is not confirmed.
func TestNotErased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bootloader.Defaults(bootloader.STK500v2)
		c.EraseEnd = 6 << 10
		before, after, fits := firmware(c, c.Size, 1), firmware(c, c.Size, 2), firmware(c, c.EraseEnd, 3)
		r := newRig(t, c, before, after, fits)
		defer r.off()
		if err := r.flasher().Install(t.Context(), 2, bytes.NewReader(after)); !errors.Is(err, ErrVerify) {
			t.Errorf("got %v", err)
		}
		if p, err := Pending(r.disk); !p || err != nil {
			t.Errorf("pending %v, %v", p, err)
		}
		if err := r.flasher().Install(t.Context(), 3, bytes.NewReader(fits)); err != nil {
			t.Errorf("one that fits: %v", err)
		}
		for _, s := range r.chip.Starts() {
			if !s.Whole {
				t.Error("half a firmware was started")
			}
		}
	})
}

// TestWorn has a flash that does not take what is written: it is not confirmed, and what
// is there never starts.
func TestWorn(t *testing.T) {
	each(t, func(t *testing.T, c bootloader.Config) {
		for page := 1; page <= 3; page++ {
			c.Faults.Worn = page
			after := firmware(c, c.Size, 2)
			after[(page-1)*c.Pages[0]+16] &^= 0x10 // the bit that stays set
			r := newRig(t, c, firmware(c, c.Size, 1), after)
			err := r.flasher().Install(t.Context(), 2, bytes.NewReader(after))
			if !errors.Is(err, ErrVerify) && !errors.Is(err, loader.ErrLine) {
				t.Errorf("page %d: %v", page, err)
			}
			r.again(bootloader.Faults{})
			time.Sleep(10 * time.Second)
			if s := r.chip.Starts(); len(s) > 0 {
				t.Errorf("page %d: it was started: %v", page, s)
			}
			if p, err := Pending(r.disk); !p || err != nil {
				t.Errorf("page %d: pending %v, %v", page, p, err)
			}
			if err := r.flasher().Resume(t.Context()); err != nil {
				t.Errorf("page %d, on flash that is not worn: %v", page, err)
			}
			r.holds(after)
			r.off()
		}
	})
}

// TestSilentFirmware has an image that is flashed well and does not run.
func TestSilentFirmware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bootloader.Defaults(bootloader.STM32)
		dead, alive := firmware(c, 3000, 2), firmware(c, 3000, 3)
		r := newRig(t, c, firmware(c, 3000, 1), alive)
		defer r.off()
		f := r.flasher()
		f.cfg.Probe = r.ask
		if err := f.Install(t.Context(), 5, bytes.NewReader(dead)); err == nil {
			t.Error("a firmware that says nothing was confirmed")
		}
		if p, err := Pending(r.disk); !p || err != nil {
			t.Errorf("pending %v, %v", p, err)
		}
		if err := f.Install(t.Context(), 6, bytes.NewReader(alive)); err != nil {
			t.Errorf("after it: %v", err)
		}
	})
}

// TestDamagedJournal: nothing is known, so nothing may move until it is installed anew.
func TestDamagedJournal(t *testing.T) {
	rec := record{state: confirmed, place: 1, release: 9, size: 100, digest: [32]byte{1}, answer: [32]byte{2}}
	good := rec.append(nil)
	if got, err := parseRecord(good); err != nil || got != rec {
		t.Fatalf("control: %+v, %v", got, err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := parseRecord(bad); !errors.Is(err, ErrJournal) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	for n := range good {
		if _, err := parseRecord(good[:n]); !errors.Is(err, ErrJournal) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		c := bootloader.Defaults(bootloader.STM32)
		p := firmware(c, 3000, 1)
		r := newRig(t, c, p)
		defer r.off()
		f, err := r.disk.Open(recordName, slot.Create)
		if err == nil {
			_, err = f.WriteAt(good[:77], 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		if pending, err := Pending(r.disk); !pending || !errors.Is(err, ErrJournal) {
			t.Errorf("pending %v, %v", pending, err)
		}
		if n, err := r.flasher().Installed(t.Context()); n != 0 || err != nil {
			t.Errorf("release %d, %v", n, err)
		}
		if err := r.flasher().Resume(t.Context()); !errors.Is(err, ErrJournal) {
			t.Errorf("resume: %v", err)
		}
		if err := r.flasher().Install(t.Context(), 3, bytes.NewReader(p)); err != nil {
			t.Fatal(err)
		}
		if pending, err := Pending(r.disk); pending || err != nil {
			t.Errorf("pending %v, %v", pending, err)
		}
	})
}

func TestBadBoards(t *testing.T) {
	c := bootloader.Defaults(bootloader.STM32)
	good := board(t, c)
	r := &rig{t: t, cfg: c}
	for name, change := range map[string]func(*Board){
		"no method":       func(b *Board) { b.Method = "" },
		"other method":    func(b *Board) { b.Method = "dfu" },
		"no product id":   func(b *Board) { b.MCU = "" },
		"long product id": func(b *Board) { b.MCU = "12345" },
		"no pages":        func(b *Board) { b.Layout = loader.Layout{} },
		"an AVR's method": func(b *Board) { b.Method, b.MCU = STK500v2, "1e9801" },
	} {
		b := good
		change(&b)
		if _, err := New(Config{Board: b, Link: r, Store: nil}); err == nil {
			t.Errorf("%s: no store", name)
		}
		if _, err := New(Config{Board: b, Link: r, Store: updatertest.NewDisk()}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := New(Config{Board: good, Link: r, Store: updatertest.NewDisk()}); err != nil {
		t.Errorf("control: %v", err)
	}
}
