package mesh

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"platen/slicer/internal/solids"
	"platen/slicer/vault"
)

// A file of any shape is refused with the right error, within the budget, and
// leaves nothing behind: threat T16.
func TestHostileFiles(t *testing.T) {
	cube := binarySTL(t, solids.Cube())
	with := func(at int, v float32) []byte {
		b := bytes.Clone(cube)
		binary.LittleEndian.PutUint32(b[at:], math.Float32bits(v))
		return b
	}
	count := func(n uint32, size int) []byte {
		b := make([]byte, size)
		binary.LittleEndian.PutUint32(b[80:], n)
		return b
	}
	inf := float32(math.Inf(1))
	text := func(s string) []byte { return []byte(s) }
	facet := "facet normal 0 0 0 outer loop vertex 0 0 0 vertex 1 0 0 vertex 0 1 0 endloop endfacet "
	for _, c := range []struct {
		name string
		file []byte
		want error
	}{
		{"empty", nil, ErrFormat},
		{"short", make([]byte, 83), ErrFormat},
		{"10^9 triangles in 84 bytes", count(1e9, 84), ErrFormat},
		{"2^32-1 triangles in 84 bytes", count(math.MaxUint32, 84), ErrFormat},
		{"one byte too few", cube[:len(cube)-1], ErrFormat},
		{"one byte too many", append(bytes.Clone(cube), 0), ErrFormat},
		{"no triangles", count(0, 84), ErrGeometry},
		{"only points", count(40, 84+50*40), ErrGeometry},
		{"NaN", with(84+12, float32(math.NaN())), ErrGeometry},
		{"NaN in a later corner", with(84+50*3+24, float32(math.NaN())), ErrGeometry},
		{"Inf", with(84+12, inf), ErrGeometry},
		{"-Inf", with(84+50+16, -inf), ErrGeometry},
		{"1e38", with(84+50+16, 1e38), ErrGeometry},
		{"beyond the span", with(84+50+16, 17000), ErrGeometry},
		{"text that is not a solid", text(strings.Repeat("hello ", 100)), ErrFormat},
		{"solid and nothing else", text("solid x\n"), ErrFormat},
		{"empty solid", text("solid x\nendsolid x\n"), ErrGeometry},
		{"flat solid ends too early", text("solid x\n" + facet), ErrFormat},
		{"solid with a word too many", text("solid x\n" + facet + "nonsense endsolid\n"), ErrFormat},
		{"number that is none", text("solid\n" + strings.Replace(facet, "vertex 1 0 0", "vertex 1 0 O", 1) + "endsolid\n"), ErrFormat},
		{"1e999", text("solid\n" + strings.Replace(facet, "vertex 1 0 0", "vertex 1e999 0 0", 1) + "endsolid\n"), ErrFormat},
		{"nan in text", text("solid\n" + strings.Replace(facet, "vertex 1 0 0", "vertex nan 0 0", 1) + "endsolid\n"), ErrGeometry},
		{"a word without end", text("solid x\nfacet normal " + strings.Repeat("1", 1<<20)), ErrFormat},
		{"zeros", make([]byte, 1<<16), ErrFormat},
	} {
		v := newVault(t, 1<<20)
		_, err := Load(context.Background(), v, bytes.NewReader(c.file), int64(len(c.file)), Detect)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if s := v.Stats(); s.Used != 0 {
			t.Errorf("%s: %d bytes left in the vault", c.name, s.Used)
		}
	}
	if _, err := loadBytes(t, cube); err != nil {
		t.Errorf("control: %v", err)
	}
}

// repeat is a reader of n bytes that are all b, after a prefix.
type repeat struct {
	prefix []byte
	b      byte
	n      int64
}

func (r *repeat) Read(p []byte) (int, error) {
	if len(r.prefix) > 0 {
		n := copy(p, r.prefix)
		r.prefix = r.prefix[n:]
		return n, nil
	}
	if r.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.n)]
	for i := range p {
		p[i] = r.b
	}
	r.n -= int64(len(p))
	return len(p), nil
}

// A name of 64 MiB costs no memory: not in the vault, and not on the heap.
func TestEndlessLine(t *testing.T) {
	v := newVault(t, 12<<20)
	const n = 64 << 20
	_, err := Load(context.Background(), v, &repeat{[]byte("solid "), 'x', n}, n+6, Detect)
	if !errors.Is(err, ErrFormat) {
		t.Errorf("got %v, want ErrFormat", err)
	}
	if p := v.Stats().Peak; p > 11<<20 {
		t.Errorf("took %d bytes of the vault", p)
	}
}

// Loading takes next to nothing of the heap, in either form: no copy of the file
// and none of the mesh is outside the vault. The control reads the file first.
func TestNothingOnTheHeap(t *testing.T) {
	body := solids.HollowSphere()
	var ascii bytes.Buffer
	if err := body.WriteASCII(&ascii, "x"); err != nil {
		t.Fatal(err)
	}
	for _, file := range [][]byte{binarySTL(t, body), ascii.Bytes()} {
		heap := func(f func()) uint64 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f()
			runtime.ReadMemStats(&after)
			return after.TotalAlloc - before.TotalAlloc
		}
		v := newVault(t, 8<<20)
		got := heap(func() {
			if _, err := Load(context.Background(), v, bytes.NewReader(file), int64(len(file)), Detect); err != nil {
				t.Fatal(err)
			}
		})
		control := heap(func() {
			if _, err := io.ReadAll(bytes.NewReader(file)); err != nil {
				t.Fatal(err)
			}
		})
		if got > uint64(len(file))/20 || control < uint64(len(file)) {
			t.Errorf("%d bytes of heap for a file of %d (the control took %d)", got, len(file), control)
		}
	}
}

func TestTooBigForTheVault(t *testing.T) {
	file := binarySTL(t, solids.HollowSphere())
	for budget := int64(1 << 12); budget < 1<<20; budget *= 2 {
		v := newVault(t, budget)
		_, err := Load(context.Background(), v, bytes.NewReader(file), int64(len(file)), Detect)
		if err != nil && !errors.Is(err, vault.ErrBudget) {
			t.Errorf("budget %d: %v", budget, err)
		}
		if err == nil != (budget >= 1<<19) {
			t.Errorf("budget %d: %v; the mesh of 14,064 triangles takes 250 kB, and loading it 380 kB", budget, err)
		}
	}
}
