package gcodefile

import (
	"math/bits"
	"time"

	"platen/hal/unit"
)

// one is the number 1 as a value: values have nine decimals, exactly.
const one = int64(1e9)

// letters is a set of letters.
type letters uint32

// set makes a set of capital letters.
func set(of string) (l letters) {
	for i := range len(of) {
		l |= 1 << (of[i] - 'A')
	}
	return l
}

func (l letters) has(c byte) bool { return l&(1<<(c-'A')) != 0 }

// words are the words of one command behind the command itself.
type words struct {
	all   letters // words that are there
	bare  letters // those of them without a number
	value [26]int64
}

// number reads a decimal from the front of b: a sign, digits, a point, digits. Of
// more than nine decimals the rest, less than a picometre, is left out. It returns
// what follows; ok is false if there is no number or it is 10^9 or more.
func number(b []byte) (v int64, rest []byte, ok bool) {
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	whole, digits := int64(0), 0
	for ; len(b) > 0 && '0' <= b[0] && b[0] <= '9'; b = b[1:] {
		if whole = whole*10 + int64(b[0]-'0'); whole >= one {
			return 0, nil, false
		}
		digits++
	}
	fraction, scale := int64(0), one
	if len(b) > 0 && b[0] == '.' {
		for b = b[1:]; len(b) > 0 && '0' <= b[0] && b[0] <= '9'; b = b[1:] {
			if scale > 1 {
				scale /= 10
				fraction += int64(b[0]-'0') * scale
			}
			digits++
		}
	}
	if v = whole*one + fraction; negative {
		v = -v
	}
	return v, b, digits > 0
}

func blank(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// command reads the command at the front of b: its letter, and its number times
// ten, so that M862.3 is 8623.
func command(b []byte) (letter byte, code int, rest []byte, why Reason) {
	letter = b[0]
	switch letter {
	case 'N', '*':
		return 0, 0, nil, ReasonNumbered
	case 'G', 'M', 'T':
	default:
		return 0, 0, nil, ReasonSyntax
	}
	if len(b) < 2 || b[1] < '0' || b[1] > '9' {
		return 0, 0, nil, ReasonSyntax
	}
	v, rest, ok := number(b[1:])
	if !ok || v >= 10_000*one || v%(one/10) != 0 {
		return 0, 0, nil, ReasonNumber
	}
	return letter, int(v / (one / 10)), rest, 0
}

// parse reads the words of a command. Each must be one of may, and come once.
func (w *words) parse(b []byte, may letters) Reason {
	w.all, w.bare = 0, 0
	for b = blank(b); len(b) > 0; b = blank(b) {
		c := b[0]
		switch {
		case c == '*' || c == 'N':
			return ReasonNumbered
		case c < 'A' || c > 'Z':
			return ReasonSyntax
		case !may.has(c) || w.all.has(c):
			return ReasonWord
		}
		w.all |= 1 << (c - 'A')
		b = b[1:]
		if len(b) == 0 || b[0] == ' ' || b[0] == '\t' || 'A' <= b[0] && b[0] <= 'Z' {
			w.bare |= 1 << (c - 'A')
			continue
		}
		v, rest, ok := number(b)
		if !ok || len(rest) > 0 && (rest[0]|0x20 == 'e' || rest[0] == '.') {
			return ReasonNumber // among them 1e9, and X1E9, which firmwares read in two ways
		}
		w.value[c-'A'], b = v, rest
	}
	return 0
}

// has reports whether the word c has a number.
func (w *words) has(c byte) bool { return w.all.has(c) && !w.bare.has(c) }

// get returns the number of the word c, or 0.
func (w *words) get(c byte) int64 {
	if !w.has(c) {
		return 0
	}
	return w.value[c-'A']
}

// index returns the number of the word c as a whole number of 0 to most.
func (w *words) index(c byte, most int64) (uint8, Reason) {
	v := w.get(c)
	if v < 0 || v > most*one || v%one != 0 {
		return 0, ReasonNumber
	}
	return uint8(v / one), 0
}

// Bounds of what is computed with, far beyond any machine.
const (
	maxLength   = 32_000 * one     // of a coordinate or a move, in mm
	maxFilament = 10_000_000 * one // of filament in all, in mm
	maxFeed     = 10_000_000 * one // in mm/min
)

// within reports whether v lies within ±most.
func within(v, most int64) bool { return v >= -most && v <= most }

// roundDiv divides, rounding half away from zero; d is positive.
func roundDiv(n, d int64) int64 {
	if n < 0 {
		return -((-n + d/2) / d)
	}
	return (n + d/2) / d
}

// length turns mm into a length; v lies within ±maxLength.
func length(v int64) unit.Length { return unit.Length(roundDiv(v*int64(unit.Millimetre), one)) }

// millimetres turns a length into mm.
func millimetres(l unit.Length) int64 { return roundDiv(int64(l)*one, int64(unit.Millimetre)) }

// speed turns mm/min times a share in percent into a speed; it saturates.
func speed(v, percent int64) unit.Speed {
	hi, lo := bits.Mul64(uint64(max(v, 0)), uint64(percent))
	const perUnit = 60 * 100 * 1_000_000 // 10^-9 mm/min and percent in 1 µm/s
	if hi >= perUnit {
		return 1<<31 - 1
	}
	q, _ := bits.Div64(hi, lo, perUnit)
	return unit.Speed(min(q, 1<<31-1))
}

// celsius turns degrees into a temperature; ok is false beyond ±100,000.
func celsius(v int64) (unit.Celsius, bool) {
	return unit.Celsius(roundDiv(v, one/int64(unit.Degree))), within(v, 100_000*one)
}

// seconds turns seconds into a duration: both have nine decimals.
func seconds(v int64) time.Duration { return time.Duration(v) }
