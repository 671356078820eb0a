package sticktest

import "unicode"

// exfat writes exFAT.
type exfat struct {
	m              *Image
	each           int64 // sectors of the table
	bitmap, upcase []uint32
}

func newExFAT(m *Image) *exfat {
	sector := int64(m.Plan.Sector)
	x := &exfat{m: m, each: ((int64(m.Clusters)+2)*4 + sector - 1) / sector}
	m.FAT = m.Base + 24*sector
	m.Heap = m.FAT + x.each*sector
	m.Size = m.Heap + int64(m.Clusters)*int64(m.Plan.Cluster)*sector
	m.Length = m.Size - m.Base
	return x
}

func (x *exfat) format() {
	x.link(0, 0xFFFFFFF8)
	x.link(1, 0xFFFFFFFF)
}

func (x *exfat) link(c, value uint32) {
	if value == last {
		value = 0xFFFFFFFF
	}
	x.m.Put32(x.m.FAT+int64(c)*4, value)
}

// letters is the up-case table: the letters of ASCII, and all others as they are
// (compressed, exFAT 7.2.5).
func letters() []byte {
	var b []byte
	for r := range rune(128) {
		b = le.AppendUint16(b, uint16(unicode.ToUpper(r)))
	}
	return append(b, 0xFF, 0xFF, 0x80, 0xFF)
}

// tables gives the bitmap and the up-case table their clusters.
func (x *exfat) tables(b *builder) {
	size := x.m.Plan.Sector * x.m.Plan.Cluster
	n := (int(x.m.Clusters) + 7) / 8
	x.bitmap = b.take((n+size-1)/size, false)
	x.upcase = b.take((len(letters())+size-1)/size, false)
	b.put(letters(), x.upcase)
}

func (x *exfat) slots(n *node) int { return 2 + (len(units(n.name))+14)/15 }

func (x *exfat) head(dir *node) int {
	if dir.up == nil {
		return 3
	}
	return 0
}

// entries of a folder.
func (x *exfat) entries(dir *node) []byte {
	var out []byte
	if dir.up == nil {
		label := make([]byte, 32)
		label[0], label[1] = 0x83, 1
		label[2] = 'P'
		bitmap := make([]byte, 32)
		bitmap[0] = 0x81
		le.PutUint32(bitmap[20:], x.bitmap[0])
		le.PutUint64(bitmap[24:], uint64(x.m.Clusters+7)/8)
		upcase := make([]byte, 32)
		upcase[0] = 0x82
		le.PutUint32(upcase[4:], Sum32(letters()))
		le.PutUint32(upcase[20:], x.upcase[0])
		le.PutUint64(upcase[24:], uint64(len(letters())))
		out = append(append(append(out, label...), bitmap...), upcase...)
	}
	for _, n := range dir.children {
		out = append(out, x.set(n)...)
	}
	return out
}

// set is the entries of a file or folder.
func (x *exfat) set(n *node) []byte {
	u := units(n.name)
	b := make([]byte, 32*x.slots(n))
	b[0], b[1] = 0x85, byte(x.slots(n)-1)
	le.PutUint16(b[4:], 0x20)
	size := uint64(len(n.data))
	if n.folder {
		le.PutUint16(b[4:], 0x10)
		size = uint64(len(n.clusters) * x.m.Plan.Sector * x.m.Plan.Cluster)
	}
	for i := 8; i < 20; i += 4 { // times: a day
		le.PutUint32(b[i:], 0x5A210000)
	}
	s := b[32:]
	s[0], s[1], s[3] = 0xC0, 1, byte(len(u))
	if !x.m.Plan.Scatter && size > 0 {
		s[1] = 3
	}
	le.PutUint16(s[4:], NameHash(n.name))
	le.PutUint64(s[8:], size)
	if len(n.clusters) > 0 {
		le.PutUint32(s[20:], n.clusters[0])
	}
	le.PutUint64(s[24:], size)
	for i, c := range u {
		at := 64 + i/15*32
		b[at] = 0xC1
		le.PutUint16(b[at+2+i%15*2:], c)
	}
	le.PutUint16(b[2:], SetSum(b))
	return b
}

// finish writes the bitmap and the boot region, twice.
func (x *exfat) finish(used map[uint32]bool) {
	m, sector := x.m, int64(x.m.Plan.Sector)
	bits := make([]byte, (m.Clusters+7)/8)
	for c := range used {
		bits[(c-2)/8] |= 1 << ((c - 2) % 8)
	}
	(&builder{m: m}).put(bits, x.bitmap)
	log2 := func(n int) (k byte) {
		for ; n > 1; n /= 2 {
			k++
		}
		return k
	}
	b := make([]byte, 512)
	copy(b, "\xEB\x76\x90EXFAT   ")
	le.PutUint64(b[64:], uint64(m.Base/sector))
	le.PutUint64(b[72:], uint64(m.Length/sector))
	le.PutUint32(b[80:], uint32((m.FAT-m.Base)/sector))
	le.PutUint32(b[84:], uint32(x.each))
	le.PutUint32(b[88:], uint32((m.Heap-m.Base)/sector))
	le.PutUint32(b[92:], m.Clusters)
	le.PutUint32(b[96:], uint32((m.Root-m.Heap)/(sector*int64(m.Plan.Cluster))+2))
	le.PutUint32(b[100:], 0x01020304)
	b[105], b[108], b[109], b[110], b[111] = 1, log2(m.Plan.Sector), log2(m.Plan.Cluster), 1, 0x80
	b[112] = byte(len(used) * 100 / int(m.Clusters))
	b[510], b[511] = 0x55, 0xAA
	for _, copy := range []int64{0, 12} {
		m.WriteAt(b, m.Base+copy*sector)
		for i := int64(1); i <= 8; i++ {
			m.Put32(m.Base+(copy+i+1)*sector-4, 0xAA550000)
		}
	}
	m.Seal()
}

// Seal makes the checksums of exFAT agree with what an image has: of its header, and of
// the sets of its files and folders.
func (m *Image) Seal() {
	if m.Plan.FS != ExFAT {
		return
	}
	sector := int64(m.Plan.Sector)
	for _, copy := range []int64{0, 12} {
		at := m.Base + copy*sector
		head := m.Bytes(at, int(11*sector))
		var sum uint32
		for i, c := range head {
			if i != 106 && i != 107 && i != 112 {
				sum = sum<<31 | sum>>1
				sum += uint32(c)
			}
		}
		for i := int64(0); i < sector; i += 4 {
			m.Put32(at+11*sector+i, sum)
		}
	}
	for _, p := range m.places { // sets lie in one piece but where a folder's clusters end, and folders are in one piece
		b := m.Bytes(p.Set, 32*p.Slots)
		m.Put16(p.Set+2, SetSum(b))
	}
}

// SetSum is the checksum of a set of entries (exFAT, 6.3.3).
func SetSum(b []byte) (sum uint16) {
	for i, c := range b {
		if i != 2 && i != 3 {
			sum = sum<<15 | sum>>1
			sum += uint16(c)
		}
	}
	return sum
}

// Sum32 is the checksum of an up-case table (exFAT, 7.2.2).
func Sum32(b []byte) (sum uint32) {
	for _, c := range b {
		sum = sum<<31 | sum>>1
		sum += uint32(c)
	}
	return sum
}

// NameHash is the hash of a name of ASCII letters (exFAT, 7.6.4).
func NameHash(name string) (sum uint16) {
	for _, u := range units(name) {
		u = uint16(unicode.ToUpper(rune(u)))
		for _, c := range []byte{byte(u), byte(u >> 8)} {
			sum = sum<<15 | sum>>1
			sum += uint16(c)
		}
	}
	return sum
}
