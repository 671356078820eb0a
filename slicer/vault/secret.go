//go:build !arm && !mipsle

package vault

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapSecret maps memory that even the kernel drops from its own mapping. Such
// memory counts as locked and is never dumped (memfd_secret(2), Linux 5.14). It is in
// chunks, each a file of its own, for only whole files can be given back.
func mapSecret(size int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	for at := 0; at < size; at += secretChunk {
		if err := mapChunk(mem[at:min(at+secretChunk, size)]); err != nil {
			return nil, errors.Join(err, unix.Munmap(mem))
		}
	}
	return mem, nil
}

// mapChunk puts secret memory in the place of chunk.
func mapChunk(chunk []byte) error {
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // the mapping keeps the file alive
	if err := unix.Ftruncate(fd, int64(len(chunk))); err != nil {
		return err
	}
	_, err = unix.MmapPtr(fd, 0, unsafe.Pointer(&chunk[0]), uintptr(len(chunk)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED)
	if err != nil {
		return err
	}
	return advise(chunk, unix.MADV_DONTDUMP, unix.MADV_DONTFORK)
}
