package vault

import (
	"math/bits"
	"reflect"
	"slices"
	"sync"
	"unsafe"
)

// Arena is the part of a vault in which goroutines keep their working memory while they
// make layers: the buffers of their kernels, which grow as they are appended to. A buffer
// grows on the Go heap, as Go does it; [Arena.Keep], called between two layers, moves it
// into the vault, where it stays until it outgrows its place, and overwrites where it was.
// In steady state nothing grows, and everything is in the vault. What is left on the Go heap
// are the smaller places of a buffer that grew more than once within one layer: those are
// for the collector to overwrite (see GODEBUG, clobberfree, in package runtime).
//
// Several goroutines may keep buffers in one arena, each its own. Places are not used
// again before Close; since they double, all that a buffer has left is no larger than it.
type Arena struct {
	v      *Vault
	mu     sync.Mutex
	room   []byte
	chunks [][]byte
	used   int64
}

// arenaChunk is the least that an arena takes from its vault.
const arenaChunk = 256 << 10

// NewArena makes an arena in v. It is nil, which keeps nothing, where v is not locked:
// memory that can reach swap is no better than the Go heap.
func (v *Vault) NewArena() *Arena {
	if !v.locked {
		return nil
	}
	return &Arena{v: v}
}

// Keep moves the buffers of holders into the vault: of structs, by pointers to them, all
// slices whose elements hold no pointers, those of embedded structs, arrays and slices of
// structs included. Pointers, interfaces, maps and functions are not followed. The caller
// is the only one that uses the holders meanwhile, and nobody else has a slice of what they
// hold: it is overwritten once all of it has been moved. What finds no room in the vault
// stays where it is.
func (a *Arena) Keep(holders ...any) {
	if a == nil {
		return
	}
	var left [][]byte
	for _, h := range holders {
		p := reflect.ValueOf(h)
		planOf(p.Type().Elem()).each(p.UnsafePointer(), func(h *header, size uintptr) {
			if old := a.keep(h, size); old != nil {
				left = append(left, old)
			}
		})
	}
	for _, b := range left { // not before: two holders may have had slices of one buffer
		wipe(b)
	}
}

// Used is how many bytes of the vault the arena has handed out.
func (a *Arena) Used() int64 {
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// Close wipes the arena and gives its memory back to the vault, for arenas that come
// later. Nobody may use what was kept in it any more.
func (a *Arena) Close() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.v.recycle(a.chunks)
	a.room, a.chunks = nil, nil
}

// header is how Go lays out a slice.
type header struct {
	data     unsafe.Pointer
	len, cap int
}

// keep moves one buffer, unless it is in the vault already, and returns where it was.
func (a *Arena) keep(h *header, size uintptr) []byte {
	if h.cap == 0 || size == 0 || a.v.holds(h.data) {
		return nil
	}
	old := unsafe.Slice((*byte)(h.data), h.cap*int(size))
	to := a.take(powerOf2(len(old)))
	if to == nil {
		return nil
	}
	copy(to, old[:h.len*int(size)])
	h.data, h.cap = unsafe.Pointer(&to[0]), len(to)/int(size)
	return old
}

// powerOf2 is the size in bytes of the place for a buffer of n bytes: the next power of two, so
// that all that one buffer has left is no larger than it; n itself where an int has no such
// power, on 32-bit machines, for no vault has room for that anyway.
func powerOf2(n int) int {
	if b := bits.Len(uint(n - 1)); b < bits.UintSize-1 {
		return 1 << b
	}
	return n
}

// take hands out n zeroed bytes, or nil if there are none.
func (a *Arena) take(n int) []byte {
	n = roundUp(n)
	a.mu.Lock()
	defer a.mu.Unlock()
	if n > len(a.room) {
		chunk := a.v.chunk(max(n, arenaChunk))
		if chunk == nil {
			return nil
		}
		a.chunks = append(a.chunks, chunk)
		if rest := chunk[n:]; len(rest) > len(a.room) {
			a.room = rest
		}
		a.used += int64(n)
		return chunk[:n:n]
	}
	b := a.room[:n:n]
	a.room = a.room[n:]
	a.used += int64(n)
	return b
}

// chunk takes at least n bytes of what arenas before had, the smallest piece that will do, or
// n bytes from the high end.
func (v *Vault) chunk(n int) []byte {
	v.mu.Lock()
	best := -1
	for i, b := range v.spare {
		if len(b) >= n && (best < 0 || len(b) < len(v.spare[best])) {
			best = i
		}
	}
	if best >= 0 {
		b := v.spare[best]
		v.spare = slices.Delete(v.spare, best, best+1)
		v.mu.Unlock()
		return b
	}
	v.mu.Unlock()
	b, err := Scratch[byte](v, n)
	if err != nil {
		return nil
	}
	return b
}

// recycle wipes chunks and keeps them for later.
func (v *Vault) recycle(chunks [][]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mem == nil {
		return
	}
	for _, b := range chunks {
		wipe(b)
	}
	v.spare = append(v.spare, chunks...)
}

// holds reports whether p points into the vault.
func (v *Vault) holds(p unsafe.Pointer) bool {
	from := uintptr(unsafe.Pointer(unsafe.SliceData(v.mem)))
	return uintptr(p)-from < uintptr(len(v.mem))
}

// plan is where in a value its buffers are.
type plan struct {
	slices []place // of elements without pointers
	nested []place // of structs that have buffers themselves
	plans  []*plan // of the elements of nested
}

type place struct {
	at   uintptr
	size uintptr // of an element
}

// each calls f for every buffer of the value at p.
func (n *plan) each(p unsafe.Pointer, f func(*header, uintptr)) {
	for _, s := range n.slices {
		f((*header)(unsafe.Add(p, s.at)), s.size)
	}
	for i, s := range n.nested {
		h := (*header)(unsafe.Add(p, s.at))
		for k := range h.cap {
			n.plans[i].each(unsafe.Add(h.data, uintptr(k)*s.size), f)
		}
	}
}

// plans are those made so far, by type.
var plans sync.Map

func planOf(t reflect.Type) *plan {
	if n, ok := plans.Load(t); ok {
		return n.(*plan)
	}
	n := &plan{}
	n.add(t, 0)
	plans.Store(t, n)
	return n
}

// add notes the buffers of a value of type t that lies at an offset.
func (n *plan) add(t reflect.Type, at uintptr) {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			n.add(t.Field(i).Type, at+t.Field(i).Offset)
		}
	case reflect.Array:
		if hasPointers(t.Elem()) {
			for i := range t.Len() {
				n.add(t.Elem(), at+uintptr(i)*t.Elem().Size())
			}
		}
	case reflect.Slice:
		elem := t.Elem()
		if !hasPointers(elem) {
			n.slices = append(n.slices, place{at, elem.Size()})
			return
		}
		if sub := planOf(elem); len(sub.slices)+len(sub.nested) > 0 {
			n.nested = append(n.nested, place{at, elem.Size()})
			n.plans = append(n.plans, sub)
		}
	}
}
