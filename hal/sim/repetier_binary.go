package sim

import (
	"encoding/binary"
	"math"
)

// The binary protocol of Repetier-Firmware (gcode.cpp: computeBinarySize,
// parseBinary): two bytes that say which words follow, two more in its second
// version, the words in a fixed order, and Fletcher's checksum of 16 bits over all of
// it. The highest bit of the first byte tells it from text.
const (
	repBitN    = 0
	repBitM    = 1
	repBitG    = 2
	repBitText = 15
	repBitV2   = 12
)

// repWords are the words that may follow N, M and G, in their order, with the bit
// that says so and their size.
var repWords = [...]struct {
	word byte
	bit  int
	size int
}{
	{'X', 3, 4}, {'Y', 4, 4}, {'Z', 5, 4}, {'E', 6, 4}, {'F', 8, 4}, {'T', 9, 1}, {'S', 10, 4}, {'P', 11, 4},
	{'I', 16, 4}, {'J', 17, 4}, {'R', 18, 4}, {'D', 19, 4}, {'C', 20, 4}, {'H', 21, 4}, {'A', 22, 4}, {'B', 23, 4},
	{'K', 24, 4}, {'L', 25, 4}, {'O', 26, 4},
}

// repBinarySize is how long a command says that it is; five bytes tell.
func repBinarySize(b []byte) int {
	first := int(binary.LittleEndian.Uint16(b))
	size := 4 + first>>repBitN&1*2
	for _, w := range repWords {
		if w.bit < 16 {
			size += first >> w.bit & 1 * w.size
		}
	}
	if first>>repBitV2&1 == 0 {
		return size + first>>repBitM&1 + first>>repBitG&1 + first>>repBitText&1*16
	}
	size += 2 + first>>repBitM&1*2 + first>>repBitG&1*2
	for second := binary.LittleEndian.Uint16(b[2:]); second != 0; second &= second - 1 {
		size += 4
	}
	if first>>repBitText&1 != 0 {
		size += min(80, int(b[4])+1)
	}
	return size
}

// fletcher is the checksum, low byte first.
func fletcher(b []byte) (one, two byte) {
	var s1, s2 int
	for _, c := range b {
		s1 = (s1 + int(c)) % 255
		s2 = (s2 + s1) % 255
	}
	return byte(s1), byte(s2)
}

// parseBinary reads a whole command. Texts are left out: no driver sends any.
func (r *repetier) parseBinary(b []byte) (repCommand, bool) {
	var c repCommand
	n := len(b) - 2
	if one, two := fletcher(b[:n]); one != b[n] || two != b[n+1] {
		r.error("Wrong checksum")
		return c, false
	}
	first := int(binary.LittleEndian.Uint16(b))
	v2 := first>>repBitV2&1 != 0
	mask, b := first, b[2:n]
	if v2 {
		mask |= int(binary.LittleEndian.Uint16(b)) << 16
		b = b[2:]
		if first>>repBitText&1 != 0 {
			b = b[1:]
		}
	}
	take := func(size int) (v uint32) {
		for i := range size {
			v |= uint32(b[i]) << (8 * i)
		}
		b = b[size:]
		return v
	}
	if mask>>repBitN&1 != 0 {
		c.setWhole('N', int(take(2)))
		r.actual = c.line
	}
	for _, w := range []struct {
		word byte
		bit  int
	}{{'M', repBitM}, {'G', repBitG}} {
		size := 1
		if v2 {
			size = 2
		}
		if mask>>w.bit&1 != 0 {
			c.set(w.word, float64(take(size)))
		}
	}
	for _, w := range repWords {
		if mask>>w.bit&1 == 0 {
			continue
		}
		switch v := take(w.size); w.word {
		case 'T':
			c.set('T', float64(v))
		case 'S', 'P':
			c.set(w.word, float64(int32(v)))
		default:
			c.set(w.word, float64(math.Float32frombits(v)))
		}
	}
	return c, true
}
