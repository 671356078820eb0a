package main

import (
	"context"
	"sync"

	"platen/updater/boot/boottest"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// bug is a seeded mistake: a control that each claim has to catch.
type bug uint8

const (
	sane           bug = iota
	armedEarly         // the bootloader is told to try a root file system before it is written
	unread             // what is read back comes from memory; the medium has changed it
	syncsSwapped       // contents are made durable after what says that they are
	floorForgotten     // the store of the metadata keeps no floor
)

// stage updates as an agent does, or with the mistake.
func (b bug) stage(w *world, a *agent, o set) error {
	if b == armedEarly && o.root != 0 {
		env, err := w.fw.Env(w.disk)
		if err != nil {
			return err
		}
		if _, err := env.Try(a.root.Other()); err != nil {
			return err
		}
	}
	_, err := a.up.Stage(context.Background())
	return err
}

// disk is the disk as the updater under test sees it while the story is lived.
func (b bug) disk(d *updatertest.Disk) slot.FS {
	switch b {
	case unread:
		return &forgetful{Disk: d, meant: map[string][]byte{}}
	case syncsSwapped:
		return &swapped{Disk: d, late: map[string]slot.File{}}
	}
	return d
}

// swapped synchronises the contents of root file systems and slots only when the record
// has been.
type swapped struct {
	*updatertest.Disk
	late map[string]slot.File
}

type swappedFile struct {
	slot.File
	d    *swapped
	name string
}

func (d *swapped) Open(name string, mode slot.Mode) (slot.File, error) {
	f, err := d.Disk.Open(name, mode)
	if err != nil {
		return nil, err
	}
	return swappedFile{f, d, name}, nil
}

func (f swappedFile) Sync() error {
	if f.name != "slots" {
		f.d.late[f.name] = f.File
		return nil
	}
	if err := f.File.Sync(); err != nil {
		return err
	}
	for name, file := range f.d.late {
		delete(f.d.late, name)
		if err := file.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// forgetful is a medium that changes a byte of each root file system that is written, under
// an updater that reads back what it remembers.
type forgetful struct {
	*updatertest.Disk
	mu    sync.Mutex // what is written is read back meanwhile
	meant map[string][]byte
}

type forgetfulFile struct {
	slot.File
	d    *forgetful
	name string
}

func (d *forgetful) Open(name string, mode slot.Mode) (slot.File, error) {
	f, err := d.Disk.Open(name, mode)
	if err != nil || name != boottest.Partition(slot.A) && name != boottest.Partition(slot.B) {
		return f, err
	}
	return forgetfulFile{f, d, name}, nil
}

func (f forgetfulFile) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	m := f.d.meant[f.name]
	if need := int(off) + len(p) - len(m); need > 0 {
		m = append(m, make([]byte, need)...)
	}
	copy(m[off:], p)
	f.d.meant[f.name] = m
	q := append([]byte(nil), p...)
	if off == 0 {
		q[len(q)/2] ^= 1
	}
	return f.File.WriteAt(q, off)
}

func (f forgetfulFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if m := f.d.meant[f.name]; int(off) < len(m) {
		copy(p[:n], m[off:])
	}
	return n, err
}
