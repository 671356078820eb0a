package gcode

import (
	"bytes"
	"strings"
)

// Splitter cuts what was read from the port into lines. The zero value is ready.
type Splitter struct {
	buf  [256]byte
	n    int
	over bool // the line is longer than buf; the rest of it is dropped
}

// Next takes bytes from in up to the end of a line and returns that line without
// its end, and what is left of in. more is false when in ran out before the line
// ended. The line is valid until the next call. An overlong line is returned as a
// single NUL, which Parse calls Garbage.
func (s *Splitter) Next(in []byte) (line, rest []byte, more bool) {
	end := bytes.IndexByte(in, '\n')
	part := in
	if end >= 0 {
		part = in[:end]
	}
	if s.n+len(part) > len(s.buf) {
		s.over = true
	} else {
		s.n += copy(s.buf[s.n:], part)
	}
	if end < 0 {
		return nil, nil, false
	}
	line = bytes.TrimRight(s.buf[:s.n], "\r")
	if s.over {
		s.buf[0], line = 0, s.buf[:1]
	}
	s.n, s.over = 0, false
	return line, in[end+1:], true
}

// ParseFirmware reads the answer to M115: the name and version, printable and at
// most 64 bytes, the number of extruders (1 if not told), and the capability that
// Prusa glues to the end of the line ("" if none).
func ParseFirmware(line []byte) (name string, tools int, glued string) {
	text := strings.TrimSpace(string(line))
	text = strings.TrimPrefix(text, "FIRMWARE_NAME:")
	tools = 1
	if _, after, ok := strings.Cut(text, "EXTRUDER_COUNT:"); ok {
		if v, n := digits([]byte(after)); n > 0 && v > 0 && v < 16 {
			tools = int(v)
		}
	}
	if _, after, ok := strings.Cut(text, "Cap:"); ok {
		glued = "Cap:" + after
	}
	for _, end := range []string{" SOURCE_CODE_URL:", " FIRMWARE_URL:", " PROTOCOL_VERSION:", " MACHINE_TYPE:"} {
		text, _, _ = strings.Cut(text, end)
	}
	if len(text) > 64 {
		text = text[:64]
	}
	return text, tools, glued
}

// ParseCap reads a line such as "Cap:EMERGENCY_PARSER:1" and returns the name of the
// capability and whether the controller has it.
func ParseCap(line []byte) (name string, has bool) {
	text, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "Cap:")
	if !ok {
		return "", false
	}
	name, value, ok := strings.Cut(text, ":")
	return name, ok && value == "1" && name != "" && len(name) <= 40
}
