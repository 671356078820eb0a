package sim

import (
	"strconv"
	"strings"
)

// repText is a line on its way in: what readFromSerial and prefetchContent each keep.
type repText struct {
	buf     [repLine]byte
	n       int
	comment bool
	binary  bool
	size    int // of a binary command, once known
}

// whole takes a byte and reports whether it ended an ASCII line or a binary command.
func (t *repText) whole(c byte) (line, packet bool) {
	t.buf[t.n] = c
	t.n++
	if t.n == 1 && !t.comment {
		t.binary, t.size = c&128 != 0, 0
	}
	if t.binary {
		if t.n == 4 || t.n == 5 {
			t.size = repBinarySize(t.buf[:5])
		}
		return false, t.n >= 4 && t.n == t.size
	}
	switch c {
	case 0, '\n', '\r':
		t.n--
		t.comment = false
		return true, false
	case ';':
		t.comment = true
	}
	if t.comment {
		t.n--
	}
	return false, false
}

// prefetch moves what has been received to where lines are read from, and acts on
// M108 and M112 on the way (SerialGCodeSource::prefetchContent).
func (r *repetier) prefetch() {
	for r.up() && r.rx.n > 0 && r.ahead.n < repFetch {
		c := r.rx.get()
		line, packet := r.early.whole(c)
		switch {
		case line:
			if r.early.n > 0 {
				if cmd, ok := r.parse(string(r.early.buf[:r.early.n]), false); ok {
					r.testEmergency(&cmd)
				}
			}
			r.early.n = 0
		case packet:
			if cmd, ok := r.parseBinary(r.early.buf[:r.early.n]); ok {
				r.testEmergency(&cmd)
			}
			r.early.n = 0
		case r.early.n >= repLine-1:
			r.early.n = 0
		}
		r.ahead.put(c)
	}
}

func (r *repetier) testEmergency(c *repCommand) {
	switch {
	case !c.has('M'):
	case c.m() == 108:
		r.cut = true
	case c.m() == 112:
		r.emergencyStop()
	}
}

// readSerial is GCode::readFromSerial: it takes at most one line.
func (r *repetier) readSerial() {
	r.prefetch()
	if r.taken || !r.up() {
		return
	}
	if r.ahead.n == 0 {
		r.silent()
	}
	for r.up() && r.ahead.n > 0 {
		r.data = r.now
		c := r.ahead.get()
		if r.text.n == 0 && !r.text.comment {
			if r.resend >= 0 && r.binary {
				r.resync(c)
				continue
			}
			if c == 0 {
				return // zeros between lines mean nothing
			}
		}
		line, packet := r.text.whole(c)
		switch {
		case line:
			if r.line() {
				return
			}
		case packet:
			cmd, ok := r.parseBinary(r.text.buf[:r.text.n])
			r.text.n = 0
			if ok {
				r.accept(cmd)
			} else {
				r.askAgain()
			}
			return
		case r.text.n == repLine:
			r.askAgain()
		}
	}
}

// resync skips what was on its way behind a bad binary command: all until 31 zeros in
// a row have come.
func (r *repetier) resync(c byte) {
	if c == 0 {
		r.resend--
	} else {
		r.resend = repResendBin
	}
}

// silent answers a host that has said nothing for a while.
func (r *repetier) silent() {
	if r.now < r.silence() {
		return
	}
	if r.resend >= 0 || r.text.n > 0 {
		r.askAgain()
	} else {
		r.print("wait\r\n")
	}
	r.data = r.now
}

// line deals with a whole line and reports whether it was more than an empty one.
func (r *repetier) line() bool {
	s := string(r.text.buf[:r.text.n])
	r.print("Got:" + s + "\r\n")
	r.text.n = 0
	if s == "" {
		return false
	}
	r.spend(r.cfg.LineTime / 6)
	if c, ok := r.parse(s, true); ok {
		r.accept(c)
	} else if r.up() {
		r.askAgain()
	}
	return true
}

// askAgain is requestResend.
func (r *repetier) askAgain() {
	r.text.n = 0
	r.resend = repResendTxt
	if r.text.binary {
		r.resend = repResendBin
	}
	r.stats.Resends++
	r.print("\r\nResend:" + strconv.FormatUint(uint64(r.lastN+1), 10) + "\r\n")
	r.reply("ok\r\n")
}

// accept is checkAndPushCommand.
func (r *repetier) accept(c repCommand) {
	if c.has('M') {
		switch c.m() {
		case 110:
			r.lastN = r.actual
			r.reply("ok\r\n")
			r.resend = -1
			return
		case 112:
			r.emergencyStop()
			return
		}
	}
	if c.has('N') && !r.inOrder(c.line) {
		return
	}
	if c.has('N') {
		r.lastN = c.line
	}
	if r.fatal != "" && !(c.has('M') && c.m() == 999) {
		r.reportFatal()
	} else {
		r.cmd, r.taken = c, true
	}
	r.reply("ok " + strconv.FormatUint(uint64(r.actual), 10) + "\r\n")
	r.binary = r.text.binary
	r.signal = r.now
	r.resend = -1
}

// inOrder reports whether line n is the one that is due. One that was seen before is
// passed over; another is asked for, but only once for what was already on its way.
func (r *repetier) inOrder(n uint32) bool {
	if (r.lastN+1)&0xffff == n&0xffff {
		return true
	}
	switch {
	case uint16(r.lastN-n) < repSeen:
	case r.resend < 0:
		r.print("Error:expected line " + strconv.FormatUint(uint64(r.lastN+1), 10) +
			" got " + strconv.FormatUint(uint64(n), 10) + "\r\n")
		r.askAgain()
		return false
	default:
		r.resend--
	}
	r.print("skip " + strconv.FormatUint(uint64(n), 10) + "\r\n")
	r.reply("ok\r\n")
	return false
}

func (r *repetier) error(s string) { r.print("Error:" + s + "\r\n") }

// repCommand is a parsed line. Words may stand in any order, and each counts once:
// its last value.
type repCommand struct {
	seen  uint32 // by letter
	value [26]float64
	text  string // of commands that take one
	line  uint32
}

func (c *repCommand) has(w byte) bool           { return c.seen>>(w-'A')&1 != 0 }
func (c *repCommand) get(w byte) float64        { return c.value[w-'A'] }
func (c *repCommand) m() int                    { return int(c.get('M')) }
func (c *repCommand) set(w byte, v float64)     { c.seen |= 1 << (w - 'A'); c.value[w-'A'] = v }
func (c *repCommand) number(w byte) (int, bool) { return int(c.get(w)), c.has(w) }

// repWhole are the words that hold whole numbers.
const repWhole = "NGMTSP"

// parse is GCode::parseAscii. A wrong checksum is said and refused; a line without
// one is taken as it is, numbered or not, but for the first text after a binary
// command. Words that look like line numbers count even in lines that are refused.
func (r *repetier) parse(s string, toRun bool) (c repCommand, ok bool) {
	from, checked := 0, false
	if i := strings.IndexAny(s, "\x00(%"); i >= 0 {
		s = s[:i]
	}
	for i := 0; i < len(s); i++ {
		w := s[i] &^ 0x20
		switch {
		case s[i] == '*':
			var sum byte
			for ; from < i; from++ {
				sum ^= s[from]
			}
			if byte(leadingInt(s[i+1:])) != sum {
				r.error("Wrong checksum")
				return c, false
			}
			checked = true
		case w < 'A' || w > 'Z' || strings.IndexByte("QUVW", w) >= 0:
		case strings.IndexByte(repWhole, w) >= 0:
			v := int(leadingInt(s[i+1:]))
			c.setWhole(w, v)
			if w == 'N' {
				r.actual = c.line
			}
			if w == 'M' && repTakesText(v) {
				c.text = repTail(s[i+1:], v)
				return c, true // the rest of the line, checksum included, is the text's
			}
		default:
			c.set(w, repFloat(s[i+1:]))
		}
	}
	if toRun && r.binary && !checked {
		r.error("Checksum required when switching back to ASCII protocol.")
		return c, false
	}
	return c, true
}

func (c *repCommand) setWhole(w byte, v int) {
	switch w {
	case 'N':
		c.line = uint32(v)
	case 'G', 'M':
		v &= 0xffff
	case 'T':
		v &= 0xff
	}
	c.set(w, float64(v))
}

func repTakesText(m int) bool {
	switch m {
	case 20, 23, 28, 29, 30, 32, 36, 117, 118, 531:
		return true
	}
	return false
}

// repTail is the text behind such an M code: up to a blank for file names and the
// like, up to an asterisk always.
func repTail(s string, m int) string {
	s = strings.TrimLeft(strings.TrimLeft(s, "0123456789"), " ")
	stop := " *"
	if m == 117 || m == 20 || m == 531 {
		stop = "*"
	}
	if i := strings.IndexAny(s, stop); i >= 0 {
		s = s[:i]
	}
	return s
}

// repFloat reads as strtod does after blanks; 0 if there is no number.
func repFloat(s string) float64 {
	s = strings.TrimLeft(s, " ")
	end := 0
	digits := func() (some bool) {
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
			some = true
		}
		return some
	}
	if end < len(s) && (s[end] == '-' || s[end] == '+') {
		end++
	}
	some := digits()
	if end < len(s) && s[end] == '.' {
		end++
		some = digits() || some
	}
	if !some {
		return 0
	}
	if whole := end; end < len(s) && s[end]|0x20 == 'e' {
		if end++; end < len(s) && (s[end] == '-' || s[end] == '+') {
			end++
		}
		if !digits() {
			end = whole
		}
	}
	v, _ := strconv.ParseFloat(s[:end], 64) // out of range is an infinity, as for strtod
	return v
}

// words writes a command as printCommand does.
func (c *repCommand) words() string {
	b := []byte{}
	for _, w := range "NMGT" {
		if c.has(byte(w)) {
			b = append(strconv.AppendInt(append(b, byte(w)), int64(c.get(byte(w))), 10), ' ')
		}
	}
	for _, w := range "XYZEFSPIJRDCHABKLO" {
		if !c.has(byte(w)) {
			continue
		}
		b = append(b, ' ', byte(w))
		switch w {
		case 'S', 'P':
			b = strconv.AppendInt(b, int64(c.get(byte(w))), 10)
		case 'E':
			b = strconv.AppendFloat(b, c.get(byte(w)), 'f', 4, 64)
		default:
			b = strconv.AppendFloat(b, c.get(byte(w)), 'f', 2, 64)
		}
	}
	return string(b) + c.text
}
