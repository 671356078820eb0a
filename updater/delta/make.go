package delta

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
)

// DefaultBlock is how much of the new contents is compared at once, in bytes.
const DefaultBlock = 128 << 20

// maxContents is how long contents may be: positions have 31 bits.
const maxContents = 1<<31 - 1

// Make writes to w the delta that makes next out of old. next is compared in blocks of
// block bytes (0: [DefaultBlock]), each with a stretch of old that is up to twice as long
// and lies around the same place; so it takes 6 bytes of memory for each byte of that
// stretch beside the contents themselves, and finds nothing that moved farther.
func Make(old, next []byte, w io.Writer, block int) error {
	if block <= 0 {
		block = DefaultBlock
	}
	if len(old) > maxContents || len(next) > maxContents {
		return errors.New("contents of 2 GiB and more have no deltas")
	}
	return newEncoder(w, frameSize).encode(old, next, block)
}

func (e *encoder) encode(old, next []byte, block int) error {
	head := append([]byte(magic), 0, 0, 0, 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint64(head[8:], uint64(len(next)))
	if _, err := e.w.Write(head); err != nil {
		return fmt.Errorf("write a delta: %w", err)
	}
	m := &matcher{old: old, next: next}
	for begin := 0; begin < len(next); begin += block {
		end := min(begin+block, len(next))
		m.look(min(len(old), max(0, begin-block/2)), min(len(old), end+block/2))
		if err := m.scan(begin, end, e); err != nil {
			return fmt.Errorf("write a delta: %w", err)
		}
	}
	if err := m.finish(e); err != nil {
		return fmt.Errorf("write a delta: %w", err)
	}
	return nil
}

// piece is a stretch of new contents that lies like a stretch of the old ones: byte i of
// the one beside byte i+shift of the other.
type piece struct {
	begin, shift int
}

// matcher walks over the new contents.
type matcher struct {
	old, next []byte
	piece         // the one that is open
	base      int // of the stretch that sa is of
	sa        []int32
	first     []int32 // where the suffixes with each two first bytes begin in sa
}

// look sorts the stretch of old that the next block is compared with.
func (m *matcher) look(from, to int) {
	if m.sa != nil && from == m.base && to-from == len(m.sa) {
		return
	}
	m.base, m.sa, m.first = from, nil, make([]int32, 1<<16+1) // frees the last one first
	part := m.old[from:to]
	m.sa = suffixes(part)
	for i := range part {
		m.first[letters(part[i:])+1]++
	}
	for i := range m.first[1:] {
		m.first[i+1] += m.first[i]
	}
}

// letters is the two first bytes as a number; a byte that is missing counts as 0, which
// keeps the order.
func letters(b []byte) int {
	if len(b) == 1 {
		return int(b[0]) << 8
	}
	return int(b[0])<<8 | int(b[1])
}

// mostCompared bounds what one comparison of a search reads.
const mostCompared = 1 << 12

// longest is where in old the longest piece that next begins with at p is, and its length.
func (m *matcher) longest(p, end int) (pos, n int) {
	want := m.next[p:min(end, p+mostCompared)]
	part := m.old[m.base : m.base+len(m.sa)]
	l := letters(want)
	lo, hi := int(m.first[l]), int(m.first[l+1])
	i := lo + sort.Search(hi-lo, func(i int) bool {
		at := int(m.sa[lo+i])
		return bytes.Compare(part[at:min(len(part), at+len(want))], want) >= 0
	})
	for _, j := range [...]int{i - 1, i} {
		if j < 0 || j >= len(m.sa) {
			continue
		}
		at := int(m.sa[j])
		if k := equal(part[at:], want); k > n {
			pos, n = m.base+at, k
		}
	}
	if n == len(want) {
		n += equal(m.old[pos+n:], m.next[p+n:end])
	}
	return pos, n
}

// equal is how many bytes a and b begin with in common.
func equal(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for i+8 <= n && binary.LittleEndian.Uint64(a[i:]) == binary.LittleEndian.Uint64(b[i:]) {
		i += 8
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// better is by how many bytes another place has to be more alike than the one that is
// open: a step costs about as much.
const better = 8

// scan finds the pieces of next[p:end].
func (m *matcher) scan(p, end int, e *encoder) error {
	for p < end {
		if n := m.asBefore(p, end); n > 0 {
			p += n
			continue
		}
		pos, n := m.longest(p, end)
		if n <= better || n <= better+m.alike(p, n) {
			p++
			continue
		}
		if err := m.turn(p, pos, e); err != nil {
			return err
		}
		p += n
	}
	return nil
}

// asBefore is how many bytes from p on are the same in the open piece's stretch.
func (m *matcher) asBefore(p, end int) int {
	if at := p + m.shift; at >= 0 && at < len(m.old) {
		return equal(m.old[at:], m.next[p:end])
	}
	return 0
}

// alike counts the bytes among n from p on that are the same in the open piece's stretch.
func (m *matcher) alike(p, n int) int {
	count := 0
	for i := max(p, -m.shift); i < min(p+n, len(m.old)-m.shift); i++ {
		if m.old[i+m.shift] == m.next[i] {
			count++
		}
	}
	return count
}

// turn ends the open piece and begins one in which p lies at pos.
func (m *matcher) turn(p, pos int, e *encoder) error {
	forward := m.forward(p)
	shift := pos - p
	back := m.back(p, shift, m.begin)
	if over := m.begin + forward - (p - back); over > 0 {
		cut := m.cut(p-back, over, shift)
		forward, back = forward-over+cut, back-cut
	}
	begin := p - back
	err := e.step(m.next, m.old, step{at: m.begin, from: m.begin + m.shift, same: forward, end: begin, to: begin + shift})
	m.piece = piece{begin, shift}
	return err
}

// forward is how far the open piece reaches towards p while at least half of it is alike.
func (m *matcher) forward(p int) int {
	same, best, n := 0, 0, 0
	for i := m.begin; i < p && i+m.shift < len(m.old); i++ {
		if m.old[i+m.shift] == m.next[i] {
			same++
		}
		if k := i - m.begin + 1; 2*same-k > best {
			best, n = 2*same-k, k
		}
	}
	return n
}

// back is how far a piece with the given shift reaches back from p, not before stop.
func (m *matcher) back(p, shift, stop int) int {
	same, best, n := 0, 0, 0
	for k := 1; p-k >= stop && p-k+shift >= 0; k++ {
		if m.old[p-k+shift] == m.next[p-k] {
			same++
		}
		if 2*same-k > best {
			best, n = 2*same-k, k
		}
		if 2*same-k < best-256 {
			break // it would have to be very alike from here on
		}
	}
	return n
}

// cut is how many of the over bytes from at on, which both pieces reach, the open one keeps.
func (m *matcher) cut(at, over, shift int) int {
	score, best, n := 0, 0, 0
	for i := range over {
		c := m.next[at+i]
		if m.old[at+i+m.shift] == c {
			score++
		}
		if m.old[at+i+shift] == c {
			score--
		}
		if score > best {
			best, n = score, i+1
		}
	}
	return n
}

// finish writes what is left.
func (m *matcher) finish(e *encoder) error {
	n := m.forward(len(m.next))
	at := m.begin + m.shift
	if err := e.step(m.next, m.old, step{at: m.begin, from: at, same: n, end: len(m.next), to: at + n}); err != nil {
		return err
	}
	return e.flush()
}

// step is a step of a delta: new contents from at to end, of which the first same bytes
// lie at from in the old ones; the next step begins at to there.
type step struct{ at, from, same, end, to int }

// encoder collects the sections of a frame and writes it when it is full.
type encoder struct {
	w    io.Writer
	most int // bytes that a frame makes
	raw  [3][]byte
	pack *flate.Writer
}

// packLevel is below the highest, which takes three times as long for a hundredth.
const packLevel = 8

func newEncoder(w io.Writer, most int) *encoder {
	pack, _ := flate.NewWriter(nil, packLevel) // which is a level
	return &encoder{w: w, most: most, pack: pack}
}

// step adds a step, in as many frames as it takes.
func (e *encoder) step(next, old []byte, s step) error {
	at, from := s.at, s.from
	for same, fresh := s.same, s.end-s.at-s.same; ; {
		room := e.most - len(e.raw[1]) - len(e.raw[2])
		a := min(same, room)
		b := 0
		if a == same {
			b = min(fresh, room-a)
		}
		for i := range a {
			e.raw[1] = append(e.raw[1], next[at+i]-old[from+i])
		}
		e.raw[2] = append(e.raw[2], next[at+a:at+a+b]...)
		at, from, same, fresh = at+a+b, from+a, same-a, fresh-b
		last := same == 0 && fresh == 0
		jump := 0
		if last {
			jump = s.to - from
		}
		if a+b > 0 || jump != 0 {
			e.raw[0] = binary.AppendUvarint(e.raw[0], uint64(a))
			e.raw[0] = binary.AppendUvarint(e.raw[0], uint64(b))
			e.raw[0] = binary.AppendVarint(e.raw[0], int64(jump))
		}
		if len(e.raw[1])+len(e.raw[2]) == e.most {
			if err := e.flush(); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

// flush writes the frame.
func (e *encoder) flush() error {
	if len(e.raw[1])+len(e.raw[2]) == 0 {
		return nil // at most a jump, which nothing follows
	}
	var head [frameHead]byte
	var body bytes.Buffer
	for i, raw := range e.raw {
		before := body.Len()
		e.pack.Reset(&body)
		_, err := e.pack.Write(raw)
		if err = errors.Join(err, e.pack.Close()); err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(head[8*i:], uint32(len(raw)))
		binary.LittleEndian.PutUint32(head[8*i+4:], uint32(body.Len()-before))
		e.raw[i] = raw[:0]
	}
	if _, err := e.w.Write(head[:]); err != nil {
		return err
	}
	_, err := e.w.Write(body.Bytes())
	return err
}
