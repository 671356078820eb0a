package boot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

var quiet = slog.New(slog.DiscardHandler)

// image is what release n looks like.
func image(n int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("release %d. ", n)), 440+n) }

func path(n slot.Name) string { return n.String() + "/platen" }

// diskRig is the bootloader on a disk in memory.
type diskRig struct{ d *updatertest.Disk }

func newDiskRig(t *testing.T) updatertest.Rig {
	d := updatertest.NewDisk()
	if err := boot.InstallFS(d, bytes.NewReader(image(1)), 1); err != nil {
		t.Fatal(err)
	}
	return diskRig{d}
}

func (r diskRig) Start(t *testing.T) (slot.Name, updater.Bootloader) {
	c := boot.Pick(r.d, quiet)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return c.Slot, boot.OpenFS(r.d, c.Slot)
}

func (r diskRig) Read(t *testing.T, n slot.Name) []byte {
	data, ok := r.d.Contents(path(n))
	if !ok {
		t.Fatalf("slot %s does not exist", n)
	}
	return data
}

func (r diskRig) Damage(t *testing.T, n slot.Name) {
	data := r.Read(t, n)
	data[len(data)/2] ^= 1
	r.d.Damage(path(n), data)
}

// dirRig is the bootloader on a folder.
type dirRig struct{ dir string }

func newDirRig(t *testing.T) updatertest.Rig {
	r := dirRig{filepath.Join(t.TempDir(), "slots")}
	bin := filepath.Join(t.TempDir(), "bin")
	if err := os.WriteFile(bin, image(1), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := boot.Install(r.dir, bin, 1); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r dirRig) Start(t *testing.T) (slot.Name, updater.Bootloader) {
	d, err := slot.OpenDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := boot.Pick(d, quiet)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	b, err := boot.Open(r.dir, c.Slot)
	if err != nil {
		t.Fatal(err)
	}
	return c.Slot, b
}

func (r dirRig) Read(t *testing.T, n slot.Name) []byte {
	data, err := os.ReadFile(filepath.Join(r.dir, path(n)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (r dirRig) Damage(t *testing.T, n slot.Name) {
	data := r.Read(t, n)
	data[len(data)/2] ^= 1
	if err := os.WriteFile(filepath.Join(r.dir, path(n)), data, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestSuite(t *testing.T) {
	t.Run("disk", func(t *testing.T) { updatertest.Bootloader(t, newDiskRig) })
	t.Run("folder", func(t *testing.T) { updatertest.Bootloader(t, newDirRig) })
}

func TestInstallTwice(t *testing.T) {
	d := updatertest.NewDisk()
	for i, want := range []error{nil, boot.ErrInstalled} {
		if err := boot.InstallFS(d, bytes.NewReader(image(i+1)), uint64(i+1)); !errors.Is(err, want) {
			t.Errorf("install %d: %v, want %v", i+1, err, want)
		}
	}
	if got, _ := d.Contents("a/platen"); !bytes.Equal(got, image(1)) {
		t.Error("the second install changed the first one's slot")
	}
}

// TestDamagedActive: the confirmed slot is damaged, so the other one starts, which
// was once confirmed; from there the damaged one can be written again.
func TestDamagedActive(t *testing.T) {
	r := newDiskRig(t)
	_, b := r.Start(t)
	put(t, b, slot.B, 2)
	if err := b.Try(slot.B); err != nil {
		t.Fatal(err)
	}
	_, b = r.Start(t)
	if err := b.Confirm(slot.B); err != nil {
		t.Fatal(err)
	}
	r.Damage(t, slot.B)
	n, b := r.Start(t)
	if n != slot.A {
		t.Fatalf("slot %s starts", n)
	}
	put(t, b, slot.B, 3)
	if err := b.Try(slot.B); err != nil {
		t.Fatal(err)
	}
	if n, _ = r.Start(t); n != slot.B {
		t.Fatalf("slot %s starts after it was repaired", n)
	}
	r.Damage(t, slot.A)
	r.Damage(t, slot.B)
	if n, _ = r.Start(t); n != slot.None {
		t.Fatalf("slot %s starts although both are damaged", n)
	}
}

// put writes release n to a slot and names it.
func put(t *testing.T, b updater.Bootloader, n slot.Name, release int) {
	t.Helper()
	w, err := b.Open(n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader(image(release))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyConfirmedIsFallenBackTo(t *testing.T) {
	r := newDiskRig(t)
	_, b := r.Start(t)
	put(t, b, slot.B, 2) // written, never tried
	r.Damage(t, slot.A)
	if n, _ := r.Start(t); n != slot.None {
		t.Errorf("slot %s, which was never confirmed, starts", n)
	}
}
