package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"platen/agent/pid1"
	"platen/agent/pid1/newc"
)

// WriteSettings puts files for /etc/platen, by their names, into the config partition of a
// disk, or of a file that holds one: what is this printer's own. What was there goes.
func WriteSettings(disk string, files map[string][]byte) (err error) {
	b, err := encodeSettings(files)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Sync(), f.Close()) }()
	if _, err := f.WriteAt(append(b, make([]byte, pid1.ConfigLimit-len(b))...), Find("config").Offset); err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	return nil
}

// encodeSettings is the archive; nothing for no files.
func encodeSettings(files map[string][]byte) ([]byte, error) {
	if len(files) == 0 {
		return nil, nil
	}
	var list []newc.Entry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		list = append(list, newc.Entry{Name: name, Mode: newc.Regular | 0o600, Data: files[name]})
	}
	var b bytes.Buffer
	if err := newc.Write(&b, append(folders(list), list...)); err != nil {
		return nil, err
	}
	if b.Len() > pid1.ConfigLimit {
		return nil, fmt.Errorf("the settings have %d bytes, and %d fit", b.Len(), pid1.ConfigLimit)
	}
	return b.Bytes(), nil
}

// writeSparse writes all but what is zeros in pages, which a new file has anyway.
func writeSparse(w io.WriterAt, b []byte, at int64) error {
	const page = 64 << 10
	zero := make([]byte, page)
	for chunk := range slices.Chunk(b, page) {
		if !bytes.Equal(chunk, zero[:len(chunk)]) {
			if _, err := w.WriteAt(chunk, at); err != nil {
				return err
			}
		}
		at += int64(len(chunk))
	}
	return nil
}
