package pack

import (
	"archive/zip"
	"bytes"
	"hash/crc32"
	"io"
	"testing"
)

// hollow is an archive with one entry that begins with n empty blocks.
func hollow(t *testing.T, n int, text string) []byte {
	t.Helper()
	empty := []byte{0, 0, 0, 0xff, 0xff}
	body := bytes.Repeat(empty, n)
	body = append(body, 1, byte(len(text)), byte(len(text)>>8), ^byte(len(text)), ^byte(len(text)>>8))
	body = append(body, text...)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateRaw(&zip.FileHeader{
		Name: "a.model", Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte(text)),
		CompressedSize64: uint64(len(body)), UncompressedSize64: uint64(len(text)),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Write(body)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// An entry is read while it arrives, and only what has arrived counts: a stream that
// takes more of its input than it may is no entry yet.
func TestAhead(t *testing.T) {
	const text = "what the entry holds"
	for _, c := range []struct {
		empty int
		ok    bool
	}{{0, true}, {1000, true}, {mostTaken/5 + 1000, false}} {
		file := hollow(t, c.empty, text)
		data := make([]byte, len(file))
		n := 0
		upTo := func(to int) error {
			if to > len(file) {
				t.Fatalf("byte %d of %d is asked for", to, len(file))
			}
			n = max(n, to)
			copy(data[:n], file)
			return nil
		}
		h, ok := FindAhead(data, ".model", upTo)
		if !ok {
			t.Fatal("the entry is not found")
		}
		if n > 100 {
			t.Errorf("%d bytes to find it", n)
		}
		v := newVault(t, 1<<20)
		r, err := NewReader(v)
		if err != nil {
			t.Fatal(err)
		}
		r.ResetAhead(data, h, upTo)
		got, err := io.ReadAll(r)
		if (err == nil) != c.ok || c.ok && string(got) != text {
			t.Errorf("%d empty blocks: %d bytes, %v", c.empty, len(got), err)
		}
		if err := upTo(len(file)); err != nil {
			t.Fatal(err)
		}
		a, err := Open(v, data)
		if err != nil || !h.Is(a, 0) {
			t.Fatalf("it is not the same in the directory: %v", err)
		}
		r.Reset(a, 0)
		if got, err := io.ReadAll(r); err != nil || string(got) != text {
			t.Errorf("control, %d empty blocks: %d bytes, %v", c.empty, len(got), err)
		}
	}
}
