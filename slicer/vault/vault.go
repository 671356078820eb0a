// Package vault is the memory in which a model lives: locked, so that it never
// reaches swap; left out of core dumps; hidden from the rest of the kernel where
// memfd_secret(2) exists; bounded by a budget; and overwritten before it is given
// back.
//
// A [Vault] is an arena with two ends. [Alloc] takes from the low end what stays
// until the job is done, [Scratch] takes from the high end what is needed for a
// while; [Vault.Mark] and [Vault.Release] give back everything taken since. Memory
// is always handed out zeroed. Pages are committed when they are first touched and
// are locked from then on.
//
// Slices from a vault must not be touched after Release or Close took them back:
// after Close that is a fault that ends the process. A Vault is owned by one
// goroutine at a time; the slices it handed out may be shared. Scratch, Forget and Stats
// alone may be called by several at once, which is what an [Arena] does.
package vault

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	// ErrBudget reports that an allocation does not fit the budget.
	ErrBudget = errors.New("locked memory budget is used up: raise the budget or use a smaller model")
	// ErrNotLocked reports that the kernel did not lock the memory.
	ErrNotLocked = errors.New("memory cannot be locked: raise RLIMIT_MEMLOCK (ulimit -l, or LimitMEMLOCK= of the service) above the budget, or lower the budget")
	// ErrClosed reports use of a vault after Close.
	ErrClosed = errors.New("vault is closed")
)

// secretChunk is the size of the pieces in which secret memory is mapped.
const secretChunk = 1 << 20

// align is the alignment of every allocation in bytes: a cache line.
const align = 64

// Vault is an arena of locked memory; see the package documentation.
type Vault struct {
	mem    []byte
	lo, hi int // free memory is mem[lo:hi]
	dirtyL int // everything below may have been written to since it was wiped
	dirtyH int // everything from here on may have been written to
	peak   int
	given  int
	last   unsafe.Pointer // the latest allocation of the low end, which can grow
	holes  []hole         // given back for good, in the order in which they were
	secret bool
	locked bool

	mu    sync.Mutex // of all that changes while several goroutines take scratch memory
	spare [][]byte   // chunks that arenas have given back, wiped
}

// Stats are the sizes of a vault in bytes. They are design data while a model is
// loaded: its budget is not, what is used of it is.
type Stats struct {
	Budget int64
	Used   int64
	Peak   int64 // largest Used so far
	Given  int64 // of Used, what was given back to the system (see Forget)
	Secret bool  // memory is hidden from the kernel's own mapping
	Locked bool  // memory never reaches swap
}

// New maps budget bytes, rounded up to whole pages, and locks them. It is
// ErrNotLocked if the kernel refuses to; the model would then be able to reach
// swap, and a printer must not take it.
func New(budget int64) (*Vault, error) {
	size, err := pages(budget)
	if err != nil {
		return nil, err
	}
	if mem, err := mapSecret(size); err == nil {
		return &Vault{mem: mem, hi: size, dirtyH: size, secret: true, locked: true}, nil
	}
	mem, err := mapAnonymous(size)
	if err != nil {
		return nil, err
	}
	if err := lock(mem); err != nil {
		return nil, errors.Join(fmt.Errorf("%w (%v)", ErrNotLocked, err), unix.Munmap(mem))
	}
	return &Vault{mem: mem, hi: size, dirtyH: size, locked: true}, nil
}

// NewPageable is New without the lock. It is for desk tools that read a model
// from a disk anyway; nothing on a printer calls it.
func NewPageable(budget int64) (*Vault, error) {
	size, err := pages(budget)
	if err != nil {
		return nil, err
	}
	mem, err := mapAnonymous(size)
	if err != nil {
		return nil, err
	}
	return &Vault{mem: mem, hi: size, dirtyH: size}, nil
}

// pages rounds a budget up to whole pages.
func pages(budget int64) (int, error) {
	page := int64(unix.Getpagesize())
	if budget <= 0 || budget > math.MaxInt/2-page {
		return 0, errors.New("open vault: the budget is outside what this machine can map")
	}
	return int((budget + page - 1) / page * page), nil
}

func mapAnonymous(size int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("open vault: map memory: %w: lower the budget", err)
	}
	if err := advise(mem, unix.MADV_DONTDUMP, unix.MADV_WIPEONFORK); err != nil {
		return nil, errors.Join(err, unix.Munmap(mem))
	}
	return mem, nil
}

// lock locks the pages of mem as they are touched; the limit is checked now
// (mlock2(2), MLOCK_ONFAULT, Linux 4.4). Older kernels lock all of them at once.
func lock(mem []byte) error {
	const onFault = 1
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	if _, _, errno := unix.Syscall(unix.SYS_MLOCK2, addr, uintptr(len(mem)), onFault); errno != unix.ENOSYS {
		if errno != 0 {
			return errno
		}
		return nil
	}
	return unix.Mlock(mem)
}

// advise applies madvise flags. EINVAL means that the mapping has no use for the
// flag: a secret one is never dumped as it is.
func advise(mem []byte, flags ...int) error {
	for _, f := range flags {
		if err := unix.Madvise(mem, f); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("open vault: madvise: %w", err)
		}
	}
	return nil
}

// Alloc takes n zeroed elements from the low end. T must be free of pointers: the
// garbage collector does not look into a vault. It is ErrBudget if they do not fit;
// nothing is taken then.
func Alloc[T any](v *Vault, n int) ([]T, error) {
	size, err := sizeOf[T](v, n)
	if err != nil || n == 0 {
		return nil, err
	}
	at := roundUp(v.lo)
	if at > v.hi || size > v.hi-at || v.holed(at, at+size) {
		return nil, ErrBudget
	}
	v.lo = at + size
	v.touched()
	v.last = unsafe.Pointer(&v.mem[at])
	return unsafe.Slice((*T)(v.last), n), nil
}

// Grow gives the latest allocation of the low end a new length of n elements and
// returns it at its old place; what is given back is wiped.
func Grow[T any](v *Vault, s []T, n int) ([]T, error) {
	size, err := sizeOf[T](v, n)
	if err != nil {
		return s, err
	}
	if len(s) == 0 || n == 0 || unsafe.Pointer(&s[0]) != v.last {
		return s, errors.New("grow vault memory: not the latest allocation")
	}
	at := int(uintptr(v.last) - uintptr(unsafe.Pointer(&v.mem[0])))
	if size > v.hi-at || v.holed(at, at+size) {
		return s, ErrBudget
	}
	if end := at + size; end < v.lo {
		wipe(v.mem[end:v.lo])
	}
	v.lo = at + size
	v.touched()
	return unsafe.Slice(&s[0], n), nil
}

// Scratch is Alloc from the high end, for what is needed for a while.
func Scratch[T any](v *Vault, n int) ([]T, error) {
	size, err := sizeOf[T](v, n)
	if err != nil || n == 0 {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if size > v.hi {
		return nil, ErrBudget
	}
	at := (v.hi - size) &^ (align - 1)
	if at < v.lo || v.holed(at, at+size) {
		return nil, ErrBudget
	}
	v.hi = at
	v.touched()
	return unsafe.Slice((*T)(unsafe.Pointer(&v.mem[at])), n), nil
}

// Mark is a state of a vault to go back to.
type Mark struct{ lo, hi int }

// Mark notes what is allocated now.
func (v *Vault) Mark() Mark { return Mark{v.lo, v.hi} }

// Release wipes and gives back all memory taken at either end since m.
func (v *Vault) Release(m Mark) {
	if v.mem == nil {
		return
	}
	v.ReleaseAlloc(m)
	v.ReleaseScratch(m)
}

// ReleaseAlloc is Release for the low end alone.
func (v *Vault) ReleaseAlloc(m Mark) {
	if v.mem != nil && m.lo < v.lo {
		v.wipeKept(m.lo, v.lo)
		v.lo, v.last = m.lo, nil
	}
}

// ReleaseScratch is Release for the high end alone.
func (v *Vault) ReleaseScratch(m Mark) {
	if v.mem != nil && m.hi > v.hi {
		v.wipeKept(v.hi, m.hi)
		v.hi, v.spare = m.hi, nil
	}
}

// hole is a part of a vault that is given back: mem[from:to].
type hole struct{ from, to int }

// Forget wipes s, a part of what was allocated, and gives its pages back to the
// system: only whole ones, of 4 KiB, or 1 MiB where the vault is secret. Nobody may
// touch s any more, and what of the vault is released below it cannot be had again.
// A few large pieces are better than many small ones.
func Forget[T any](v *Vault, s []T) {
	if v.mem == nil || len(s) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	from := int(uintptr(unsafe.Pointer(&s[0])) - uintptr(unsafe.Pointer(&v.mem[0])))
	to := from + len(s)*int(unsafe.Sizeof(s[0]))
	wipe(v.mem[from:to])
	page := unix.Getpagesize()
	if v.secret {
		page = secretChunk
	}
	from, to = (from+page-1)/page*page, to/page*page
	if from >= to {
		return
	}
	// The place stays taken, by nothing, so that no other mapping comes to lie in it.
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE | unix.MAP_FIXED
	if _, err := unix.MmapPtr(-1, 0, unsafe.Pointer(&v.mem[from]), uintptr(to-from), unix.PROT_NONE, flags); err == nil {
		v.holes = append(v.holes, hole{from, to})
		v.given += to - from
	}
}

// Trim gives the pages of all that is free back to the system until they are taken again:
// what was needed for a while only may have been large. They are wiped already. Secret
// memory and that of kernels before 5.18, if it is locked, stays where it is.
func (v *Vault) Trim() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mem == nil || v.secret || len(v.holes) > 0 {
		return
	}
	advice := unix.MADV_DONTNEED
	if v.locked {
		advice = unix.MADV_DONTNEED_LOCKED
	}
	page := unix.Getpagesize()
	if from, to := (v.lo+page-1)/page*page, v.hi/page*page; from < to {
		_ = unix.Madvise(v.mem[from:to], advice) // it is a favour
	}
}

// holed reports whether mem[from:to] has a part that was given back.
func (v *Vault) holed(from, to int) bool {
	for _, h := range v.holes {
		if from < h.to && h.from < to {
			return true
		}
	}
	return false
}

// wipeKept wipes what of mem[from:to] is there.
func (v *Vault) wipeKept(from, to int) {
	for from < to {
		end, next := to, to
		for _, h := range v.holes {
			if h.from < end && from < h.to {
				end, next = max(from, h.from), h.to
			}
		}
		wipe(v.mem[from:end])
		from = max(next, end)
	}
}

// Close wipes everything that was ever handed out, unlocks and unmaps it. Closing
// twice is harmless.
func (v *Vault) Close() error {
	if v.mem == nil {
		return nil
	}
	v.wipeAll()
	mem := v.mem
	v.mem, v.lo, v.hi, v.last, v.spare = nil, 0, 0, nil, nil
	if v.locked && !v.secret {
		_ = unix.Munlock(mem) // unmapping unlocks as well
	}
	if err := unix.Munmap(mem); err != nil {
		return fmt.Errorf("close vault: unmap: %w", err)
	}
	return nil
}

// wipeAll overwrites what was ever handed out; untouched pages are zero and are
// left uncommitted.
func (v *Vault) wipeAll() {
	v.wipeKept(0, v.dirtyL)
	v.wipeKept(v.dirtyH, len(v.mem))
}

// Stats returns the sizes of the vault.
func (v *Vault) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	return Stats{
		Budget: int64(len(v.mem)), Used: int64(v.used()), Peak: int64(v.peak), Given: int64(v.given),
		Secret: v.secret, Locked: v.locked,
	}
}

// Free is the number of bytes that can still be allocated, but for alignment.
func (v *Vault) Free() int64 { return int64(v.hi - v.lo) }

// String says nothing of the contents.
func (v *Vault) String() string { return "vault" }

// GoString says nothing of the contents.
func (v *Vault) GoString() string { return "vault" }

// LogValue says nothing of the contents.
func (v *Vault) LogValue() slog.Value { return slog.StringValue("vault") }

func (v *Vault) used() int { return v.lo + len(v.mem) - v.hi }

func (v *Vault) touched() {
	v.dirtyL, v.dirtyH = max(v.dirtyL, v.lo), min(v.dirtyH, v.hi)
	v.peak = max(v.peak, v.used())
}

// sizeOf returns the bytes of n elements of T.
func sizeOf[T any](v *Vault, n int) (int, error) {
	if v.mem == nil {
		return 0, ErrClosed
	}
	t := reflect.TypeFor[T]()
	if hasPointers(t) {
		return 0, fmt.Errorf("allocate vault memory: type %s holds pointers", t)
	}
	if n < 0 || (t.Size() > 0 && uintptr(n) > uintptr(len(v.mem))/t.Size()) {
		return 0, ErrBudget
	}
	return n * int(t.Size()), nil
}

func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return t.Len() > 0 && hasPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	}
	return t.Kind() < reflect.Bool || t.Kind() > reflect.Complex128 || t.Kind() == reflect.Uintptr
}

func roundUp(n int) int { return (n + align - 1) &^ (align - 1) }

// wipe overwrites b. The memory is the kernel's, not Go's, and the call is never
// inlined: the compiler cannot know that nobody reads it again.
//
//go:noinline
func wipe(b []byte) {
	clear(b)
	runtime.KeepAlive(&b)
}
