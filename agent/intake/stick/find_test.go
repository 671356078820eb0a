package stick_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"platen/agent/intake/stick"
	"platen/agent/intake/stick/sticktest"
)

// plug makes a block device in a tree that stands for sysfs.
func plug(t *testing.T, sys, name, place string, says map[string]string) {
	t.Helper()
	dir := filepath.Join(sys, "devices", place, "block", name)
	for file, text := range says {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(sys, "block"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../devices/"+place+"/block/"+name, filepath.Join(sys, "block", name)); err != nil {
		t.Fatal(err)
	}
}

// says is what sysfs says of a stick, with one thing altered.
func says(alter ...string) map[string]string {
	m := map[string]string{"removable": "1", "size": "2048", "dev": "8:0", "queue/logical_block_size": "512"}
	for i := 0; i < len(alter); i += 2 {
		m[alter[i]] = alter[i+1]
	}
	return m
}

func TestFind(t *testing.T) {
	sys := t.TempDir()
	const usb = "pci0000:00/usb2/2-1/2-1:1.0/host3"
	plug(t, sys, "sda", "pci0000:00/ata1/host0", says())
	plug(t, sys, "sdb", usb, says())
	plug(t, sys, "sdc", usb, says("removable", "0")) // a disk in a case
	plug(t, sys, "sdd", usb, says("size", "0"))      // a reader without a card
	plug(t, sys, "sde", usb, says("queue/logical_block_size", "4096"))
	plug(t, sys, "sdf", usb, says("queue/logical_block_size", "many"))
	plug(t, sys, "mmcblk0", "platform/soc/mmc_host", says())
	found, err := stick.Find(sys, "/dev")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range found {
		names = append(names, d.Name)
	}
	if want := []string{"sdb", "sde"}; !slices.Equal(names, want) {
		t.Errorf("found %v, want %v", names, want)
	}
	if found, err := stick.Find(t.TempDir(), "/dev"); err != nil || len(found) != 0 {
		t.Errorf("without sysfs: %v, %v", found, err)
	}
}

// TestOpenDevice opens what stands where a stick's device should: only a file, or the block
// device that sysfs told of.
func TestOpenDevice(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	plug(t, sys, "sda", "usb1/1-1", says("queue/logical_block_size", "4096"))
	path := filepath.Join(dev, "sda")
	open := func() (string, int64, int64) {
		t.Helper()
		found, err := stick.Find(sys, dev)
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		f, size, sector, err := found[0].Open()
		if err == nil {
			if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_ACCMODE != unix.O_RDONLY {
				t.Error("a stick is open for writing")
			}
			f.Close()
		}
		return code(err), size, sector
	}
	for name, make := range map[string]func() error{
		"nothing":  func() error { return nil },
		"a link":   func() error { return os.Symlink("/etc/hostname", path) },
		"a folder": func() error { return os.Mkdir(path, 0o700) },
		"a pipe":   func() error { return unix.Mkfifo(path, 0o600) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := open(); got != "read" {
			t.Errorf("%s is opened: %q", name, got)
		}
		os.Remove(path)
	}
	m := sticktest.Make(sticktest.Plan{FS: sticktest.FAT12})
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	if got, size, sector := open(); got != "" || size != m.Size || sector != 4096 {
		t.Errorf("control: an image: %q, %d bytes in blocks of %d", got, size, sector)
	}
}
