package repetier

import (
	"encoding/binary"
	"math"
)

// maxFrame is the longest command: two masks, number, M and G, every decimal word,
// checksum.
const maxFrame = 4 + 2 + 4 + 5*4 + 1 + 2*4 + 2

// zeros in a row end the skipping behind a bad command: 31 are needed, a few more
// survive damage to the first ones.
const zeros = 36

// Bits of the mask that a command begins with, and what follows of each word, in this
// order (gcode.cpp, parseBinary).
const (
	bitN  = 1 << 0
	bitM  = 1 << 1
	bitG  = 1 << 2
	bitT  = 1 << 9
	isBin = 1 << 7
	isV2  = 1 << 12
)

// decimals are the words that hold decimals, with their bits, in the order in which
// they stand; T, S and P follow.
var decimals = [...]struct {
	word byte
	bit  int
}{{'X', 3}, {'Y', 4}, {'Z', 5}, {'E', 6}, {'F', 8}}

// wholes are the words of four bytes that hold whole numbers.
var wholes = [...]struct {
	word byte
	bit  int
}{{'S', 10}, {'P', 11}}

// words are a command taken apart.
type words struct {
	seen  uint32
	value [26]float64
}

func (w *words) has(c byte) bool    { return w.seen>>(c-'A')&1 != 0 }
func (w *words) get(c byte) float64 { return w.value[c-'A'] }

// appendFrame appends command cmd, such as "G1 X1.5 F600", as line number. It reports
// false, and appends nothing, if the protocol has no place for one of its words.
func appendFrame(dst []byte, number int32, cmd []byte) ([]byte, bool) {
	var w words
	if !w.read(cmd) {
		return dst, false
	}
	start := len(dst)
	mask := bitN | isBin
	m, g := int(w.get('M')), int(w.get('G'))
	v2 := m > 255 || g > 255
	if v2 {
		mask |= isV2
	}
	if w.has('M') {
		mask |= bitM
	}
	if w.has('G') {
		mask |= bitG
	}
	if w.has('T') {
		mask |= bitT
	}
	for _, d := range decimals {
		mask |= int(w.seen>>(d.word-'A')&1) << d.bit
	}
	for _, d := range wholes {
		mask |= int(w.seen>>(d.word-'A')&1) << d.bit
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(mask))
	if v2 {
		dst = append(dst, 0, 0)
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(number))
	dst = w.appendWords(dst, v2)
	return appendSum(dst, start), true
}

func (w *words) appendWords(dst []byte, v2 bool) []byte {
	for _, c := range []byte{'M', 'G'} {
		switch {
		case !w.has(c):
		case v2:
			dst = binary.LittleEndian.AppendUint16(dst, uint16(w.get(c)))
		default:
			dst = append(dst, byte(w.get(c)))
		}
	}
	for _, d := range decimals {
		if w.has(d.word) {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(w.get(d.word))))
		}
	}
	if w.has('T') {
		dst = append(dst, byte(w.get('T')))
	}
	for _, d := range wholes {
		if w.has(d.word) {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(int32(w.get(d.word))))
		}
	}
	return dst
}

// appendSum appends Fletcher's checksum of dst[start:], low byte first.
func appendSum(dst []byte, start int) []byte {
	var one, two uint32
	for _, c := range dst[start:] {
		one += uint32(c)
		if one >= 255 {
			one -= 255
		}
		two += one
		if two >= 255 {
			two -= 255
		}
	}
	return append(dst, byte(one), byte(two))
}

// read takes a command apart. A word without a number is zero, as in "G28 X".
func (w *words) read(cmd []byte) bool {
	for len(cmd) > 0 {
		c := cmd[0]
		cmd = cmd[1:]
		if c == ' ' || c == '\n' {
			continue
		}
		switch c {
		case 'G', 'M', 'T', 'X', 'Y', 'Z', 'E', 'F', 'S', 'P':
		default:
			return false
		}
		w.seen |= 1 << (c - 'A')
		var ok bool
		if w.value[c-'A'], cmd, ok = decimal(cmd); !ok {
			return false
		}
	}
	return true
}

// decimal reads a number of up to 15 digits at the beginning of b, or none.
func decimal(b []byte) (v float64, rest []byte, ok bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	n, digits, scale := int64(0), 0, 1.0
	point := false
	for len(b) > 0 && (b[0] >= '0' && b[0] <= '9' || b[0] == '.' && !point) {
		if b[0] == '.' {
			point = true
		} else {
			n = n*10 + int64(b[0]-'0')
			if digits++; point {
				scale *= 10
			}
		}
		b = b[1:]
	}
	v = float64(n) / scale
	if neg {
		v = -v
	}
	return v, b, digits <= 15
}
