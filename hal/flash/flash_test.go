package flash

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"platen/hal/flash/loader"
	"platen/hal/sim/bootloader"
	"platen/updater"
)

var _ updater.Installer = (*Flasher)(nil)

// each runs a test on every kind of chip, in a bubble with a clock of its own.
func each(t *testing.T, test func(t *testing.T, c bootloader.Config)) {
	for name, c := range kinds() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, c) })
		})
	}
}

func TestInstall(t *testing.T) {
	each(t, func(t *testing.T, c bootloader.Config) {
		ctx := t.Context()
		before, after := firmware(c, c.Size, 1), firmware(c, c.Size-300, 2)
		r := newRig(t, c, before, after)
		defer r.off()
		f := r.flasher()
		f.cfg.Probe = r.ask
		if n, err := f.Installed(ctx); n != 0 || err != nil {
			t.Errorf("before: release %d, %v", n, err)
		}
		if err := f.Install(ctx, 7, bytes.NewReader(after)); err != nil {
			t.Fatal(err)
		}
		r.holds(after)
		if n, err := f.Installed(ctx); n != 7 || err != nil {
			t.Errorf("after: release %d, %v", n, err)
		}
		if p, err := Pending(r.disk); p || err != nil {
			t.Errorf("pending %v, %v", p, err)
		}
		if err := f.Compare(ctx); err != nil {
			t.Errorf("compare: %v", err)
		}
		if err := f.Resume(ctx); !errors.Is(err, ErrNothing) {
			t.Errorf("resume: %v", err)
		}
		for i, s := range r.chip.Starts() {
			if !s.Whole {
				t.Errorf("start %d was of half a firmware", i)
			}
		}
		if s := r.chip.Stats(); s.Unerased > 0 {
			t.Errorf("%d writes on flash that was not erased", s.Unerased)
		}
	})
}

// TestOtherController names another chip on the board: nothing is touched.
func TestOtherController(t *testing.T) {
	each(t, func(t *testing.T, c bootloader.Config) {
		r := newRig(t, c, firmware(c, c.Size, 1))
		defer r.off()
		f := r.flasher()
		b := f.cfg.Board
		b.MCU = map[Method]string{STK500v2: "1e9703", STM32: "421", Katapult: "stm32f446xx"}[b.Method]
		f.open = b.loader(r)
		err := f.Install(t.Context(), 2, bytes.NewReader(firmware(c, c.Size, 2)))
		if !errors.Is(err, loader.ErrIdentity) || r.chip.Ops() != 0 {
			t.Errorf("%v, %d operations", err, r.chip.Ops())
		}
		if p, err := Pending(r.disk); p || err != nil {
			t.Errorf("pending %v, %v", p, err)
		}
	})
}

func TestNobodyThere(t *testing.T) {
	for _, faults := range []bootloader.Faults{{Stuck: true}, {WrongBaud: true}} {
		each(t, func(t *testing.T, c bootloader.Config) {
			c.Faults = faults
			r := newRig(t, c, firmware(c, c.Size, 1))
			defer r.off()
			err := r.flasher().Install(t.Context(), 2, bytes.NewReader(firmware(c, c.Size, 2)))
			if !errors.Is(err, loader.ErrSilent) && !errors.Is(err, loader.ErrLine) || r.chip.Ops() != 0 {
				t.Errorf("%v, %d operations", err, r.chip.Ops())
			}
			if p, err := Pending(r.disk); p || err != nil {
				t.Errorf("pending %v, %v", p, err)
			}
		})
	}
}

func TestReadProtection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bootloader.Defaults(bootloader.STM32)
		c.Faults.Protected = true
		r := newRig(t, c, firmware(c, c.Size, 1))
		defer r.off()
		err := r.flasher().Install(t.Context(), 2, bytes.NewReader(firmware(c, c.Size, 2)))
		if !errors.Is(err, loader.ErrProtected) || r.chip.Ops() != 0 {
			t.Errorf("%v, %d operations", err, r.chip.Ops())
		}
	})
}

// TestWaiting ends an installation by its context.
func TestEndedByContext(t *testing.T) {
	each(t, func(t *testing.T, c bootloader.Config) {
		r := newRig(t, c, firmware(c, c.Size, 1))
		defer r.off()
		ctx, cancel := context.WithCancel(t.Context())
		f := r.flasher()
		f.cfg.Progress = func(s Stage, done, _ int) {
			if s == Write && done == 3 {
				cancel()
			}
		}
		after := firmware(c, c.Size, 2)
		if err := f.Install(ctx, 2, bytes.NewReader(after)); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if p, err := Pending(r.disk); !p || err != nil {
			t.Errorf("pending %v, %v", p, err)
		}
		if n, err := f.Installed(t.Context()); n != 0 || err != nil {
			t.Errorf("release %d, %v", n, err)
		}
		if err := r.flasher().Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.holds(after)
	})
}
