// Package qemu runs what is built for ARM boards on this machine, under user-mode
// emulation, and compares it with what this machine's own build does: a slice is
// the same to the byte on every processor. It has tests only.
package qemu
