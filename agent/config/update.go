package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Update says where releases come from and what of the printer they replace.
type Update struct {
	URL      string   `toml:"url"`   // base URL of the TUF repository
	Root     string   `toml:"root"`  // the factory's root.json
	Slots    string   `toml:"slots"` // folder of the two slots
	Period   Duration `toml:"period"`
	Hours    Hours    `toml:"hours"`    // when releases may be installed by themselves, "02:00-05:00" of local time; "": any time
	Hardware string   `toml:"hardware"` // revision of the board, as releases name it
	Offline  bool     `toml:"offline"`  // a release is healthy without reaching the fleet
	Ring     string   `toml:"ring"`     // releases that are rolled out to this ring come at once; "": as the share of printers grows

	Largest   Size     `toml:"largest"`   // file of a release that is fetched; default 256MiB
	Mirrors   []string `toml:"mirrors"`   // where the repository is as well, asked in this order after url
	NTP       []string `toml:"ntp"`       // "host:port" of servers asked for the time if the clock was not set
	Owner     bool     `toml:"owner"`     // a release waits until the owner (owner_key) has approved it
	LogKey    string   `toml:"log_key"`   // file with the key of the transparency log that has to have a release; "": none
	Witnesses []string `toml:"witnesses"` // files with keys of witnesses of that log
	Quorum    int      `toml:"quorum"`    // how many of the witnesses must have signed

	Controller *UpdateController `toml:"controller"` // releases may bring its firmware
	Rootfs     *UpdateRootfs     `toml:"rootfs"`     // releases may bring a root file system
}

// UpdateController is how releases flash the motion controller.
type UpdateController struct {
	Device string `toml:"device"` // where its bootloader is, if not where its firmware is
}

// UpdateRootfs is where the two root file systems are, and what chooses between them.
type UpdateRootfs struct {
	A          string   `toml:"a"`          // block device of slot a
	B          string   `toml:"b"`          // and of slot b
	Mount      string   `toml:"mount"`      // where the one that runs is mounted; "/"
	Running    string   `toml:"running"`    // instead of mount, of a root in memory: a file with "a" or "b", whichever was started
	Bootloader string   `toml:"bootloader"` // "uboot", "uboot-order", "grub", "efi" or "rpi"
	Env        []string `toml:"env"`        // uboot: fw_env.config; grub: two environment blocks; efi: where efivarfs is; rpi: autoboot.txt
	Partitions []int    `toml:"partitions"` // rpi: the boot partitions of slots a and b
	Restart    []string `toml:"restart"`    // command that restarts the board; what it has to be told follows. Default "reboot"
}

// Hours is a time of the day, from and until in minutes since midnight; equal: all of it.
type Hours struct{ From, Until int }

// UnmarshalText reads "02:00-05:00"; the end may be on the next day.
func (h *Hours) UnmarshalText(t []byte) error {
	var a, b, c, d int
	n, err := fmt.Sscanf(string(t), "%d:%d-%d:%d", &a, &b, &c, &d)
	if err != nil || n != 4 || min(a, b, c, d) < 0 || max(a, c) > 23 || max(b, d) > 59 || a*60+b == c*60+d ||
		string(t) != fmt.Sprintf("%02d:%02d-%02d:%02d", a, b, c, d) {
		return fmt.Errorf("%q is not a time of the day: write it as in \"02:00-05:00\"", t)
	}
	*h = Hours{a*60 + b, c*60 + d}
	return nil
}

// Wait returns how long it is from now until the hours, 0 within them.
func (h Hours) Wait(now time.Time) time.Duration {
	at := now.Hour()*60 + now.Minute()
	within := at >= h.From && at < h.Until
	if h.From >= h.Until {
		within = at >= h.From || at < h.Until
	}
	if h.From == h.Until || within {
		return 0
	}
	begin := time.Date(now.Year(), now.Month(), now.Day(), h.From/60, h.From%60, 0, 0, now.Location())
	if !begin.After(now) {
		begin = begin.AddDate(0, 0, 1)
	}
	return begin.Sub(now)
}

// paths are the paths of the table, which may be relative.
func (u *Update) paths() []*string {
	paths := []*string{&u.Root, &u.Slots, &u.LogKey}
	for i := range u.Witnesses {
		paths = append(paths, &u.Witnesses[i])
	}
	if u.Controller != nil {
		paths = append(paths, &u.Controller.Device)
	}
	if r := u.Rootfs; r != nil {
		paths = append(paths, &r.A, &r.B, &r.Mount, &r.Running)
		for i := range r.Env {
			paths = append(paths, &r.Env[i])
		}
	}
	return paths
}

// fill gives what was left out its default.
func (u *Update) fill() {
	if u.Period == 0 {
		u.Period = Duration(time.Hour)
	}
	if u.Largest == 0 {
		u.Largest = 256 << 20
	}
	if r := u.Rootfs; r != nil {
		if r.Mount == "" {
			r.Mount = "/"
		}
		if len(r.Restart) == 0 {
			r.Restart = []string{"reboot"}
		}
	}
}

func (u *Update) check(need func(key, value string) error) []error {
	errs := []error{need("update.url", u.URL), need("update.root", u.Root), need("update.slots", u.Slots)}
	if time.Duration(u.Period) < time.Minute {
		errs = append(errs, errors.New("update.period is below 1m, more often than releases come"))
	}
	if u.Largest < 16<<20 {
		errs = append(errs, errors.New("update.largest is below 16MiB, and an agent may have that"))
	}
	if u.Rootfs != nil {
		errs = append(errs, need("update.rootfs.a", u.Rootfs.A), need("update.rootfs.b", u.Rootfs.B), u.Rootfs.check())
	}
	return errs
}

func (r *UpdateRootfs) check() error {
	env, partitions := 1, 0
	switch r.Bootloader {
	case "uboot", "uboot-order", "efi":
	case "grub":
		env = 2
	case "rpi":
		partitions = 2
	default:
		return errors.New("update.rootfs.bootloader is none of \"uboot\", \"uboot-order\", \"grub\", \"efi\" and \"rpi\"")
	}
	switch {
	case len(r.Env) != env:
		return fmt.Errorf("update.rootfs.env names %d files, and bootloader %q has %d", len(r.Env), r.Bootloader, env)
	case len(r.Partitions) != partitions:
		return fmt.Errorf("update.rootfs.partitions has %d numbers, and bootloader %q has %d", len(r.Partitions), r.Bootloader, partitions)
	case filepath.Clean(r.A) == filepath.Clean(r.B):
		return errors.New("update.rootfs.a and b are the same device")
	}
	return nil
}
