package vault

import "golang.org/x/sys/unix"

// mapSecret reports that there is nothing to map: the system call table of 32-bit
// ARM has no memfd_secret (arch/arm/tools/syscall.tbl, Linux 6.18).
func mapSecret(int) ([]byte, error) { return nil, unix.ENOSYS }
