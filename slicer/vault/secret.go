//go:build !arm

package vault

import (
	"errors"

	"golang.org/x/sys/unix"
)

// mapSecret maps memory that even the kernel drops from its own mapping. Such
// memory counts as locked and is never dumped (memfd_secret(2), Linux 5.14).
func mapSecret(size int) ([]byte, error) {
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }() // the mapping keeps the file alive
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	if err := advise(mem, unix.MADV_DONTDUMP, unix.MADV_DONTFORK); err != nil {
		return nil, errors.Join(err, unix.Munmap(mem))
	}
	return mem, nil
}
