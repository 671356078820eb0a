package bgcode

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
)

// packer writes binary files as PrusaSlicer does, and others that it would not.
type packer struct {
	bytes.Buffer
	checked bool
}

func pack(checked bool) *packer {
	p := &packer{checked: checked}
	p.WriteString(magic)
	kind := uint16(0)
	if checked {
		kind = 1
	}
	p.Write(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint32(nil, 1), kind))
	return p
}

// block adds a block whose data are packed already and unpack to size bytes.
func (p *packer) block(kind, compression uint16, size int, params []uint16, data []byte) {
	b := binary.LittleEndian.AppendUint16(nil, kind)
	b = binary.LittleEndian.AppendUint16(b, compression)
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	if compression != stored {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	}
	for _, v := range params {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	b = append(b, data...)
	if p.checked {
		b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	}
	p.Write(b)
}

// gcode adds a block of G-code text.
func (p *packer) gcode(t *testing.T, text string, compression, encoding uint16) {
	t.Helper()
	data := []byte(text)
	if encoding != plainText {
		data = meatOf(text, encoding == meatPackComments)
	}
	size := len(data)
	switch compression {
	case deflated:
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		data = z.Bytes()
	case heatshrink11, heatshrink12:
		data = shrinkOf(data, 11+uint(compression-heatshrink11))
	}
	p.block(gcodeBlock, compression, size, []uint16{encoding}, data)
}

// meatOf packs text line by line, without the blanks of moves; with comments they go
// in full, as PrusaSlicer has them.
func meatOf(text string, comments bool) []byte {
	out := []byte{signal, signal, packOn, signal, signal, blanksOff}
	for line := range strings.Lines(text) {
		if line[0] == ';' {
			if comments {
				out = append(out, signal, signal, packOff)
				out = append(out, line...)
				out = append(out, signal, signal, packOn)
			}
			continue
		}
		if line[0] == 'G' {
			line = strings.ReplaceAll(line, " ", "")
		}
		for len(line) > 0 {
			a, b := line[0], byte('\n')
			if line = line[1:]; len(line) > 0 {
				b, line = line[0], line[1:]
			}
			na, nb := nibbleOf(a), nibbleOf(b)
			out = append(out, nb<<4|na)
			if na == inFull {
				out = append(out, a)
			}
			if nb == inFull {
				out = append(out, b)
			}
		}
	}
	return out
}

func nibbleOf(c byte) byte {
	if c == 'E' {
		return blank
	}
	if i := strings.IndexByte(nibbles, c); i >= 0 && c != ' ' {
		return byte(i)
	}
	return inFull
}

// shrinkOf packs data by heatshrink, taking the longest match there is.
func shrinkOf(data []byte, window uint) []byte {
	var out []byte
	var acc uint32
	var have uint
	put := func(v uint32, n uint) {
		acc, have = acc<<n|v, have+n
		for have >= 8 {
			have -= 8
			out = append(out, byte(acc>>have))
		}
	}
	for i := 0; i < len(data); {
		best, length := 0, 0
		for back := 1; back <= min(i, 1<<window); back++ {
			n := 0
			for n < 1<<lookahead && i+n < len(data) && data[i+n-back] == data[i+n] {
				n++
			}
			if n > length {
				best, length = back, n
			}
		}
		if length < 3 {
			put(1, 1)
			put(uint32(data[i]), 8)
			i++
			continue
		}
		put(0, 1)
		put(uint32(best-1), window)
		put(uint32(length-1), lookahead)
		i += length
	}
	if have > 0 {
		put(0, 8-have)
	}
	return out
}
