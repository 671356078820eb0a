package bgcode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

const part = `M73 P0 R3
; a comment
G28
G1 Z0.2 F7200
M117 Layer 1 of 2, E and X
G1 X10.5 Y20.25 E0.0123 F1800
G1 X110 Y20.25 E1.5
G1 X110 Y120 E1.5
;TYPE:External perimeter
M104 S0 T0
`

// flat is a text without what packing may leave out: comments and blanks.
func flat(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line[0] != ';' && line != "\n" {
			b.WriteString(strings.ReplaceAll(line, " ", ""))
		}
	}
	return b.String()
}

var memory = make([]byte, Memory)

func read(data []byte) (string, error) {
	r, err := NewReader(bytes.NewReader(data), memory)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), err
}

// TestEveryPacking reads files of three blocks among metadata and pictures, in every
// compression and encoding, from a source that hands out single bytes.
func TestEveryPacking(t *testing.T) {
	long := strings.Repeat(part, 30)
	for _, checked := range []bool{false, true} {
		for compression := range uint16(4) {
			for encoding := range uint16(3) {
				t.Run(fmt.Sprintf("checked %v compression %d encoding %d", checked, compression, encoding), func(t *testing.T) {
					p := pack(checked)
					p.block(fileMetadata, stored, 5, []uint16{0}, []byte("a=b\nc"))
					p.block(printerMetadata, deflated, 1000, []uint16{0}, []byte("anything"))
					p.block(thumbnail, stored, 3, []uint16{0, 16, 16}, []byte("png"))
					for _, text := range []string{part, long, "G1 X1\n"} {
						p.gcode(t, text, compression, encoding)
					}
					r, err := NewReader(iotest.OneByteReader(bytes.NewReader(p.Bytes())), make([]byte, Memory))
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(iotest.OneByteReader(r))
					if err != nil {
						t.Fatal(err)
					}
					want := part + long + "G1 X1\n"
					if encoding == plainText && string(got) != want {
						t.Error("the text is another")
					}
					if flat(string(got)) != flat(want) {
						t.Error("the commands are others")
					}
					if encoding != meatPack && !strings.Contains(string(got), ";TYPE:External perimeter\n") {
						t.Error("the comments are gone")
					}
				})
			}
		}
	}
}

// TestDamage flips each bit of a file, one at a time: with checksums no damage within a
// block goes unnoticed, and nothing of a damaged block is handed out.
func TestDamage(t *testing.T) {
	p := pack(true)
	p.block(printMetadata, stored, 5, []uint16{0}, []byte("a=b\nc"))
	p.gcode(t, part, heatshrink11, meatPack)
	whole := p.Bytes()
	if text, err := read(whole); err != nil || text == "" {
		t.Fatalf("the sound file: %v", err)
	}
	for i := range len(whole) * 8 {
		if i/8 >= 8 && i/8 < 10 {
			continue // without checksums there is nothing to compare
		}
		bad := bytes.Clone(whole)
		bad[i/8] ^= 1 << (i % 8)
		if text, err := read(bad); !errors.Is(err, ErrFormat) || text != "" {
			t.Fatalf("bit %d: %d bytes, error %v", i, len(text), err)
		}
	}
}

// TestCut reads every beginning of a file.
func TestCut(t *testing.T) {
	p := pack(true)
	p.gcode(t, part, deflated, meatPackComments)
	whole := p.Bytes()
	for n := range whole {
		if _, err := read(whole[:n]); !errors.Is(err, ErrFormat) {
			t.Fatalf("%d bytes of %d: %v", n, len(whole), err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		make func(p *packer)
		want string
	}{
		"no G-code":       {func(p *packer) { p.block(fileMetadata, stored, 0, []uint16{0}, nil) }, "no G-code"},
		"kind":            {func(p *packer) { p.block(9, stored, 0, []uint16{0}, nil) }, "kind 9"},
		"compression":     {func(p *packer) { p.block(gcodeBlock, 7, 0, []uint16{0}, nil) }, "compression 7"},
		"encoding":        {func(p *packer) { p.block(gcodeBlock, stored, 0, []uint16{3}, nil) }, "encoding 3"},
		"huge block":      {func(p *packer) { p.block(gcodeBlock, stored, 1<<30, []uint16{0}, nil) }, "too large"},
		"huge text":       {func(p *packer) { p.block(gcodeBlock, deflated, 1<<30, []uint16{0}, []byte("x")) }, "too large"},
		"huge picture":    {func(p *packer) { p.block(thumbnail, stored, 1<<30, []uint16{0, 1, 1}, nil) }, "too large"},
		"less than said":  {func(p *packer) { p.block(gcodeBlock, heatshrink11, 9, []uint16{0}, shrinkOf([]byte("G1 X1"), 11)) }, "less than"},
		"more than said":  {func(p *packer) { p.block(gcodeBlock, heatshrink11, 3, []uint16{0}, shrinkOf([]byte("G1 X1 Y1"), 11)) }, "more than"},
		"not zlib":        {func(p *packer) { p.block(gcodeBlock, deflated, 9, []uint16{0}, []byte("G1 X1 Y1")) }, "zlib"},
		"before the text": {func(p *packer) { p.block(gcodeBlock, heatshrink11, 9, []uint16{0}, []byte{0x7f, 0xff, 0xff}) }, "no sense"},
		"half character":  {func(p *packer) { p.block(gcodeBlock, stored, 4, []uint16{1}, []byte{signal, signal, packOn, 0xf1}) }, "within a character"},
		"packed command":  {func(p *packer) { p.block(gcodeBlock, stored, 3, []uint16{1}, []byte{signal, signal, 42}) }, "command 42"},
	} {
		t.Run(name, func(t *testing.T) {
			p := pack(true)
			c.make(p)
			if _, err := read(p.Bytes()); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	for name, head := range map[string]string{
		"text":     "; generated by a slicer\nG28\n",
		"version":  magic + "\x02\x00\x00\x00\x01\x00",
		"checksum": magic + "\x01\x00\x00\x00\x02\x00",
		"nothing":  "",
	} {
		if _, err := read([]byte(head)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewReader(strings.NewReader(magic), make([]byte, 10)); err == nil {
		t.Error("ten bytes of memory were enough")
	}
	broken := errors.New("broken stick")
	r, err := NewReader(io.MultiReader(strings.NewReader(magic), iotest.ErrReader(broken)), make([]byte, Memory))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 9)); !errors.Is(err, broken) || errors.Is(err, ErrFormat) {
		t.Errorf("an error of the source became %v", err)
	}
}

// TestBomb holds a block that unpacks to eight times what it may: no more than it
// says comes out.
func TestBomb(t *testing.T) {
	zeros := strings.Repeat("0", 8<<20)
	p := pack(false)
	p.gcode(t, zeros, deflated, plainText)
	b := p.Bytes()
	binary.LittleEndian.PutUint32(b[10+4:], maxText)
	text, err := read(b)
	if !errors.Is(err, ErrFormat) || len(text) > maxText {
		t.Errorf("%d bytes came out, error %v", len(text), err)
	}
}

// TestNoAllocation counts what reading a file of many blocks allocates beyond the first.
func TestNoAllocation(t *testing.T) {
	size := func(blocks int) float64 {
		p := pack(true)
		for range blocks {
			p.gcode(t, part, heatshrink12, meatPackComments)
		}
		mem, sink := make([]byte, Memory), make([]byte, 4096)
		return testing.AllocsPerRun(3, func() {
			r, err := NewReader(bytes.NewReader(p.Bytes()), mem)
			for err == nil {
				_, err = r.Read(sink)
			}
			if err != io.EOF {
				t.Fatal(err)
			}
		})
	}
	if one, many := size(1), size(201); many > one+200*4 {
		t.Errorf("%v allocations for one block, %v for 201", one, many)
	}
}

func FuzzRead(f *testing.F) {
	for compression := range uint16(4) {
		p := pack(false)
		p.Write(nil)
		var t testing.T
		p.gcode(&t, part, compression, compression%3)
		f.Add(p.Bytes())
	}
	mem := make([]byte, Memory)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewReader(bytes.NewReader(data), mem)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
		// Heatshrink makes at most 16 bytes of 17 bits, deflate 1032 of one; text of
		// MeatPack is at most twice as long.
		if n > 2*1032*int64(len(data)) {
			t.Fatalf("%d bytes of %d", n, len(data))
		}
	})
}

func BenchmarkRead(b *testing.B) {
	p := pack(true)
	var t testing.T
	text := strings.Repeat(part, 300)
	for range 10 {
		p.gcode(&t, text, heatshrink12, meatPackComments)
	}
	mem := make([]byte, Memory)
	b.SetBytes(int64(10 * len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(p.Bytes()), mem)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}

// TestBlankBeforeE wants packed moves as a strict reader takes them.
func TestBlankBeforeE(t *testing.T) {
	for _, text := range []string{"G1 X2 E3\n", "G1 X23 E3\n", "G1 E-.5 F2100\n"} {
		p := pack(true)
		p.gcode(t, text, stored, meatPack)
		got, err := read(p.Bytes())
		want := strings.Replace(flat(text), "E", " E", 1)
		if err != nil || got != want {
			t.Errorf("%q became %q (%v), want %q", text, got, err, want)
		}
	}
}
