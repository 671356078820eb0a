package loader

import (
	"errors"
	"fmt"
)

// Address is an address in the memory of a controller, in bytes.
type Address uint32

// MaxSize bounds the application area, and with it every image: 2 MiB, the largest
// flash of the controllers in boards.
const MaxSize = 2 << 20

// Run is Count erasable pages of Size bytes each.
type Run struct{ Count, Size int }

// Layout is the flash of a controller: its erasable pages, and the part of them that
// belongs to the application. Nothing outside that part is ever written or erased
// on purpose. The zero Layout has no pages.
type Layout struct {
	start Address
	first int // number of the chip's page that start lies at
	at    []int
	size  int
}

// NewLayout returns the layout of a chip whose flash begins at base and consists of
// runs, with an application of at most size bytes at start. Both ends must lie on
// page boundaries.
func NewLayout(base Address, runs []Run, start Address, size int) (Layout, error) {
	l := Layout{start: start, first: -1, size: size}
	if size <= 0 || size > MaxSize || uint64(start)+uint64(size) > 1<<32 {
		return Layout{}, fmt.Errorf("an application area of %d bytes is not possible: use 1 to %d", size, MaxSize)
	}
	at, end, number := uint64(base), uint64(start)+uint64(size), 0
	for _, r := range runs {
		if r.Count <= 0 || r.Count > 1<<16 || r.Size < 64 || r.Size > 256<<10 || r.Size%64 != 0 {
			return Layout{}, fmt.Errorf("%d pages of %d bytes are not possible", r.Count, r.Size)
		}
		for range r.Count {
			if at == uint64(start) {
				l.first = number
			}
			if at >= uint64(start) && at < end {
				l.at = append(l.at, int(at-uint64(start)))
			}
			at += uint64(r.Size)
			number++
			if at == end && l.first >= 0 {
				l.at = append(l.at, size)
				return l, nil
			}
		}
	}
	return Layout{}, errors.New("the application area does not begin and end at page boundaries of the flash")
}

// Start is the address of the application.
func (l Layout) Start() Address { return l.start }

// Size is the most bytes the application may have.
func (l Layout) Size() int { return l.size }

// Pages is the number of pages of the application area.
func (l Layout) Pages() int { return max(len(l.at)-1, 0) }

// Page returns where page n of the application area lies within the area, and its
// size, both in bytes.
func (l Layout) Page(n int) (at, size int) { return l.at[n], l.at[n+1] - l.at[n] }

// Address returns the address of page n.
func (l Layout) Address(n int) Address { return l.start + Address(l.at[n]) }

// Number returns the number that the chip gives to page n of the application area.
func (l Layout) Number(n int) int { return l.first + n }

// Cover returns how many pages hold the first size bytes of the application area.
func (l Layout) Cover(size int) int {
	n := 0
	for n < l.Pages() && l.at[n] < size {
		n++
	}
	return n
}
