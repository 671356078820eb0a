package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"platen/agent/config"
	"platen/updater/slot"
)

// TestNothingIsKeptOnARoot: slots and state outlive a root file system, so they are on
// neither of the two.
func TestNothingIsKeptOnARoot(t *testing.T) {
	cfg := &config.UpdateRootfs{A: "/dev/p5", B: "/dev/p6", Mount: "/"}
	const a, b, third = 0x1_0305, 0x1_0306, 0x1_0307
	for name, c := range map[string]struct {
		root, slots, state uint64
		want               slot.Name
		refused            string
	}{
		"a partition of their own":     {root: a, slots: third, state: third, want: slot.A},
		"the other root":               {root: b, slots: third, state: third, want: slot.B},
		"neither root runs":            {root: 0x1_0301, slots: third, state: third, want: slot.None},
		"slots on the root that runs":  {root: a, slots: a, state: third, refused: "/slots is on"},
		"state on the root that runs":  {root: b, slots: third, state: b, refused: "/state is on"},
		"slots on the root that waits": {root: a, slots: b, state: third, refused: "/slots is on"},
	} {
		got, err := runningRoot(cfg, []string{"/slots", "/state"}, func(path string, st *unix.Stat_t) error {
			switch path {
			case cfg.A:
				st.Mode, st.Rdev = unix.S_IFBLK, a
			case cfg.B:
				st.Mode, st.Rdev = unix.S_IFBLK, b
			case cfg.Mount:
				st.Dev = c.root
			case "/slots":
				st.Dev = c.slots
			case "/state":
				st.Dev = c.state
			default:
				return errors.New("no such file")
			}
			return nil
		})
		if got != c.want || (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// TestRunningRootByName: of a root in memory a file says which one was started.
func TestRunningRootByName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slot")
	cfg := &config.UpdateRootfs{A: "/dev/p5", B: "/dev/p6", Mount: "/", Running: path}
	stat := func(string, *unix.Stat_t) error { return errors.New("no such file") }
	if got, err := runningRoot(cfg, nil, stat); got != slot.None || err != nil {
		t.Errorf("no file: %s, %v", got, err)
	}
	for text, want := range map[string]slot.Name{"a": slot.A, "b\n": slot.B, "c": slot.None, "": slot.None} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := runningRoot(cfg, nil, stat); got != want || (err != nil) != (want == slot.None) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

// TestLoader: the firmware looks for a file by its own bits, which need not be those of what
// runs, and what is not known is not guessed.
func TestLoader(t *testing.T) {
	sys := t.TempDir()
	if _, err := loader(sys, "amd64"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without UEFI: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(sys, "firmware/efi"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ arch, bits, want string }{
		{"amd64", "64\n", `\EFI\BOOT\BOOTX64.EFI`}, {"amd64", "32\n", `\EFI\BOOT\BOOTIA32.EFI`},
		{"arm64", "64\n", `\EFI\BOOT\BOOTAA64.EFI`}, {"arm", "64\n", `\EFI\BOOT\BOOTAA64.EFI`},
		{"arm", "32\n", `\EFI\BOOT\BOOTARM.EFI`}, {"riscv64", "64\n", ""}, {"amd64", "128\n", ""}, {"amd64", "", ""},
	} {
		if err := os.WriteFile(filepath.Join(sys, "firmware/efi/fw_platform_size"), []byte(c.bits), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := loader(sys, c.arch); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s with UEFI of %q bits: %s, %v", c.arch, c.bits, got, err)
		}
	}
}
