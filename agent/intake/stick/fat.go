package stick

import "bytes"

// looksFAT reports whether a first sector has what only a FAT has (FAT, 3.1): it is not
// yet sound.
func looksFAT(b []byte) bool {
	sector, per := le.Uint16(b[11:]), b[13]
	return jumps(b) && sector >= 512 && sector <= 4096 && sector&(sector-1) == 0 &&
		per > 0 && per&(per-1) == 0 && (b[16] == 1 || b[16] == 2) && le.Uint16(b[14:]) > 0
}

// jumps reports whether a sector begins as a FAT's must (BS_jmpBoot).
func jumps(b []byte) bool { return b[0] == 0xEB && b[2] == 0x90 || b[0] == 0xE9 }

// fatHead is what the header of a FAT says, in sectors but for sector itself (FAT, 3.1).
type fatHead struct {
	sector, per          int64 // bytes of a sector, sectors of a cluster
	reserved, fats, each int64 // before the tables, how many there are, and of each
	roots, total         int64 // entries of a root folder that does not grow; all of the volume
	wide                 bool  // it is laid out as a FAT32
	media                byte
}

// readFAT reads a header, and says what is wrong with it by itself.
func readFAT(b []byte) (h fatHead, wrong string) {
	h = fatHead{
		sector: int64(le.Uint16(b[11:])), per: int64(b[13]), reserved: int64(le.Uint16(b[14:])), fats: int64(b[16]),
		each: int64(le.Uint16(b[22:])), roots: int64(le.Uint16(b[17:])), total: int64(le.Uint16(b[19:])), media: b[21],
	}
	if h.wide = h.each == 0; h.wide {
		h.each = int64(le.Uint32(b[36:]))
	}
	long := int64(le.Uint32(b[32:]))
	switch {
	case !looksFAT(b), h.sector*h.per > 256<<10:
		return h, "sizes of sectors and clusters"
	case h.total != 0 && (h.wide || long != 0 && long != h.total):
		return h, "its size is given twice"
	case h.media != 0xF0 && h.media < 0xF8:
		return h, "kind of medium"
	case h.wide && (h.roots != 0 || le.Uint16(b[42:]) != 0):
		return h, "version"
	case !h.wide && (h.roots == 0 || h.roots*32%h.sector != 0):
		return h, "root folder"
	case h.each == 0:
		return h, "size of its table"
	}
	if h.total == 0 {
		h.total = long
	}
	return h, ""
}

// openFAT reads the header of a FAT12, FAT16 or FAT32 (FAT, 3), of which b is the first
// sector.
func openFAT(m medium, b []byte) (*volume, error) {
	h, wrong := readFAT(b)
	if wrong != "" {
		return nil, broken(wrong)
	}
	if h.total == 0 || h.total > m.size/h.sector {
		return nil, errTooLarge
	}
	heap := h.reserved + h.fats*h.each + h.roots*32/h.sector
	if heap >= h.total {
		return nil, broken("size of its table")
	}
	v := &volume{m: m, fat: h.reserved * h.sector, heap: heap * h.sector, cluster: h.sector * h.per}
	n := (h.total - heap) / h.per
	switch { // FAT, 3.5: the number of clusters says what it is, and nothing else
	case n < 4085:
		v.bits = 12
	case n < 65525:
		v.bits = 16
	default:
		v.bits = 32
	}
	if n == 0 || n > 0x0FFFFFF5 || h.wide != (v.bits == 32) || (n+2)*int64(v.bits) > h.each*h.sector*8 {
		return nil, broken("number of clusters")
	}
	v.clusters = uint32(n)
	if !h.wide {
		v.rootAt = extent{(h.reserved + h.fats*h.each) * h.sector, h.roots * 32}
	} else {
		if flags := int64(le.Uint16(b[40:])); flags&0x80 != 0 { // one table counts, and is not mirrored
			if flags&15 >= h.fats {
				return nil, broken("table that counts")
			}
			v.fat += flags & 15 * h.each * h.sector
		}
		if v.root.first = le.Uint32(b[44:]); !v.holds(v.root.first) {
			return nil, broken("root folder")
		}
	}
	head, err := v.links.at(m, v.fat, 1)
	if err == nil && head[0] != h.media { // FAT, 4.2
		err = broken("first entry of its table")
	}
	return v, err
}

// Attributes of an entry (FAT, 6.1).
const (
	attrVolume = 0x08
	attrFolder = 0x10
	attrLong   = 0x0F
)

// walkFAT calls found with what is in a folder (FAT, 6).
func (s *Stick) walkFAT(f folder, where []extent, found func([]uint16, entry)) error {
	_, err := s.slots(f.v, where, fatSlots(f, found))
	return err
}

// fatSlots takes the entries of a folder in.
func fatSlots(f folder, found func([]uint16, entry)) func([]byte) (bool, error) {
	var long longName
	n := 0
	return func(b []byte) (bool, error) {
		n++
		if f.depth > 0 && n <= 2 {
			return false, f.dots(n, b)
		}
		attr := b[11]
		switch {
		case b[0] == 0:
			return true, nil
		case b[0] == 0xE5:
			long.live = false
			return false, nil
		case attr&0x3F == attrLong:
			long.part(b)
			return false, nil
		case attr&(attrVolume|attrFolder) == attrVolume|attrFolder:
			return false, damaged("folder", "an entry of a folder is a volume and a folder")
		case attr&attrVolume != 0:
			long.live = false
			return false, nil
		}
		e := entry{folder: attr&attrFolder != 0, first: firstCluster(f.v, b), size: int64(le.Uint32(b[28:]))}
		e.valid = e.size
		if e.folder && (e.size != 0 || e.first == 0) {
			return false, damaged("folder", "a folder has a size, or nothing")
		}
		found(long.name(b), e)
		return false, nil
	}
}

// firstCluster is the cluster that an entry names. FAT12 and FAT16 have only half of it.
func firstCluster(v *volume, b []byte) uint32 {
	c := uint32(le.Uint16(b[26:]))
	if v.bits == 32 {
		c |= uint32(le.Uint16(b[20:])) << 16
	}
	return c
}

// dots checks the first two entries of a folder that is not the root: the folder itself
// and the one above (FAT, 6.5).
func (f folder) dots(n int, b []byte) error {
	want := f.first
	if n == 2 {
		if want = f.parent; f.root {
			want = 0
		}
	}
	name := append(bytes.Repeat([]byte{'.'}, n), "           "...)[:11]
	if !bytes.Equal(b[:11], name) || b[11]&attrFolder == 0 || firstCluster(f.v, b) != want {
		return damaged("folder", "a folder is not where it says it is")
	}
	return nil
}

// longName is a long name that is put together of its parts, which come before the short
// entry they belong to, the last first (FAT, 7).
type longName struct {
	units [20 * 13]uint16
	parts int  // of the whole name
	next  int  // the part that has to come; 0 if there are all
	sum   byte // of the short name
	live  bool
}

// part adds a part. One that does not follow makes the name an orphan (FAT, 7.3).
func (l *longName) part(b []byte) {
	n := int(b[0] & 0x3F)
	if b[0]&0x40 != 0 {
		l.parts, l.next, l.sum, l.live = n, n, b[13], true
	}
	if !l.live || b[0]&0x80 != 0 || n < 1 || n > 20 || n != l.next || b[13] != l.sum || b[12] != 0 || le.Uint16(b[26:]) != 0 {
		l.live = false
		return
	}
	at := (n - 1) * 13
	for _, x := range [3][2]int{{1, 11}, {14, 26}, {28, 32}} {
		for i := x[0]; i < x[1]; i += 2 {
			l.units[at] = le.Uint16(b[i:])
			at++
		}
	}
	l.next = n - 1
}

// name is the long name of the short entry b, or, if it has none of its own, the short one;
// nil if neither is a name. It is good until the next part.
func (l *longName) name(b []byte) []uint16 {
	live := l.live && l.next == 0 && l.sum == shortSum(b)
	l.live = false
	if live {
		if n := ended(l.units[:l.parts*13]); n > (l.parts-1)*13 && n <= 255 && legal(l.units[:n]) {
			return l.units[:n]
		}
	}
	return shortName(b)
}

// ended is the length of a long name: what is behind its end is filled up (FAT, 7.1). It
// is -1 if that is not so.
func ended(units []uint16) int {
	for n, u := range units {
		if u != 0 {
			continue
		}
		for _, fill := range units[n+1:] {
			if fill != 0xFFFF {
				return -1
			}
		}
		return n
	}
	return len(units)
}

// legal reports whether a long name, of FAT or exFAT, has only characters that it may have
// (FAT, 7.4; exFAT, 7.7.3).
func legal(units []uint16) bool {
	for _, u := range units {
		if u < 0x20 || u < 0x80 && bytes.IndexByte([]byte(`"*/:<>?\|`), byte(u)) >= 0 {
			return false
		}
	}
	return len(units) > 0
}

// shortSum is what the parts of a long name have of their short one (FAT, 7.2).
func shortSum(b []byte) (sum byte) {
	for _, c := range b[:11] {
		sum = sum<<7 + sum>>1 + c
	}
	return sum
}

// shortName is a short name with its dot (FAT, 6.1); nil if it is none.
func shortName(b []byte) []uint16 {
	name := make([]uint16, 0, 12)
	for _, part := range [][]byte{b[:8], b[8:11]} {
		part = bytes.TrimRight(part, " ")
		if len(name) > 0 && len(part) > 0 {
			name = append(name, '.')
		}
		for _, c := range part {
			if c <= ' ' && !(c == 5 && len(name) == 0) || bytes.IndexByte([]byte(`"*+,./:;<=>?[\]|`), c) >= 0 {
				return nil
			}
			name = append(name, uint16(c))
		}
	}
	return name
}
