// Package boottest is the other end of package boot's environments: the part of a board's
// bootloader that reads them and decides which root file system starts, on any slot.FS.
// Start at [Boards].
package boottest

import (
	"errors"

	"platen/updater/boot"
	"platen/updater/boot/grub"
	"platen/updater/boot/rpi"
	"platen/updater/boot/uboot"
	"platen/updater/slot"
)

// Firmware is a board's bootloader, as far as it decides which partition starts. Its start
// reads and changes what lies on the disk. arg is what the restart was told; boots says
// whether a partition comes up.
type Firmware interface {
	// Env is what an agent changes.
	Env(d slot.FS) (boot.Env, error)
	// Factory writes what the factory wrote: partition a starts.
	Factory(d slot.FS) error
	// Start is a start of the board, up to the partition that comes up.
	Start(d slot.FS, arg string, boots func(slot.Name) bool) slot.Name
}

func at(d slot.FS, name string) func(slot.Mode) (slot.File, error) {
	return func(m slot.Mode) (slot.File, error) { return d.Open(name, m) }
}

// countdown is a U-Boot board, by bootcount or by BOOT_ORDER.
type countdown struct{ style uboot.Style }

func (f countdown) open(d slot.FS) (*uboot.Env, error) {
	return uboot.Open(uboot.Config{Size: 2048, Style: f.style, Copies: []uboot.Copy{{Open: at(d, "env-0")}, {Open: at(d, "env-1"), Offset: 512}}})
}

func (f countdown) Env(d slot.FS) (boot.Env, error) { return f.open(d) }

func (f countdown) Factory(d slot.FS) error {
	e, err := f.open(d)
	if err != nil {
		return err
	}
	p, err := e.Encode(uboot.Vars{"bootlimit": "3", "altbootcmd": "run other"}, 7)
	if err != nil {
		return err
	}
	if err := errors.Join(slot.Replace(d, "env-0", p), slot.Replace(d, "env-1", make([]byte, 4096))); err != nil {
		return err
	}
	return e.Confirm(slot.A)
}

func (f countdown) Start(d slot.FS, _ string, boots func(slot.Name) bool) slot.Name {
	e, err := f.open(d)
	if err != nil {
		return slot.None
	}
	for range 20 { // each one is a start that did not come up
		v, err := e.Vars()
		if err != nil {
			return slot.None
		}
		n, change := slot.Parse(v["platen_slot"]), uboot.Vars{}
		if f.style == uboot.BootOrder {
			n, change = byOrder(v)
		} else if v["upgrade_available"] == "1" {
			if change["bootcount"] = string(v["bootcount"][0] + 1); change["bootcount"] > v["bootlimit"] {
				n = n.Other() // altbootcmd
			}
		}
		if e.Set(change) != nil {
			return slot.None
		}
		if n != slot.None && boots(n) {
			return n
		}
	}
	return slot.None
}

func byOrder(v uboot.Vars) (slot.Name, uboot.Vars) {
	for _, n := range [...]slot.Name{slot.Parse(v["BOOT_ORDER"][:1]), slot.Parse(v["BOOT_ORDER"][2:])} {
		left := "BOOT_" + n.String() + "_LEFT"
		if v[left] > "0" {
			return n, uboot.Vars{left: string(v[left][0] - 1)}
		}
	}
	return slot.None, uboot.Vars{"BOOT_a_LEFT": "3", "BOOT_b_LEFT": "3"}
}

// grubBoard is a board with GRUB.
type grubBoard struct{}

func (grubBoard) Env(d slot.FS) (boot.Env, error) { return grub.Open(at(d, "grub-0"), at(d, "grub-1")) }

func (g grubBoard) Factory(d slot.FS) error {
	empty, err := grub.Block()
	if err != nil {
		return err
	}
	for _, name := range []string{"grub-0", "grub-1", "grub-tried"} {
		if err := slot.Replace(d, name, empty); err != nil {
			return err
		}
	}
	e, err := g.Env(d)
	if err != nil {
		return err
	}
	return e.Confirm(slot.A)
}

// start does what the script for grub.cfg does.
func (grubBoard) Start(d slot.FS, _ string, boots func(slot.Name) bool) slot.Name {
	for range 20 {
		var best map[string]string
		for _, name := range []string{"grub-0", "grub-1"} {
			p, err := slot.ReadAll(d, name, 1024)
			if err != nil {
				return slot.None
			}
			v, _ := grub.Parse(p)
			if v["platen_gen"] != "" && v["platen_gen"] == v["platen_end"] && (best == nil || v["platen_gen"] > best["platen_gen"]) {
				best = v
			}
		}
		p, err := slot.ReadAll(d, "grub-tried", 1024)
		if err != nil || best == nil {
			return slot.None
		}
		tried, _ := grub.Parse(p)
		n := slot.Parse(best["platen_slot"])
		if trial := slot.Parse(best["platen_trial"]); trial != slot.None && tried["platen_tried"] != best["platen_gen"] {
			n = trial
			p, err = grub.Block("platen_tried", best["platen_gen"])
			if err == nil {
				err = inPlace(d, "grub-tried", p)
			}
			if err != nil {
				return slot.None
			}
		}
		if boots(n) {
			return n
		}
	}
	return slot.None
}

func inPlace(d slot.FS, name string, p []byte) error {
	f, err := d.Open(name, slot.Edit)
	if err != nil {
		return err
	}
	return slot.Overwrite(f, p, 0)
}

// pi is a Raspberry Pi.
type pi struct{}

func (pi) open(d slot.FS) (*rpi.Env, error) {
	return rpi.Open(rpi.Config{Open: at(d, "autoboot.txt"), Partitions: [2]int{2, 3}})
}

func (p pi) Env(d slot.FS) (boot.Env, error) { return p.open(d) }

func (p pi) Factory(d slot.FS) error {
	e, err := p.open(d)
	if err != nil {
		return err
	}
	return slot.Replace(d, "autoboot.txt", e.File(slot.A))
}

func (p pi) Start(d slot.FS, arg string, boots func(slot.Name) bool) slot.Name {
	e, err := p.open(d)
	if err != nil {
		return slot.None
	}
	active, _, err := e.Load()
	if err != nil {
		return slot.None
	}
	if arg == rpi.TrybootArg && boots(active.Other()) {
		return active.Other()
	}
	if boots(active) {
		return active
	}
	return slot.None
}

// Boards are the boards by name. Each has files of its own on the disk.
var Boards = map[string]Firmware{
	"uboot-count": countdown{uboot.BootCount}, "uboot-order": countdown{uboot.BootOrder}, "grub": grubBoard{}, "rpi": pi{}, "efi": uefi{},
}

// Partition is the name of a partition on the disk.
func Partition(n slot.Name) string { return "root-" + n.String() }

// Root is the pair of root file systems on a disk, for an agent that runs on one of them.
func Root(d slot.FS, log *slot.Log, fw Firmware, running slot.Name) (*boot.Root, error) {
	env, err := fw.Env(d)
	if err != nil {
		return nil, err
	}
	return boot.NewRoot(boot.RootConfig{Log: log, Env: env, Running: running,
		Open: func(n slot.Name, m slot.Mode) (slot.File, error) { return d.Open(Partition(n), m) }})
}

// Sound reports whether a partition holds what the record says, as its kernel would find
// out. Partition a holds what the factory put there until it is written.
func Sound(d slot.FS, n slot.Name) bool {
	rec, err := slot.NewLog(d).Load()
	if err != nil {
		return false
	}
	want := *rec.Root(n)
	if want.Empty() {
		return n == slot.A
	}
	f, err := d.Open(Partition(n), slot.Read)
	if err != nil {
		return false
	}
	defer f.Close()
	sum, err := slot.Sum(f, int64(want.Size))
	return err == nil && sum == want.Digest
}
