package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"platen/agent/config"
	"platen/updater/boot"
	"platen/updater/boot/efi"
	"platen/updater/boot/grub"
	"platen/updater/boot/rpi"
	"platen/updater/boot/uboot"
	"platen/updater/slot"
)

// OpenRoot is the pair of root file systems of a configuration, whose contents log knows,
// on a board with sysfs at sys. It returns nil for nil. The folders of keep must be on neither: a release replaces all of
// one, and the other has an older state of them.
func OpenRoot(cfg *config.UpdateRootfs, sys string, log *slot.Log, keep ...string) (*boot.Root, error) {
	if cfg == nil {
		return nil, nil
	}
	env, err := openEnv(cfg, sys)
	if err != nil {
		return nil, fmt.Errorf("opening the bootloader's environment: %w", err)
	}
	running, err := runningRoot(cfg, keep, unix.Stat)
	if err != nil {
		return nil, fmt.Errorf("finding the root file system that runs: %w", err)
	}
	return boot.NewRoot(boot.RootConfig{Log: log, Env: env, Running: running, Open: func(n slot.Name, m slot.Mode) (slot.File, error) {
		return slot.OpenDevice(devices(cfg)[n-slot.A], m)
	}})
}

func devices(cfg *config.UpdateRootfs) [2]string { return [2]string{cfg.A, cfg.B} }

// runningRoot is the root file system that is mounted, if it is one of the two, and holds
// keep to be on none of them. stat is [unix.Stat].
func runningRoot(cfg *config.UpdateRootfs, keep []string, stat func(string, *unix.Stat_t) error) (slot.Name, error) {
	for _, path := range keep {
		on, err := rootOf(cfg, path, stat)
		if err != nil {
			return slot.None, err
		}
		if on != slot.None {
			return slot.None, fmt.Errorf("%s is on root file system %s, which releases replace: put update.slots and state on a partition of their own", path, on)
		}
	}
	if cfg.Running != "" {
		return named(cfg.Running)
	}
	return rootOf(cfg, cfg.Mount, stat)
}

// named is the root file system that a file names. Without the file it is none of the two:
// a board that was started without its bootloader.
func named(path string) (slot.Name, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return slot.None, nil
	}
	if err != nil {
		return slot.None, err
	}
	for _, n := range [...]slot.Name{slot.A, slot.B} {
		if strings.TrimSpace(string(text)) == n.String() {
			return n, nil
		}
	}
	return slot.None, fmt.Errorf("%s names neither a nor b", path)
}

// rootOf compares what a path is on with the devices. A plain file, which stands for a
// device on a rig, is meant if a loop device of it is mounted.
func rootOf(cfg *config.UpdateRootfs, path string, stat func(string, *unix.Stat_t) error) (slot.Name, error) {
	var mounted unix.Stat_t
	if err := stat(path, &mounted); err != nil {
		return slot.None, fmt.Errorf("%s: %w", path, err)
	}
	for i, path := range devices(cfg) {
		var dev unix.Stat_t
		if err := stat(path, &dev); err != nil {
			return slot.None, fmt.Errorf("%s: %w", path, err)
		}
		if dev.Mode&unix.S_IFMT == unix.S_IFBLK && dev.Rdev == mounted.Dev || backs(path, uint64(mounted.Dev)) {
			return slot.A + slot.Name(i), nil
		}
	}
	return slot.None, nil
}

// backs reports whether a loop device is of a file.
func backs(path string, dev uint64) bool {
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/loop/backing_file", unix.Major(dev), unix.Minor(dev)))
	return err == nil && strings.TrimSpace(string(text)) == path
}

func openEnv(cfg *config.UpdateRootfs, sys string) (boot.Env, error) {
	file := func(path string) func(slot.Mode) (slot.File, error) {
		return func(m slot.Mode) (slot.File, error) { return slot.OpenDevice(path, m) }
	}
	switch cfg.Bootloader {
	case "grub":
		return grub.Open(file(cfg.Env[0]), file(cfg.Env[1]))
	case "efi":
		return openEFI(cfg, sys)
	case "rpi":
		return rpi.Open(rpi.Config{Open: file(cfg.Env[0]), Partitions: [2]int{cfg.Partitions[0], cfg.Partitions[1]}})
	}
	text, err := os.ReadFile(cfg.Env[0])
	if err != nil {
		return nil, err
	}
	c := uboot.Config{}
	if cfg.Bootloader == "uboot-order" {
		c.Style = uboot.BootOrder
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) < 3 {
			return nil, fmt.Errorf("%s: a line is not DEVICE OFFSET SIZE", cfg.Env[0])
		}
		offset, err := strconv.ParseInt(f[1], 0, 63)
		size, err2 := strconv.ParseInt(f[2], 0, 31)
		if err = errors.Join(err, err2); err != nil || offset < 0 {
			return nil, fmt.Errorf("%s: %w", cfg.Env[0], errors.Join(errors.New("an offset or size is no number"), err))
		}
		if c.Size != 0 && c.Size != int(size) {
			return nil, fmt.Errorf("%s: the copies differ in size", cfg.Env[0])
		}
		c.Size = int(size)
		c.Copies = append(c.Copies, uboot.Copy{Offset: offset, Open: file(f[0])})
	}
	return uboot.Open(c)
}

// loaders are the names by which UEFI looks for what to start, by the architecture that this
// is built for and by the bits of the firmware, which may be others.
var loaders = map[string]map[string]string{
	"amd64": {"32": "BOOTIA32.EFI", "64": "BOOTX64.EFI"},
	"arm":   {"32": "BOOTARM.EFI", "64": "BOOTAA64.EFI"},
	"arm64": {"32": "BOOTARM.EFI", "64": "BOOTAA64.EFI"},
}

// loader is what the firmware of this board starts.
func loader(sys, arch string) (string, error) {
	text, err := os.ReadFile(filepath.Join(sys, "firmware/efi/fw_platform_size"))
	if err != nil {
		return "", err
	}
	name := loaders[arch][strings.TrimSpace(string(text))]
	if name == "" {
		return "", fmt.Errorf("what UEFI of %.8q bits starts on %s is not known", strings.TrimSpace(string(text)), arch)
	}
	return `\EFI\BOOT\` + name, nil
}

func openEFI(cfg *config.UpdateRootfs, sys string) (boot.Env, error) {
	name, err := loader(sys, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	c := efi.Config{Vars: efi.Dir(cfg.Env[0]), Loader: name}
	for i, dev := range devices(cfg) {
		if c.Slots[i], err = efi.PlaceOf(sys, dev); err != nil {
			return nil, err
		}
	}
	return efi.Open(c)
}

// Restart restarts the board by the command of a configuration, which is told arg unless it
// is "".
func Restart(cfg *config.UpdateRootfs) func(ctx context.Context, arg string) error {
	return func(ctx context.Context, arg string) error {
		args := cfg.Restart
		if arg != "" {
			args = append(args[:len(args):len(args)], arg)
		}
		unix.Sync()
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", args[0], err, lastLine(out))
		}
		return nil
	}
}
