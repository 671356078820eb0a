package sim

import (
	"strconv"
	"strings"
)

// oldLine is a line as Marlin 1 reads it: a word is found wherever its letter first
// stands in the line, text or not (code_seen in Marlin_main.cpp).
type oldLine struct {
	text     string
	exponent bool // numbers may have an exponent, as strtod reads them: X10E5 is a million
}

// seen reports whether the letter is there.
func (l *oldLine) seen(w byte) bool { return strings.IndexByte(l.text, w) >= 0 }

// value is the number behind the letter; 0 if there is none, as strtod has it. ok is
// whether the letter is there.
func (l *oldLine) value(w byte) (v float64, ok bool) {
	i := strings.IndexByte(l.text, w)
	if i < 0 {
		return 0, false
	}
	return leadingFloat(l.text[i+1:], l.exponent), true
}

// leadingFloat reads as strtod does: blanks, a sign, digits, a fraction and, if that
// is asked for, an exponent; 0 if there are none.
func leadingFloat(s string, exponent bool) float64 {
	s = strings.TrimLeft(s, " \t")
	end, digits := 0, false
	if end < len(s) && (s[end] == '-' || s[end] == '+') {
		end++
	}
	for point := false; end < len(s); end++ {
		if s[end] == '.' && !point {
			point = true
			continue
		}
		if s[end] < '0' || s[end] > '9' {
			break
		}
		digits = true
	}
	if !digits {
		return 0
	}
	if exponent {
		end += exponentLen(s[end:])
	}
	v, _ := strconv.ParseFloat(s[:end], 64) // out of range: as far as the type reaches
	return v
}

func exponentLen(s string) int {
	if s == "" || (s[0] != 'e' && s[0] != 'E') {
		return 0
	}
	i := 1
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	first := i
	for i < len(s) && i < first+4 && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == first {
		return 0
	}
	return i
}

// setPosition is G92 as Marlin 1 and its relatives have it: it renames where the head
// stands, end stops and all.
func (m *mcu) setPosition(l *oldLine) {
	m.synchronize()
	p := &m.pose
	for i, w := range []byte("XYZ") {
		if v, ok := l.value(w); ok {
			p.offset[i] += p.at[i] - v
			p.at[i] = v
		}
	}
	if v, ok := l.value('E'); ok {
		p.e = v
	}
	m.plan.setPosition(p.at, p.e)
}
