// Package spool keeps the messages of one recipient while it cannot be reached: on the
// disk, encrypted under a key that only this printer's TPM opens, up to a bound.
//
// Start at [Open], [Spool.Put] and [Spool.Peek]. Messages have numbers that never come
// twice. The oldest are sent first, and are dropped first when there is no more room or
// they are too old; how many were lost before the oldest that is left follows from its number.
// What a frame holds is [Spool.Take]n, and leaves the disk when it is acknowledged
// ([Spool.Done]).
//
// Requirements: a message that was put is there after the process was killed, and, if
// it was put [syncEvery] before, after a power cut too; a message that was done does not come
// back, save for the last ones before a power cut; a thief of the disk reads nothing, and
// finds nothing in another place or order; the disk (4.25 MiB) and the memory taken are bounded, and
// a disk that is full or broken costs messages, counted, and nothing else.
// Non-requirements: an older copy of the whole folder, put back, brings old messages
// back; they bear their old times.
//
// Layout: key, the sealed key; seg-0 and up, a ring of segments. A segment is magic and
// its number, of 8 bytes each, and records: 2 bytes of length, 12 of nonce, and kind (1),
// number (8), time (8) and message, or for what is done the next number, under AES-256-GCM. What authenticates a record
// includes the recipient, the number of its segment and the tag of the record before.
// Failures: a record that does not open ends its segment; what comes next is written over
// it. A segment that is begun cuts the oldest to nothing.
package spool

import (
	"crypto/cipher"
	"io"
	"log/slog"
	"sync"
	"time"

	"platen/updater/slot"
)

const (
	segments   = 64
	maxSegment = 64 << 10 // bytes
	syncEvery  = 10 * time.Second
	window     = 128            // oldest messages that are kept in memory: what a batch takes at most
	memory     = 4096           // messages, while the disk takes none
	maxMessage = 4 << 10        // bytes
	maxSpan    = 12 * time.Hour // between the first and the last message of a segment
)

// MaxAge is how old a message gets.
const MaxAge = 14 * 24 * time.Hour

// Spool is the spool of one recipient. Its methods may be called from any goroutine;
// the folder belongs to one process at a time.
type Spool struct {
	id    string
	fs    slot.FS   // nil: nothing is kept on a disk
	dir   io.Closer // its folder; nil if there is nothing to close
	aead  cipher.AEAD
	label string
	log   *slog.Logger
	most  int // messages in memory, while the disk takes none

	mu      sync.Mutex
	limit   int64     // of a segment, in bytes: maxSegment
	segs    []segment // oldest first; the last is written to
	file    slot.File // that one
	size    int64     // of what is good of it
	tag     []byte    // of its last record
	synced  time.Time
	dirty   bool    // something was written since
	failing bool    // the last write failed, and that was said
	head    uint64  // the next message that nobody has spoken for
	done    uint64  // the next message that was not acknowledged
	noted   uint64  // done, as the disk has it
	next    uint64  // the next message that is put
	near    []entry // the oldest messages from head on, rising
	dropped uint64  // messages ever lost
}

// segment is a file of the ring. first and last are numbers of messages; last is
// below first if it holds none.
type segment struct {
	at          int
	number      uint64
	first, last uint64
	began       int64 // time of its first message
}

// entry is a message in memory.
type entry struct {
	n    uint64
	data []byte
}

// ID names the numbers of this spool: those of a spool with another one are no numbers of this.
func (s *Spool) ID() string { return s.id }

// Put adds a message. It does not fail: what cannot be kept is counted.
func (s *Spool) Put(msg []byte, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.next
	s.next++
	whole := n == s.nearEnd() // all that waits is in memory
	s.noteDone()
	err := s.write(kindMessage, n, at.Unix(), msg)
	if err != nil {
		s.complain(err)
	}
	switch {
	case whole && (err != nil || len(s.near) < min(window, s.most)):
		s.near = append(s.near, entry{n, append([]byte(nil), msg...)})
		if len(s.near) > s.most {
			s.lose(s.near[0].n, s.near[0].n)
		}
	case err != nil:
		s.dropped++
	}
	s.expire(at)
}

// Peek returns the oldest messages that nobody has spoken for: as many as fit into room
// bytes, each with overhead bytes of its own, and at most most. Before them lost messages
// were lost, and upto is what [Spool.Take] takes them with.
func (s *Spool) Peek(room, overhead, most int) (msgs [][]byte, lost, upto uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fill()
	upto = s.next // if there is none left, all up to here were lost
	if len(s.near) > 0 {
		upto = s.near[0].n
	}
	lost = upto - s.head
	for i, e := range s.near {
		if room -= len(e.data) + overhead; room < 0 || i >= most || e.n != upto {
			break
		}
		msgs = append(msgs, e.data)
		upto++
	}
	return msgs, lost, upto
}

// Take notes that somebody speaks for all messages before upto. They stay on the disk. The
// number of a message that a power cut took, but that was spoken for, does not come again.
func (s *Spool) Take(upto uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head = max(s.head, upto)
	s.next = max(s.next, upto)
	s.trim()
}

// Done notes that all messages before upto have arrived.
func (s *Spool) Done(upto uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	upto = min(upto, s.next)
	if upto <= s.done {
		return
	}
	s.head = max(s.head, upto)
	s.done = upto
	s.trim()
	s.noteDone()
}

// noteDone writes down what was acknowledged, if that is not done yet.
func (s *Spool) noteDone() {
	if s.noted >= s.done || s.fs == nil {
		return
	}
	if err := s.write(kindDone, s.done, int64(s.next), nil); err != nil {
		s.complain(err)
		return
	}
	s.noted = s.done
}

// Len is how many messages wait, and dropped how many were ever lost.
func (s *Spool) Len() (n int, dropped uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	behind := s.nearEnd()
	n = len(s.near)
	for _, g := range s.segs {
		if from := max(g.first, behind); from <= g.last {
			n += int(g.last - from + 1)
		}
	}
	return n, s.dropped
}

// nearEnd is the first message behind those in memory.
func (s *Spool) nearEnd() uint64 {
	if len(s.near) > 0 {
		return s.near[len(s.near)-1].n + 1
	}
	return s.head
}

// trim forgets messages in memory that were spoken for.
func (s *Spool) trim() {
	i := 0
	for i < len(s.near) && s.near[i].n < s.head {
		i++
	}
	s.near = append(s.near[:0], s.near[i:]...)
}

// lose forgets the messages up to last, which were not spoken for.
func (s *Spool) lose(first, last uint64) {
	if first = max(first, s.head); last < first {
		return
	}
	s.dropped += last - first + 1
	i := 0
	for i < len(s.near) && s.near[i].n <= last {
		i++
	}
	s.near = append(s.near[:0], s.near[i:]...)
}

// expire drops segments whose first message is too old.
func (s *Spool) expire(now time.Time) {
	limit := now.Add(-MaxAge).Unix()
	for len(s.segs) > 1 && s.segs[0].began < limit {
		s.lose(s.segs[0].first, s.segs[0].last)
		s.segs = s.segs[1:]
	}
}

// complain logs the first of several failures.
func (s *Spool) complain(err error) {
	if !s.failing && s.fs != nil {
		s.log.Error("the spool cannot be written: messages wait in memory, as long as there is room", "error", err)
	}
	s.failing = true
}
