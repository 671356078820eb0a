package bgcode

import (
	"bytes"
	"errors"
	"io"
)

// lookahead is how many bits the length of a reference has.
const lookahead = 4

// heatshrink unpacks the LZSS of heatshrink (its README, "How it works"): a bit 1 and
// the eight of a byte, or a bit 0, a distance less one and a length less one. Bits come
// from the high end; up to seven at the end of the block mean nothing.
type heatshrink struct {
	src    *bytes.Reader
	window uint // bits of a distance
	left   int  // bytes still to come
	at     int  // bytes so far
	bits   uint32
	have   uint
	from   int // of a reference that is being copied
	copies int
	past   [1 << 12]byte // the last bytes, a ring
}

func (h *heatshrink) reset(src *bytes.Reader, window uint, size int) {
	h.src, h.window, h.left = src, window, size
	h.at, h.bits, h.have, h.from, h.copies = 0, 0, 0, 0, 0
}

// take returns the next n bits, at most 12; false at the end of the block.
func (h *heatshrink) take(n uint) (int, bool) {
	for h.have < n {
		b, err := h.src.ReadByte()
		if err != nil {
			return 0, false
		}
		h.bits = h.bits<<8 | uint32(b)
		h.have += 8
	}
	h.have -= n
	return int(h.bits >> h.have & (1<<n - 1)), true
}

// Read unpacks into p.
func (h *heatshrink) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if h.left == 0 {
			return n, h.end()
		}
		b, err := h.next()
		if err != nil {
			return n, err
		}
		h.past[h.at&(len(h.past)-1)] = b
		h.at++
		h.left--
		p[n] = b
		n++
	}
	return n, nil
}

// end is io.EOF if nothing but padding is left.
func (h *heatshrink) end() error {
	if h.copies > 0 || h.src.Len() > 0 {
		return errors.New("it unpacks to more than it says")
	}
	return io.EOF
}

var errShrink = errors.New("its packed data make no sense")

// next unpacks one byte.
func (h *heatshrink) next() (byte, error) {
	if h.copies == 0 {
		literal, ok := h.take(1)
		if !ok {
			return 0, io.EOF
		}
		if literal == 1 {
			b, ok := h.take(8)
			if !ok {
				return 0, io.EOF
			}
			return byte(b), nil
		}
		back, ok1 := h.take(h.window)
		count, ok2 := h.take(lookahead)
		if !ok1 || !ok2 {
			return 0, io.EOF // the padding
		}
		if back >= h.at {
			return 0, errShrink // before the text begins
		}
		h.from, h.copies = h.at-back-1, count+1
	}
	b := h.past[h.from&(len(h.past)-1)]
	h.from++
	h.copies--
	return b, nil
}
