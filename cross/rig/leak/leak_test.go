package leak

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"
)

func model(t *testing.T) (string, []byte) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 84)
	binary.LittleEndian.PutUint32(b[80:], 100)
	for range 100 {
		for range 12 {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(rng.Float32()*100))
		}
		b = append(b, 0, 0)
	}
	path := filepath.Join(t.TempDir(), "m.stl")
	os.WriteFile(path, b, 0o600)
	return path, b
}

func TestFindsEachEncoding(t *testing.T) {
	path, b := model(t)
	s := NewSet()
	if err := s.AddSTL(path, 1000); err != nil {
		t.Fatal(err)
	}
	line := "X101.234 Y88.02 E0.0312"
	s.AddLines([]byte("G1 F1200\nG1 "+line+" ; wall\n"), 10)
	facet := b[84+50*7+12:][:36]
	rng := rand.NewChaCha8([32]byte{3})
	noise := func(n int) []byte { p := make([]byte, n); rng.Read(p); return p }
	for name, leak := range map[string][]byte{
		"raw": facet, "line": []byte(line), "hex": fmt.Appendf(nil, "%x", facet),
		"base64 0": []byte(base64.StdEncoding.EncodeToString(facet)),
		"base64 1": []byte(base64.StdEncoding.EncodeToString(append([]byte{9}, facet...))),
		"base64 2": []byte(base64.StdEncoding.EncodeToString(append([]byte{9, 9}, facet...))),
	} {
		for _, at := range []int{0, 1, 5000, 1<<20 - 20, 1<<20 + 70} {
			hay := append(append(noise(at), leak...), noise(100)...)
			hits, err := s.Reader(bytes.NewReader(hay), "x")
			if err != nil || len(hits) == 0 {
				t.Errorf("%s at %d: not found (%v)", name, at, err)
			}
			if hits, _ := s.Reader(iotest.HalfReader(bytes.NewReader(hay)), "x"); len(hits) == 0 {
				t.Errorf("%s at %d: not found in small reads", name, at)
			}
		}
	}
	for _, before := range []int{0, 1, 7, 8, 200, 247, 248, 249, 255, 256, 257, 263, 264, 511, 512, 600} { // behind zeros, and at the end of them
		hay := append(make([]byte, before), line...)
		if hits, _ := s.Reader(bytes.NewReader(hay), "x"); len(hits) == 0 {
			t.Fatalf("not found behind %d zeros", before)
		}
	}
	if hits, _ := s.Reader(bytes.NewReader(noise(2<<20)), "x"); len(hits) != 0 {
		t.Errorf("found in noise: %v", hits)
	}
}

func TestTree(t *testing.T) {
	path, b := model(t)
	s := NewSet()
	s.AddSTL(path, 1000)
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	os.WriteFile(old, b, 0o600)
	os.Chtimes(old, time.Now().Add(-time.Hour), time.Now().Add(-time.Hour))
	since := time.Now().Add(-time.Minute)
	f, err := s.Tree([]string{dir}, since)
	if err != nil || f.Files != 0 {
		t.Errorf("old files searched: %+v, %v", f, err)
	}
	os.WriteFile(filepath.Join(dir, "new"), append([]byte("log: "), b...), 0o600)
	if f, _ = s.Tree([]string{dir}, since); f.Files != 1 || len(f.Hits) == 0 {
		t.Errorf("leak not found: %+v", f)
	}
	if f, _ = s.Tree([]string{dir}, since, filepath.Join(dir, "new")); f.Files != 0 {
		t.Errorf("skipped file searched: %+v", f)
	}
}

// A canary is found in each encoding that a leak could have, wherever it begins, and
// another canary is not.
func TestCanary(t *testing.T) {
	c, other := NewCanary(1, 24, 4), NewCanary(2, 24, 4)
	s, strange := NewSet(), NewSet()
	s.AddCanary(c)
	strange.AddCanary(other)
	pack, err := c.ThreeMF(zip.Store)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Points[5]
	order := binary.BigEndian
	text := fmt.Sprintf("G1 X%.3f Y%.3f", p[0], p[1])
	wide := make([]byte, 0, 99)
	for _, u := range utf16.Encode([]rune(c.Word + wordTitle)) {
		wide = order.AppendUint16(wide, u)
	}
	for name, leak := range map[string][]byte{
		"STL": c.STL(), "package": pack, "header": []byte(c.Word + wordHeader), "UTF-16": wide, "G-code": []byte(text),
		"fixed":  order.AppendUint32(order.AppendUint32(nil, uint32(p[0]*65536)), uint32(p[1]*65536)),
		"long":   order.AppendUint64(order.AppendUint64(nil, uint64(p[0]*65536)), uint64(p[1]*65536)),
		"wide":   order.AppendUint64(order.AppendUint64(nil, math.Float64bits(float64(p[0]))), math.Float64bits(float64(p[1]))),
		"base64": []byte(base64.StdEncoding.EncodeToString(append([]byte("x"), c.STL()[:200]...))),
	} {
		hits, err := s.Reader(bytes.NewReader(append([]byte("log: "), leak...)), "x")
		if err != nil || len(hits) == 0 {
			t.Errorf("%s: not found (%v)", name, err)
		}
		if hits, _ := strange.Reader(bytes.NewReader(leak), "x"); len(hits) != 0 {
			t.Errorf("%s: another canary is found in it: %v", name, hits[0])
		}
	}
}
