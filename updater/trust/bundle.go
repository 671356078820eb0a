package trust

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"platen/updater"
)

// Bundle is a repository in one file, for printers without a network: an archive of
// plain files (ustar, POSIX.1-1988), as platen-ota bundle writes it. What it holds is
// believed no more than what a mirror says, and no less: signatures, floors and dates
// count as ever.
type Bundle struct {
	r     io.ReaderAt
	files map[string]section
}

// section is where a file lies in a bundle.
type section struct{ at, size int64 }

const (
	tarBlock   = 512
	maxBundled = 1 << 14 // files in a bundle
)

// OpenBundle reads what is in a bundle of size bytes: only the headers.
func OpenBundle(r io.ReaderAt, size int64) (*Bundle, error) {
	b := &Bundle{r, map[string]section{}}
	head := make([]byte, tarBlock)
	for at := int64(0); at < size; {
		if n, err := r.ReadAt(head, at); n < tarBlock {
			return nil, fmt.Errorf("read the bundle: %w: %w", updater.ErrTruncated, err)
		}
		if bytes.Count(head, []byte{0}) == tarBlock {
			return b, nil // the end is a block of zeros
		}
		name, n, ok := tarHeader(head)
		if !ok || n > size-at-tarBlock || len(b.files) == maxBundled {
			return nil, fmt.Errorf("that is no bundle of platen-ota, or it is damaged: copy it again: %w", updater.ErrMetadata)
		}
		if name != "" {
			if _, twice := b.files[name]; twice {
				return nil, fmt.Errorf("the bundle has a file twice: %w", updater.ErrMetadata)
			}
			b.files[name] = section{at + tarBlock, n}
		}
		at += tarBlock + (n+tarBlock-1)/tarBlock*tarBlock
	}
	return nil, fmt.Errorf("the bundle ends too early: copy it again: %w", updater.ErrTruncated)
}

// tarHeader reads a header: the name of a regular file, "" for a folder, and its size.
func tarHeader(h []byte) (name string, size int64, ok bool) {
	number := func(field []byte) (int64, bool) {
		n, err := strconv.ParseInt(strings.Trim(string(field), " \x00"), 8, 64)
		return n, err == nil && n >= 0
	}
	text := func(field []byte) string {
		s, _, _ := bytes.Cut(field, []byte{0})
		return string(s)
	}
	want, ok := number(h[148:156])
	sum := int64(8 * ' ') // as if the sum itself were spaces
	for i, c := range h {
		if i < 148 || i >= 156 {
			sum += int64(c)
		}
	}
	if !ok || sum != want || text(h[257:263]) != "ustar" {
		return "", 0, false
	}
	if size, ok = number(h[124:136]); !ok {
		return "", 0, false
	}
	name = text(h[:100])
	if prefix := text(h[345:500]); prefix != "" {
		name = prefix + "/" + name
	}
	switch h[156] {
	case '0', 0:
		return strings.TrimPrefix(name, "./"), size, name != ""
	case '5':
		return "", 0, true
	}
	return "", 0, false
}

func (b *Bundle) open(_ context.Context, path string, offset int64) (io.ReadCloser, error) {
	name, err := url.PathUnescape(path)
	if err != nil {
		return nil, errNotFound
	}
	at, ok := b.files[name]
	if !ok {
		return nil, errNotFound
	}
	if offset > at.size {
		return nil, updater.ErrTruncated
	}
	return io.NopCloser(io.NewSectionReader(b.r, at.at+offset, at.size-offset)), nil
}

// Use has the client ask a bundle in place of its mirrors, until it is called with nil.
func (c *Client) Use(b *Bundle) {
	c.at, c.mirrors = 0, c.usual
	if b != nil {
		c.mirrors = []mirror{{b, within(b, "targets/")}}
	}
}
