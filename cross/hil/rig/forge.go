package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"platen/cross/image"
	"platen/cross/image/fit"
)

// Forge puts a boot into a slot whose command line has one word more: signed with the same
// key, and not released.
func (m *maker) Forge(disk, slot string) (func(string) error, error) {
	return m.change(disk, slot, func(b []byte) error {
		p, err := fit.Open(b, &m.signer.PublicKey)
		if err != nil {
			return err
		}
		p.Cmdline += " x"
		other, err := fit.Build(p, m.signer)
		if err == nil && len(other) > len(b) {
			err = errors.New("it does not fit")
		}
		copy(b, other)
		return err
	})
}

// Flip changes one bit of the initial root file system in a slot.
func (m *maker) Flip(disk, slot string, n uint64) (func(string) error, error) {
	return m.change(disk, slot, func(b []byte) error {
		p, err := fit.Open(b, &m.signer.PublicKey)
		if err == nil {
			n %= uint64(8 * len(p.Ramdisk))
			p.Ramdisk[n/8] ^= 1 << (n % 8) // a piece of b
		}
		return err
	})
}

// change has fn change what a slot starts. What comes back restores that, and the environment.
func (m *maker) change(disk, slot string, fn func([]byte) error) (func(string) error, error) {
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	part, env := image.Find(slot), image.Find("env")
	old, first := make([]byte, part.Size-image.BootAt), make([]byte, env.Size)
	for _, x := range []struct {
		p  []byte
		at int64
	}{{old, part.Offset + image.BootAt}, {first, env.Offset}} {
		if _, err := f.ReadAt(x.p, x.at); err != nil && err != io.EOF {
			return nil, fmt.Errorf("read a slot: %w", err)
		}
	}
	b := bytes.Clone(old)
	if err := fn(b); err != nil {
		return nil, fmt.Errorf("change a slot: %w", err)
	}
	if _, err := f.WriteAt(b, part.Offset+image.BootAt); err != nil {
		return nil, err
	}
	return func(disk string) error {
		f, err := os.OpenFile(disk, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(old, part.Offset+image.BootAt)
		_, err2 := f.WriteAt(first, env.Offset)
		return errors.Join(err, err2, f.Close())
	}, nil
}
