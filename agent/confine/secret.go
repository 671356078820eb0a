//go:build amd64 || arm64

package confine

import "golang.org/x/sys/unix"

// memfdSecret makes a file of memory that the kernel does not have mapped.
func memfdSecret() (int, error) { return unix.MemfdSecret(unix.O_CLOEXEC) }
