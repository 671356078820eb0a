//go:build !amd64 && !arm64

package confine

import "golang.org/x/sys/unix"

// memfdSecret is nowhere on machines of 32 bits.
func memfdSecret() (int, error) { return -1, unix.ENOSYS }
