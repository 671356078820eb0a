package pack

import (
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"

	"platen/slicer/vault"
)

// Reader reads one entry after the other. It is an io.Reader.
type Reader struct {
	f      *inflater
	crc    uint32
	want   uint32
	left   int64
	packed bool
	bare   bool              // neither its length nor its checksum is known
	stored []byte            // what is left of an entry that is not compressed
	ready  []byte            // decompressed and not read
	upTo   func(n int) error // waits for the first n bytes of an entry that is arriving; nil if all is there
	err    error
}

// String says nothing of the contents.
func (r *Reader) String() string { return "reader" }

// GoString says nothing of the contents.
func (r *Reader) GoString() string { return "reader" }

// LogValue says nothing of the contents.
func (r *Reader) LogValue() slog.Value { return slog.StringValue("reader") }

// NewReader takes 144 KiB of scratch memory of v.
func NewReader(v *vault.Vault) (*Reader, error) {
	f, err := newInflater(v)
	if err != nil {
		return nil, err
	}
	return &Reader{f: f, err: io.EOF}, nil
}

// Reset goes to the beginning of entry i of a.
func (r *Reader) Reset(a *Archive, i int) {
	e := &a.entries[i]
	body := a.data[e.data:][:e.packed]
	*r = Reader{f: r.f, want: e.crc, left: e.size, packed: e.method == methodDeflate, stored: body}
	if r.packed {
		r.f.reset(body)
	}
}

// ResetBare goes to the beginning of what lies in memory, as it is or as a deflate
// stream. It has no checksum, so whoever calls has made sure of body; and a stream may
// hold as much as an entry of its size may.
func (r *Reader) ResetBare(body []byte, deflate bool) {
	*r = Reader{f: r.f, left: int64(len(body)), packed: deflate, bare: true, stored: body}
	if deflate {
		r.left = min(mostRatio*int64(len(body))+freeSize, mostSize)
		r.f.reset(body)
	}
}

// Read reads on. It is io.EOF only if all of the entry was read and is what the
// directory says, and else ErrFormat.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.ready) == 0 {
		if r.err == nil {
			r.err = r.more()
		}
		if r.err != nil {
			return 0, r.err
		}
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// more makes some bytes ready.
func (r *Reader) more() error {
	if r.packed {
		next := r.f.next
		if r.upTo != nil {
			next = r.await
		}
		b, err := next()
		if err != nil {
			return fmt.Errorf("%w (%w)", ErrFormat, err)
		}
		r.ready = b
	} else {
		n := min(len(r.stored), room)
		r.ready, r.stored = r.stored[:n], r.stored[n:]
	}
	if int64(len(r.ready)) > r.left {
		r.ready = nil
		return fmt.Errorf("%w (an entry is longer than it says)", ErrFormat)
	}
	r.left -= int64(len(r.ready))
	r.crc = crc32.Update(r.crc, crc32.IEEETable, r.ready)
	if len(r.ready) > 0 {
		return nil
	}
	switch {
	case r.left > 0 && !r.bare:
		return fmt.Errorf("%w (an entry is shorter than it says)", ErrFormat)
	case r.crc != r.want && !r.bare:
		return fmt.Errorf("%w (a checksum is wrong)", ErrFormat)
	case r.packed && r.f.rest() > 0:
		return fmt.Errorf("%w (bytes behind the end of an entry)", ErrFormat)
	}
	return io.EOF
}
