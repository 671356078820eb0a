package sticktest

import (
	"bytes"
	"fmt"
	"strings"
)

// fixedRoot is the number of entries of the root folder of a FAT12 and a FAT16.
const fixedRoot = 512

// fat writes FAT12, FAT16 and FAT32.
type fat struct {
	m        *Image
	bits     int
	reserved int64 // in sectors
	each     int64 // sectors of a table
}

func newFAT(m *Image) *fat {
	f := &fat{m: m, bits: map[FS]int{FAT12: 12, FAT16: 16, FAT32: 32}[m.Plan.FS], reserved: 1}
	if f.bits == 32 {
		f.reserved = 32
	}
	sector := int64(m.Plan.Sector)
	f.each = ((int64(m.Clusters)+2)*int64(f.bits)/8 + sector) / sector
	m.FAT = m.Base + f.reserved*sector
	m.Root = m.FAT + 2*f.each*sector
	m.Heap = m.Root + int64(m.rootSlots())*32
	m.Size = m.Heap + int64(m.Clusters)*int64(m.Plan.Cluster)*sector
	m.Length = m.Size - m.Base
	return f
}

func (f *fat) format() {
	m, sector := f.m, int64(f.m.Plan.Sector)
	b := make([]byte, 512)
	copy(b, "\xEB\x58\x90PLATEN  ")
	le.PutUint16(b[11:], uint16(sector))
	b[13] = byte(m.Plan.Cluster)
	le.PutUint16(b[14:], uint16(f.reserved))
	b[16] = 2
	le.PutUint16(b[17:], uint16(m.rootSlots()))
	b[21] = 0xF8
	le.PutUint16(b[24:], 32) // geometry, which nobody uses
	le.PutUint16(b[26:], 64)
	le.PutUint32(b[28:], uint32(m.Base/sector))
	if total := m.Length / sector; total < 1<<16 && f.bits < 32 {
		le.PutUint16(b[19:], uint16(total))
	} else {
		le.PutUint32(b[32:], uint32(total))
	}
	tail := b[36:]
	if f.bits == 32 {
		le.PutUint32(b[36:], uint32(f.each))
		le.PutUint32(b[44:], 2)
		le.PutUint16(b[48:], 1)
		tail = b[64:]
	} else {
		le.PutUint16(b[22:], uint16(f.each))
	}
	tail[0], tail[2] = 0x80, 0x29
	copy(tail[3:], "\x01\x02\x03\x04NO NAME    "+fmt.Sprintf("FAT%-5d", f.bits))
	b[510], b[511] = 0x55, 0xAA
	m.WriteAt(b, m.Base)
	if f.bits == 32 {
		info := make([]byte, 512)
		copy(info, "RRaA")
		copy(info[484:], "rrAa\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")
		info[510], info[511] = 0x55, 0xAA
		m.WriteAt(info, m.Base+sector)
	}
	f.link(0, 0x0FFFFF00|uint32(b[21]))
	f.link(1, last)
}

// link sets an entry of both tables.
func (f *fat) link(c, value uint32) {
	for i := range int64(2) {
		f.m.linkAt(f.m.FAT+i*f.each*int64(f.m.Plan.Sector), f.bits, c, value)
	}
}

// linkAt sets an entry of a table.
func (m *Image) linkAt(table int64, bits int, c, value uint32) {
	at := table + int64(c)*int64(bits)/8
	switch bits {
	case 32:
		m.Put32(at, value)
	case 16:
		m.Put16(at, uint16(value))
	default:
		old := le.Uint16(m.Bytes(at, 2))
		if c&1 == 1 {
			m.Put16(at, old&0xF|uint16(value)<<4)
		} else {
			m.Put16(at, old&0xF000|uint16(value)&0xFFF)
		}
	}
}

// Link sets an entry of the first table: what comes after cluster c. 0x0FFFFFFF is the
// end.
func (m *Image) Link(c, value uint32) {
	bits := map[FS]int{FAT12: 12, FAT16: 16, FAT32: 32, ExFAT: 32}[m.Plan.FS]
	if m.Plan.FS == ExFAT && value == last {
		value = 0xFFFFFFFF
	}
	m.linkAt(m.FAT, bits, c, value)
}

func (f *fat) slots(n *node) int { return 1 + (len(units(n.name))+12)/13 }

func (f *fat) head(dir *node) int {
	if dir.up == nil {
		return 0
	}
	return 2
}

func (f *fat) finish(map[uint32]bool) {}

// entries of a folder.
func (f *fat) entries(dir *node) []byte {
	var out []byte
	if dir.up != nil {
		var up uint32
		if dir.up.up != nil {
			up = dir.up.clusters[0]
		}
		out = append(out, short(".          ", 0x10, dir.clusters[0], 0)...)
		out = append(out, short("..         ", 0x10, up, 0)...)
	}
	for i, n := range dir.children {
		alias := aliasOf(n.name, i)
		var first uint32
		if len(n.clusters) > 0 {
			first = n.clusters[0]
		}
		attr := byte(0x20)
		if n.folder {
			attr = 0x10
		}
		out = append(out, long(n.name, alias)...)
		out = append(out, short(alias, attr, first, uint32(len(n.data)))...)
	}
	return out
}

// aliasOf is a short name that no other file in its folder has.
func aliasOf(name string, i int) string {
	base, ext, _ := strings.Cut(strings.ToUpper(name), ".")
	keep := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, base)
	number := fmt.Sprintf("~%d", i+1)
	return fmt.Sprintf("%-8.8s%-3.3s", keep[:min(len(keep), 8-len(number))]+number, ext)
}

// short is a short entry.
func short(name string, attr byte, first, size uint32) []byte {
	b := make([]byte, 32)
	copy(b, name)
	b[11] = attr
	le.PutUint16(b[20:], uint16(first>>16))
	le.PutUint16(b[24:], 0x5A21) // a day
	le.PutUint16(b[26:], uint16(first))
	le.PutUint32(b[28:], size)
	return b
}

// long is the parts of a long name, the last first.
func long(name, alias string) []byte {
	u := units(name)
	parts := (len(u) + 12) / 13
	if len(u)%13 > 0 {
		u = append(u, 0)
	}
	for len(u) < parts*13 {
		u = append(u, 0xFFFF)
	}
	var out []byte
	for n := parts; n > 0; n-- {
		b := make([]byte, 32)
		b[0], b[11], b[13] = byte(n), 0x0F, Sum([]byte(alias))
		if n == parts {
			b[0] |= 0x40
		}
		at := (n - 1) * 13
		for _, x := range [3][2]int{{1, 11}, {14, 26}, {28, 32}} {
			for i := x[0]; i < x[1]; i += 2 {
				le.PutUint16(b[i:], u[at])
				at++
			}
		}
		out = append(out, b...)
	}
	return out
}

// Sum is the checksum of a short name of 11 bytes that the parts of its long one have.
func Sum(alias []byte) (sum byte) {
	for _, c := range bytes.ToUpper(alias) {
		sum = sum<<7 | sum>>1
		sum += c
	}
	return sum
}
