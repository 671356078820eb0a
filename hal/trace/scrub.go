package trace

import (
	"bytes"
	"strconv"
)

// scrubber replaces design data. It remembers the commands sent last, so that the
// same line and its echo are replaced alike. Its memory is design data: wipe it.
type scrubber struct {
	state  uint64
	recent [64]sentCommand
	next   int
}

// sentCommand is a command that was sent and what it became, without line number
// and checksum.
type sentCommand struct {
	number string // line number, "" for none
	was    []byte
	now    []byte
}

// wipe forgets what was sent.
func (s *scrubber) wipe() {
	for i := range s.recent {
		clear(s.recent[i].was)
	}
	s.recent, s.next = [64]sentCommand{}, 0
}

// draw is the next of a fixed sequence of numbers (splitmix64).
func (s *scrubber) draw() uint64 {
	s.state += 0x9e3779b97f4a7c15
	z := s.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (s *scrubber) digit() byte { return '0' + byte(s.draw()%10) }

// number appends a number as long as old and with its sign. With point it has one
// digit before the point, so that it is within the reach of any machine.
func (s *scrubber) number(dst, old []byte, point bool) []byte {
	if old[0] == '-' || old[0] == '+' {
		dst, old = append(dst, old[0]), old[1:]
	}
	n := len(old)
	for i := range n {
		switch {
		case i == 0:
			dst = append(dst, '1'+byte(s.draw()%9))
		case i == 1 && n > 2 && point:
			dst = append(dst, '.')
		default:
			dst = append(dst, s.digit())
		}
	}
	return dst
}

// text appends b with every letter, digit and odd byte replaced.
func (s *scrubber) text(dst, b []byte) []byte {
	for _, c := range b {
		switch {
		case isDigit(c):
			c = s.digit()
		case isLetter(c):
			c = 'x'
		case c >= 0x80 || c == 0x7f:
			c = 0xff
		case c < ' ' && c != '\t' && c != '\r' && c != '\n':
			c = 1
		}
		dst = append(dst, c)
	}
	return dst
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// numberLen is how many bytes of b are a number with sign and point.
func numberLen(b []byte) (n int, point bool) {
	if n < len(b) && (b[n] == '-' || b[n] == '+') {
		n++
	}
	start := n
	for n < len(b) && (isDigit(b[n]) || b[n] == '.') {
		point = point || b[n] == '.'
		n++
	}
	if n == start {
		return 0, false
	}
	return n, point
}

// digitsLen is how many bytes of b are digits.
func digitsLen(b []byte) int {
	n := 0
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	return n
}

// line appends a line that the host sends, without its end.
func (s *scrubber) line(dst, b []byte) []byte {
	head := 0
	if len(b) > 1 && b[0] == 'N' {
		if n := digitsLen(b[1:]); n > 0 && n <= 9 {
			for head = 1 + n; head < len(b) && b[head] == ' '; head++ {
			}
		}
	}
	body, sum := b[head:], []byte(nil)
	if star := bytes.LastIndexByte(body, '*'); star >= 0 && head > 0 {
		if n := digitsLen(body[star+1:]); n > 0 && n <= 3 && star+1+n == len(body) {
			body, sum = body[:star], body[star+1:]
		}
	}
	dst = append(dst, b[:head]...)
	now := s.replaced(b[:head], body, func(fresh []byte) bool {
		return sum == nil || len(s.checksum(nil, body, fresh, sum)) == len(sum)
	})
	dst = append(dst, now...)
	if sum != nil {
		dst = append(dst, '*')
		dst = s.checksum(dst, body, now, sum)
	}
	return dst
}

// replaced is what body becomes: what it became before, if it was sent before with
// the same number. fits says whether the checksum keeps its length; a few draws are
// made to please it.
func (s *scrubber) replaced(head, body []byte, fits func([]byte) bool) []byte {
	if r := s.find(head, body); r != nil {
		return r.now
	}
	r := &s.recent[s.next]
	s.next = (s.next + 1) % len(s.recent)
	clear(r.was)
	r.number, r.was = string(head), append(r.was[:0], body...)
	for range 12 {
		r.now = s.command(r.now[:0], body)
		if fits(r.now) {
			break
		}
	}
	return r.now
}

// find finds a command sent lately; head is nil for any number.
func (s *scrubber) find(head, body []byte) *sentCommand {
	if len(body) == 0 || head != nil && len(head) == 0 {
		return nil // without a number it is another command each time
	}
	for i := range s.recent {
		r := &s.recent[(s.next+len(s.recent)-1-i)%len(s.recent)]
		if bytes.Equal(r.was, body) && (head == nil || r.number == string(head)) {
			return r
		}
	}
	return nil
}

// checksum appends the checksum of the replaced line: the right one, or one as
// wrong as that of the original. What stands before the command is the same in both.
func (s *scrubber) checksum(dst, was, now, sum []byte) []byte {
	given, err := strconv.ParseUint(string(sum), 10, 8)
	if err != nil {
		return s.text(dst, sum)
	}
	x := byte(given)
	for _, c := range was {
		x ^= c
	}
	for _, c := range now {
		x ^= c
	}
	return strconv.AppendUint(dst, uint64(x), 10)
}

// keeps says which words of a command carry machine data; the numbers of all others
// are replaced. Sources: Marlin 2.0.9 gcode/, Prusa-Firmware Marlin_main.cpp.
var keeps = map[string]string{
	"M104": "STRPIBH", "M109": "STRPIBH", "M140": "SRPIBH", "M190": "SRPIBH", "M141": "SRP", "M191": "SRP",
	"M106": "SPT", "M107": "PT", "M105": "T", "M110": "N", "M113": "S", "M155": "SC", "M302": "SP",
	"M84": "S", "M18": "S", "M85": "S", "M86": "S", "M999": "S", "M211": "S", "M412": "SH", "M115": "V", "M111": "S",
	"M42": "SP", "M80": "S", "M81": "S", "M301": "PIDC", "M304": "PID", "M303": "ECSU", "M500": "", "M501": "", "M502": "", "M503": "S",
}

// texts are commands whose words are a text or the name of a file.
var texts = map[string]bool{
	"M16": true, "M20": true, "M23": true, "M28": true, "M29": true, "M30": true, "M32": true, "M33": true, "M117": true, "M118": true,
	"M36": true, "M37": true, "M38": true, "M98": true, "M118.1": true, "M291": true, "M550": true, "M551": true, "M587": true, "M928": true,
}

// command appends a command without line number and checksum.
func (s *scrubber) command(dst, b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		dst, b = append(dst, ' '), b[1:]
	}
	if len(b) > 0 && b[0] == '$' {
		return s.dollar(dst, b)
	}
	n := codeLen(b)
	code := bytes.ToUpper(b[:n])
	dst = append(dst, b[:n]...)
	if texts[string(code)] {
		return s.text(dst, b[n:])
	}
	return s.words(dst, b[n:], keeps[string(code)])
}

// codeLen is the length of the letter and number that name a command.
func codeLen(b []byte) int {
	if len(b) == 0 || bytes.IndexByte([]byte("GMTgmt"), b[0]) < 0 {
		return 0
	}
	n := digitsLen(b[1:])
	if n == 0 || n > 4 {
		return 0
	}
	n++
	if n+1 < len(b) && b[n] == '.' && isDigit(b[n+1]) && digitsLen(b[n+1:]) == 1 {
		n += 2
	}
	return n
}

// words appends letters and numbers, keeping the numbers behind the letters in keep
// and codes. A letter beside a letter is text, and so is all behind a comment.
func (s *scrubber) words(dst, b []byte, keep string) []byte {
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c == ';' || c == '(' || c == '"':
			return s.text(append(dst, c), b[i+1:])
		case isLetter(c) && (i > 0 && isLetter(b[i-1]) || i+1 < len(b) && isLetter(b[i+1])):
			dst = append(dst, 'x')
			i++
		case isLetter(c):
			if n := codeLen(b[i:]); n > 0 && c&^0x20 != 'T' {
				dst = append(dst, b[i:i+n]...)
				i += n
				continue
			}
			dst = append(dst, c)
			i++
			n, point := numberLen(b[i:])
			switch {
			case n == 0:
			case bytes.IndexByte([]byte(keep), c&^0x20) >= 0 || c&^0x20 == 'T' && n <= 2 && !point:
				dst = append(dst, b[i:i+n]...)
			default:
				dst = s.number(dst, b[i:i+n], point && c&^0x20 != 'F')
			}
			i += n
		default:
			dst = s.text(dst, b[i:i+1])
			i++
		}
	}
	return dst
}

// dollar appends a system command of grbl.
func (s *scrubber) dollar(dst, b []byte) []byte {
	eq := bytes.IndexByte(b, '=')
	switch {
	case eq < 0 && len(b) <= 5:
		for _, c := range b[1:] {
			if !(c >= 'A' && c <= 'Z' || c == '$' || c == '#') {
				return s.text(dst, b)
			}
		}
		return append(dst, b...)
	case eq > 1 && digitsLen(b[1:]) == eq-1:
		if n, _ := numberLen(b[eq+1:]); n > 0 && eq+1+n == len(b) {
			return append(dst, b...) // a setting of the machine
		}
	case eq == 2 && b[1] == 'J':
		return s.words(append(dst, b[:3]...), b[3:], "")
	case eq == 3 && b[1] == 'N':
		return s.words(append(dst, b[:4]...), b[4:], "")
	}
	return s.text(dst, b)
}
