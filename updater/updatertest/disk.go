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
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
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

// Crash is a state a power cut may leave.
type Crash struct {
	Disk  *Disk    // with an empty record of its own
	Acked []string // marks entered before the cut
	At    string   // which cut, to find it again
}

// Crashes goes through the states that cuts may leave. Equal seeds give equal states.
func (d *Disk) Crashes(seed uint64) iter.Seq[Crash] {
	d.mu.Lock()
	log, base := slices.Clone(d.log), d.base.clone()
	d.mu.Unlock()
	return func(yield func(Crash) bool) {
		rng := rand.New(rand.NewPCG(seed, 0))
		for n := 0; n <= len(log); n++ {
			if !cutAfter(log[:n], base, rng, yield) {
				return
			}
		}
	}
}

// cutAfter yields the states of a cut after the effects in log.
func cutAfter(log []effect, base image, rng *rand.Rand, yield func(Crash) bool) bool {
	open := unsynced(log)
	acked := marks(log)
	combos := make([]uint64, 0, 256)
	if len(open) <= 8 {
		for c := range uint64(1) << len(open) {
			combos = append(combos, c)
		}
	} else {
		for range 64 {
			combos = append(combos, rng.Uint64())
		}
		combos = append(combos, 0, ^uint64(0))
	}
	for _, c := range combos {
		for how := range tears {
			m, torn := replay(log, base, open, c, how, rng)
			if how > 0 && !torn {
				break
			}
			at := fmt.Sprintf("effect %d, combination %#x, tear %d", len(log), c, how)
			if !yield(Crash{from(m), acked, at}) {
				return false
			}
		}
	}
	return true
}

// The ways a write reaches the medium: whole, some sectors, up to some byte, its
// length only.
const tears = 4

// unsynced lists the effects that are not durable at the end of log.
func unsynced(log []effect) []int {
	files, dirs := map[int]bool{}, map[string]bool{}
	var open []int
	for i := len(log) - 1; i >= 0; i-- {
		switch e := log[i]; e.kind {
		case synced:
			files[e.file] = true
		case syncedDir:
			dirs[e.to] = true
		case wrote, cut:
			if !files[e.file] {
				open = append(open, i)
			}
		case linked, renamed:
			if !dirs[path.Dir(e.to)] {
				open = append(open, i)
			}
		}
	}
	slices.Reverse(open)
	return open
}

func marks(log []effect) []string {
	var m []string
	for _, e := range log {
		if e.kind == marked {
			m = append(m, e.to)
		}
	}
	return m
}

// replay applies the durable effects and the chosen open ones; torn reports whether
// a chosen one was a write.
func replay(log []effect, base image, open []int, chosen uint64, how int, rng *rand.Rand) (m image, torn bool) {
	m = base.clone()
	for i, e := range log {
		at, isOpen := slices.BinarySearch(open, i)
		if isOpen && chosen>>(at%64)&1 == 0 {
			m.grow(e.file)
			continue
		}
		m.grow(e.file)
		switch e.kind {
		case cut:
			m.files[e.file] = nil
		case linked:
			m.names[e.to] = e.file
		case renamed:
			delete(m.names, e.from)
			m.names[e.to] = e.file
		case wrote:
			if isOpen && how > 0 {
				torn = true
				m.files[e.file] = tear(m.files[e.file], e, how, rng)
			} else {
				m.files[e.file] = put(m.files[e.file], e.data, e.off)
			}
		}
	}
	return m, torn
}

func (m *image) grow(file int) {
	for len(m.files) <= file {
		m.files = append(m.files, nil)
	}
}

func tear(file []byte, e effect, how int, rng *rand.Rand) []byte {
	end := e.off + int64(len(e.data))
	switch how {
	case 1: // some sectors
		file = lengthen(file, end)
		for at := e.off; at < end; {
			next := min((at/sector+1)*sector, end)
			if rng.IntN(2) == 0 {
				copy(file[at:next], e.data[at-e.off:next-e.off])
			}
			at = next
		}
		return file
	case 2: // up to some byte
		return put(file, e.data[:rng.IntN(len(e.data)+1)], e.off)
	}
	return lengthen(file, end) // the length only
}
