// Package updatertest tests what promises to survive a power cut: [Disk] is a disk
// in memory that records every effect and can be put back to any state a cut may
// leave, [Bootloader] is the suite every updater.Bootloader passes, and
// [InstallerCases] that of every updater.Installer.
//
// # What a cut leaves
//
// An effect is durable once its file, or for creations and renames its folder, was
// synchronised after it. At a cut, any of the effects that are not durable may have
// reached the medium, in any combination: all of them whole, some of the sectors of
// some of them, a length without the data, or nothing. [Disk.Crashes] goes through
// the cuts after every recorded effect; of up to eight open effects it takes every
// combination, of more it draws 64, and it tears each combination that contains a
// write in three ways. What it draws depends only on the seed.
package updatertest

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
	"path"
	"sync"

	"platen/updater/slot"
)

const sector = 512

// Disk is a slot.FS in memory that records its effects. Every folder exists.
type Disk struct {
	mu    sync.Mutex
	lock  sync.Mutex
	names map[string]int // file name → file
	files [][]byte       // contents by file
	base  image          // what was durable before the record begins
	log   []effect
}

// image is the state of a disk.
type image struct {
	names map[string]int
	files [][]byte
}

func (m image) clone() image {
	files := make([][]byte, len(m.files))
	for i, f := range m.files {
		files[i] = bytes.Clone(f)
	}
	return image{maps.Clone(m.names), files}
}

type kind uint8

const (
	wrote kind = iota
	cut        // to length 0
	synced
	linked
	renamed
	syncedDir
	marked
)

// effect is one recorded effect.
type effect struct {
	kind     kind
	file     int
	off      int64
	data     []byte
	from, to string // names; to also for linked, the folder of syncedDir, the text of marked
}

// NewDisk returns an empty disk.
func NewDisk() *Disk { return from(image{names: map[string]int{}}) }

func from(m image) *Disk {
	now := m.clone()
	return &Disk{names: now.names, files: now.files, base: m}
}

// Mark enters in the record that something was reported as done: a cut after it must
// not undo it.
func (d *Disk) Mark(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, effect{kind: marked, to: text})
}

// Effects is the number of effects recorded, marks not counted.
func (d *Disk) Effects() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, e := range d.log {
		if e.kind != marked {
			n++
		}
	}
	return n
}

// Contents returns what is in a file; ok is false if there is no such file.
func (d *Disk) Contents(name string) (data []byte, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, ok := d.names[name]
	if !ok {
		return nil, false
	}
	return bytes.Clone(d.files[i]), true
}

// Damage replaces the contents of a file behind the back of whoever uses the disk.
func (d *Disk) Damage(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[d.names[name]] = bytes.Clone(data)
}

func (d *Disk) record(e effect) { d.log = append(d.log, e) }

// Open opens a file.
func (d *Disk) Open(name string, mode slot.Mode) (slot.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	i, ok := d.names[name]
	create := mode == slot.Create || mode == slot.Program
	switch {
	case !ok && !create:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case !ok:
		i = len(d.files)
		d.files = append(d.files, nil)
		d.names[name] = i
		d.record(effect{kind: linked, file: i, to: name})
	case create:
		d.files[i] = nil
		d.record(effect{kind: cut, file: i})
	}
	return &handle{d: d, file: i, write: mode != slot.Read}, nil
}

// Rename puts from in the place of to.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, ok := d.names[from]
	if !ok {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	if path.Dir(from) != path.Dir(to) {
		return &fs.PathError{Op: "rename between folders", Path: from, Err: fs.ErrInvalid}
	}
	delete(d.names, from)
	d.names[to] = i
	d.record(effect{kind: renamed, file: i, from: from, to: to})
	return nil
}

// SyncDir makes creations and renames in a folder durable.
func (d *Disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.record(effect{kind: syncedDir, to: path.Clean(dir)})
	return nil
}

// Lock is the lock of slot.FS.
func (d *Disk) Lock() (func(), error) {
	d.lock.Lock()
	return d.lock.Unlock, nil
}

// handle is an open file of a Disk.
type handle struct {
	d     *Disk
	file  int
	write bool
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	data := h.d.files[h.file]
	if off >= int64(len(data)) {
		return 0, io.EOF
	}
	n := copy(p, data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if !h.write {
		return 0, fs.ErrPermission
	}
	h.d.files[h.file] = put(h.d.files[h.file], p, off)
	h.d.record(effect{kind: wrote, file: h.file, off: off, data: bytes.Clone(p)})
	return len(p), nil
}

func (h *handle) Sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	h.d.record(effect{kind: synced, file: h.file})
	return nil
}

func (h *handle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64(len(h.d.files[h.file])), nil
}

func (h *handle) Close() error { return nil }

// put writes p at off and lengthens the file as needed.
func put(file, p []byte, off int64) []byte {
	file = lengthen(file, off+int64(len(p)))
	copy(file[off:], p)
	return file
}

func lengthen(file []byte, size int64) []byte {
	if more := size - int64(len(file)); more > 0 {
		file = append(file, make([]byte, more)...)
	}
	return file
}
