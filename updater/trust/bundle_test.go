package trust

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"platen/updater"
)

// bundled is a repository as one file.
func (l *lab) bundled() []byte {
	l.t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(l.dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		head := &tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(name), Size: int64(len(data)), Mode: 0o644, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(head); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err = errors.Join(err, w.Close()); err != nil {
		l.t.Fatal(err)
	}
	return b.Bytes()
}

func openBundle(t *testing.T, data []byte) *Bundle {
	t.Helper()
	b, err := OpenBundle(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBundle: a printer without a network takes a release from a bundle, proof and all;
// floors, dates and signatures count as they do for a mirror.
func TestBundle(t *testing.T) {
	l, policy := logged(t)
	l.release(1)
	old := openBundle(t, l.bundled())
	l.release(2)
	fresh := openBundle(t, l.bundled())
	cfg := l.config(t.TempDir())
	cfg.URL, cfg.Log, cfg.Memory = filepath.Join(t.TempDir(), "nothing"), policy, &index{}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, c, updater.ErrUnavailable)
	c.Use(fresh)
	target := mustRefresh(t, c, 2)
	if err := c.Logged(t.Context(), target); err != nil {
		t.Error(err)
	}
	if got, err := fetched(t, c, target); err != nil || !bytes.Equal(got, image(2)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	c.Use(old)
	refused(t, c, updater.ErrRollback)
	c.Use(nil)
	refused(t, c, updater.ErrUnavailable)
	l.now = labStart.AddDate(0, 0, 8)
	c.Use(fresh)
	refused(t, c, updater.ErrExpired) // the stick lay in a drawer
	l.publish()
	c.Use(openBundle(t, l.bundled()))
	mustRefresh(t, c, 2)
}

// TestDamagedBundle: cut off anywhere, or with a byte changed, a bundle never gives a
// release that is not the signed one, and a damaged header is told as such.
func TestDamagedBundle(t *testing.T) {
	l := newLab(t)
	l.release(1)
	data := l.bundled()
	for _, n := range []int{0, 1, 511, 512, 513, 5000, len(data) / 2, len(data) - 1025} {
		if _, err := OpenBundle(bytes.NewReader(data[:n]), int64(n)); updater.Code(err) != "truncated" && updater.Code(err) != "metadata" {
			t.Errorf("%d of %d bytes: %v", n, len(data), err)
		}
	}
	step := 4999
	if testing.Short() {
		step = 60013
	}
	for i := 0; i < len(data)-1024; i += step {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		b, err := OpenBundle(bytes.NewReader(bad), int64(len(bad)))
		if err != nil {
			continue
		}
		c := l.client()
		c.Use(b)
		if c.Refresh(t.Context()) != nil {
			continue
		}
		target := mustFind(t, c, 1)
		if got, err := fetched(t, c, target); err == nil && !bytes.Equal(got, image(1)) {
			t.Errorf("byte %d: another image was taken", i)
		}
	}
	long := bytes.Repeat(data[:512], 3) // the same file again and again, without contents
	if b, err := OpenBundle(bytes.NewReader(long), int64(len(long))); err == nil {
		t.Errorf("a bundle of %d files without an end", len(b.files))
	}
}

func FuzzBundle(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"timestamp.json", "targets/sim/agent/1/platen"} {
		head := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 5, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(head); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write([]byte("12345")); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := OpenBundle(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for name := range b.files {
			r, err := b.open(t.Context(), name, 0)
			if err != nil {
				continue // a name that is no path
			}
			if n, err := io.Copy(io.Discard, r); err != nil || n > int64(len(data)) {
				t.Errorf("%d bytes of a file, %v", n, err)
			}
		}
	})
}
