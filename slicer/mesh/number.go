package mesh

import (
	"strconv"
	"unsafe"
)

// Bounds on a decimal number, beyond which nothing is a coordinate.
const (
	mostDigits   = 60
	mostExponent = 200
)

// tens are the powers of ten that a float64 holds exactly.
var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// decimal reads a whole word as a decimal number with an optional point and
// exponent, correctly rounded. Nothing keeps a copy of it.
func decimal(b []byte) (float64, bool) {
	i := 0
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		i = 1
	}
	m, digits, scale := uint64(0), 0, 0
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		m = m*10 + uint64(b[i]-'0')
		digits++
	}
	if i < len(b) && b[i] == '.' {
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
			m = m*10 + uint64(b[i]-'0')
			digits++
			scale--
		}
	}
	if digits == 0 || digits > mostDigits {
		return 0, false
	}
	if i < len(b) {
		e, ok := exponent(b[i:])
		if !ok {
			return 0, false
		}
		scale += e
	}
	if digits < 20 && m < 1<<53 && -22 <= scale && scale <= 22 {
		f := float64(m)
		if scale < 0 {
			f /= tens[-scale]
		} else {
			f *= tens[scale]
		}
		if negative {
			f = -f
		}
		return f, true
	}
	// The word is parsed where it lies, in the vault; what could be wrong with it has
	// been looked for, so that no error quotes it.
	f, err := strconv.ParseFloat(unsafe.String(&b[0], len(b)), 64)
	return f, err == nil
}

// exponent reads e and a whole number.
func exponent(b []byte) (int, bool) {
	if b[0] != 'e' && b[0] != 'E' {
		return 0, false
	}
	b = b[1:]
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	e := 0
	for _, d := range b {
		if d-'0' > 9 || e > mostExponent {
			return 0, false
		}
		e = e*10 + int(d-'0')
	}
	if negative {
		e = -e
	}
	return e, e <= mostExponent && e >= -mostExponent
}

// whole reads a whole word as a number that is not negative and fits an int32.
func whole(b []byte) (int32, bool) {
	n := int64(0)
	for _, d := range b {
		if d-'0' > 9 || n > 1<<31 {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	return int32(n), len(b) > 0 && n < 1<<31
}

// unnumbered reports whether a word is one of those that stand for no number or an
// endless one.
func unnumbered(b []byte) bool {
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		b = b[1:]
	}
	return is(b, "nan") || is(b, "inf") || is(b, "infinity")
}

// coordinate reads a coordinate in mm.
func coordinate(b []byte) (float64, error) {
	f, ok := decimal(b)
	switch {
	case ok:
		return f, nil
	case unnumbered(b):
		return 0, ErrGeometry
	}
	return 0, ErrFormat
}
