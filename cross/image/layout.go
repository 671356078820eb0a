package image

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"

	"platen/agent/pid1"
	"platen/cross/image/uboot"
)

const (
	sector  = 512
	mebi    = 1 << 20
	entries = 128 // of the partition table
	entry   = 128 // bytes of each
	tables  = entries * entry / sector

	// DiskSize is that of a disk in bytes.
	DiskSize = 229 * mebi
	// SlotSize is that of a slot's partition in bytes.
	SlotSize = 64 * mebi
	// BootAt is where in a slot a FIT lies, in bytes.
	BootAt = pid1.ApprovalAt + pid1.ApprovalMax
)

// Part is a partition. Offset and Size are in bytes.
type Part struct {
	Name         string
	GUID         string
	Offset, Size int64
}

// The partitions' types.
const (
	typeLinux = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	typeESP   = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	diskGUID  = "1c5f9b1a-7a3e-4b1e-9d52-6d0a3f4b8a00"
)

// Parts are the partitions of every disk, in their order.
var Parts = []Part{
	{"platen-env", "1c5f9b1a-7a3e-4b1e-9d52-6d0a3f4b8a03", 1 * mebi, 1 * mebi},
	{"platen-config", "1c5f9b1a-7a3e-4b1e-9d52-6d0a3f4b8a04", 2 * mebi, 2 * mebi},
	{"platen-a", pid1.GUIDSlotA, 4 * mebi, SlotSize},
	{"platen-b", pid1.GUIDSlotB, 68 * mebi, SlotSize},
	{"platen-state", "1c5f9b1a-7a3e-4b1e-9d52-6d0a3f4b8a05", 132 * mebi, 96 * mebi},
}

// Find is the partition platen-NAME.
func Find(name string) Part {
	for _, p := range Parts {
		if p.Name == pid1.PartPrefix+name {
			return p
		}
	}
	panic("no partition " + name)
}

// Disk is the disk as U-Boot's script sees it.
func Disk() uboot.Disk {
	env, a, b := Find("env"), Find("a"), Find("b")
	return uboot.Disk{
		Env: [2]int64{env.Offset / sector, (env.Offset + 64<<10) / sector}, EnvSize: 4096 / sector,
		FIT: [2]int64{(a.Offset + BootAt) / sector, (b.Offset + BootAt) / sector}, FITLimit: (SlotSize - BootAt) / sector,
	}
}

// guid is a GUID as tables have it: the first three fields little-endian.
func guid(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != 16 {
		panic("not a GUID: " + text)
	}
	b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7] = b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]
	return b
}

// writeTables writes the protective MBR and both partition tables (UEFI 2.10, section 5).
func writeTables(w io.WriterAt, slots string) error {
	const last = DiskSize/sector - 1
	table := make([]byte, entries*entry)
	for i, p := range Parts {
		e := table[i*entry:]
		kind := typeLinux
		if p.GUID == pid1.GUIDSlotA || p.GUID == pid1.GUIDSlotB {
			kind = slots
		}
		copy(e, guid(kind))
		copy(e[16:], guid(p.GUID))
		binary.LittleEndian.PutUint64(e[32:], uint64(p.Offset/sector))
		binary.LittleEndian.PutUint64(e[40:], uint64((p.Offset+p.Size)/sector-1))
		for j, u := range utf16.Encode([]rune(p.Name)) {
			binary.LittleEndian.PutUint16(e[56+2*j:], u)
		}
	}
	mbr := make([]byte, sector)
	copy(mbr[446:], []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(mbr[454:], 1)
	binary.LittleEndian.PutUint32(mbr[458:], last)
	mbr[510], mbr[511] = 0x55, 0xaa
	for _, x := range []struct {
		b  []byte
		at int64
	}{
		{mbr, 0}, {header(table, 1, last, 2), 1}, {table, 2},
		{table, last - tables}, {header(table, last, 1, last-tables), last},
	} {
		if _, err := w.WriteAt(x.b, x.at*sector); err != nil {
			return fmt.Errorf("write the partition table: %w", err)
		}
	}
	return nil
}

// header is a GPT header at sector at, whose other one is at other and whose table begins
// at first.
func header(table []byte, at, other, first uint64) []byte {
	h := make([]byte, sector)
	copy(h, "EFI PART")
	binary.LittleEndian.PutUint32(h[8:], 0x10000)
	binary.LittleEndian.PutUint32(h[12:], 92)
	binary.LittleEndian.PutUint64(h[24:], at)
	binary.LittleEndian.PutUint64(h[32:], other)
	binary.LittleEndian.PutUint64(h[40:], 2+tables)
	binary.LittleEndian.PutUint64(h[48:], DiskSize/sector-1-tables-1)
	copy(h[56:], guid(diskGUID))
	binary.LittleEndian.PutUint64(h[72:], first)
	binary.LittleEndian.PutUint32(h[80:], entries)
	binary.LittleEndian.PutUint32(h[84:], entry)
	binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(table))
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	return h
}
