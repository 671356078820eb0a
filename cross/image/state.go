package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"platen/agent/pid1/volume"
)

// The file system of the state: what of it is not said here is mke2fs' for no type at all.
var mke2fs = []string{"-q", "-F", "-t", "ext4", "-b", "4096", "-N", "1024", "-m", "0", "-L", "platen-state", "-J", "size=4",
	"-U", "1c5f9b1a-7a3e-4b1e-9d52-6d0a3f4b8a06",
	"-O", "none,has_journal,extent,dir_index,filetype,flex_bg,sparse_super,large_file,extra_isize,metadata_csum",
	"-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,hash_seed=1c5f9b1a-7a3e-4b1e-9d52-6d0a3f4b8a07"}

// stateTemplate makes the empty file system of the state, for package volume.
func stateTemplate(ctx context.Context, source, dir string) (template []byte, err error) {
	size := Find("state").Size - volume.DataOffset
	const fill = 0xa5 // a block of nothing else was not written by mke2fs
	path := filepath.Join(dir, "state.ext4")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	block := bytes.Repeat([]byte{fill}, mebi)
	for off := int64(0); off < size; off += mebi {
		if _, err := f.WriteAt(block, off); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, findMke2fs(source), append(mke2fs, path)...)
	cmd.Env = append(os.Environ(), "E2FSPROGS_FAKE_TIME=1700000000", "SOURCE_DATE_EPOCH=1700000000", "MKE2FS_CONFIG=/dev/null", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make the state's file system (package e2fsprogs): %w: %s", err, strings.TrimSpace(string(out)))
	}
	if st, err := f.Stat(); err != nil || st.Size() != size {
		return nil, errors.Join(err, errors.New("mke2fs has changed the size of the state"))
	}
	return volume.MakeTemplate(f, size, 4096, fill)
}

// findMke2fs is where mke2fs is: on the path, where it is not on an ordinary user's, or where
// cross/tools.sh has put it.
func findMke2fs(source string) string {
	for _, dir := range []string{"", "/usr/sbin", "/sbin", filepath.Join(source, "build/tools/sbin"), filepath.Join(source, "build/tools/usr/sbin")} {
		if path, err := exec.LookPath(filepath.Join(dir, "mke2fs")); err == nil {
			return path
		}
	}
	return "mke2fs"
}
