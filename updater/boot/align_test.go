package boot_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"platen/updater/boot"
	"platen/updater/boot/boottest"
	"platen/updater/slot"
)

// TestLaunchAligns: the launcher restarts the board into the root file system that belongs
// to the slot on trial, tells the bootloader before, and starts nothing by itself.
func TestLaunchAligns(t *testing.T) {
	p := newPrinter(t, "b=crash")
	p.stage(2)
	d, err := slot.OpenDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	fw := boottest.Boards["rpi"]
	err = errors.Join(fw.Factory(d), slot.Replace(d, boottest.Partition(slot.B), []byte("root two")))
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Open(boottest.Partition(slot.B), slot.Read)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := slot.Sum(f, 8)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	log := slot.NewLog(d)
	_, err = log.Update(func(r *slot.Record) error {
		*r.Root(slot.B) = slot.Part{Release: 2, Size: 8, Digest: sum}
		r.Slot(slot.B).Root = slot.B
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.cfg.Root, err = boottest.Root(d, log, fw, slot.A); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := ""
	p.cfg.Reboot = func(_ context.Context, arg string) error {
		told = arg
		cancel() // the board goes down
		return errors.New("signal: killed")
	}
	var said bytes.Buffer
	p.cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
	if err := boot.Run(ctx, p.cfg); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(said.String(), "level=ERROR") {
		t.Errorf("a restart that the shutdown ended is said to have failed: %s", &said)
	}
	if told != "0 tryboot" || p.out.String() != "" {
		t.Errorf("the restart was told %q; the agents said %q", told, p.out)
	}
	rec := p.record()
	if rec.Trying != slot.B || rec.Armed == [16]byte{} {
		t.Errorf("the record says %+v", rec)
	}
}

// TestRestartsAreBounded: a root file system that never comes up is given up, on trial and
// when it is confirmed, and something runs.
func TestRestartsAreBounded(t *testing.T) {
	for _, trial := range []bool{true, false} {
		r := newRootRig(t, boottest.Boards["grub"])
		_, err := slot.NewLog(r.d).Update(func(rec *slot.Record) error {
			*rec.Slot(slot.A) = slot.Slot{Release: 1, Size: 1, Digest: [32]byte{1}, Confirmed: true}
			rec.Active = slot.A
			*rec.Slot(slot.B) = slot.Slot{Release: 2, Size: 1, Digest: [32]byte{2}, Confirmed: !trial, Root: slot.B}
			*rec.Root(slot.B) = slot.Part{Size: partitionSize, Digest: sumOf(t, r, slot.B)}
			if rec.Try(slot.B, 5); !trial {
				rec.Confirm(slot.B)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		restarts := 0
		for n := byte(1); ; n++ {
			rec, err := slot.NewLog(r.d).Load()
			if err != nil {
				t.Fatal(err)
			}
			if trial && rec.Trying == slot.None {
				if rec.Why != slot.RootFailed || rec.Bad != 2 {
					t.Errorf("release %d failed for %v", rec.Bad, rec.Why)
				}
				break
			}
			turn, _, _ := r.root(t, slot.A).Align(boot.Choice{Slot: slot.B, Trial: trial, Entry: *rec.Slot(slot.B)}, [16]byte{n})
			if turn == boot.Go {
				break // without what belongs to it, but it runs
			}
			if turn == boot.Reboot {
				restarts++
			}
			if n > 20 {
				t.Fatalf("trial %v: %d restarts and no end", trial, restarts)
			}
		}
		if restarts == 0 || restarts > 5 {
			t.Errorf("trial %v: %d restarts", trial, restarts)
		}
	}
}

// TestThreeStarts: whatever a bootloader counts, a root file system on trial starts three times before
// its trial has failed: one that comes up in the third has not failed, and one that does not is not
// started again and again.
func TestThreeStarts(t *testing.T) {
	for name, fw := range boottest.Boards {
		for _, comesUp := range []int{0, 2, 3} {
			r := newRootRig(t, fw)
			onTrial(t, r)
			starts := 0
			boots := func(n slot.Name) bool {
				if n != slot.B {
					return true
				}
				starts++
				return starts == comesUp
			}
			running, rec := slot.A, slot.Record{}
			for n := byte(1); n < 20; n++ {
				var err error
				if rec, err = slot.NewLog(r.d).Load(); err != nil {
					t.Fatal(err)
				}
				if rec.Trying == slot.None || running == slot.B {
					break
				}
				turn, arg, err := r.root(t, running).Align(boot.Choice{Slot: slot.B, Trial: true, Entry: *rec.Slot(slot.B)}, [16]byte{n})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if turn == boot.Reboot {
					running = fw.Start(r.d, arg, boots)
				}
			}
			switch {
			case comesUp == 0 && (starts != 3 || rec.Why != slot.RootFailed):
				t.Errorf("%s: given up after %d starts, for %v", name, starts, rec.Why)
			case comesUp > 0 && (running != slot.B || rec.Trying != slot.B || starts != comesUp):
				t.Errorf("%s: comes up in start %d: %s runs after %d starts, %s is on trial", name, comesUp, running, starts, rec.Trying)
			}
		}
	}
}

// TestCutBeforeTheBootloaderIsTold: the record says that a trial was ordered, and the bootloader
// was never told. That is no failure of what is on trial.
func TestCutBeforeTheBootloaderIsTold(t *testing.T) {
	for name, fw := range boottest.Boards {
		r := newRootRig(t, fw)
		onTrial(t, r)
		rec, err := slot.NewLog(r.d).Update(func(rec *slot.Record) error {
			rec.Turns, rec.Armed = 1, [16]byte{1}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		turn, arg, err := r.root(t, slot.A).Align(boot.Choice{Slot: slot.B, Trial: true, Entry: *rec.Slot(slot.B)}, [16]byte{2})
		if err != nil || turn != boot.Reboot || fw.Start(r.d, arg, func(slot.Name) bool { return true }) != slot.B {
			t.Errorf("%s: turn %d, %v", name, turn, err)
		}
	}
}

// onTrial has release 2 on trial, with root file system b.
func onTrial(t *testing.T, r rootRig) {
	t.Helper()
	_, err := slot.NewLog(r.d).Update(func(rec *slot.Record) error {
		*rec.Slot(slot.A) = slot.Slot{Release: 1, Size: 1, Digest: [32]byte{1}, Confirmed: true}
		rec.Active = slot.A
		*rec.Slot(slot.B) = slot.Slot{Release: 2, Size: 1, Digest: [32]byte{2}, Root: slot.B}
		*rec.Root(slot.B) = slot.Part{Size: partitionSize, Digest: sumOf(t, r, slot.B)}
		rec.Try(slot.B, 5)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func sumOf(t *testing.T, r rootRig, n slot.Name) [32]byte {
	t.Helper()
	f, err := r.d.Open(boottest.Partition(n), slot.Read)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := slot.Sum(f, partitionSize)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
