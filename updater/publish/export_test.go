package publish

import (
	"errors"
	"io"
	"time"

	"platen/updater/slot"
)

// errNoPower is what every effect ends with once the power is gone.
var errNoPower = errors.New("no power")

// Effects counts the effects on a public folder, and ends them all after so many.
type Effects struct {
	slot.FS
	io.Closer
	N     int // so far
	Until int // the first that does not happen; 0: none. Of a write half happens
}

// Cut has the repository see its folder through e.
func (r *Repo) Cut(e *Effects) {
	e.FS, e.Closer = r.out, r.out
	r.out = e
}

// SubmitHere is [Submit] into this repository.
func (r *Repo) SubmitHere(d *Draft, now time.Time) error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	_, err = r.submit(d, now)
	return err
}

func (e *Effects) next() error {
	e.N++
	if e.Until > 0 && e.N >= e.Until {
		return errNoPower
	}
	return nil
}

// Open opens a file; making one is an effect.
func (e *Effects) Open(name string, m slot.Mode) (slot.File, error) {
	if m != slot.Read {
		if err := e.next(); err != nil {
			return nil, err
		}
	}
	f, err := e.FS.Open(name, m)
	return effectFile{f, e}, err
}

// Rename renames.
func (e *Effects) Rename(from, to string) error {
	if err := e.next(); err != nil {
		return err
	}
	return e.FS.Rename(from, to)
}

// SyncDir is the end of a rename, and waits for nothing: the folder is looked at, not its disk.
func (e *Effects) SyncDir(string) error { return e.next() }

type effectFile struct {
	slot.File
	e *Effects
}

func (f effectFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.e.next(); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f effectFile) Sync() error { return f.e.next() }
