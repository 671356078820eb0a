// Package durable writes the small files that the agent and the fleet side keep
// across power cuts.
//
// [Replace] puts a whole file in the place of another, [Append] adds to a log, and
// after a power cut at any point the file is the old one or the new one, and a log
// has lost at most its last, unfinished piece. Callers see to it that one of them
// writes at a time. What belongs to an update is kept by updater/slot, which speaks
// to a disk that tests can tear.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// suffix is that of a file that is being written. A power cut leaves at most one,
// and the next Replace writes over it.
const suffix = ".new"

// Replace makes b the contents of the file at path, readable by its owner alone: b
// is written beside it and synced, renamed over it, and the folder is synced. If it
// fails before that the old file is untouched.
func Replace(path string, b []byte) error {
	f, err := os.OpenFile(path+suffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(filepath.Dir(path))
}

// Append adds b to the end of the file at path, which is made if it is not there.
func Append(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a folder durable: what was made, renamed or removed.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Remove removes the file at path, if there is one, and what a Replace that was cut off has
// left beside it.
func Remove(path string) error {
	for _, name := range []string{path + suffix, path} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return SyncDir(filepath.Dir(path))
}
