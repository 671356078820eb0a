package sim

import (
	"strconv"
	"strings"
)

// command is one line as the firmware's parser sees it: a letter, a number and
// words behind it.
type command struct {
	raw    string // without line number and checksum, for the echo of unknown ones
	letter byte   // 0 if the line is not a command
	num    int
	args   string
}

// parseCommand takes a line of the queue apart (Marlin/src/gcode/parser.cpp). The
// checksum has been verified; here it is only cut off.
func parseCommand(line string) command {
	s := strings.TrimLeft(line, " ")
	if strings.HasPrefix(s, "N") && len(s) > 1 && isNumeric(s[1]) {
		s = strings.TrimLeft(s[2:], "0123456789")
		s = strings.TrimLeft(s, " ")
	}
	if i := strings.IndexByte(s, '*'); i >= 0 {
		s = strings.TrimRight(s[:i], " ")
	}
	c := command{raw: s}
	if s == "" || (s[0] != 'G' && s[0] != 'M' && s[0] != 'T') {
		return c
	}
	rest := strings.TrimLeft(s[1:], " ")
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' && end < 6 {
		end++
	}
	if end == 0 {
		return c
	}
	c.letter = s[0]
	c.num, _ = strconv.Atoi(rest[:end]) // digits only, at most six
	c.args = strings.TrimLeft(rest[end:], " ")
	return c
}

func isNumeric(c byte) bool { return c == '-' || c >= '0' && c <= '9' }

// seen reports whether the word c is there, with or without a value.
func (c *command) seen(w byte) bool { return strings.IndexByte(c.args, w) >= 0 }

// value is the number behind the word w.
func (c *command) value(w byte) (float64, bool) {
	i := strings.IndexByte(c.args, w)
	if i < 0 {
		return 0, false
	}
	s := strings.TrimLeft(c.args[i+1:], " ")
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || s[end] == '.' || (end == 0 && (s[end] == '-' || s[end] == '+'))) {
		end++
	}
	v, err := strconv.ParseFloat(s[:end], 64)
	return v, err == nil
}
