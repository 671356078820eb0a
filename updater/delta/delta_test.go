package delta

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestSuffixesAreSorted(t *testing.T) {
	naive := func(s []byte) []int32 {
		sa := make([]int32, len(s))
		for i := range sa {
			sa[i] = int32(i)
		}
		sort.Slice(sa, func(a, b int) bool { return bytes.Compare(s[sa[a]:], s[sa[b]:]) < 0 })
		return sa
	}
	fixed := []string{"", "a", "aa", "ab", "ba", "banana", "mississippi", "abracadabra", "aaaaaaaaaa", "abababab", "cbacbacba", "\xff\x00\xff\x00\xff"}
	for _, s := range fixed {
		if got, want := suffixes([]byte(s)), naive([]byte(s)); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SampledFrom([]int{1, 2, 3, 20, 256}).Draw(t, "letters")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		s := make([]byte, rapid.IntRange(0, 500).Draw(t, "length"))
		for i := range s {
			s[i] = byte(r.IntN(letters))
		}
		for range rapid.IntRange(0, 2).Draw(t, "doublings") { // repeats, so that the sorter calls itself
			s = append(s, s...)
		}
		if got, want := suffixes(s), naive(s); !slices.Equal(got, want) {
			t.Fatalf("%v: %v, want %v", s, got, want)
		}
	})
}

// apply patches old, handing the delta over in pieces of n bytes.
func apply(old, patch []byte, limit int64, n int) ([]byte, error) {
	var out bytes.Buffer
	p := NewPatcher(bytes.NewReader(old), int64(len(old)), &out, limit)
	for piece := range slices.Chunk(patch, n) {
		if _, err := p.Write(piece); err != nil {
			return out.Bytes(), err
		}
	}
	return out.Bytes(), p.Close()
}

func mustMake(t testing.TB, old, next []byte, block int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Make(old, next, &b, block); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// program is what compilers make: addresses in a jungle of other bytes.
func program(r *rand.Rand, n int, base uint32) []byte {
	b := make([]byte, 0, n)
	for len(b) < n {
		for range r.IntN(12) {
			b = append(b, byte(r.IntN(40)))
		}
		b = binary.LittleEndian.AppendUint32(b, base+uint32(r.IntN(1<<18)))
	}
	return b[:n]
}

// moved is old with its addresses raised by one distance, and something put in between.
func moved(old []byte, distance uint32, at int, fresh []byte) []byte {
	next := slices.Clone(old)
	for i := 0; i+4 <= len(next); i++ {
		if v := binary.LittleEndian.Uint32(next[i:]); v>>20 == 0x4 {
			binary.LittleEndian.PutUint32(next[i:], v+distance)
			i += 3
		}
	}
	return slices.Insert(next, at, fresh...)
}

func TestDeltaMakesTheNewContents(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	size := 80_000
	if testing.Short() {
		size = 20_000
	}
	big := program(r, size, 0x400000)
	next := moved(big, 0x1230, size/3, program(r, 1000, 0x500000))
	small := big[:size*5/8]
	noise := make([]byte, len(small))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	zeros := make([]byte, 1<<14)
	for _, c := range []struct {
		name      string
		old, next []byte
		block     int
		most      int // bytes of the delta
	}{
		{"nothing", nil, nil, 0, 16},
		{"from nothing", nil, big[:5000], 0, 6000},
		{"to nothing", big[:5000], nil, 0, 16},
		{"one byte", []byte("a"), []byte("b"), 0, 80},
		{"the same", big, big, 0, 250},
		{"a build", big, next, 0, len(next) / 7},
		{"the way back", next, big, 0, len(next) / 7},
		{"in blocks", big, next, 1 << 12, len(next) / 3},
		{"a block at its end", big, big[:1<<14], 1 << 13, 600},
		{"shorter than its blocks reach", big[:1000], small, 1 << 14, len(small)},
		{"noise", small, noise, 0, len(noise) + len(noise)/100},
		{"zeros", zeros, zeros[:1<<13], 0, 200},
		{"zeros to a build", zeros, small, 0, len(small)},
		{"swapped halves", small, append(slices.Clone(small[6000:]), small[:6000]...), 0, 400},
	} {
		patch := mustMake(t, c.old, c.next, c.block)
		got, err := apply(c.old, patch, int64(len(c.next)), 1000)
		if err != nil || !bytes.Equal(got, c.next) {
			t.Errorf("%s: %d bytes, %v; want %d", c.name, len(got), err, len(c.next))
		}
		if len(patch) > c.most {
			t.Errorf("%s: the delta has %d bytes, more than %d", c.name, len(patch), c.most)
		}
	}
	for _, most := range []int{len(small) / 3, len(small) - 1, len(small)} {
		var patch bytes.Buffer
		if err := newEncoder(&patch, most).encode(big, small, len(small)); err != nil {
			t.Fatal(err)
		}
		got, err := apply(big, patch.Bytes(), int64(len(small)), 1<<10)
		if err != nil || !bytes.Equal(got, small) {
			t.Errorf("frames of %d bytes: %v", most, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		old := rapid.SliceOfN(rapid.ByteRange(0, 3), 0, 300).Draw(t, "old")
		next := slices.Clone(old)
		for range rapid.IntRange(0, 4).Draw(t, "edits") {
			at := rapid.IntRange(0, len(next)).Draw(t, "at")
			end := rapid.IntRange(at, len(next)).Draw(t, "end")
			next = slices.Replace(next, at, end, rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "bytes")...)
		}
		var patch bytes.Buffer
		if err := Make(old, next, &patch, rapid.SampledFrom([]int{0, 16, 100}).Draw(t, "block")); err != nil {
			t.Fatal(err)
		}
		got, err := apply(old, patch.Bytes(), int64(len(next)), rapid.IntRange(1, 64).Draw(t, "piece"))
		if err != nil || !bytes.Equal(got, next) {
			t.Fatalf("made %v, %v; want %v", got, err, next)
		}
	})
}

func TestDamagedDeltasAreRefused(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	old := program(r, 6_000, 0x400000)
	next := moved(old, 0x40, 3_000, []byte("something new in between"))
	patch := mustMake(t, old, next, 0)
	if got, err := apply(old, patch, int64(len(next)), 100); err != nil || !bytes.Equal(got, next) {
		t.Fatal("the whole one is refused: ", err)
	}
	every := 1
	if testing.Short() {
		every = 17
	}
	for n := 0; n < len(patch); n += every {
		if _, err := apply(old, patch[:n], int64(len(next)), 1<<20); !errors.Is(err, ErrDelta) {
			t.Fatalf("%d of %d bytes: %v", n, len(patch), err)
		}
	}
	for name, bad := range map[string][]byte{
		"longer":        append(slices.Clone(patch), 0),
		"other magic":   append([]byte("PLTNDLT2"), patch[8:]...),
		"no frame":      append(slices.Clone(patch[:16]), make([]byte, frameHead)...),
		"huge section":  append(slices.Clone(patch[:16]), bytes.Repeat([]byte{0xff}, frameHead)...),
		"30 bits":       append(slices.Clone(patch[:16]), bytes.Repeat([]byte{0, 0, 0, 0x3f}, frameHead/4)...),
		"no old bytes":  frame([]byte{5, 0, 0}, make([]byte, 5), nil),
		"before begin":  frame([]byte{0, 1, 1, 1, 0, 0}, make([]byte, 1), []byte{1}),
		"idle steps":    frame([]byte{0, 0, 0, 0, 1, 0}, nil, []byte{1}),
		"steps too few": frame([]byte{0, 1, 0}, nil, []byte{1, 2}),
		"steps too far": frame([]byte{0, 200, 1, 0}, nil, []byte{1, 2}),
	} {
		from := old
		if name == "no old bytes" {
			from = old[:4]
		}
		if _, err := apply(from, bad, int64(len(next)), 1<<20); !errors.Is(err, ErrDelta) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := apply(old, patch, int64(len(next)-1), 100); !errors.Is(err, ErrDelta) {
		t.Errorf("more than the limit: %v", err)
	}
	if got, err := apply(old[:len(old)-1], frame([]byte{2, 1, 0}, []byte{1, 1}, []byte{9}), 100, 1); err != nil || !bytes.Equal(got, []byte{old[0] + 1, old[1] + 1, 9}) {
		t.Errorf("the control, a frame made by hand: %v, %v", got, err)
	}
}

// frame is a delta of one frame that is made by hand.
func frame(steps, differences, literals []byte) []byte {
	var b bytes.Buffer
	b.WriteString(magic)
	b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(differences)+len(literals))))
	e := newEncoder(&b, frameSize)
	e.raw = [3][]byte{steps, differences, literals}
	if err := e.flush(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

type failing struct{ left int }

var errFull = errors.New("full")

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func (f *failing) ReadAt([]byte, int64) (int, error) { return 0, errFull }

func TestPatcherPassesErrorsOn(t *testing.T) {
	old := program(rand.New(rand.NewPCG(5, 6)), 100_000, 0x400000)
	patch := mustMake(t, old, old, 0)
	p := NewPatcher(bytes.NewReader(old), int64(len(old)), &failing{left: 50_000}, int64(len(old)))
	if _, err := p.Write(patch); !errors.Is(err, errFull) || !errors.Is(p.Close(), errFull) {
		t.Errorf("a full disk: %v, %v", err, p.Close())
	}
	p = NewPatcher(&failing{}, int64(len(old)), io.Discard, int64(len(old)))
	if _, err := p.Write(patch); !errors.Is(err, errFull) || errors.Is(err, ErrDelta) {
		t.Errorf("old contents that cannot be read: %v", err)
	}
	if err := Make(old, old[:99_999], &failing{left: 10}, 0); !errors.Is(err, errFull) {
		t.Errorf("nowhere to write: %v", err)
	}
}

func FuzzPatcher(f *testing.F) {
	old := program(rand.New(rand.NewPCG(7, 8)), 4000, 0x400000)
	f.Add(mustMake(f, old, moved(old, 0x40, 2000, []byte("new")), 0))
	f.Add(frame([]byte{2, 1, 5, 1, 1, 0}, []byte{1, 1, 4}, []byte{9, 8}))
	f.Fuzz(func(t *testing.T, patch []byte) {
		const limit = 1 << 16
		got, err := apply(old, patch, limit, 512)
		if len(got) > limit {
			t.Fatalf("%d bytes were made", len(got))
		}
		if err == nil && uint64(len(got)) != binary.LittleEndian.Uint64(patch[8:]) {
			t.Fatalf("%d bytes count as all", len(got))
		}
	})
}

func BenchmarkPatch(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	old := program(r, 2<<20, 0x400000)
	next := moved(old, 0x1230, 1<<20, program(r, 10_000, 0x500000))
	patch := mustMake(b, old, next, 0)
	b.SetBytes(int64(len(next)))
	b.ReportAllocs()
	for b.Loop() {
		p := NewPatcher(bytes.NewReader(old), int64(len(old)), io.Discard, int64(len(next)))
		_, err := p.Write(patch)
		if err = errors.Join(err, p.Close()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(100*float64(len(patch))/float64(len(next)), "%delta")
}

// BenchmarkBuilds is of two builds of the agent: PLATEN_OLD and PLATEN_NEW name them, and
// cross/bench-delta.sh makes them.
func BenchmarkBuilds(b *testing.B) {
	old, err := os.Open(os.Getenv("PLATEN_OLD"))
	if err != nil {
		b.Skip("no builds: see cross/bench-delta.sh")
	}
	defer old.Close()
	was, err1 := io.ReadAll(old)
	next, err2 := os.ReadFile(os.Getenv("PLATEN_NEW"))
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	patch := mustMake(b, was, next, 0)
	b.SetBytes(int64(len(next)))
	b.ReportAllocs()
	var before, after unix.Rusage
	err1 = unix.Getrusage(unix.RUSAGE_SELF, &before)
	for b.Loop() {
		p := NewPatcher(old, int64(len(was)), io.Discard, int64(len(next)))
		_, err := p.Write(patch)
		if err = errors.Join(err, p.Close()); err != nil {
			b.Fatal(err)
		}
	}
	err2 = unix.Getrusage(unix.RUSAGE_SELF, &after)
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(applyAlone(b, patch), "MiB-resident")
	spent := float64(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	b.ReportMetric(1000*float64(b.N)*float64(len(next))/spent, "MB/cpu-s")
	b.ReportMetric(float64(len(patch)), "delta-bytes")
	b.ReportMetric(100*float64(len(patch))/float64(len(next)), "%of-build")
}

// applyAlone is the most memory that was resident, in MiB, in a process that only applies a
// delta to the old build: what it is given and what it makes stream through it.
func applyAlone(b *testing.B, patch []byte) (mib float64) {
	b.Helper()
	name := filepath.Join(b.TempDir(), "delta")
	if err := os.WriteFile(name, patch, 0o600); err != nil {
		b.Fatal(err)
	}
	c := exec.Command(os.Args[0], "-test.run=^TestApplyAlone$", "-test.v")
	c.Env = append(os.Environ(), "PLATEN_DELTA="+name)
	out, err := c.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	_, text, found := strings.Cut(string(out), "resident: ")
	if _, err := fmt.Sscan(text, &mib); err != nil || !found {
		b.Fatalf("%v in %s", err, out)
	}
	return mib
}

// TestApplyAlone is the process of applyAlone.
func TestApplyAlone(t *testing.T) {
	name := os.Getenv("PLATEN_DELTA")
	if name == "" {
		t.Skip("only a part of BenchmarkBuilds")
	}
	old, err := os.Open(os.Getenv("PLATEN_OLD"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	patch, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer patch.Close()
	st, err := old.Stat()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	p := NewPatcher(old, st.Size(), sum, 1<<30)
	_, err = io.Copy(p, patch)
	if err = errors.Join(err, p.Close()); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status") // before anything else takes memory
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	_, text, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(text, &kib); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(os.Getenv("PLATEN_NEW"))
	if err != nil || sha256.Sum256(want) != [32]byte(sum.Sum(nil)) {
		t.Fatalf("the delta does not make the new build: %v", err)
	}
	t.Logf("resident: %.1f MiB", float64(kib)/1024)
}

func ExampleNewPatcher() {
	old, next := []byte("release 6 of the agent"), []byte("release 7 of the agent, with deltas")
	var patch, made bytes.Buffer
	if err := Make(old, next, &patch, 0); err != nil {
		fmt.Println(err)
	}
	p := NewPatcher(bytes.NewReader(old), int64(len(old)), &made, int64(len(next)))
	if _, err := io.Copy(p, &patch); err != nil {
		fmt.Println(err)
	}
	fmt.Println(made.String(), p.Close())
	// Output: release 7 of the agent, with deltas <nil>
}
