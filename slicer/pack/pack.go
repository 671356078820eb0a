// Package pack opens zip archives that lie in memory, as 3MF files do, and trusts
// nothing in them.
//
// [Open] reads the whole directory and holds it against the headers before the
// entries: whatever the two do not agree upon, whatever overlaps, lies outside, is
// there twice, or has a name that is no plain path is ErrFormat, and so are links,
// encryption, several disks and methods other than stored and deflate. Nothing is
// decompressed by that. [Reader] then decompresses one entry through a buffer in
// the vault, never more than the directory says, and only an entry whose length and
// CRC-32 are right comes to an end. Archives inside of archives are bytes.
//
// The layout is that of APPNOTE.TXT 6.3.10 (PKWARE), sections 4.3 to 4.5, and of
// RFC 1951.
package pack

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"unicode/utf8"

	"platen/slicer/vault"
)

// ErrFormat reports an archive that is damaged or not what a 3MF file may be.
var ErrFormat = errors.New("the archive is damaged, or is not made as a 3MF file must be")

const (
	// mostEntries is how many entries an archive may have; projects of desktop
	// slicers have some dozens.
	mostEntries = 10_000
	// mostName is the longest name of an entry.
	mostName = 512
	// mostSize is what one entry may hold: 1 GiB, a model of 15 million triangles.
	mostSize = 1 << 30
	// An entry may hold so many times its compressed size and so much more. Models
	// are compressed to a fifth, very regular ones to a thirtieth.
	mostRatio = 40
	freeSize  = 64 << 20
)

// Signatures and fixed sizes of the records.
const (
	localSignature   = 0x04034b50
	centralSignature = 0x02014b50
	endSignature     = 0x06054b50
	end64Signature   = 0x06064b50
	locatorSignature = 0x07064b50

	localSize   = 30
	centralSize = 46
	endSize     = 22
	end64Size   = 56
	locatorSize = 20

	maxComment = 1<<16 - 1
	max16      = 1<<16 - 1
	max32      = 1<<32 - 1
)

// Flags and methods.
const (
	flagDescriptor = 1 << 3  // sizes follow the data
	flagUTF8       = 1 << 11 // the name is UTF-8
	// 1 and 2 are hints of the compressor; all others mean encryption or patches.
	flagsKnown = 1<<1 | 1<<2 | flagDescriptor | flagUTF8

	methodStored  = 0
	methodDeflate = 8
)

// entry is one file of the archive.
type entry struct {
	header   int64 // where its header begins
	data     int64
	packed   int64
	size     int64
	crc      uint32
	nameAt   int32 // in the directory
	nameLen  uint16
	method   uint16
	flags    uint16
	external uint32
	made     uint16
}

// Archive is an archive in memory. It is design data, its names included.
type Archive struct {
	data    []byte
	entries []entry // sorted by name
}

// String says nothing of the archive.
func (a *Archive) String() string { return "archive" }

// GoString says nothing of the archive.
func (a *Archive) GoString() string { return "archive" }

// LogValue says nothing of the archive.
func (a *Archive) LogValue() slog.Value { return slog.StringValue("archive") }

// Open reads the directory of an archive. It takes scratch memory of v, 64 bytes an
// entry, and keeps data. The errors are ErrFormat and vault.ErrBudget.
func Open(v *vault.Vault, data []byte) (*Archive, error) {
	dir, n, ok := findDirectory(data)
	if !ok {
		return nil, ErrFormat
	}
	a := &Archive{data: data}
	var err error
	if a.entries, err = vault.Scratch[entry](v, n); err != nil {
		return nil, err
	}
	at := dir
	for i := range a.entries {
		var size int64
		if size, ok = a.readEntry(&a.entries[i], at); !ok {
			return nil, ErrFormat
		}
		at += size
	}
	if at != dirEnd(data, dir) || !a.separate(dir) || !a.unique() {
		return nil, ErrFormat
	}
	return a, nil
}

// Len is the number of entries.
func (a *Archive) Len() int { return len(a.entries) }

// Name is the name of entry i, without a leading slash. It shares the memory of the
// archive.
func (a *Archive) Name(i int) []byte { return a.name(&a.entries[i]) }

// Size is what entry i holds.
func (a *Archive) Size(i int) int64 { return a.entries[i].size }

// Spare is how many bytes may be written behind what Stored returns.
const Spare = 16

// Stored is what entry i holds, where it lies in the memory of the archive, and nil if
// the entry is compressed. Its checksum is not looked at. Its capacity is Spare more
// than its length: behind it lies a header, which has been read and is not needed again.
func (a *Archive) Stored(i int) []byte {
	e := &a.entries[i]
	if e.method != methodStored {
		return nil
	}
	return a.data[e.data:][: e.size : e.size+Spare]
}

// Find returns the entry of a name, upper and lower case alike (ECMA-376 part 2,
// 6.2.2.3), or -1. A leading slash does not count.
func (a *Archive) Find(name []byte) int {
	name = bytes.TrimPrefix(name, []byte("/"))
	i, found := slices.BinarySearchFunc(a.entries, name, func(e entry, name []byte) int {
		return compareFold(a.name(&e), name)
	})
	if !found {
		return -1
	}
	return i
}

func (a *Archive) name(e *entry) []byte { return a.data[e.nameAt:][:e.nameLen] }

// u16, u32 and u64 read numbers at a place that is known to be inside.
func u16(b []byte, at int64) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
func u32(b []byte, at int64) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func u64(b []byte, at int64) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// findDirectory returns where the directory begins and how many entries it has. The
// record that says so ends the file, but for a comment in which no other such record
// may hide.
func findDirectory(data []byte) (dir int64, n int, ok bool) {
	size := int64(len(data))
	if size < endSize || size > 1<<31-1 {
		return 0, 0, false
	}
	from := max(0, size-endSize-maxComment)
	at := int64(bytes.LastIndex(data[from:], []byte("PK\x05\x06")))
	if at < 0 || from+at > size-endSize {
		return 0, 0, false
	}
	at += from
	if at+endSize+int64(u16(data, at+20)) != size {
		return 0, 0, false
	}
	if u16(data, at+4) != 0 || u16(data, at+6) != 0 || u16(data, at+8) != u16(data, at+10) {
		return 0, 0, false // several disks
	}
	count, length, start := uint64(u16(data, at+10)), uint64(u32(data, at+12)), uint64(u32(data, at+16))
	end := at
	if wide := at - locatorSize; wide >= 0 && u32(data, wide) == locatorSignature {
		rec, ok := record64(data, wide)
		if !ok || disagree(count, u64(data, rec+32), max16) || disagree(length, u64(data, rec+40), max32) || disagree(start, u64(data, rec+48), max32) {
			return 0, 0, false
		}
		count, length, start, end = u64(data, rec+32), u64(data, rec+40), u64(data, rec+48), rec
	}
	if count == 0 || count > mostEntries || start > uint64(end) || length != uint64(end)-start {
		return 0, 0, false
	}
	return int64(start), int(count), true
}

// disagree reports whether a small field says something else than the wide one that
// stands for it.
func disagree(small, wide, unset uint64) bool { return small != unset && small != wide }

// record64 finds the wide form of the last record by its locator.
func record64(data []byte, locator int64) (int64, bool) {
	at := u64(data, locator+8)
	if u32(data, locator+4) != 0 || u32(data, locator+16) > 1 || at > uint64(locator) || uint64(locator)-at < end64Size {
		return 0, false
	}
	rec := int64(at)
	if u32(data, rec) != end64Signature || u64(data, rec+4) != uint64(locator-rec-12) {
		return 0, false
	}
	return rec, u32(data, rec+16) == 0 && u32(data, rec+20) == 0 && u64(data, rec+24) == u64(data, rec+32)
}

// dirEnd is where the directory that begins at dir ends: at the first record behind
// it, which findDirectory has checked.
func dirEnd(data []byte, dir int64) int64 {
	at := int64(bytes.LastIndex(data, []byte("PK\x05\x06")))
	if wide := at - locatorSize; wide >= dir && u32(data, wide) == locatorSignature {
		return int64(u64(data, wide+8))
	}
	return at
}

// separate reports whether the entries lie one behind the other, the first at the
// beginning of the file and all before the directory.
func (a *Archive) separate(dir int64) bool {
	slices.SortFunc(a.entries, func(x, y entry) int { return cmp.Compare(x.header, y.header) })
	end := int64(0)
	for i, e := range a.entries {
		if e.header < end || i == 0 && e.header != 0 {
			return false
		}
		end = e.data + e.packed
	}
	return end <= dir
}

// unique sorts the entries by name and reports whether all are different.
func (a *Archive) unique() bool {
	slices.SortFunc(a.entries, func(x, y entry) int { return compareFold(a.name(&x), a.name(&y)) })
	for i := 1; i < len(a.entries); i++ {
		if compareFold(a.name(&a.entries[i-1]), a.name(&a.entries[i])) == 0 {
			return false
		}
	}
	return true
}

// compareFold compares names, the letters A to Z as a to z.
func compareFold(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if x, y := lower(a[i]), lower(b[i]); x != y {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(len(a), len(b))
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// plain reports whether a name is a plain path: relative, without empty parts, "."
// and "..", control characters, backslashes and colons. A folder ends in a slash.
func plain(name []byte) bool {
	if len(name) == 0 || len(name) > mostName || !utf8.Valid(name) {
		return false
	}
	for _, b := range name {
		if b < 0x20 || b == 0x7f || b == '\\' || b == ':' {
			return false
		}
	}
	for part := range bytes.SplitSeq(bytes.TrimSuffix(name, []byte("/")), []byte("/")) {
		if len(part) == 0 || part[0] == '.' && len(bytes.Trim(part, ".")) == 0 {
			return false
		}
	}
	return true
}
