//go:build arm || mipsle

package vault

import "golang.org/x/sys/unix"

// mapSecret reports that there is nothing to map: the system call tables of
// 32-bit ARM and MIPS have no memfd_secret (arch/arm/tools/syscall.tbl,
// arch/mips/kernel/syscalls/syscall_o32.tbl, Linux 6.18).
func mapSecret(int) ([]byte, error) { return nil, unix.ENOSYS }
