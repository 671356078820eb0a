package spool

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"platen/updater/slot"
)

const (
	keyName = "key"
	maxKey  = 4 << 10
)

// ErrKey reports a sealed key that never opens again: it was changed, or sealed by another
// TPM, or the TPM was cleared since. What was encrypted under it is lost.
var ErrKey = errors.New("the key never opens again")

// Sealer is the printer's TPM.
type Sealer interface {
	// Seal makes a blob that only this TPM opens.
	Seal(ctx context.Context, secret []byte) ([]byte, error)
	// Unseal opens it. It is ErrKey if it will not open another time either.
	Unseal(ctx context.Context, blob []byte) ([]byte, error)
}

// loadKey is the sealed key of the folder, nil if there is none.
func loadKey(ctx context.Context, fsys slot.FS, sealer Sealer) ([]byte, error) {
	blob, err := slot.ReadAll(fsys, keyName, maxKey)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(blob) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key, err := sealer.Unseal(ctx, blob)
	if err == nil && len(key) != 32 {
		err = fmt.Errorf("%w: it is of another length", ErrKey)
	}
	if err != nil {
		return nil, err
	}
	return key, nil
}

// newKey empties the folder and puts a new key in it.
func newKey(ctx context.Context, fsys slot.FS, sealer Sealer) ([]byte, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	blob, err := sealer.Seal(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := wipe(fsys); err != nil {
		return nil, err
	}
	return key, slot.Replace(fsys, keyName, blob)
}

// idOf names the spool under a key, and gives nothing of the key away.
func idOf(key []byte) string {
	sum := sha256.Sum256(append([]byte("platen spool id\x00"), key...))
	return hex.EncodeToString(sum[:8])
}

// wipe shreds every file of a spool. The key is the first: without it the rest is noise.
func wipe(fsys slot.FS) error {
	errs := []error{shred(fsys, keyName)}
	for at := range segments {
		errs = append(errs, shred(fsys, segmentName(at)))
	}
	return errors.Join(errs...)
}

// shred writes zeros over a file, if there is one, and cuts it to nothing.
func shred(fsys slot.FS, name string) error {
	f, err := fsys.Open(name, slot.Edit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil && size > 0 {
		if _, err = f.WriteAt(make([]byte, size), 0); err == nil {
			err = f.Sync()
		}
	}
	if err = errors.Join(err, f.Close()); err != nil || size == 0 {
		return err
	}
	if f, err = fsys.Open(name, slot.Create); err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
