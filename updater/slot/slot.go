// Package slot holds the slot record: which of the two places an update can live
// in is confirmed, which is on trial, what else belongs to each (a root file system, a
// firmware of the controller), and how far back this printer may never go.
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
// is 448 bytes and so lies within one sector of any medium. Little-endian:
//
//	 0  magic "PLTNSLOT"
//	 8  version (2), additions (0), active, trying, tries, turns, why, flashes (bytes)
//	16  generation, floor, bad (uint64 each), clock (int64, Unix seconds)
//	48  the boot that was armed (16 bytes)
//	64  slot A, slot B: release, size (uint64), digest (32 bytes), confirmed, root,
//	    image, 5 zeros
//	176 root A, root B, image A, image B: release, size (uint64), digest (32 bytes)
//	368 filling: kind, place, 6 zeros, digest (32 bytes), done (uint64)
//	416 SHA-256 of the 416 bytes before it
//
// The valid copy with the greater generation counts. A change goes to the other
// copy, with the next generation, in one write, is made durable and read back.
//
// # Versions
//
// During a trial, and after one that failed, an older program reads what a newer one wrote,
// and the launcher may be older than both. So what is added goes into bytes that are 0 now,
// where 0 means what was so before, and raises "additions", which readers of this version
// pass over; whoever is older writes 0 there again. "version" is the least that a reader has
// to know. Raising it takes an install, not an update: a printer that fell back from such a
// release would have [ErrRecord]. Version 1 was that of builds before the first release.
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
	Root      Name     // the root file system it runs on, of Record.Roots; None: any
	Image     Name     // the controller firmware it runs with, of Record.Images; None: any
}

// Empty reports whether there is nothing in the slot that could be booted.
func (s Slot) Empty() bool { return s.Digest == [32]byte{} }

// Part is something that belongs to a release beside the agent: a root file system in
// its partition, an image of the controller's firmware in its file.
type Part struct {
	Release uint64   // number it was released as; 0 if it has none yet
	Size    uint64   // in bytes
	Digest  [32]byte // SHA-256 of the contents, as read back; zero: nothing usable
}

// Empty reports whether the part's place holds nothing that could be used.
func (p Part) Empty() bool { return p.Digest == [32]byte{} }

// Factory is the number of a firmware that no release brought: it was in the controller
// before. Releases have lower numbers.
const Factory uint64 = 1 << 63

// Kind says what a place holds.
type Kind uint8

// The kinds.
const (
	Agent Kind = iota // a slot's binary
	Root              // a root file system
	Image             // an image of the controller's firmware
)

// Filling is how far the file that is being written has got, so that writing can go on
// after the agent was killed. What it says is checked by hashing all of it again.
type Filling struct {
	Kind   Kind
	Place  Name     // None: nothing is being written
	Digest [32]byte // SHA-256 that the contents are to have
	Done   uint64   // bytes that are durable
}

// Why is the reason for the end of a trial.
type Why uint8

// The reasons. The agent names the ones from NoTPM on before it gives up; the others are
// found by its launcher.
const (
	Unknown      Why = iota
	Crashed          // it ended by itself
	Late             // it was not confirmed in time
	Damaged          // it did not read back
	Restarted        // the board restarted in every one of its tries
	NotStarted       // the system refused to execute it
	RootFailed       // the bootloader came back with the old root file system
	NoTPM            // the TPM did not quote
	NoController     // the controller's session did not come up
	NoFirmware       // the controller's firmware could not be installed
	BadFirmware      // the controller answered as another firmware than that of the set
	BadHeat          // temperatures were not those of an idle machine
	NoUplink         // the fleet was not reached
)

var whys = [...]string{"unknown", "crashed", "late", "damaged", "restarted", "not-started", "root-failed",
	"no-tpm", "no-controller", "no-firmware", "bad-firmware", "bad-heat", "no-uplink"}

// String is the reason's stable code.
func (w Why) String() string {
	if int(w) >= len(whys) {
		return whys[0]
	}
	return whys[w]
}

// Record is the state of both slots. It is a value; [Log.Update] changes it.
type Record struct {
	Generation uint64   // counts changes; set by Log
	Active     Name     // the confirmed slot, None before the first install
	Trying     Name     // the slot on trial, or None
	Tries      uint8    // starts left for Trying
	Turns      uint8    // restarts of the board in a row that were to bring another root file system
	Why        Why      // why the last trial failed, or, during one, why this one is about to
	Flashes    uint8    // times in a row that the controller was about to be flashed for the running slot
	Floor      uint64   // no release below it is ever staged
	Bad        uint64   // the release that failed its last trial here, 0 if none
	Clock      int64    // no moment before it is ever believed, Unix seconds
	Armed      [16]byte // the start of the board in which the bootloader was last told to try Trying's root
	Slots      [2]Slot
	Roots      [2]Part // what the partitions hold
	Images     [2]Part // what the kept images of controller firmware are
	Filling    Filling
}

// Slot returns the entry of slot n, which must be A or B.
func (r *Record) Slot(n Name) *Slot { return &r.Slots[n-A] }

// Root returns the entry of root file system n, which must be A or B.
func (r *Record) Root(n Name) *Part { return &r.Roots[n-A] }

// Image returns the entry of firmware image n, which must be A or B.
func (r *Record) Image(n Name) *Part { return &r.Images[n-A] }

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
		r.endTrial()
		r.Why = Unknown
	}
	r.Floor = max(r.Floor, s.Release)
	if r.Bad <= s.Release {
		r.Bad = 0
	}
}

// FallBack ends the trial as failed: the slot is emptied and its release is Bad. Why is
// what the agent has said before, or else why. Without a trial it does nothing.
func (r *Record) FallBack(why Why) {
	if r.Trying == None {
		return
	}
	s := r.Slot(r.Trying)
	if s.Release != 0 {
		r.Bad = s.Release
	}
	if r.Why == Unknown {
		r.Why = why
	}
	*s = Slot{}
	r.endTrial()
}

// Try begins the trial of slot n, with a number of starts.
func (r *Record) Try(n Name, tries uint8) {
	r.endTrial()
	r.Trying, r.Tries, r.Why = n, tries, Unknown
}

// EndTrial ends the trial of slot n, if it is on one, as neither passed nor failed.
func (r *Record) EndTrial(n Name) {
	if r.Trying == n {
		r.endTrial()
	}
}

// endTrial forgets what belongs to one trial only.
func (r *Record) endTrial() {
	r.Trying, r.Tries, r.Turns, r.Flashes, r.Armed = None, 0, 0, 0, [16]byte{}
}

// ErrRecord reports that both copies of the record are invalid.
var ErrRecord = errors.New("slot record is damaged in both copies: install again, or stage an update")

// Log reads and changes the record in a file system. Its methods may be called
// from any goroutine, and from two processes on the same files.
type Log struct {
	mu    sync.Mutex
	fs    FS
	steps [2]int64 // see SetSteps
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
