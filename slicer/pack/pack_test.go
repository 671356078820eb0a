package pack

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"platen/slicer/vault"
	"platen/testdata/hostile"
)

func newVault(t testing.TB, budget int64) *vault.Vault {
	t.Helper()
	v, err := vault.NewPageable(budget)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// file is one entry of a test archive.
type file struct {
	name   string
	body   []byte
	method uint16
	unix   uint32 // mode, 0 for none
}

func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: f.method}
		if f.unix != 0 {
			h.CreatorVersion, h.ExternalAttrs = 3<<8, f.unix<<16
		}
		e, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write(f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// plainArchive has the sizes in the header, as a writer makes it that knows them.
func plainArchive(t testing.TB, name string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	e, err := w.CreateRaw(&zip.FileHeader{
		Name: name, CRC32: crc32.ChecksumIEEE(body),
		CompressedSize64: uint64(len(body)), UncompressedSize64: uint64(len(body)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readAll opens an archive and reads every entry.
func readAll(v *vault.Vault, data []byte) (map[string][]byte, error) {
	mark := v.Mark()
	defer v.ReleaseScratch(mark)
	a, err := Open(v, data)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(v)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for i := range a.Len() {
		r.Reset(a, i)
		b, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		if int64(len(b)) != a.Size(i) {
			return nil, errors.New("size")
		}
		out[string(a.Name(i))] = b
	}
	return out, nil
}

// texts are bodies of every kind: empty, short, long, repetitive, random.
func texts() [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 70_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	var model bytes.Buffer
	for i := range 6000 {
		fmt.Fprintf(&model, "<vertex x=\"%d.%03d\" y=\"%d\" z=\"0\"/>\n", i%100, rng.IntN(1000), i)
	}
	return [][]byte{nil, []byte("x"), []byte("hello, hello, hello"), bytes.Repeat([]byte{7}, 150_000), noise, model.Bytes(), noise[:65535], noise[:65536]}
}

func TestReadsWhatZipWrites(t *testing.T) {
	v := newVault(t, 1<<20)
	var files []file
	for i, b := range texts() {
		files = append(files, file{fmt.Sprintf("d/%d", i), b, zip.Deflate, 0}, file{fmt.Sprintf("s/%d", i), b, zip.Store, 0o100644})
	}
	files = append(files, file{"folder/", nil, zip.Store, 0o040755})
	got, err := readAll(v, archive(t, files...))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, ok := got[f.name]; !ok || !bytes.Equal(b, f.body) {
			t.Errorf("%s differs", f.name)
		}
	}
	if v.Stats().Used != 0 {
		t.Error("something is left in the vault")
	}
}

func TestFind(t *testing.T) {
	v := newVault(t, 1<<20)
	a, err := Open(v, archive(t, file{name: "3D/b.model"}, file{name: "3D/A.model"}, file{name: "_rels/.rels"}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"3D/b.model": "3D/b.model", "/3d/a.MODEL": "3D/A.model", "/_rels/.rels": "_rels/.rels", "3D": "", "": ""} {
		i := a.Find([]byte(name))
		if want == "" != (i < 0) || i >= 0 && string(a.Name(i)) != want {
			t.Errorf("%q: %d", name, i)
		}
	}
}

// Every kind of compression of the standard library comes out as it went in, read
// in pieces of any size.
func TestInflate(t *testing.T) {
	v := newVault(t, 1<<20)
	f, err := newInflater(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 6, 9} {
		for i, text := range texts() {
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, level)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = w.Write(text) // to memory
			_ = w.Close()
			got, err := inflate(f, b.Bytes())
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("level %d, text %d: %d bytes of %d, %v", level, i, len(got), len(text), err)
			}
		}
	}
}

func inflate(f *inflater, in []byte) ([]byte, error) {
	f.reset(in)
	var out []byte
	for {
		b, err := f.next()
		if err != nil || len(b) == 0 {
			return out, err
		}
		out = append(out, b...)
	}
}

// FuzzInflate compares with the standard library: both refuse a stream, or both
// make the same of it.
func FuzzInflate(f *testing.F) {
	for _, level := range []int{0, 1, 6, 9} {
		for _, text := range texts()[:3] {
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, level)
			_, _ = w.Write(text)
			_ = w.Close()
			f.Add(b.Bytes())
		}
	}
	f.Add([]byte("\x4b\x4c\x4a\x06\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		v := newVault(t, 1<<18)
		inf, err := newInflater(v)
		if err != nil {
			t.Fatal(err)
		}
		const most = 1 << 20
		want, werr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(in)), most))
		inf.reset(in)
		var got []byte
		var gerr error
		for len(got) < most {
			var b []byte
			if b, gerr = inf.next(); gerr != nil || len(b) == 0 {
				break
			}
			got = append(got, b...)
		}
		if len(want) == most { // neither was read to its end
			if len(got) < most {
				t.Fatalf("%d bytes, %v", len(got), gerr)
			}
			return
		}
		if (werr == nil) != (gerr == nil) {
			t.Fatalf("the standard library says %v, this %v", werr, gerr)
		}
		if werr == nil && !bytes.Equal(got, want) {
			t.Fatal("a difference")
		}
	})
}

// Reading an entry takes nothing of the heap: what is decompressed is in the vault.
func TestNothingOnTheHeap(t *testing.T) {
	v := newVault(t, 1<<20)
	a, err := Open(v, archive(t, file{"x", texts()[5], zip.Deflate, 0}))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(v)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n := testing.AllocsPerRun(5, func() {
		r.Reset(a, 0)
		for {
			if _, err := r.Read(buf); err != nil {
				return
			}
		}
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzOpen opens anything without a fault, and what opens is plain.
func FuzzOpen(f *testing.F) {
	f.Add(archive(f, file{"a", []byte("x"), zip.Deflate, 0}, file{"b/", nil, zip.Store, 0}))
	f.Add(plainArchive(f, "3D/a.model", []byte("hello")))
	for _, seed := range append(hostile.Archives(), hostile.SoundArchives()...) {
		if len(seed.Body) < 1<<14 {
			f.Add(seed.Body)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v := newVault(t, 4<<20)
		got, err := readAll(v, data)
		if err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, vault.ErrBudget) {
			t.Fatal(err)
		}
		for name := range got {
			if strings.Contains(name, "..") && !plain([]byte(name)) || strings.HasPrefix(name, "/") {
				t.Fatalf("a name that is no plain path")
			}
		}
		if v.Stats().Used != 0 {
			t.Fatal("something is left in the vault")
		}
	})
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, 9)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func BenchmarkInflate(b *testing.B) {
	text := texts()[5]
	packed := deflated(text)
	f, err := newInflater(newVault(b, 1<<20))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		f.reset(packed)
		for {
			chunk, err := f.next()
			if err != nil {
				b.Fatal(err)
			}
			if len(chunk) == 0 {
				break
			}
		}
	}
}

func BenchmarkInflateStandard(b *testing.B) {
	text := texts()[5]
	packed := deflated(text)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := io.Copy(io.Discard, flate.NewReader(bytes.NewReader(packed))); err != nil {
			b.Fatal(err)
		}
	}
}

func TestBare(t *testing.T) {
	v := newVault(t, 4<<20)
	r, err := NewReader(v)
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("some text, "), 40_000)
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, 9)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(text)
	w.Close()
	read := func(body []byte, deflate bool) ([]byte, error) {
		r.ResetBare(body, deflate)
		return io.ReadAll(r)
	}
	if got, err := read(text, false); err != nil || !bytes.Equal(got, text) {
		t.Errorf("as it is: %d bytes, %v", len(got), err)
	}
	if got, err := read(packed.Bytes(), true); err != nil || !bytes.Equal(got, text) {
		t.Errorf("deflate: %d bytes, %v", len(got), err)
	}
	if _, err := read(packed.Bytes()[:packed.Len()-3], true); !errors.Is(err, ErrFormat) {
		t.Errorf("cut: %v", err)
	}
	if _, err := read(append(packed.Bytes(), 0), true); !errors.Is(err, ErrFormat) {
		t.Errorf("longer: %v", err)
	}
	var bomb bytes.Buffer
	w.Reset(&bomb)
	w.Write(make([]byte, 80<<20))
	w.Close()
	r.ResetBare(bomb.Bytes(), true)
	if n, err := io.Copy(io.Discard, r); !errors.Is(err, ErrFormat) || n > freeSize+mostRatio*int64(bomb.Len()) {
		t.Errorf("bomb: %d bytes, %v", n, err)
	}
}
