// Package uki joins a kernel, its initial root file system and its command line with the
// EFI stub of systemd to one program that EFI starts, a unified kernel image (UAPI group,
// specification UKI): the stub's PE file with one more section for each. Start at [Build].
package uki

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Section is a part of the image.
type Section struct {
	Name string // at most eight bytes, such as ".linux"
	Data []byte
}

// ErrStub reports a stub that is no PE file of the form that is expected.
var ErrStub = errors.New("not an EFI stub for 64 bits with room for more sections")

// Places in a PE file (Microsoft, PE Format).
const (
	peAt         = 0x3c
	coffSize     = 24 // with the signature
	sectionEntry = 40
	readOnlyData = 0x40000040 // initialized data, readable
)

// Build adds sections to the stub. The same parts give the same bytes.
func Build(stub []byte, sections []Section) ([]byte, error) {
	if len(stub) < peAt+4 {
		return nil, ErrStub
	}
	pe := int(binary.LittleEndian.Uint32(stub[peAt:]))
	if pe < 0 || pe+coffSize+112 > len(stub) || string(stub[pe:pe+4]) != "PE\x00\x00" || binary.LittleEndian.Uint16(stub[pe+coffSize:]) != 0x20b {
		return nil, ErrStub
	}
	opt := pe + coffSize
	count := int(binary.LittleEndian.Uint16(stub[pe+6:]))
	table := opt + int(binary.LittleEndian.Uint16(stub[pe+20:]))
	align, fileAlign := binary.LittleEndian.Uint32(stub[opt+32:]), binary.LittleEndian.Uint32(stub[opt+36:])
	headers := int(binary.LittleEndian.Uint32(stub[opt+60:]))
	if align == 0 || fileAlign == 0 || align&(align-1) != 0 || fileAlign&(fileAlign-1) != 0 ||
		table+(count+len(sections))*sectionEntry > headers || headers > len(stub) {
		return nil, ErrStub
	}
	up := func(n, to uint32) uint32 { return (n + to - 1) &^ (to - 1) }
	var memory, file uint32 // where what is there ends
	for i := range count {
		s := stub[table+i*sectionEntry:]
		memory = max(memory, binary.LittleEndian.Uint32(s[12:])+binary.LittleEndian.Uint32(s[8:]))
		file = max(file, binary.LittleEndian.Uint32(s[20:])+binary.LittleEndian.Uint32(s[16:]))
	}
	if int(file) > len(stub) || int(file) < headers {
		return nil, ErrStub
	}
	out := append([]byte(nil), stub[:file]...) // symbols, which lie behind, go
	clear(out[pe+12 : pe+20])                  // and so does where they are
	initialized := binary.LittleEndian.Uint32(out[opt+8:])
	for i, s := range sections {
		if len(s.Name) > 8 || len(s.Data) == 0 || int64(len(s.Data)) > 1<<30 {
			return nil, fmt.Errorf("section %q of %d bytes does not fit", s.Name, len(s.Data))
		}
		out = append(out, make([]byte, int(up(uint32(len(out)), fileAlign))-len(out))...)
		memory = up(memory, align)
		e := out[table+(count+i)*sectionEntry:][:sectionEntry]
		clear(e)
		copy(e, s.Name)
		raw := up(uint32(len(s.Data)), fileAlign)
		for j, v := range []uint32{uint32(len(s.Data)), memory, raw, uint32(len(out))} {
			binary.LittleEndian.PutUint32(e[8+4*j:], v)
		}
		binary.LittleEndian.PutUint32(e[36:], readOnlyData)
		out = append(append(out, s.Data...), make([]byte, int(raw)-len(s.Data))...)
		memory += uint32(len(s.Data))
		initialized += raw
	}
	binary.LittleEndian.PutUint16(out[pe+6:], uint16(count+len(sections)))
	binary.LittleEndian.PutUint32(out[opt+8:], initialized)
	binary.LittleEndian.PutUint32(out[opt+56:], up(memory, align))
	binary.LittleEndian.PutUint32(out[opt+64:], 0) // checksum
	return out, nil
}
