package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// source is a buffered reader whose buffer is in the vault. It holds its reader to
// the size that was promised.
type source struct {
	ctx  context.Context
	r    io.Reader
	buf  []byte
	i, n int   // unread bytes are buf[i:n]
	left int64 // bytes of the file that have not been read from r
}

// peek returns the next n bytes and leaves them unread.
func (s *source) peek(n int) ([]byte, error) {
	if s.n-s.i < n {
		if err := s.fill(n); err != nil {
			return nil, err
		}
	}
	return s.buf[s.i : s.i+n], nil
}

// fill reads until at least n bytes are unread.
func (s *source) fill(n int) error {
	if int64(n-(s.n-s.i)) > s.left {
		return ErrFormat
	}
	if err := s.ctx.Err(); err != nil {
		return err
	}
	copy(s.buf, s.buf[s.i:s.n])
	s.n -= s.i
	s.i = 0
	room := s.buf[s.n:]
	room = room[:min(int64(len(room)), s.left)]
	got, err := io.ReadAtLeast(s.r, room, n-s.n)
	s.n += got
	s.left -= int64(got)
	return readError(err)
}

// readError tells a file that is too short from one that cannot be read.
func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w (it ends too early)", ErrFormat)
	}
	return err
}

// next returns the next n bytes; they are good until the next call.
func (s *source) next(n int) ([]byte, error) {
	b, err := s.peek(n)
	s.i += len(b)
	return b, err
}

// skip passes over n bytes.
func (s *source) skip(n int) error {
	_, err := s.next(n)
	return err
}

// more reports whether any byte is left, and reads some if need be.
func (s *source) more() (bool, error) {
	if s.i < s.n {
		return true, nil
	}
	if s.left == 0 {
		return false, nil
	}
	_, err := s.peek(1)
	return err == nil, err
}

// end reads on to the end of r, so that a reader that authenticates its last
// bytes has done so. Bytes beyond the promised size are ErrFormat.
func (s *source) end() error {
	if s.left != 0 || s.i != s.n {
		return ErrFormat
	}
	switch n, err := io.ReadFull(s.r, s.buf[:1]); {
	case n > 0:
		return fmt.Errorf("%w (it is longer than announced)", ErrFormat)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}
