package reprap

import "strconv"

// appendLine appends a command as a numbered line with its CRC.
func appendLine(dst []byte, number int32, cmd []byte) []byte {
	start := len(dst)
	dst = append(strconv.AppendInt(append(dst, 'N'), int64(number), 10), ' ')
	dst = append(dst, cmd...)
	return appendCRC(dst, start)
}

// appendCRC ends the line that begins at start by an asterisk, five digits and a line
// feed.
func appendCRC(dst []byte, start int) []byte {
	crc := uint16(0)
	for _, c := range dst[start:] {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^c]
	}
	dst = append(dst, '*')
	return append(appendDigits(dst, int32(crc)), '\n')
}

// tagDigits is how many digits the number of ours has that an answer repeats.
const tagDigits = 5

// appendDigits appends v with five digits.
func appendDigits(dst []byte, v int32) []byte {
	for div := int32(10_000); div > 0; div /= 10 {
		dst = append(dst, byte('0'+v/div%10))
	}
	return dst
}

// crcTable is of CRC-16 with the polynomial 0x1021, from zero.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		crc := uint16(i) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		t[i] = crc
	}
	return t
}()
