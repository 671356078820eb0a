package stick_test

import (
	"bytes"
	"io"
	"testing"

	"platen/agent/intake/stick/sticktest"
)

// TestBundle reads a bundle of releases at any place of it, in pieces and whole, on every
// file system; a job beside it is still found.
func TestBundle(t *testing.T) {
	data := noise(200_003, 11)
	files := append(jobFiles(), sticktest.File{Path: "printers/Releases of March.TUF", Data: data}, sticktest.File{Path: "small.tuf", Data: []byte{1}})
	for i, fs := range []sticktest.FS{sticktest.FAT12, sticktest.FAT16, sticktest.FAT32, sticktest.ExFAT, sticktest.ExFAT} {
		s, err := open(sticktest.Make(sticktest.Plan{FS: fs, Cluster: 1 << (i % 3), Scatter: i%2 == 0, Files: files}))
		if err != nil {
			t.Fatal(err)
		}
		if n := s.Bundles(); n != 2 || len(s.Jobs()) == 0 {
			t.Fatalf("%d bundles and %d jobs", n, len(s.Jobs()))
		}
		found := false
		for i := range 2 {
			r, size, err := s.Bundle(i)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(io.NewSectionReader(r, 0, size))
			if err != nil {
				t.Fatal(err)
			}
			if size == 1 && got[0] == 1 {
				continue
			}
			if found = true; !bytes.Equal(got, data) {
				t.Fatal("the bundle is not what is on the stick")
			}
			for _, at := range []int{0, 1, 511, 512, 4095, 32768, 100_000, len(data) - 1} {
				p := make([]byte, 5000)
				n, err := r.ReadAt(p, int64(at))
				want := data[at:min(len(data), at+len(p))]
				if !bytes.Equal(p[:n], want) || (err == nil) != (n == len(p)) {
					t.Errorf("%d bytes at %d, %v", n, at, err)
				}
			}
			if n, err := r.ReadAt(make([]byte, 1), int64(len(data))); n != 0 || err != io.EOF {
				t.Errorf("behind the end: %d, %v", n, err)
			}
		}
		if !found {
			t.Error("the bundle was not found")
		}
		if _, _, err := s.Bundle(2); code(err) != "absent" {
			t.Errorf("a third bundle: %v", err)
		}
	}
}
