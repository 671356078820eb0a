package bgcode

import (
	"errors"
	"fmt"
	"io"
)

// nibbles are the characters that MeatPack puts into four bits. The fifteenth value says
// that the character follows in full; 11 is a blank, or E where there are no blanks.
const nibbles = "0123456789. \nGX"

const (
	inFull     = 15
	blank      = 11
	signal     = 0xff // twice, before a command
	packOn     = 251
	packOff    = 250
	packReset  = 249
	packQuery  = 248
	blanksOff  = 247
	blanksOn   = 246
	meatBuffer = 512
)

// meat unpacks MeatPack (its author's Firmware/meatpack.cpp): two characters a byte, the
// first in the low half. A character that follows in full comes behind the byte that
// announces it, the first of two first. A line feed in the low half ends the line
// whatever the high half holds. Packing is off until a command switches it on.
//
// The E of a text without blanks gets a blank before it: "Y2E3" is read as a number with
// an exponent by some, and as two words by firmware.
type meat struct {
	src      io.Reader
	on       bool
	noBlanks bool
	signals  int  // bytes 255 in a row
	whole    int  // characters to come in full
	then     byte // the packed one behind the one to come; 0 is none
	in       [meatBuffer]byte
	out      [8 * meatBuffer]byte // the most that the bytes of in stand for
	text     []byte               // of out, not yet read
	err      error
}

func (m *meat) reset(src io.Reader) {
	m.src, m.on, m.noBlanks, m.signals, m.whole, m.then, m.text, m.err = src, false, false, 0, 0, 0, nil, nil
}

// Read unpacks into p.
func (m *meat) Read(p []byte) (int, error) {
	for len(m.text) == 0 {
		if m.err != nil {
			return 0, m.err
		}
		m.fill()
	}
	n := copy(p, m.text)
	m.text = m.text[n:]
	return n, nil
}

// fill unpacks what one read of the source brings.
func (m *meat) fill() {
	n, err := m.src.Read(m.in[:])
	out := m.out[:0]
	for _, b := range m.in[:n] {
		var wrong error
		if out, wrong = m.take(out, b); wrong != nil {
			m.err = wrong
			return
		}
	}
	m.text = out
	if err == io.EOF && (m.whole > 0 || m.signals > 0) {
		err = errors.New("its packed text ends within a character")
	}
	m.err = err
}

// take takes one byte of the packed text.
func (m *meat) take(out []byte, b byte) ([]byte, error) {
	switch {
	case m.signals == 2:
		m.signals = 0
		return out, m.command(b)
	case b == signal:
		m.signals++
		return out, nil
	case m.signals == 1: // it was no signal
		m.signals = 0
		out = m.unpack(out, signal)
	}
	return m.unpack(out, b), nil
}

func (m *meat) command(b byte) error {
	switch b {
	case packOn:
		m.on = true
	case packOff, packReset:
		m.on = false
	case blanksOff:
		m.noBlanks = true
	case blanksOn:
		m.noBlanks = false
	case packQuery:
	default:
		return fmt.Errorf("command %d of its packed text is not known", b)
	}
	return nil
}

// unpack appends the characters that b stands for.
func (m *meat) unpack(out []byte, b byte) []byte {
	switch {
	case !m.on:
		return append(out, b)
	case m.whole > 0:
		m.whole--
		out = append(out, b)
		if m.then != 0 {
			out, m.then = m.put(out, m.then), 0
		}
		return out
	}
	first, second := m.char(b&15), m.char(b>>4)
	switch {
	case first == 0 && second == 0:
		m.whole = 2
	case first == 0:
		m.whole, m.then = 1, second
	case first == '\n':
		out = append(out, first)
	case second == 0:
		out, m.whole = m.put(out, first), 1
	default:
		out = m.put(m.put(out, first), second)
	}
	return out
}

// put appends a character that was packed.
func (m *meat) put(out []byte, c byte) []byte {
	if c == 'E' {
		return append(out, ' ', c)
	}
	return append(out, c)
}

// char is the character of a nibble, or 0 for one that follows in full.
func (m *meat) char(n byte) byte {
	switch {
	case n == inFull:
		return 0
	case n == blank && m.noBlanks:
		return 'E'
	}
	return nibbles[n]
}
