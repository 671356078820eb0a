// Package loadertest holds the bytes that a bootloader's protocol sends against a script:
// a [Script] is a link at whose other end everything is known beforehand.
package loadertest

import (
	"context"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"platen/hal/flash/loader"
)

// Script is a link that expects requests and gives answers. Its clock is that of a
// synctest bubble: a read without an answer takes until its deadline.
type Script struct {
	T     *testing.T
	Mode  loader.Mode // what the line must be opened with
	Steps []string    // request, answer, request, … in hexadecimal; blanks mean nothing

	Resets []bool // the resets there were, with what they asked of BOOT0

	pending []byte
	until   time.Time
}

// Open returns the line.
func (s *Script) Open(_ context.Context, m loader.Mode) (loader.Port, error) {
	if m != s.Mode {
		s.T.Errorf("opened with %+v, want %+v", m, s.Mode)
	}
	return s, nil
}

// Reset counts.
func (s *Script) Reset(_ context.Context, _ loader.Port, boot bool) error {
	s.Resets = append(s.Resets, boot)
	return nil
}

// Write takes one whole request.
func (s *Script) Write(p []byte) (int, error) {
	if len(s.Steps) < 2 {
		s.T.Errorf("%x was sent after the end", p)
		return 0, io.ErrClosedPipe
	}
	if got, want := hex.EncodeToString(p), strings.ReplaceAll(s.Steps[0], " ", ""); got != want {
		s.T.Errorf("sent %s, want %s", got, want)
	}
	answer, err := hex.DecodeString(strings.ReplaceAll(s.Steps[1], " ", ""))
	if err != nil {
		s.T.Fatal(err)
	}
	s.pending, s.Steps = append(s.pending, answer...), s.Steps[2:]
	return len(p), nil
}

// Read gives what was answered.
func (s *Script) Read(p []byte) (int, error) {
	if len(s.pending) == 0 {
		time.Sleep(time.Until(s.until))
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

// SetReadDeadline is that of a port.
func (s *Script) SetReadDeadline(t time.Time) error {
	s.until = t
	return nil
}

// Close does nothing: the line can be opened again.
func (s *Script) Close() error { return nil }

// Done fails the test if not everything was sent.
func (s *Script) Done() {
	s.T.Helper()
	if len(s.Steps) > 0 {
		s.T.Errorf("never sent: %v", s.Steps)
	}
}
