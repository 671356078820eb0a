package uki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"testing"
)

// stub is a small PE file: one section, room for headers up to 1024, symbols behind it.
func stub() []byte {
	b := make([]byte, 1536)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[peAt:], 0x40)
	h := b[0x40:]
	copy(h, "PE\x00\x00")
	le := binary.LittleEndian
	le.PutUint16(h[4:], 0xaa64)
	le.PutUint16(h[6:], 1)
	le.PutUint32(h[12:], 1536) // symbols
	le.PutUint32(h[16:], 2)
	le.PutUint16(h[20:], 160)
	o := h[24:]
	le.PutUint16(o, 0x20b)
	le.PutUint32(o[32:], 4096)
	le.PutUint32(o[36:], 512)
	le.PutUint32(o[56:], 8192)
	le.PutUint32(o[60:], 1024)
	le.PutUint32(o[108:], 6)
	s := o[160:]
	copy(s, ".text")
	for i, v := range []uint32{100, 4096, 512, 1024} {
		le.PutUint32(s[8+4*i:], v)
	}
	copy(b[1024:], "code")
	return append(b, "symbols and their names, which go"...)
}

var parts = []Section{{".cmdline", []byte("quiet")}, {".linux", bytes.Repeat([]byte{7}, 5000)}, {".initrd", bytes.Repeat([]byte{9}, 700)}}

func TestBuild(t *testing.T) {
	b, err := Build(stub(), parts)
	if err != nil {
		t.Fatal(err)
	}
	f, err := pe.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	end := uint32(0)
	for _, s := range f.Sections {
		if s.VirtualAddress%4096 != 0 || s.Offset%512 != 0 || s.VirtualAddress < end {
			t.Errorf("%s lies at %#x, %#x", s.Name, s.VirtualAddress, s.Offset)
		}
		end = s.VirtualAddress + s.VirtualSize
	}
	if size := f.OptionalHeader.(*pe.OptionalHeader64).SizeOfImage; size < end || size%4096 != 0 {
		t.Errorf("the image has %#x bytes and ends at %#x", size, end)
	}
	for _, want := range parts {
		s := f.Section(want.Name)
		if s == nil {
			t.Fatalf("no section %s", want.Name)
		}
		if got, err := s.Data(); err != nil || !bytes.Equal(got[:s.VirtualSize], want.Data) {
			t.Errorf("%s: %v", want.Name, err)
		}
	}
	if bytes.Contains(b, []byte("symbols")) {
		t.Error("symbols are still there")
	}
	if again, _ := Build(stub(), parts); !bytes.Equal(b, again) {
		t.Error("the same parts make other bytes")
	}
}

func TestBuildRefuses(t *testing.T) {
	small := stub()
	binary.LittleEndian.PutUint32(small[0x40+24+60:], 0x40+24+160+2*40)
	for name, s := range map[string][]byte{"nothing": nil, "text": bytes.Repeat([]byte("x"), 4096), "cut": stub()[:1100], "no room for headers": small} {
		if _, err := Build(s, parts); !errors.Is(err, ErrStub) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range []Section{{".much-too-long", []byte("x")}, {".empty", nil}} {
		if _, err := Build(stub(), []Section{s}); err == nil {
			t.Errorf("section %s is taken", s.Name)
		}
	}
}
