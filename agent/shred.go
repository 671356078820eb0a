package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"platen/agent/durable"
)

// shred overwrites and removes everything below dir but the entries named keep, and
// returns how many files that were. What it overwrites is gone from a disk that writes in
// place; of flash memory that does not, nobody can say that, which is why all that is
// worth anything in there is sealed under keys of the TPM as well.
func shred(dir string, keep func(name string) bool) (files uint64, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("removing the owner's data: %w", err)
	}
	for _, e := range entries {
		if keep != nil && keep(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		var n uint64 = 1
		switch {
		case e.IsDir():
			n, err = shred(path, nil)
		case e.Type().IsRegular():
			err = overwrite(path)
		}
		files += n
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil {
			return files, fmt.Errorf("removing the owner's data: %w", err)
		}
	}
	if err := durable.SyncDir(dir); err != nil {
		return files, fmt.Errorf("removing the owner's data: %w", err)
	}
	return files, nil
}

// overwrite writes zeros over a file, as long as it is, and waits for the disk.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < fi.Size() && err == nil; at += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), fi.Size()-at)], at)
	}
	return errors.Join(err, f.Sync(), f.Close())
}
