package main

import (
	"bytes"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"os"

	"platen/cross/image"
	"platen/cross/image/fit"
)

// Forge puts a boot into a slot whose command line is another: for U-Boot signed with the same
// key, and not released.
func (m *maker) Forge(disk, slot string) (func(string) error, error) {
	return m.change(disk, slot, func(b []byte) error {
		if m.boot == "efi" {
			line, err := section(b, ".cmdline")
			if err == nil && !bytes.Contains(line, []byte(" quiet ")) {
				err = errors.New("the command line is not as expected")
			}
			copy(line, bytes.Replace(line, []byte(" quiet "), []byte(" other "), 1))
			return err
		}
		p, err := fit.Open(b[image.BootAt:], &m.signer.PublicKey)
		if err != nil {
			return err
		}
		p.Cmdline += " x"
		other, err := fit.Build(p, m.signer)
		if err == nil && len(other) > len(b)-image.BootAt {
			err = errors.New("it does not fit")
		}
		copy(b[image.BootAt:], other)
		return err
	})
}

// Flip changes one bit of the initial root file system in a slot.
func (m *maker) Flip(disk, slot string, n uint64) (func(string) error, error) {
	return m.change(disk, slot, func(b []byte) error {
		var ramdisk []byte // a piece of b
		var err error
		if m.boot == "efi" {
			ramdisk, err = section(b, ".initrd")
		} else {
			var p fit.Parts
			p, err = fit.Open(b[image.BootAt:], &m.signer.PublicKey)
			ramdisk = p.Ramdisk
		}
		if err == nil {
			n %= uint64(8 * len(ramdisk))
			ramdisk[n/8] ^= 1 << (n % 8)
		}
		return err
	})
}

// Refused is what the console says, one of these, when a bit of what slot starts was changed: U-Boot
// does not start it; EDK2 does, but the registers are others, so the state stays closed, if it gets
// that far.
func (m *maker) Refused(slot string) []string {
	if m.boot == "efi" {
		return []string{"platen-init: FATAL", "Kernel panic"}
	}
	return []string{"Platen: slot " + slot + " does not start"}
}

// section is the contents of a section of the image that EFI starts from a slot, as a piece of that.
func section(slot []byte, name string) ([]byte, error) {
	unified, err := image.Unified(slot)
	if err != nil {
		return nil, err
	}
	f, err := pe.NewFile(bytes.NewReader(unified))
	if err != nil {
		return nil, fmt.Errorf("read the image: %w", err)
	}
	s := f.Section(name)
	if s == nil || int(s.Offset) > len(unified)-int(s.VirtualSize) {
		return nil, fmt.Errorf("the image has no section %s", name)
	}
	return unified[s.Offset:][:s.VirtualSize], nil
}

// change has fn change what a slot starts. What comes back restores that, and the environment.
func (m *maker) change(disk, slot string, fn func([]byte) error) (func(string) error, error) {
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	part, env := image.Find(slot), image.Find("env")
	old, first := make([]byte, part.Size), make([]byte, env.Size)
	for _, x := range []struct {
		p  []byte
		at int64
	}{{old, part.Offset}, {first, env.Offset}} {
		if _, err := f.ReadAt(x.p, x.at); err != nil && err != io.EOF {
			return nil, fmt.Errorf("read a slot: %w", err)
		}
	}
	b := bytes.Clone(old)
	if err := fn(b); err != nil {
		return nil, fmt.Errorf("change a slot: %w", err)
	}
	if _, err := f.WriteAt(b, part.Offset); err != nil {
		return nil, err
	}
	return func(disk string) error {
		f, err := os.OpenFile(disk, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(old, part.Offset)
		_, err2 := f.WriteAt(first, env.Offset)
		return errors.Join(err, err2, f.Close())
	}, nil
}
