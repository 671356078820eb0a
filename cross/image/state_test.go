package image

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"platen/agent/pid1/volume"
)

// disk takes what is written.
type disk []byte

func (d disk) WriteAt(p []byte, off int64) (int, error) { return copy(d[off:], p), nil }

// TestStateTemplate makes the same file system twice; written over noise, it is sound.
func TestStateTemplate(t *testing.T) {
	if testing.Short() {
		t.Skip("fills disks of 95 MiB: without -short")
	}
	if _, err := exec.LookPath(findMke2fs("../..")); err != nil {
		t.Skip("needs mke2fs: make image fetches it")
	}
	one, err := stateTemplate(t.Context(), "../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	two, err := stateTemplate(t.Context(), "../..", t.TempDir())
	if err != nil || !bytes.Equal(one, two) {
		t.Fatalf("two differ, or %v", err)
	}
	if len(one) > 1<<20 {
		t.Errorf("the template has %d bytes", len(one))
	}
	parsed, err := volume.ParseTemplate(one)
	if err != nil || parsed.Size != Find("state").Size-volume.DataOffset {
		t.Fatalf("%d bytes, %v", parsed.Size, err)
	}
	noise := disk(bytes.Repeat([]byte{0x5a}, int(parsed.Size)))
	if err := parsed.Apply(noise); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fs")
	if err := os.WriteFile(path, noise, 0o600); err != nil {
		t.Fatal(err)
	}
	mke2fs, err := exec.LookPath(findMke2fs("../.."))
	if err != nil {
		t.Fatal(err)
	}
	check := filepath.Join(filepath.Dir(mke2fs), "e2fsck") // of the same package
	if out, err := exec.Command(check, "-f", "-n", path).CombinedOutput(); err != nil {
		t.Errorf("not sound: %v: %s", err, out)
	}
	noise[1024+60] ^= 0xff // control: the superblock is damaged
	if err := os.WriteFile(path, noise, 0o600); err != nil {
		t.Fatal(err)
	}
	if exec.Command(check, "-f", "-n", path).Run() == nil {
		t.Error("control: a damaged superblock is sound")
	}
}
