package vault

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What was needed for a while only does not stay in memory, what is kept does, and what is
// taken again is zero.
func TestTrim(t *testing.T) {
	large := 4 * unix.Getpagesize() // little enough for any user to lock
	v, err := NewPageable(int64(4 * large))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	kept, err := Alloc[byte](v, large)
	if err != nil {
		t.Fatal(err)
	}
	mark := v.Mark()
	while, err := Scratch[byte](v, large)
	if err != nil {
		t.Fatal(err)
	}
	for i := range large {
		kept[i], while[i] = 1, 2
	}
	v.ReleaseScratch(mark)
	stays(t, kept)
	leave := stays(t, while)
	if n := inMemory(t, v.mem); n < 2*large {
		t.Fatalf("control: %d bytes are in memory", n)
	}
	leave()
	v.Trim()
	if n := inMemory(t, v.mem); n < large || n > large+large/4 {
		t.Errorf("%d bytes are in memory, %d are in use", n, large)
	}
	if while, err = Scratch[byte](v, large); err != nil {
		t.Fatal(err)
	}
	for i := range large {
		if kept[i] != 1 || while[i] != 0 {
			t.Fatalf("byte %d is %d where it was 1, and %d where it is new", i, kept[i], while[i])
		}
	}
}

// stays keeps the kernel from swapping mem out, until it is left to it again.
func stays(t *testing.T, mem []byte) (leave func()) {
	t.Helper()
	if err := unix.Mlock(mem); err != nil {
		t.Skipf("this user may lock no memory: %v", err)
	}
	return func() {
		if err := unix.Munlock(mem); err != nil {
			t.Fatal(err)
		}
	}
}

// inMemory is how much of mem is in memory.
func inMemory(t *testing.T, mem []byte) int {
	t.Helper()
	page := unix.Getpagesize()
	in := make([]byte, len(mem)/page)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)), uintptr(unsafe.Pointer(&in[0]))); errno != 0 {
		t.Skipf("this kernel does not say what is in memory: %v", errno)
	}
	n := 0
	for _, b := range in {
		n += int(b&1) * page
	}
	return n
}
