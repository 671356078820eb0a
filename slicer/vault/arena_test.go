package vault

import (
	"bytes"
	"math"
	"sync"
	"testing"
	"unsafe"
)

type point struct{ x, y int32 }

// kernel is working memory as the rooms of the slicer have it.
type kernel struct {
	points []point
	deep   struct {
		ends []int32
		sets [2][]byte
	}
	rows   []region // of structs that hold buffers
	shared *region
	words  []string // which a vault cannot hold
}

type region struct{ points []point }

// fill appends n elements to every buffer.
func (k *kernel) fill(n int) {
	for i := range n {
		k.points = append(k.points, point{int32(i), int32(n)})
		k.deep.ends = append(k.deep.ends, int32(i))
		k.deep.sets[1] = append(k.deep.sets[1], byte(i))
	}
	k.rows = append(k.rows, region{points: bytesOf(n)})
	k.shared = &region{points: bytesOf(1)}
	k.words = append(k.words, "word")
}

func bytesOf(n int) []point { return append([]point(nil), make([]point, n)...) }

func (k *kernel) sound(n int) bool {
	for i, p := range k.points {
		if p != (point{int32(i), int32(n)}) || k.deep.ends[i] != int32(i) || k.deep.sets[1][i] != byte(i) {
			return false
		}
	}
	return len(k.points) == n && len(k.words) == 1 && len(k.rows[0].points) == n
}

func inside[T any](v *Vault, s []T) bool { return v.holds(unsafe.Pointer(unsafe.SliceData(s))) }

// Buffers are in the vault once they are kept, hold what they held, and stay where they
// are; what cannot be there, or is somebody else's, is left alone.
func TestArenaKeeps(t *testing.T) {
	v := open(t, 1<<20)
	a := v.NewArena()
	var k kernel
	k.fill(1000)
	if inside(v, k.points) {
		t.Fatal("control: it is in the vault before it is kept")
	}
	a.Keep(&k)
	if !k.sound(1000) || !inside(v, k.points) || !inside(v, k.deep.ends) || !inside(v, k.deep.sets[1]) || !inside(v, k.rows[0].points) {
		t.Error("not all buffers are in the vault, or they are others")
	}
	if inside(v, k.shared.points) || inside(v, k.rows) || inside(v, k.words) || k.deep.sets[0] != nil {
		t.Error("what has pointers, or is behind one, was moved")
	}
	used, at := a.Used(), &k.points[0]
	k.points = append(k.points[:0], k.points...)
	if a.Keep(&k); a.Used() != used || &k.points[0] != at {
		t.Error("what is kept already was moved")
	}
	k.points = append(k.points, make([]point, 5000)...)
	if a.Keep(&k); !inside(v, k.points) || len(k.points) != 6000 || k.points[999] != (point{999, 1000}) {
		t.Error("what has grown is not in the vault")
	}
}

// A closed arena is wiped, and the next one has its memory again; a vault that is full,
// and one that is not locked, leave buffers where they are.
func TestArenaCloses(t *testing.T) {
	v := open(t, 1<<20)
	for range 10 { // 10 times 300 kB
		a := v.NewArena()
		k := struct{ b []byte }{bytes.Repeat(canary, 15_000)}
		a.Keep(&k)
		if !inside(v, k.b) || bytes.Count(v.mem, canary) != 15_000 {
			t.Fatal("control: it is not in the vault")
		}
		a.Close()
		if bytes.Contains(v.mem, canary) {
			t.Fatal("something is left in the vault")
		}
	}
	a := v.NewArena()
	k := struct{ b []byte }{make([]byte, 2<<20)}
	if a.Keep(&k); inside(v, k.b) || len(k.b) != 2<<20 {
		t.Error("more is in the vault than fits")
	}
	p, err := NewPageable(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	var none *Arena
	if none = p.NewArena(); none != nil {
		t.Error("a vault that is not locked keeps buffers")
	}
	none.Keep(&k)
	none.Close()
}

// What one arena had is there for the next, whatever the sizes of its buffers: none takes more of
// the vault than the first. Growth that no vault could hold is no reason to fail.
func TestArenaReusesChunks(t *testing.T) {
	v := open(t, 4<<20)
	first := int64(0)
	for _, sizes := range [][]int{{1 << 20, 300_000}, {700_000, 400_000}, {513 << 10, 10, 20_000}, {1, 2, 1<<20 - 9}} {
		a := v.NewArena()
		var all []*[]byte
		for _, n := range sizes {
			b := bytes.Repeat([]byte{1}, n)
			k := struct{ b []byte }{b}
			if a.Keep(&k); !inside(v, k.b) || bytes.Count(k.b, []byte{1}) != n || bytes.IndexByte(b, 1) >= 0 {
				t.Fatalf("%d bytes: not in the vault, or still where they were as well", n)
			}
			all = append(all, &k.b)
		}
		for i, b := range all {
			if bytes.Count(*b, []byte{1}) != sizes[i] {
				t.Errorf("%d bytes: another's are among them", sizes[i])
			}
		}
		if a.Close(); first == 0 {
			first = v.Stats().Used
		}
		if used := v.Stats().Used; used > first {
			t.Errorf("%v: %d bytes of the vault are taken, the first arena took %d", sizes, used, first)
		}
	}
	for n, want := range map[int]int{1: 1, 3: 4, 4096: 4096, math.MaxInt/2 + 2: math.MaxInt/2 + 2} {
		if got := powerOf2(n); got != want {
			t.Errorf("powerOf2(%d) = %d", n, got)
		}
	}
}

// Several goroutines keep their own.
func TestArenaIsShared(t *testing.T) {
	v := open(t, 8<<20)
	a := v.NewArena()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			var k kernel
			for n := range 40 {
				k = kernel{points: k.points[:0], words: k.words[:0]}
				k.fill(10 * (n + i))
				a.Keep(&k)
				if !k.sound(10*(n+i)) || n+i > 0 && !inside(v, k.points) {
					t.Error("another's memory, or none")
				}
			}
		})
	}
	wg.Wait()
	a.Close()
}
