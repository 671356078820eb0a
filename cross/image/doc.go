// Package image builds what a board boots from: the whole disk, as an ordinary user, from
// Debian's kernel and our own programs, the same bytes each time. Start at [Build].
//
// # Disk
//
// GPT, sectors of 512 bytes, partitions found by name:
//
//	platen-env     1 MiB     what U-Boot goes by: two copies of 4 KiB, at 0 and 64 KiB
//	platen-config  2 MiB     what is this printer's own: a cpio archive (newc) of files for
//	                         /etc/platen; zeros: what is built in alone. See [WriteSettings]
//	platen-a       4 MiB     slot: 4 KiB boot sector, 4 KiB approvals of its boot (see
//	                         agent/pid1/volume), then a signed FIT; with EFI a FAT whose
//	                         first sectors leave the same place free
//	platen-b       68 MiB    the same bytes, from the factory
//	platen-state   132 MiB   zeros; the init formats it, encrypted
//
// A slot's contents are what an update of the root file system brings. There are two disks
// of a board, which differ in the slots: one for U-Boot (package uboot), one for EFI
// (package uki). Package predict says what the TPM's registers hold after each.
//
// # Root
//
// It lies in memory, and holds nothing but what package pid1 lists: no shell, no login.
// Modules are those that the board's file names, and what they depend on.
//
// # Where things come from
//
// The kernel and the EFI stub are Debian packages, found through an apt root of our own
// below the cache folder: the host's package database is neither read nor changed. What was
// fetched once is used again.
package image
