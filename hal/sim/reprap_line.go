package sim

import "strings"

// rrfState is where the parser of a line is (GCodeBufferState).
type rrfState uint8

const (
	rrfBegin rrfState = iota
	rrfNumber
	rrfBlank
	rrfCode
	rrfQuoted
	rrfSum
	rrfDiscard
)

// rrfText is a line on its way in (StringParser::Put). A checksum counts only in a line
// that begins with a number; three digits or fewer are the exclusive or of its bytes,
// five a CRC.
type rrfText struct {
	state    rrfState
	buf      []byte
	over     bool
	numbered bool
	summed   bool
	number   int64
	sum      byte
	crc      uint16
	declared int
	digits   int
}

// crc16 is CRC-16 with the polynomial 0x1021, from zero (Storage/CRC16.cpp).
func crc16(crc uint16, c byte) uint16 { return crc<<8 ^ crc16Table[byte(crc>>8)^c] }

var crc16Table = func() (t [256]uint16) {
	for i := range t {
		crc := uint16(i) << 8
		for range 8 {
			crc = crc<<1 ^ crc>>15*0x1021
		}
		t[i] = crc
	}
	return t
}()

func (t *rrfText) restart() { *t = rrfText{buf: t.buf[:0]} }

func (t *rrfText) check(c byte) {
	if t.numbered {
		t.sum ^= c
		t.crc = crc16(t.crc, c)
	}
}

func (t *rrfText) store(c byte) {
	t.check(c)
	if len(t.buf) >= rrfLine-1 {
		t.over = true
		return
	}
	t.buf = append(t.buf, c)
}

// put takes a byte other than the end of a line.
func (t *rrfText) put(c byte) {
	if c == 0x7f { // what a UART stores for an error
		t.buf, t.state = t.buf[:0], rrfDiscard
	}
	for again := true; again; {
		again = false
		switch t.state {
		case rrfBegin:
			switch c {
			case 'N', 'n':
				t.numbered = true
				t.check(c)
				t.state = rrfNumber
			case ' ', '\t':
				t.check(c)
			default:
				t.state, again = rrfCode, true
			}
		case rrfNumber:
			if c >= '0' && c <= '9' {
				t.check(c)
				t.number = (10*t.number + int64(c-'0')) & 0xffffffff
			} else {
				t.state, again = rrfBlank, true
			}
		case rrfBlank:
			if c == ' ' || c == '\t' {
				t.check(c)
			} else {
				t.state, again = rrfCode, true
			}
		case rrfCode:
			t.code(c)
		case rrfQuoted:
			t.store(c)
			if c == '"' {
				t.state = rrfCode
			}
		case rrfSum:
			if c >= '0' && c <= '9' {
				t.declared = (10*t.declared + int(c-'0')) & 0x7ffffff // no sum has so many digits; fits an int of 32 bits
				t.digits++
			} else {
				t.state = rrfDiscard
			}
		}
	}
}

func (t *rrfText) code(c byte) {
	switch {
	case c == '*' && t.numbered:
		t.summed, t.state = true, rrfSum
	case c == ';':
		t.state = rrfDiscard
	case c == '"':
		t.store(c)
		t.state = rrfQuoted
	default:
		t.store(c)
	}
}

// good is StringParser::LineFinished: whether the line is one to obey. needs is what
// M575 asks for.
func (t *rrfText) good(needs int) bool {
	switch {
	case !t.summed:
		return needs&5 == 0
	case t.digits == 5:
		return int(t.crc) == t.declared
	case t.digits >= 1 && t.digits <= 3:
		return needs&4 == 0 && int(t.sum) == t.declared
	}
	return false
}

// nextLine reads what has been received up to the end of a line that is to be obeyed.
// A bad one is thrown away without a word; the statistics count those with a number as
// lines that other firmware would ask for again.
func (r *reprap) nextLine() (string, bool) {
	for r.up() && r.rx.n > 0 {
		c := r.rx.get()
		if c != 0 && c != '\n' && c != '\r' {
			r.text.put(c)
			continue
		}
		t := &r.text
		if len(t.buf) == 0 {
			t.restart()
			continue
		}
		ok, line, over := t.good(r.checks), string(t.buf), t.over
		number := int64(-1)
		if t.numbered {
			number = t.number
		}
		t.restart()
		switch {
		case !ok && number >= 0:
			r.stats.Resends++
		case !ok:
		case over:
			r.print("Error: GCode command too long\nok\n")
		default:
			r.lineN = number
			return line, true
		}
	}
	return "", false
}

// rrfCut takes the first command of a line: it ends where a G or M stands outside of
// quotes (StringParser::FindParameters).
func rrfCut(line string) (cmd, rest string) {
	quoted := false
	for i := 1; i < len(line); i++ {
		switch c := line[i] &^ 0x20; {
		case line[i] == '"':
			quoted = !quoted
		case !quoted && (c == 'G' || c == 'M'):
			return line[:i], line[i:]
		}
	}
	return line, ""
}

// rrfCommand is one command of a line.
type rrfCommand struct {
	letter byte
	num    int
	args   string
}

func rrfParse(s string) rrfCommand {
	c := rrfCommand{letter: s[0] &^ 0x20, num: -1}
	rest := s[1:]
	end := 0
	for end < len(rest) && end < 6 && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	if end > 0 {
		c.num = int(leadingInt(rest[:end]))
	}
	c.args = strings.TrimSpace(rest[end:])
	return c
}

// value is the number behind the word w, which may stand in either case.
func (c *rrfCommand) value(w byte) (float64, bool) {
	quoted := false
	for i := 0; i < len(c.args); i++ {
		switch {
		case c.args[i] == '"':
			quoted = !quoted
		case !quoted && c.args[i]&^0x20 == w:
			return repFloat(c.args[i+1:]), true
		}
	}
	return 0, false
}

func (c *rrfCommand) seen(w byte) bool { _, ok := c.value(w); return ok }

// quoted is the text in quotes behind the word w.
func (c *rrfCommand) quoted(w byte) (string, bool) {
	_, rest, ok := strings.Cut(c.args, string(w)+"\"")
	if !ok {
		return "", false
	}
	s, _, _ := strings.Cut(rest, "\"")
	return s, true
}
