package sticktest

import "hash/crc32"

// partition writes the table of an image, and makes room behind the volume for the copy of
// a GPT.
func partition(m *Image) {
	sector := int64(m.Plan.Sector)
	first, n := m.Base/sector, m.Length/sector
	switch m.Plan.Table {
	case MBR:
		kind := map[FS]byte{FAT12: 0x01, FAT16: 0x06, FAT32: 0x0C, ExFAT: 0x07}[m.Plan.FS]
		mbr(m, kind, uint32(first), uint32(n))
	case GPT:
		m.Size += 64 * sector
		last := m.Size/sector - 1
		mbr(m, 0xEE, 1, uint32(last))
		table := make([]byte, 128*128)
		copy(table, "\xA2\xA0\xD0\xEB\xE5\xB9\x33\x44\x87\xC0\x68\xB6\xB7\x26\x99\xC7")
		table[16] = 1
		le.PutUint64(table[32:], uint64(first))
		le.PutUint64(table[40:], uint64(first+n-1))
		m.WriteAt(table, 2*sector)
		m.WriteAt(table, (last-40)*sector)
		gptHead(m, 1, last, 2, table)
		gptHead(m, last, 1, last-40, table)
	}
}

func mbr(m *Image, kind byte, first, n uint32) {
	b := make([]byte, 512)
	e := b[446:]
	e[4] = kind
	le.PutUint32(e[8:], first)
	le.PutUint32(e[12:], n)
	b[510], b[511] = 0x55, 0xAA
	m.WriteAt(b, 0)
}

// gptHead writes a header of a GPT at block own.
func gptHead(m *Image, own, other, at int64, table []byte) {
	sector := int64(m.Plan.Sector)
	h := make([]byte, 92)
	copy(h, "EFI PART\x00\x00\x01\x00\x5C")
	le.PutUint64(h[24:], uint64(own))
	le.PutUint64(h[32:], uint64(other))
	le.PutUint64(h[40:], 48)
	le.PutUint64(h[48:], uint64(m.Size/sector-48))
	h[56] = 7
	le.PutUint64(h[72:], uint64(at))
	le.PutUint32(h[80:], 128)
	le.PutUint32(h[84:], 128)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(table))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	m.WriteAt(h, own*sector)
}

// SealGPT makes the checksums of the first GPT agree with what it has.
func (m *Image) SealGPT() {
	sector := int64(m.Plan.Sector)
	h := m.Bytes(sector, 92)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(m.Bytes(2*sector, 128*128)))
	le.PutUint32(h[16:], 0)
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	m.WriteAt(h, sector)
}
