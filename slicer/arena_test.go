package slicer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"platen/cross/rig/rigtest"
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/internal/solids"
	"platen/slicer/vault"
)

// A job whose buffers are moved into locked memory between layers prints what it prints
// where they are not, whatever it is made of.
func TestKeptBuffersPrintTheSame(t *testing.T) {
	body := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("../testdata/models", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sets := append(goldenSettings[:len(goldenSettings):len(goldenSettings)], struct{ name, set string }{"one by one", "copies=2 sequential=true sequential_radius=20mm sequential_height=100mm"})
	if testing.Short() {
		sets = sets[4:]
	}
	for _, c := range sets {
		for _, model := range busyModels {
			if testing.Short() && model != busyModels[0] {
				continue
			}
			file := body(model)
			var sums [2]string
			for i, open := range []func(int64) (*vault.Vault, error){vault.NewPageable, vault.New} {
				v, err := open(24 << 20)
				if errors.Is(err, vault.ErrNotLocked) {
					t.Skip("no memory can be locked here")
				}
				if err != nil {
					t.Fatal(err)
				}
				j, err := Open(context.Background(), v, bytes.NewReader(file), int64(len(file)), Detect, goldenOf(t, c.set))
				if err != nil {
					t.Fatalf("%s, %s: %v", model, c.name, err)
				}
				used := v.Stats().Used
				sums[i] = jobHash(t, j)
				if kept := v.Stats().Used - used; (kept > 0) != v.Stats().Locked {
					t.Errorf("%s, %s: %d bytes were kept in the vault", model, c.name, kept)
				}
				if err := v.Close(); err != nil {
					t.Error(err)
				}
			}
			if sums[0] != sums[1] {
				t.Errorf("%s, %s: the programs differ", model, c.name)
			}
		}
	}
}

// Next to nothing of a model is in the memory of a process that has sliced it and closed
// its vault, however the job ended: at most sixteen points in a row, which is what the registers
// of one thread hold after a copy, and where the runtime puts them when it interrupts one. In a
// printer, the process ends with the job. The controls: while it is sliced the model is there, and
// a process that does not overwrite what the collector frees has something left.
func TestLittleStaysInMemory(t *testing.T) {
	if rigtest.Emulated() {
		t.Skip("an emulator's memory is not the program's")
	}
	for _, end := range []string{"done", "left", "cancelled"}[2*short():] {
		during, after := residue(t, end, "clobberfree=1")
		if during == 0 {
			t.Errorf("%s: control: nothing of the model is in memory while it is sliced", end)
		}
		t.Logf("%s: %d pieces while it is sliced, %d afterwards", end, during, after)
		if after > during/8 {
			t.Errorf("%s: %d places of memory still hold a piece of the model", end, after)
		}
	}
	if during, after := residue(t, "done", ""); after <= during/8 {
		t.Errorf("control: without overwriting %d of %d are left", after, during)
	} else {
		t.Logf("control: %d while it is sliced, %d afterwards", during, after)
	}
}

// While layers are made that are no larger than those before, next to nothing of them is outside
// of the vault, if memory can be locked: what grew is moved there, and overwritten where it was. The
// control is a vault that cannot be locked, which leaves everything where it grew.
func TestLayersAreInTheVault(t *testing.T) {
	if rigtest.Emulated() {
		t.Skip("an emulator's memory is not the program's")
	}
	if v, err := vault.New(residueVault); err != nil {
		t.Skip("no memory can be locked here")
	} else if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	kept, _ := residue(t, "kept", "clobberfree=1")
	loose, _ := residue(t, "loose", "clobberfree=1")
	t.Logf("%d pieces outside of the vault, %d where none is locked", kept, loose)
	if loose < 16 || kept > loose/8 {
		t.Errorf("%d pieces are outside of the vault; control: %d where none is locked", kept, loose)
	}
}

// residueVault is the budget of the vault in residue, in bytes.
const residueVault = 16 << 20

// residue slices a model in a process of its own, which counts pieces of it in its memory.
func residue(t *testing.T, end, debug string) (during, after int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestResidueChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), "PLATEN_RESIDUE="+end, "GODEBUG="+debug, "GOGC=20")
	if debug == "" {
		cmd.Env = append(cmd.Env, "GOGC=off") // nothing is used twice
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, line, _ := strings.Cut(string(out), "residue ")
	if n, _ := fmt.Sscan(line, &during, &after); n != 2 {
		t.Fatalf("no count in %q", out)
	}
	return during, after
}

// TestResidueChild is the process of residue.
func TestResidueChild(t *testing.T) {
	end := os.Getenv("PLATEN_RESIDUE")
	if end == "" {
		t.Skip("this is the child of TestLittleStaysInMemory")
	}
	scratch, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	s := scanner{buf: scratch}
	sliceOnce(t, end, &s)
	s.buf = scratch
	for range 2 { // what the first collection makes free, the second sweeps
		runtime.GC()
	}
	after := s.count(t)
	fmt.Printf("residue %d %d\n", s.during, after)
}

// sliceOnce slices a column of odd corners and looks at the memory half way up.
func sliceOnce(t *testing.T, end string, s *scanner) {
	const um = unit.Millimetre / 1000
	var ring []geom.Point
	for i, p := range solids.Circle(solids.Point{}, 30*unit.Millimetre, 60) {
		ring = append(ring, geom.Point{X: p.X + unit.Length(i*i)*17*um, Y: p.Y - unit.Length(i)*31*um})
	}
	var lo, hi []solids.Point
	for _, p := range ring {
		lo = append(lo, solids.Point{X: p.X, Y: p.Y})
		hi = append(hi, solids.Point{X: p.X + 500*um, Y: p.Y, Z: 6 * unit.Millimetre})
	}
	var file bytes.Buffer
	if err := solids.Loft(lo, hi).WriteBinary(&file); err != nil {
		t.Fatal(err)
	}
	open := vault.NewPageable // one whose memory can be read from outside of it
	if end == "kept" {
		open = vault.New
	}
	v, err := open(residueVault)
	if err != nil {
		t.Fatal(err)
	}
	if end == "kept" || end == "loose" {
		s.leaveOut(t, v)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	j, err := Open(ctx, v, &file, int64(file.Len()), Detect, Default())
	if err != nil {
		t.Fatal(err)
	}
	for l, err := range j.Layers(ctx) {
		if err != nil {
			break // cancelled
		}
		s.learn(l.Outline.Pts)
		if s.vault[1] > 0 && l.Index >= 12 && l.Index < 24 { // some of them make others grow in the workers
			runtime.GC() // what a buffer was in between is the collector's to overwrite, whenever it comes,
			runtime.GC() // and the second time it has swept
			if n := s.count(t); l.Index == 12 || n < s.during {
				s.during = n
			}
		} else if l.Index == 15 {
			s.during = s.count(t)
			if end == "cancelled" {
				cancel()
			}
			if end == "left" {
				break
			}
		}
	}
	clear(file.Bytes()[:file.Cap()])
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

// scanner counts pieces of outlines in the memory of this process: eight points in a row,
// which are in buffers, while a few may be on the stack of a goroutine that has ended. It has no piece itself: what it
// looks for is veiled, and it reads into memory at which it does not look.
type scanner struct {
	buf    []byte
	veiled map[uint64][7]uint64
	first  [1 << 16]bool // the lowest bits of those, veiled as well
	during int
	vault  [2]int64 // addresses that are left out
}

// leaveOut has a vault of which nothing is taken yet left out.
func (s *scanner) leaveOut(t *testing.T, v *vault.Vault) {
	mark := v.Mark()
	b, err := vault.Alloc[byte](v, 1)
	if err != nil {
		t.Fatal(err)
	}
	from := int64(uintptr(unsafe.Pointer(&b[0])))
	v.Release(mark)
	s.vault = [2]int64{from, from + v.Stats().Budget}
}

const veil = 0x5a5a5a5a5a5a5a5a

// learn notes points of a layer.
func (s *scanner) learn(pts []geom.Point) {
	if s.veiled == nil {
		s.veiled = map[uint64][7]uint64{}
	}
	at := func(i int) uint64 { return (uint64(uint32(pts[i].X)) | uint64(uint32(pts[i].Y))<<32) ^ veil }
	for i := 0; i+8 <= len(pts) && len(s.veiled) < 1000; i += 5 {
		var rest [7]uint64
		for k := range rest {
			rest[k] = at(i + k + 1)
		}
		s.veiled[at(i)] = rest
		s.first[uint16(at(i))] = true
	}
}

// piece reports whether b begins with one.
func (s *scanner) piece(b []byte) bool {
	p := binary.LittleEndian.Uint64(b) ^ veil
	if !s.first[uint16(p)] {
		return false
	}
	rest, ok := s.veiled[p]
	for i, p := range rest {
		ok = ok && binary.LittleEndian.Uint64(b[8*i+8:])^veil == p
	}
	return ok
}

// count looks at all memory that can be written but its own.
func (s *scanner) count(t *testing.T) (found int) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	own := int64(uintptr(unsafe.Pointer(&s.buf[0])))
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var mode string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") || to-from > 1<<26 {
			continue // a piece of the Go heap has 64 MiB; shadow memory of the race detector has more
		}
		if from <= own && own < to { // with what the kernel has joined to it
			found += s.pieces(mem, from, own) + s.pieces(mem, own+int64(len(s.buf)), to)
		} else {
			found += s.pieces(mem, from, to)
		}
	}
	clear(s.buf)
	return found
}

// pieces counts between two addresses.
func (s *scanner) pieces(mem *os.File, from, to int64) (found int) {
	for at := from; at < to; at += int64(len(s.buf)) {
		n, err := mem.ReadAt(s.buf[:min(int64(len(s.buf)), to-at)], at)
		if err != nil {
			continue
		}
		for i := 0; i+64 <= n; i += 8 { // as points lie
			if here := at + int64(i); (here < s.vault[0] || here >= s.vault[1]) && s.piece(s.buf[i:]) {
				found++
			}
		}
	}
	return found
}
