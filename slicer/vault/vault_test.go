package vault

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func open(t *testing.T, budget int64) *Vault {
	t.Helper()
	v, err := New(budget)
	if err != nil {
		t.Fatalf("New(%d): %v", budget, err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return v
}

var canary = []byte("canary-5d1f0c77e2")

// The contents are gone after Close. A second mapping of the same memory, made
// before, is the witness: it reads what an attacker would find in the page.
func TestCloseWipes(t *testing.T) {
	for _, wiped := range []bool{true, false} { // false is the control
		v, err := NewPageable(1 << 16)
		if err != nil {
			t.Fatal(err)
		}
		shared, witness := twice(t, len(v.mem))
		if err := unix.Munmap(v.mem); err != nil {
			t.Fatal(err)
		}
		v.mem = shared
		lo, err := Alloc[byte](v, 100)
		if err != nil {
			t.Fatal(err)
		}
		hi, err := Scratch[byte](v, 100)
		if err != nil {
			t.Fatal(err)
		}
		copy(lo, canary)
		copy(hi, canary)
		if n := bytes.Count(witness, canary); n != 2 {
			t.Fatalf("the witness sees %d canaries before Close, want 2", n)
		}
		want := 0
		if wiped {
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			want = 2
			if err := unix.Munmap(v.mem); err != nil {
				t.Fatal(err)
			}
		}
		if n := bytes.Count(witness, canary); n != want {
			t.Errorf("wiped %v: the witness sees %d canaries at the end, want %d", wiped, n, want)
		}
	}
}

// twice maps the same pages at two places.
func twice(t *testing.T, size int) (a, b []byte) {
	t.Helper()
	fd, err := unix.MemfdCreate("vault-test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*[]byte{&a, &b} {
		if *m, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	return a, b
}

// What the kernel says of the mapping: locked and never dumped. The control is a
// pageable vault, which is not locked.
func TestKernelFlags(t *testing.T) {
	if strings.Contains(flagsOf(t, nil), " lo") {
		t.Fatal("flags of a mapping that is not there")
	}
	v := open(t, 1<<16)
	b, err := Alloc[byte](v, 10)
	if err != nil {
		t.Fatal(err)
	}
	b[0] = 1
	flags := flagsOf(t, v.mem)
	if !strings.Contains(flags, " rd") {
		t.Skip("/proc/self/smaps has no true VmFlags here (an emulator's have no rd)")
	}
	for _, f := range []string{" lo", " dd"} {
		if !strings.Contains(flags, f) {
			t.Errorf("VmFlags%s lack%s", flags, f)
		}
	}
	p, err := NewPageable(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	if flags := flagsOf(t, p.mem); strings.Contains(flags, " lo") || !strings.Contains(flags, " dd") {
		t.Errorf("VmFlags of a pageable vault are%s", flags)
	}
	if p.Stats().Locked || !v.Stats().Locked {
		t.Error("Stats do not say what is locked")
	}
}

// flagsOf returns the VmFlags of the mapping that mem is in, with a space before
// each, or nothing.
func flagsOf(t *testing.T, mem []byte) string {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	in := false
	for _, line := range strings.Split(string(smaps), "\n") {
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			in = from <= addr && addr < to
		}
		if rest, ok := strings.CutPrefix(line, "VmFlags:"); ok && in {
			return rest
		}
	}
	return ""
}

// Another reader of this process's memory finds nothing in a secret vault; it
// does find the same canary in a pageable one.
func TestSecretIsHidden(t *testing.T) {
	v := open(t, 1<<16)
	if !v.Stats().Secret {
		t.Skip("this kernel has no memfd_secret")
	}
	p, err := NewPageable(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mem.Close() }()
	for _, c := range []struct {
		v    *Vault
		seen bool
	}{{p, true}, {v, false}} {
		s, err := Alloc[byte](c.v, len(canary))
		if err != nil {
			t.Fatal(err)
		}
		copy(s, canary)
		got := make([]byte, len(canary))
		_, err = mem.ReadAt(got, int64(uintptr(unsafe.Pointer(&s[0]))))
		if seen := err == nil && bytes.Equal(got, canary); seen != c.seen {
			t.Errorf("canary seen %v (%v), want %v", seen, err, c.seen)
		}
	}
}

// Without the right to lock, a vault is refused with what to change.
func TestNotLocked(t *testing.T) {
	if v, err := New(1 << 16); err != nil {
		t.Fatalf("control: %v", err)
	} else if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		// The thread loses a capability for good and is thrown away with the goroutine.
		runtime.LockOSThread()
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&hdr, &data[0]); err != nil {
			done <- err
			return
		}
		data[0].Effective &^= 1 << unix.CAP_IPC_LOCK
		if err := unix.Capset(&hdr, &data[0]); err != nil {
			done <- err
			return
		}
		var old unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &old); err != nil {
			done <- err
			return
		}
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 0, Max: old.Max}); err != nil {
			done <- err
			return
		}
		_, err := New(1 << 16)
		done <- errors.Join(err, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &old))
	}()
	err := <-done
	if !errors.Is(err, ErrNotLocked) || !strings.Contains(err.Error(), "RLIMIT_MEMLOCK") {
		t.Errorf("got %v, want ErrNotLocked with advice", err)
	}
}

func TestBudget(t *testing.T) {
	v := open(t, 1<<16)
	if _, err := Alloc[byte](v, 1<<16+1); !errors.Is(err, ErrBudget) {
		t.Errorf("too large: %v", err)
	}
	if _, err := Alloc[[1 << 20]byte](v, 1<<30); !errors.Is(err, ErrBudget) {
		t.Errorf("beyond the address space: %v", err)
	}
	if _, err := Alloc[int32](v, -1); !errors.Is(err, ErrBudget) {
		t.Errorf("negative: %v", err)
	}
	a, err := Alloc[byte](v, 1<<15)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Scratch[byte](v, 1<<15+1); !errors.Is(err, ErrBudget) {
		t.Errorf("scratch into the low end: %v", err)
	}
	b, err := Scratch[byte](v, 1<<15)
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != 1<<15 || len(b) != 1<<15 || v.Stats().Used != 1<<16 || v.Free() != 0 {
		t.Errorf("lengths %d and %d, stats %+v", len(a), len(b), v.Stats())
	}
	for _, budget := range []int64{0, -1, 1 << 62} {
		if _, err := New(budget); err == nil {
			t.Errorf("a budget of %d was accepted", budget)
		}
	}
}

func TestPointersRefused(t *testing.T) {
	v := open(t, 1<<16)
	if _, err := Alloc[*int](v, 1); err == nil {
		t.Error("pointers accepted")
	}
	if _, err := Alloc[struct{ A [2]struct{ S string } }](v, 1); err == nil {
		t.Error("nested strings accepted")
	}
	if _, err := Alloc[struct {
		A [2]struct{ X, Y int32 }
		F float64
	}](v, 1); err != nil {
		t.Errorf("plain values refused: %v", err)
	}
}

func TestGrow(t *testing.T) {
	v := open(t, 1<<16)
	first, err := Alloc[int32](v, 4)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Alloc[int32](v, 4)
	if err != nil {
		t.Fatal(err)
	}
	s[3] = 7
	if s, err = Grow(v, s, 1000); err != nil || len(s) != 1000 || s[3] != 7 || s[999] != 0 {
		t.Fatalf("grow: %v", err)
	}
	s[999] = 9
	if s, err = Grow(v, s, 10); err != nil || len(s) != 10 {
		t.Fatalf("shrink: %v", err)
	}
	if s, err = Grow(v, s, 1000); err != nil || s[999] != 0 {
		t.Errorf("memory given back came again unwiped: %v", err)
	}
	if _, err = Grow(v, first, 8); err == nil {
		t.Error("an older allocation grew into a newer one")
	}
	if _, err = Grow(v, s, 1<<20); !errors.Is(err, ErrBudget) {
		t.Errorf("beyond the budget: %v", err)
	}
}

// Allocations never overlap, are aligned, and always arrive zeroed, whatever is
// taken and released in whatever order.
func TestArenaProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, err := NewPageable(1 << 14)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = v.Close() }()
		type entry struct {
			mark Mark
			mem  []uint32
		}
		var live []entry
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if op := rapid.IntRange(0, 3).Draw(t, "op"); op == 0 && len(live) > 0 {
				k := rapid.IntRange(0, len(live)-1).Draw(t, "release")
				v.Release(live[k].mark)
				live = live[:k]
			} else {
				alloc := Alloc[uint32]
				if op == 1 {
					alloc = Scratch[uint32]
				}
				m := v.Mark()
				s, err := alloc(v, rapid.IntRange(1, 800).Draw(t, "n"))
				if errors.Is(err, ErrBudget) {
					continue
				}
				if uintptr(unsafe.Pointer(&s[0]))%align != 0 {
					t.Fatal("not aligned")
				}
				for i := range s {
					if s[i] != 0 {
						t.Fatal("not zeroed")
					}
					s[i] = uint32(step + 1)
				}
				live = append(live, entry{m, s})
			}
			for _, e := range live {
				for _, x := range e.mem {
					if x != e.mem[0] {
						t.Fatal("allocations overlap")
					}
				}
			}
		}
	})
}

func TestClosed(t *testing.T) {
	v, err := New(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Alloc[byte](v, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("Alloc: %v", err)
	}
	v.Release(Mark{})
}

func TestPrintsNothing(t *testing.T) {
	v := open(t, 1<<16)
	s, err := Alloc[byte](v, 64)
	if err != nil {
		t.Fatal(err)
	}
	copy(s, canary)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("state", "vault", v)
	for _, text := range []string{fmt.Sprint(v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), log.String()} {
		if !strings.Contains(text, "vault") || strings.Contains(text, "99 97") || strings.Contains(text, "0x63") || len(text) > 200 {
			t.Errorf("prints %q", text)
		}
	}
}
