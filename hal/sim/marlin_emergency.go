package sim

// emergency looks for commands that cannot wait while they are still being
// received, as EMERGENCY_PARSER does. A line number before them is allowed.
type emergency struct {
	word   [3]byte
	n      int
	state  uint8
	killed bool // M112 came
	cancel bool // M108 came
	quick  bool // M410 came

	answered bool // M876 S came
	answer   int
	digit    int // behind the S of this line, or -1
	last     byte
}

const (
	emStart uint8 = iota
	emNumber
	emWord
	emIgnore
)

func (e *emergency) update(c byte) {
	if c == '\n' || c == '\r' {
		if e.state == emWord {
			e.match()
		}
		e.state = emStart
		return
	}
	switch e.state {
	case emStart, emNumber:
		switch {
		case c == 'M':
			e.state, e.n, e.digit, e.last = emWord, 0, -1, 0
		case c == ' ':
		case c == 'N' && e.state == emStart:
			e.state = emNumber
		case e.state == emNumber && (c == '-' || c >= '0' && c <= '9'):
		default:
			e.state = emIgnore
		}
	case emWord: // whatever follows three digits does not matter
		if e.n < len(e.word) {
			e.word[e.n] = c
			e.n++
		} else if e.last == 'S' && c >= '0' && c <= '9' && e.digit < 0 {
			e.digit = int(c - '0')
		}
		e.last = c
	}
}

func (e *emergency) match() {
	switch string(e.word[:e.n]) {
	case "112":
		e.killed = true
	case "108":
		e.cancel = true
	case "410":
		e.quick = true
	case "876":
		if e.digit >= 0 {
			e.answered, e.answer = true, e.digit
		}
	}
}
