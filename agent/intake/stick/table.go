package stick

import (
	"bytes"
	"cmp"
	"hash/crc32"
	"slices"
)

// volumes finds the file systems on a stick whose blocks have sector bytes.
func volumes(m medium, sector int64) ([]*volume, error) {
	if sector < 512 || sector > 4096 || sector&(sector-1) != 0 {
		return nil, &Error{"read", "the stick has blocks of a size that is not read: use another one"}
	}
	b := make([]byte, 512)
	if err := m.read(b, 0); err != nil {
		return nil, err
	}
	bare := string(b[3:11]) == exfatName || looksFAT(b) || jumps(b) && !hasTable(b)
	if bare || !signed(b) {
		v, err := openVolume(m, b)
		if v == nil && err == nil {
			err = errNone
		}
		return []*volume{v}, err
	}
	parts, err := partitions(m, b, sector)
	if err != nil {
		return nil, err
	}
	var vols []*volume
	for _, p := range parts {
		part := m.part(p.off, p.n)
		if err := part.read(b, 0); err != nil {
			return nil, err
		}
		v, err := openVolume(part, b)
		if err != nil {
			return nil, err
		}
		if v != nil && len(vols) < mostVolumes {
			vols = append(vols, v)
		}
	}
	if len(vols) == 0 {
		return nil, errNone
	}
	return vols, nil
}

var errNone = &Error{"none", "there is no FAT or exFAT file system on the stick: format it as one"}

var errTooLarge = damaged("size", "the stick's file system is larger than the stick or its partition")

// broken is the error for a header of a file system.
func broken(what string) error {
	return damaged("volume", "the stick's file system is damaged (%s)", what)
}

// signed reports whether a first sector ends as one does (FAT, 3.1; exFAT, 3.1.19).
func signed(b []byte) bool { return b[510] == 0x55 && b[511] == 0xAA }

// openVolume reads the header of a file system, of which b is the first sector. It is nil
// for one that is not read here.
func openVolume(m medium, b []byte) (*volume, error) {
	switch name := string(b[3:11]); {
	case !signed(b) || !jumps(b) || name == "NTFS    ":
		return nil, nil
	case name == exfatName:
		return openExFAT(m, b)
	}
	return openFAT(m, b)
}

// Entries of an MBR (UEFI, 5.2.1), and what they say of themselves.
const (
	mbrTable = 446
	mbrEntry = 16

	mbrProtective = 0xEE // the table is a GPT
)

// mbrKinds are the kinds of partitions that may hold a FAT or an exFAT.
var mbrKinds = []byte{0x01, 0x04, 0x06, 0x07, 0x0B, 0x0C, 0x0E}

// hasTable reports whether a first sector has a table of partitions, as far as its look
// goes: code of a file system's first sector stands in the same place.
func hasTable(b []byte) bool {
	any := false
	for at := mbrTable; at < 510; at += mbrEntry {
		if b[at]&0x7F != 0 {
			return false
		}
		any = any || b[at+4] != 0 && le.Uint32(b[at+12:]) != 0
	}
	return any
}

// partitions lists the partitions that may hold a file system. None may overlap another.
func partitions(m medium, b []byte, sector int64) ([]extent, error) {
	if !hasTable(b) {
		return nil, damaged("table", "the stick has no table of partitions that can be read")
	}
	var all, ours []extent
	for at := mbrTable; at < 510; at += mbrEntry {
		kind, first, n := b[at+4], int64(le.Uint32(b[at+8:])), int64(le.Uint32(b[at+12:]))
		switch {
		case kind == 0:
			continue
		case kind == mbrProtective:
			return gpt(m, sector)
		case first == 0 || n == 0:
			return nil, damaged("table", "a partition of the stick has no place")
		}
		p := extent{first * sector, n * sector}
		if all = append(all, p); slices.Contains(mbrKinds, kind) {
			ours = append(ours, p)
		}
	}
	return ours, apart(all, sector, m.size)
}

// apart checks that parts lie between low and high, each by itself. It sorts them.
func apart(parts []extent, low, high int64) error {
	slices.SortFunc(parts, func(a, b extent) int { return cmp.Compare(a.off, b.off) })
	for _, p := range parts {
		if p.off < low || p.n > high-p.off {
			return damaged("table", "partitions of the stick overlap, or lead out of it")
		}
		low = p.off + p.n
	}
	return nil
}

// basicData is the kind of a partition for FAT and exFAT in a GPT
// (EBD0A0A2-B9E5-4433-87C0-68B6B72699C7).
var basicData = []byte{0xA2, 0xA0, 0xD0, 0xEB, 0xE5, 0xB9, 0x33, 0x44, 0x87, 0xC0, 0x68, 0xB6, 0xB7, 0x26, 0x99, 0xC7}

var errTable = damaged("table", "the stick's table of partitions is damaged")

// gpt lists the partitions of a GPT (UEFI, 5.3). Its copy at the end of the stick is not
// looked at: a table that needs it is refused.
func gpt(m medium, sector int64) ([]extent, error) {
	h := make([]byte, sector)
	if err := m.read(h, sector); err != nil {
		return nil, err
	}
	size := int64(le.Uint32(h[12:]))
	if string(h[:8]) != "EFI PART" || le.Uint32(h[8:]) != 0x00010000 || size < 92 || size > sector {
		return nil, errTable
	}
	said := le.Uint32(h[16:])
	clear(h[16:20])
	last := m.size/sector - 1
	low, high, at := le.Uint64(h[40:]), le.Uint64(h[48:]), le.Uint64(h[72:])
	n, each := int64(le.Uint32(h[80:])), int64(le.Uint32(h[84:]))
	switch {
	case crc32.ChecksumIEEE(h[:size]) != said || le.Uint64(h[24:]) != 1:
		return nil, errTable
	case low > high || high > uint64(last) || at < 2 || at > uint64(last):
		return nil, errTable
	case each < 128 || each > 4096 || each&(each-1) != 0 || n == 0 || n*each > 64<<10:
		return nil, errTable
	}
	table := make([]byte, n*each)
	if err := m.read(table, int64(at)*sector); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(table) != le.Uint32(h[88:]) {
		return nil, errTable
	}
	var all, ours []extent
	for ; len(table) > 0; table = table[each:] {
		if len(bytes.Trim(table[:16], "\x00")) == 0 {
			continue
		}
		first, end := le.Uint64(table[32:]), le.Uint64(table[40:])
		if first < low || end > high || first > end {
			return nil, errTable
		}
		p := extent{int64(first) * sector, int64(end-first+1) * sector}
		if all = append(all, p); bytes.Equal(table[:16], basicData) {
			ours = append(ours, p)
		}
	}
	return ours, apart(all, sector, m.size)
}
