package gpio

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestOpenChipPassesOverOthers has a chip that may not be opened stand before the one
// that is wanted. Even root may not write to that file of sysfs.
func TestOpenChipPassesOverOthers(t *testing.T) {
	const locked = "/sys/kernel/uevent_seqnum"
	if _, err := os.OpenFile(locked, os.O_RDWR, 0); !errors.Is(err, fs.ErrPermission) {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s can be opened: %v", locked, err)
		}
		t.Skipf("needs a file that may not be opened: %s: %v", locked, err)
	}
	root := t.TempDir()
	if err := os.Symlink(locked, filepath.Join(root, "gpiochip0")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenChip(root, "gpiochip1"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("with nothing but a chip that may not be opened: %v", err)
	}
	if err := os.WriteFile(filepath.Join(root, "gpiochip1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := OpenChip(root, "gpiochip1")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := OpenChip(root, "gpiochip0"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the one that may not be opened: %v", err)
	}
}
