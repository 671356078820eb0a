package volume

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Template is an empty file system, as what has to be written of it: the rest may be
// anything. Size is in bytes.
//
// As bytes: "PLTNTMP1", the size, and runs: offset and length (uint64, big-endian, the
// length's highest bit says that it is zeros), and the bytes unless they are zeros.
type Template struct {
	Size int64
	runs []run
}

type run struct {
	off  int64
	n    int64
	data []byte // nil: zeros
}

const (
	templateMagic = "PLTNTMP1"
	zeros         = 1 << 63
	zeroChunk     = 256 << 10
)

var errTemplate = errors.New("the template of the state's file system is damaged: build the image anew")

// ParseTemplate reads a template's bytes, which it keeps.
func ParseTemplate(b []byte) (t Template, err error) {
	if len(b) < len(templateMagic)+8 || string(b[:len(templateMagic)]) != templateMagic {
		return t, errTemplate
	}
	b = b[len(templateMagic):]
	t.Size = int64(binary.BigEndian.Uint64(b))
	for b = b[8:]; len(b) > 0; {
		if len(b) < 16 {
			return t, errTemplate
		}
		off, n := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
		r := run{off: int64(off), n: int64(n &^ zeros)}
		b = b[16:]
		if t.Size < 0 || r.off < 0 || r.n <= 0 || r.off > t.Size || r.n > t.Size-r.off {
			return t, errTemplate
		}
		if n&zeros == 0 {
			if r.n > int64(len(b)) {
				return t, errTemplate
			}
			r.data, b = b[:r.n], b[r.n:]
		}
		t.runs = append(t.runs, r)
	}
	return t, nil
}

// MakeTemplate is the template of a file system made on a disk that was filled with fill
// before: blocks of block bytes that still hold nothing else were not written. Size is a
// multiple of block.
func MakeTemplate(fs io.Reader, size int64, block int, fill byte) ([]byte, error) {
	out := binary.BigEndian.AppendUint64([]byte(templateMagic), uint64(size))
	buf, before := make([]byte, block), bytes.Repeat([]byte{fill}, block)
	last := -1 // where in out the run of zeros before this block is
	for off := int64(0); off < size; off += int64(block) {
		if _, err := io.ReadFull(fs, buf); err != nil {
			return nil, fmt.Errorf("read a file system: %w", err)
		}
		if bytes.Equal(buf, before) {
			last = -1
			continue
		}
		if len(bytes.TrimLeft(buf, "\x00")) > 0 {
			last = -1
			out = binary.BigEndian.AppendUint64(out, uint64(off))
			out = append(binary.BigEndian.AppendUint64(out, uint64(block)), buf...)
			continue
		}
		if last < 0 {
			last = len(out) + 8
			out = binary.BigEndian.AppendUint64(out, uint64(off))
			out = binary.BigEndian.AppendUint64(out, zeros)
		}
		binary.BigEndian.PutUint64(out[last:], binary.BigEndian.Uint64(out[last:])+uint64(block))
	}
	return out, nil
}

// Apply writes the file system.
func (t Template) Apply(w io.WriterAt) error {
	var zero []byte
	for _, r := range t.runs {
		if r.data != nil {
			if _, err := w.WriteAt(r.data, r.off); err != nil {
				return err
			}
			continue
		}
		if zero == nil {
			zero = make([]byte, zeroChunk)
		}
		for at := int64(0); at < r.n; at += zeroChunk {
			if _, err := w.WriteAt(zero[:min(zeroChunk, r.n-at)], r.off+at); err != nil {
				return err
			}
		}
	}
	return nil
}
