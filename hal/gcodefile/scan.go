package gcodefile

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

const (
	maxCode = 256 // bytes of commands in one line
	maxNote = 64  // bytes of a comment that are looked at
)

// scanner splits a file into lines, each into what is a command and what is a
// comment. It keeps one line at a time.
type scanner struct {
	r     *bufio.Reader
	line  int // of the last next, from 1
	code  []byte
	note  []byte
	codeB [maxCode]byte
	noteB [maxNote]byte
}

func newScanner(r io.Reader) *scanner { return &scanner{r: bufio.NewReaderSize(r, 1<<14)} }

// next reads the next line into code and note, without blanks around them. At the
// end of the file it returns io.EOF.
func (s *scanner) next() (Reason, error) {
	s.line++
	s.code, s.note = s.codeB[:0], s.noteB[:0]
	inNote, some, cr := false, false, false
	for {
		part, err := s.r.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && err != io.EOF && !full {
			return ReasonRead, err
		}
		some = some || len(part) > 0
		if cr && !bytes.Equal(part, []byte("\n")) && len(part) > 0 {
			return ReasonControl, nil
		}
		part = bytes.TrimSuffix(part, []byte("\n"))
		if cr = full && bytes.HasSuffix(part, []byte("\r")); cr || !full {
			part = bytes.TrimSuffix(part, []byte("\r")) // if it is the last of the line
		}
		if s.line == 1 && !inNote && len(s.code) == 0 {
			part = bytes.TrimPrefix(part, []byte("\xEF\xBB\xBF"))
		}
		if r := s.take(part, &inNote); r != 0 {
			return r, nil
		}
		if full {
			continue
		}
		if err == io.EOF && !some {
			return 0, io.EOF
		}
		s.code, s.note = bytes.TrimRight(s.code, " \t"), bytes.Trim(s.note, " \t")
		return 0, nil
	}
}

// take adds a part of a line.
func (s *scanner) take(part []byte, inNote *bool) Reason {
	for _, c := range part {
		if c < ' ' && c != '\t' || c == 0x7F {
			return ReasonControl
		}
	}
	if !*inNote {
		code, note, found := bytes.Cut(part, []byte(";"))
		if len(s.code) == 0 {
			code = bytes.TrimLeft(code, " \t")
		}
		if len(s.code)+len(code) > maxCode {
			return ReasonLong
		}
		s.code = append(s.code, code...)
		*inNote, part = found, note
	}
	if *inNote {
		s.note = append(s.note, part[:min(len(part), maxNote-len(s.note))]...)
	}
	return 0
}
