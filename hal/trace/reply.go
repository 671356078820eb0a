package trace

import (
	"bytes"
	"regexp"
	"strings"
)

// reply appends a line that the controller says, without its end.
func (s *scrubber) reply(dst, b []byte) []byte {
	if len(bytes.TrimSpace(b)) == 0 {
		return append(dst, b...)
	}
	for _, p := range echoes {
		if rest, ok := bytes.CutPrefix(b, []byte(p.before)); ok {
			return s.echo(append(dst, p.before...), rest, p.after)
		}
	}
	switch {
	case s.said(b):
		return s.text(dst, b)
	case capability(b):
		return append(dst, b...)
	case b[0] == '<':
		return s.status(dst, b)
	case report(b):
		return append(dst, b...)
	}
	rest := b
	for _, p := range []string{"echo:", "Error:", "Warning:", "Info:", "!! ", " "} {
		if cut, ok := bytes.CutPrefix(b, []byte(p)); ok {
			rest = bytes.TrimLeft(cut, " ")
			break
		}
	}
	for _, try := range [][]byte{b, rest} {
		for _, p := range known {
			if out, ok := s.match(dst, try, p, b[:len(b)-len(try)]); ok {
				return out
			}
		}
	}
	return s.text(append(dst, b[:len(b)-len(rest)]...), rest)
}

// said reports whether b is a text that the host had the controller say (M118): such
// a text can look like anything.
func (s *scrubber) said(b []byte) bool {
	text := bytes.TrimRight(bytes.TrimPrefix(bytes.TrimPrefix(b, []byte("echo:")), []byte("//")), "\r ")
	for i := range s.recent {
		if was := s.recent[i].was; len(text) > 0 && bytes.HasPrefix(was, []byte("M118")) && bytes.HasSuffix(bytes.TrimRight(was, "\r "), text) {
			return true
		}
	}
	return false
}

// capability reports whether b is a line such as "Cap:EEPROM:1".
func capability(b []byte) bool {
	name, ok := bytes.CutPrefix(bytes.TrimRight(b, " "), []byte("Cap:"))
	if !ok || len(name) < 3 || name[len(name)-2] != ':' || name[len(name)-1]&^1 != '0' {
		return false
	}
	for _, c := range name[:len(name)-2] {
		if !(c >= 'A' && c <= 'Z' || isDigit(c) || c == '_') {
			return false
		}
	}
	return true
}

// Reports of temperatures, as "ok T:21.8 /0.0 B@:127 W:?", and what an ok says of lines
// and buffers, as "ok N12 P15 B3". A report of a position that has lost bytes on its way
// must not pass for one.
var (
	heat    = regexp.MustCompile(`^(ok)?( *([TBCPAMLR]\d?:(-?\d{1,3}(\.\d{1,2})?|NAN)|/-?\d{1,3}(\.\d{1,2})?|[BC]?@\d?:\d{1,3}|E:\d|W:(\?|\d{1,4})))+ *$`)
	buffers = regexp.MustCompile(`^ok( N\d{1,10})?( P\d{1,3})?( B\d{1,3})? *$`)
)

// report reports whether b is nothing but machine data of a known form.
func report(b []byte) bool {
	return heat.Match(b) && (bytes.IndexByte(b, 'T') >= 0 || bytes.IndexByte(b, '/') >= 0) || buffers.Match(b)
}

// echoes are replies that repeat a command between two texts.
var echoes = []struct{ before, after string }{
	{`echo:Unknown command: "`, `"`}, {`Unknown command: "`, `"`}, {`echo:enqueing "`, `"`}, {`[echo: `, `]`},
	{"Unknown command: ", ""}, {"Unknown command:", ""}, {"Got:", ""}, {"Unknown G code: ", ""}, {"Unknown M code: ", ""},
}

// echo appends a command that a reply repeats, as it was replaced when it was sent.
func (s *scrubber) echo(dst, b []byte, after string) []byte {
	tail := len(b)
	if after != "" {
		if i := bytes.LastIndex(b, []byte(after)); i >= 0 {
			tail = i
		}
	}
	if r := s.find(nil, b[:tail]); r != nil {
		dst = append(dst, r.now...)
	} else {
		dst = s.line(dst, b[:tail])
	}
	return s.text(dst, b[tail:])
}

// states of grbl, and fields of its status report that say nothing of a design.
const (
	states       = " Idle Run Hold:0 Hold:1 Jog Alarm Door:0 Door:1 Door:2 Door:3 Check Home Sleep Tool "
	hiddenFields = " MPos WPos WCO FS F "
	openFields   = " Bf Ov A Pn Ln H T TLR D MPG "
)

// status appends a status report of grbl, "<Run|MPos:1.000,2.000,3.000|FS:500,0>".
func (s *scrubber) status(dst, b []byte) []byte {
	body, ok := bytes.CutSuffix(b[1:], []byte(">"))
	if !ok {
		return s.text(dst, b)
	}
	dst = append(dst, '<')
	for i, f := range bytes.Split(body, []byte("|")) {
		if i > 0 {
			dst = append(dst, '|')
		}
		name, _, _ := bytes.Cut(f, []byte(":"))
		switch {
		case i == 0 && strings.Contains(states, " "+string(f)+" "), i > 0 && strings.Contains(openFields, " "+string(name)+" ") && plain(f):
			dst = append(dst, f...)
		case i > 0 && strings.Contains(hiddenFields, " "+string(name)+" ") && len(f) > len(name):
			dst = s.values(append(append(dst, name...), ':'), f[len(name)+1:])
		default:
			dst = s.text(dst, f)
		}
	}
	return append(dst, '>')
}

// plain reports whether a field of a status report has whole numbers and capitals only: one
// that has swallowed its neighbour on a bad line has not.
func plain(field []byte) bool {
	_, value, _ := bytes.Cut(field, []byte(":"))
	for _, c := range value {
		if !(isDigit(c) || c >= 'A' && c <= 'Z' || c == ',' || c == ':') {
			return false
		}
	}
	return true
}

// values appends numbers between commas, each replaced.
func (s *scrubber) values(dst, b []byte) []byte {
	for len(b) > 0 {
		if n, point := numberLen(b); n > 0 {
			dst, b = s.number(dst, b[:n], point), b[n:]
			continue
		}
		dst, b = s.text(dst, b[:1]), b[1:]
	}
	return dst
}

// match appends b, which stands behind the text before, if it is what pattern p
// says: # are digits that stay, & a number that stays, % one that is replaced; at its
// end, ~ is anything, replaced, ^ anything of which all but digits stays, and _ what a
// firmware says of itself.
func (s *scrubber) match(dst, b []byte, p string, before []byte) ([]byte, bool) {
	begin, state := len(dst), s.state
	dst = append(dst, before...)
	for i := range len(p) {
		switch p[i] {
		case '#', '&', '%':
			n, point := numberLen(b)
			if p[i] == '#' {
				n = digitsLen(b)
			}
			if n == 0 {
				s.state = state
				return dst[:begin], false
			}
			if p[i] != '%' {
				dst = append(dst, b[:n]...)
			} else {
				dst = s.number(dst, b[:n], point)
			}
			b = b[n:]
		default:
			if rest := i == len(p)-1; rest && p[i] == '~' {
				return s.text(dst, b), true
			} else if rest && p[i] == '^' {
				return s.wordsOnly(dst, b), true
			} else if rest && p[i] == '_' {
				return s.versions(dst, b), true
			}
			if len(b) == 0 || b[0] != p[i] {
				s.state = state
				return dst[:begin], false
			}
			dst, b = append(dst, p[i]), b[1:]
		}
	}
	if len(bytes.TrimRight(b, " ")) > 0 {
		s.state = state
		return dst[:begin], false
	}
	return append(dst, b...), true
}

// wordsOnly appends b with its digits replaced.
func (s *scrubber) wordsOnly(dst, b []byte) []byte {
	for _, c := range b {
		if isDigit(c) {
			c = s.digit()
		}
		dst = append(dst, c)
	}
	return dst
}

// versions appends what a firmware says of itself, but for numbers that no version has:
// those with more than two decimals, or two and no second point.
func (s *scrubber) versions(dst, b []byte) []byte {
	for len(b) > 0 {
		n, _ := numberLen(b)
		if n == 0 {
			dst, b = append(dst, b[0]), b[1:]
			continue
		}
		_, frac, _ := bytes.Cut(b[:n], []byte("."))
		next, _, more := bytes.Cut(frac, []byte("."))
		if len(next) > 2 || len(next) > 1 && !more {
			dst = s.number(dst, b[:n], true)
		} else {
			dst = append(dst, b[:n]...)
		}
		b = b[n:]
	}
	return dst
}
