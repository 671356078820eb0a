package slot

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What goes past the page cache: whole blocks of at least directLeast bytes, at offsets and
// from memory that are multiples of directBlock, which no disk's sectors exceed.
const (
	directBlock = 4096
	directLeast = 64 << 10
)

// direct is a second descriptor of a file, past the page cache: a release is written once and
// read back once, and what is read then comes from the medium. Systems and file systems that
// have no such thing refuse it, and the page cache is used.
type direct struct {
	once  sync.Once
	file  *os.File // nil: there is none
	write bool
}

// of returns the descriptor past the page cache for a transfer, nil if it has to go through it.
func (d *direct) of(f *os.File, p []byte, off int64) *os.File {
	if d == nil || len(p) < directLeast || len(p)%directBlock != 0 || off%directBlock != 0 ||
		uintptr(unsafe.Pointer(unsafe.SliceData(p)))%directBlock != 0 {
		return nil
	}
	d.once.Do(func() {
		flag := os.O_RDONLY
		if d.write {
			flag = os.O_RDWR
		}
		if file, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), flag|unix.O_DIRECT, 0); err == nil {
			d.file = file
		}
	})
	return d.file
}

func (d *direct) close() error {
	if d == nil || d.file == nil {
		return nil
	}
	return d.file.Close()
}

// blocks is memory for so many bytes, made for a transfer past the page cache.
func blocks(n int64) []byte {
	p := make([]byte, n+directBlock)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(p))) % directBlock
	return p[skip:][:n:n]
}
