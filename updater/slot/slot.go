// Package slot holds the slot record: which of the two places an update can live
// in is confirmed, which is on trial, and how far back this printer may never go.
// Start at [Log], which reads and changes a [Record].
//
// # Requirements
//
//   - A power cut at any moment leaves the record as it was before or after the
//     change that was under way, never neither.
//   - A change that [Log.Update] reported as done is still there after a cut.
//   - The floors never fall, not through a cut and not through a lost file of
//     another package: package trust keeps its own copy of them.
//   - Two processes (the launcher and the agent it started) may change it.
//
// # Non-requirements
//
//   - Resisting somebody who can write the disk: what runs is measured into the
//     TPM, and what is installed is signed. The record only survives accidents.
//   - More than two slots, or history.
//
// # Layout
//
// One file of 8192 bytes named "slots": copy 0 at offset 0, copy 1 at 4096. A copy
// is 192 bytes and so lies within one sector of any medium. Little-endian:
//
//	 0  magic "PLTNSLOT"
//	 8  version (uint16, 1), active, trying, tries (bytes), three zero bytes
//	16  generation, floor, bad (uint64 each), clock (int64, Unix seconds)
//	48  slot A, slot B: release, size (uint64), digest (32 bytes), flags, 7 zeros
//	160 SHA-256 of the 160 bytes before it
//
// The valid copy with the greater generation counts. A change goes to the other
// copy, with the next generation, in one write, is made durable and read back.
//
// # Failures
//
//   - Torn write: that copy's digest is wrong, the other copy counts; the change
//     had not been reported as done.
//   - No file: an empty record. It is created whole under another name, made
//     durable and renamed, so that a file that is there has had a valid copy.
//   - Both copies invalid (bit rot, another file put there): [ErrRecord] from
//     [Log.Load]; the launcher runs the factory binary, and the next change starts
//     from an empty record. The floors survive in package trust.
//   - An I/O error is returned as it is and never taken for an invalid copy.
package slot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// Name names a slot.
type Name uint8

// The slots. None stands for the factory binary, or for no slot at all.
const (
	None Name = iota
	A
	B
)

// String is "a", "b" or "none".
func (n Name) String() string {
	switch n {
	case A:
		return "a"
	case B:
		return "b"
	}
	return "none"
}

// Parse is the inverse of String; anything it does not know is None.
func Parse(s string) Name {
	switch s {
	case "a":
		return A
	case "b":
		return B
	}
	return None
}

// Other is the slot beside n; of None it is A.
func (n Name) Other() Name {
	if n == A {
		return B
	}
	return A
}

// Slot is what is known of one slot's contents.
type Slot struct {
	Release   uint64   // number of the release in it; 0 if it has none yet
	Size      uint64   // in bytes
	Digest    [32]byte // SHA-256 of the contents, as read back; zero: nothing to boot
	Confirmed bool     // it has run and been found healthy
}

// Empty reports whether there is nothing in the slot that could be booted.
func (s Slot) Empty() bool { return s.Digest == [32]byte{} }

// Record is the state of both slots. It is a value; [Log.Update] changes it.
type Record struct {
	Generation uint64 // counts changes; set by Log
	Active     Name   // the confirmed slot, None before the first install
	Trying     Name   // the slot on trial, or None
	Tries      uint8  // starts left for Trying
	Floor      uint64 // no release below it is ever staged
	Bad        uint64 // the release that failed its last trial here, 0 if none
	Clock      int64  // no moment before it is ever believed, Unix seconds
	Slots      [2]Slot
}

// Slot returns the entry of slot n, which must be A or B.
func (r *Record) Slot(n Name) *Slot { return &r.Slots[n-A] }

// RaiseFloor lifts the floors to release and clock (Unix seconds), never lowers them.
func (r *Record) RaiseFloor(release uint64, clock int64) {
	r.Floor, r.Clock = max(r.Floor, release), max(r.Clock, clock)
}

// Confirm ends the trial of slot n as passed: it is the active one, its release is
// the floor. It does nothing to a slot that is active already, or empty.
func (r *Record) Confirm(n Name) {
	s := r.Slot(n)
	if r.Active == n && r.Trying != n || s.Empty() {
		return
	}
	r.Active, s.Confirmed = n, true
	if r.Trying == n {
		r.Trying, r.Tries = None, 0
	}
	r.Floor = max(r.Floor, s.Release)
	if r.Bad <= s.Release {
		r.Bad = 0
	}
}

// FallBack ends the trial as failed: the slot is emptied and its release is Bad.
// Without a trial it does nothing.
func (r *Record) FallBack() {
	if r.Trying == None {
		return
	}
	s := r.Slot(r.Trying)
	if s.Release != 0 {
		r.Bad = s.Release
	}
	*s = Slot{}
	r.Trying, r.Tries = None, 0
}

// ErrRecord reports that both copies of the record are invalid.
var ErrRecord = errors.New("slot record is damaged in both copies: install again, or stage an update")

const (
	fileName = "slots"
	copyAt   = 4096 // distance of the copies
	fileSize = 2 * copyAt
	bodySize = 160
	copySize = bodySize + sha256.Size
	version  = 1
)

var magic = [8]byte{'P', 'L', 'T', 'N', 'S', 'L', 'O', 'T'}

// Log reads and changes the record in a file system. Its methods may be called
// from any goroutine, and from two processes on the same files.
type Log struct {
	mu sync.Mutex
	fs FS
}

// NewLog returns the log of the record in fsys.
func NewLog(fsys FS) *Log { return &Log{fs: fsys} }

// Load reads the record. A record that was never written is the zero Record.
func (l *Log) Load() (Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rec, _, err := l.load()
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, nil
	}
	return rec, err
}

// Update changes the record by fn and returns it as it is now on the medium. If fn
// returns an error or changes nothing, nothing is written. fn must not use l.
func (l *Log) Update(fn func(*Record) error) (Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	unlock, err := l.fs.Lock()
	if err != nil {
		return Record{}, fmt.Errorf("lock slot record: %w", err)
	}
	defer unlock()
	old, at, err := l.load()
	fresh := errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrRecord)
	if err != nil && !fresh {
		return Record{}, err
	}
	next := old
	if err := fn(&next); err != nil {
		return old, err
	}
	next.Generation, next.Floor, next.Clock = old.Generation, max(old.Floor, next.Floor), max(old.Clock, next.Clock)
	if next == old && !fresh {
		return old, nil
	}
	next.Generation++
	if err := next.check(); err != nil {
		return old, err
	}
	if fresh {
		err = Replace(l.fs, fileName, image(next))
	} else {
		err = l.write(next, 1-at)
	}
	if err != nil {
		return old, fmt.Errorf("write slot record: %w", err)
	}
	return l.readBack(next)
}

// readBack proves that want is what the next start will read.
func (l *Log) readBack(want Record) (Record, error) {
	got, _, err := l.load()
	if err != nil {
		return Record{}, fmt.Errorf("read slot record back: %w", err)
	}
	if got != want {
		return got, errors.New("slot record read back differs from what was written: check the storage")
	}
	return got, nil
}

// load returns the newest valid copy and its index.
func (l *Log) load() (Record, int, error) {
	f, err := l.fs.Open(fileName, Read)
	if err != nil {
		return Record{}, 0, fmt.Errorf("open slot record: %w", err)
	}
	defer f.Close()
	best, at := Record{}, -1
	for i := range 2 {
		var p [copySize]byte
		n, err := f.ReadAt(p[:], int64(i*copyAt))
		if err != nil && err != io.EOF {
			return Record{}, 0, fmt.Errorf("read slot record: %w", err)
		}
		rec, ok := decode(p[:n])
		if ok && (at < 0 || rec.Generation > best.Generation) {
			best, at = rec, i
		}
	}
	if at < 0 {
		return Record{}, 0, ErrRecord
	}
	return best, at, nil
}

func (l *Log) write(r Record, at int) error {
	f, err := l.fs.Open(fileName, Edit)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(encode(r), int64(at*copyAt))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// check refuses records that no sequence of changes should ever produce.
func (r *Record) check() error {
	switch {
	case r.Active > B || r.Trying > B:
		return errors.New("slot record names an unknown slot")
	case r.Trying != None && r.Trying == r.Active:
		return errors.New("slot record tries the active slot")
	case r.Trying != None && r.Slot(r.Trying).Empty():
		return errors.New("slot record tries an empty slot")
	}
	return nil
}

func image(r Record) []byte {
	p := make([]byte, fileSize)
	copy(p, encode(r))
	return p
}

func encode(r Record) []byte {
	le := binary.LittleEndian
	p := append(make([]byte, 0, copySize), magic[:]...)
	p = le.AppendUint16(p, version)
	p = append(p, byte(r.Active), byte(r.Trying), r.Tries, 0, 0, 0)
	for _, v := range [...]uint64{r.Generation, r.Floor, r.Bad, uint64(r.Clock)} {
		p = le.AppendUint64(p, v)
	}
	for _, s := range r.Slots {
		p = le.AppendUint64(p, s.Release)
		p = le.AppendUint64(p, s.Size)
		p = append(p, s.Digest[:]...)
		flags := byte(0)
		if s.Confirmed {
			flags = 1
		}
		p = append(p, flags, 0, 0, 0, 0, 0, 0, 0)
	}
	sum := sha256.Sum256(p)
	return append(p, sum[:]...)
}

func decode(p []byte) (Record, bool) {
	var r Record
	if len(p) != copySize || [8]byte(p[:8]) != magic {
		return r, false
	}
	if sha256.Sum256(p[:bodySize]) != [32]byte(p[bodySize:]) {
		return r, false
	}
	le := binary.LittleEndian
	if le.Uint16(p[8:]) != version {
		return r, false
	}
	r.Active, r.Trying, r.Tries = Name(p[10]), Name(p[11]), p[12]
	r.Generation, r.Floor, r.Bad = le.Uint64(p[16:]), le.Uint64(p[24:]), le.Uint64(p[32:])
	r.Clock = int64(le.Uint64(p[40:]))
	for i := range r.Slots {
		s := p[48+56*i:]
		r.Slots[i] = Slot{Release: le.Uint64(s), Size: le.Uint64(s[8:]), Digest: [32]byte(s[16:48]), Confirmed: s[48] == 1}
	}
	return r, r.check() == nil
}
