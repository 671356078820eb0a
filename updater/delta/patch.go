package delta

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Patcher is written a delta, in pieces of any size, and writes the new contents as soon
// as it can.
type Patcher struct {
	old     window
	dst     io.Writer
	limit   int64 // bytes dst may get
	size    int64 // bytes it will get; -1 before the header was read
	done    int64 // bytes it got
	pos     int64 // place in the old contents
	pending []byte
	err     error

	unpack [3]io.ReadCloser // one for each section, used again
	buf    [32 << 10]byte
}

// NewPatcher returns a Patcher that takes pieces from old, which has oldSize bytes, and
// writes at most limit bytes to w.
func NewPatcher(old io.ReaderAt, oldSize int64, w io.Writer, limit int64) *Patcher {
	p := &Patcher{old: window{src: old, size: oldSize}, dst: w, limit: limit, size: -1}
	for i := range p.unpack {
		p.unpack[i] = flate.NewReader(bytes.NewReader(nil))
	}
	return p
}

// Write takes the next bytes of the delta. It returns ErrDelta, or what reading the old
// or writing the new contents failed with; after that it refuses everything.
func (p *Patcher) Write(b []byte) (int, error) {
	total := len(b)
	for p.err == nil && len(b) > 0 {
		n := min(p.need()-len(p.pending), len(b))
		p.pending, b = append(p.pending, b[:n]...), b[n:]
		p.err = p.take()
	}
	if p.err != nil {
		return 0, p.err
	}
	return total, nil
}

// Close returns nil if the delta was whole.
func (p *Patcher) Close() error {
	if p.err == nil && (p.size < 0 || p.done < p.size) {
		p.err = fmt.Errorf("it ends early: %w", ErrDelta)
	}
	return p.err
}

// need is how many bytes have to be there before take can do something.
func (p *Patcher) need() int {
	switch {
	case p.size < 0:
		return headerSize
	case len(p.pending) < frameHead:
		return frameHead
	}
	_, packed := sections(p.pending)
	return frameHead + packed[0] + packed[1] + packed[2]
}

// sections reads a frame's header.
func sections(b []byte) (raw, packed [3]int) {
	for i := range raw {
		// A length that an int of 32 bits cannot hold turns negative, and is refused.
		raw[i] = int(int32(binary.LittleEndian.Uint32(b[8*i:])))
		packed[i] = int(int32(binary.LittleEndian.Uint32(b[8*i+4:])))
	}
	return raw, packed
}

// take uses what is pending, if it is enough.
func (p *Patcher) take() error {
	switch n := len(p.pending); {
	case p.size >= 0 && p.done == p.size:
		return fmt.Errorf("something follows its end: %w", ErrDelta)
	case p.size < 0 && n < headerSize || p.size >= 0 && n < frameHead:
		return nil
	case p.size < 0:
		size := binary.LittleEndian.Uint64(p.pending[8:])
		if string(p.pending[:8]) != magic || size > uint64(max(p.limit, 0)) {
			return fmt.Errorf("its header: %w", ErrDelta)
		}
		p.size, p.pending = int64(size), p.pending[:0]
		return nil
	case n == frameHead:
		if err := p.checkFrame(); err != nil {
			return err
		}
	}
	if len(p.pending) < p.need() {
		return nil
	}
	err := p.frame()
	p.pending = p.pending[:0]
	return err
}

// checkFrame refuses a frame that is longer than frames are.
func (p *Patcher) checkFrame() error {
	raw, packed := sections(p.pending)
	for i, n := range raw {
		if n < 0 || n > maxSteps || packed[i] < 0 || packed[i] > packedLimit(n) {
			return fmt.Errorf("a section is too long: %w", ErrDelta)
		}
	}
	makes := raw[1] + raw[2]
	if makes == 0 || makes > frameSize || int64(makes) > p.size-p.done {
		return fmt.Errorf("a frame makes too much, or nothing: %w", ErrDelta)
	}
	if raw[0] > stepsLimit(makes) {
		return fmt.Errorf("a frame has more steps than bytes: %w", ErrDelta)
	}
	return nil
}

// frame makes what a whole frame says.
func (p *Patcher) frame() error {
	raw, packed := sections(p.pending)
	var in [3]io.Reader
	rest := p.pending[frameHead:]
	for i, r := range p.unpack {
		if err := r.(flate.Resetter).Reset(bytes.NewReader(rest[:packed[i]]), nil); err != nil {
			return err
		}
		rest = rest[packed[i]:]
		in[i] = io.LimitReader(r, int64(raw[i]))
	}
	steps := bufio.NewReaderSize(in[0], 4<<10)
	for left := int64(raw[1] + raw[2]); left > 0; {
		same, err1 := binary.ReadUvarint(steps)
		fresh, err2 := binary.ReadUvarint(steps)
		jump, err3 := binary.ReadVarint(steps)
		if errors.Join(err1, err2, err3) != nil {
			return fmt.Errorf("its steps: %w", ErrDelta)
		}
		if same > uint64(left) || fresh > uint64(left)-same || same+fresh == 0 && jump == 0 {
			return fmt.Errorf("a step makes too much, or nothing: %w", ErrDelta)
		}
		left -= int64(same + fresh)
		if err := p.differ(in[1], int64(same)); err != nil {
			return err
		}
		if err := p.literal(in[2], int64(fresh)); err != nil {
			return err
		}
		if p.pos += jump; p.pos < 0 || p.pos > p.old.size {
			return fmt.Errorf("it leaves the old contents: %w", ErrDelta)
		}
	}
	return nil
}

// differ writes n bytes of the old contents, each with its difference added.
func (p *Patcher) differ(differences io.Reader, n int64) error {
	if n > p.old.size-p.pos {
		return fmt.Errorf("it leaves the old contents: %w", ErrDelta)
	}
	for n > 0 {
		b := p.buf[:min(n, int64(len(p.buf)))]
		if _, err := io.ReadFull(differences, b); err != nil {
			return fmt.Errorf("its differences: %w", ErrDelta)
		}
		if err := p.old.add(b, p.pos); err != nil {
			return fmt.Errorf("read the old contents: %w", err)
		}
		if err := p.emit(b); err != nil {
			return err
		}
		p.pos += int64(len(b))
		n -= int64(len(b))
	}
	return nil
}

// literal writes n bytes that are in no old contents.
func (p *Patcher) literal(literals io.Reader, n int64) error {
	for n > 0 {
		b := p.buf[:min(n, int64(len(p.buf)))]
		if _, err := io.ReadFull(literals, b); err != nil {
			return fmt.Errorf("its literals: %w", ErrDelta)
		}
		if err := p.emit(b); err != nil {
			return err
		}
		n -= int64(len(b))
	}
	return nil
}

func (p *Patcher) emit(b []byte) error {
	n, err := p.dst.Write(b)
	p.done += int64(n)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// window reads the old contents in large pieces: the places that follow each other in a
// delta are mostly near each other.
type window struct {
	src  io.ReaderAt
	size int64
	at   int64 // of buf[0]
	n    int   // bytes of buf that count
	buf  [64 << 10]byte
}

// add adds the bytes at pos to those of b; there are enough of them.
func (w *window) add(b []byte, pos int64) error {
	for len(b) > 0 {
		if pos < w.at || pos >= w.at+int64(w.n) {
			n, err := w.src.ReadAt(w.buf[:min(int64(len(w.buf)), w.size-pos)], pos)
			if n == 0 {
				return errors.Join(io.ErrUnexpectedEOF, err)
			}
			w.at, w.n = pos, n
		}
		old := w.buf[pos-w.at : w.n]
		n := min(len(b), len(old))
		for i, o := range old[:n] {
			b[i] += o
		}
		b, pos = b[n:], pos+int64(n)
	}
	return nil
}
