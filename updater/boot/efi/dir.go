package efi

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Dir are the variables in the folder of a mounted efivarfs, /sys/firmware/efi/efivars.
type Dir string

func (d Dir) path(name string) string {
	return filepath.Join(string(d), name+"-8be4df61-93ca-11d2-aa0d-00e098032b8c") // EFI_GLOBAL_VARIABLE
}

// Get reads a variable.
func (d Dir) Get(name string) ([]byte, error) { return os.ReadFile(d.path(name)) }

// Set writes a variable in one call, for each is a new value.
func (d Dir) Set(name string, contents []byte) error {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(contents)
	return errors.Join(err, f.Close())
}

// Remove removes a variable.
func (d Dir) Remove(name string) error {
	if err := os.Remove(d.path(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
