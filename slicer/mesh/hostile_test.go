package mesh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"

	"platen/slicer/internal/solids"
	"platen/slicer/vault"
	"platen/testdata/hostile"
)

// classes are the errors of what a file may be.
var classes = map[hostile.Class]error{
	hostile.NoFormat: ErrFormat, hostile.NoShape: ErrGeometry, hostile.Unsupported: ErrUnsupported, hostile.TooBig: vault.ErrBudget,
}

// Files of any shape are refused with the right error, within the budget, almost without
// heap, and leave nothing behind: threats T15 and T16. Archives that lie are in the tests
// of package pack, XML that lies in those of package markup, keystores in
// TestSecureContentHostile; all of them go to a real session in cross/scenario.
func TestHostile(t *testing.T) {
	files := slices.Concat(hostile.STL(), hostile.OBJ(), hostile.Packages())
	for _, f := range files {
		if f.Len() > 64<<20 && f.Class != hostile.TooBig {
			continue // reading it takes long
		}
		v := newVault(t, hostile.Budget)
		start := v.Mark()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Load(context.Background(), v, &repeat{f.Body, 0, f.Len() - int64(len(f.Body))}, f.Len(), Detect)
		runtime.ReadMemStats(&after)
		if err == nil { // what is wrong with it is found when it is placed
			err = m.Place(bed)
			v.Release(start)
		}
		if want := classes[f.Class]; want == nil || !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", f.Name, err, want)
		}
		if s := v.Stats(); s.Used != 0 || s.Peak > hostile.Budget {
			t.Errorf("%s: %d bytes left in the vault, %d at most", f.Name, s.Used, s.Peak)
		}
		if heap := after.TotalAlloc - before.TotalAlloc; heap > 1<<18 {
			t.Errorf("%s: %d bytes of heap", f.Name, heap)
		}
	}
	for _, f := range hostile.Healthy() {
		if m, err := loadBytes(t, f.Body); err != nil || m.Place(bed) != nil || len(files) < 100 {
			t.Errorf("control: %s: %v", f.Name, err)
		}
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
