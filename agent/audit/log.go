package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"platen/updater/slot"
)

const (
	segments   = 8
	maxSegment = 128 << 10 // bytes, beyond which the next segment begins
	slack      = 24 << 10  // bytes that the last entries of a segment may take beyond that: those of carry
	maxWaiting = 256       // entries that Note keeps for a disk that takes none
)

// Log is the audit log of one printer. Its methods may be called from any goroutine;
// the folder belongs to one process at a time.
type Log struct {
	fs     slot.FS
	signer Signer
	log    *slog.Logger
	damage *TamperError // of the log that was found

	mu       sync.Mutex
	walk     walk
	limit    int64     // of a segment, in bytes: maxSegment
	segs     []segment // oldest first; the last is written to
	file     slot.File // that one
	size     int64     // of what is good of it
	torn     bool      // there may be more behind that
	unsigned int       // entries since the last head
	since    time.Time // from when the first of them waits for one
	urgent   uint64    // the last grant or revocation that no head covers, 0 if there is none
	consents []Entry   // of the log that was found, and since: newest of each recipient, oldest first

	waitMu  sync.Mutex
	waiting []Entry
	lost    uint64
	repeats map[string]*repeat
	kick    chan struct{} // there is something to write or sign

	count  uint64 // of the last head: what the TPM has counted, or is about to
	budget budget

	draining sync.Mutex // one goroutine writes what was noted

	signing sync.Mutex // one head at a time
	counted uint64     // by the TPM, as far as is known
}

// segment is a file of the ring.
type segment struct {
	at    int    // in the ring
	first uint64 // number of its first entry
}

func (s segment) name() string { return segmentName(s.at) }

func segmentName(at int) string { return fmt.Sprintf("log-%d", at) }

// Append writes an entry, and returns once a power cut cannot take it away, with where
// it is. The log fills in number, time and hash.
func (l *Log) Append(e Entry) (Ref, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.At.IsZero() {
		e.At = time.Now()
	}
	ref, err := l.append(e)
	if err != nil {
		return ref, fmt.Errorf("write to the audit log: %w", err)
	}
	l.wake()
	return ref, nil
}

// append is Append without the lock.
func (l *Log) append(e Entry) (Ref, error) {
	if err := l.mend(); err != nil {
		return Ref{}, err
	}
	if l.file == nil || l.size >= l.limit {
		if err := l.turn(); err != nil {
			return Ref{}, err
		}
	}
	return l.write(e)
}

// write adds an entry to the segment under way.
func (l *Log) write(e Entry) (Ref, error) {
	e.N, e.Prev, e.At = l.walk.end.N+1, l.walk.end.Hash, e.At.UTC().Truncate(e.Event.grid())
	if err := e.check(); err != nil {
		return Ref{}, err
	}
	line, err := json.Marshal(e)
	if err != nil {
		return Ref{}, err
	}
	if _, err = l.file.WriteAt(append(line, '\n'), l.size); err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.torn = true
		return Ref{}, err
	}
	if _, err := l.walk.line(line); err != nil {
		return Ref{}, err
	}
	l.size += int64(len(line)) + 1
	l.note(e)
	return l.walk.end, nil
}

// note keeps in memory what an entry means.
func (l *Log) note(e Entry) {
	switch e.Event {
	case Grant, Revoke:
		l.remember(e)
		l.urgent = e.N
	case Signed:
		l.unsigned = int(min(e.N-1-e.Head.Of, 1<<20))
		covers := l.urgent > 0 && e.Head.Of >= l.urgent
		if covers {
			l.urgent = 0
		}
		if e.Head.Count > l.count {
			l.count = e.Head.Count
			if !covers {
				l.budget = append(l.budget, e.At)
			}
		}
		return
	}
	from := time.Now()
	if grid := e.Event.grid(); grid == jobGrid { // a head has the TPM's clock in it
		from = from.Truncate(grid).Add(grid)
	}
	if l.unsigned++; l.unsigned == 1 || from.Before(l.since) {
		l.since = from
	}
}

// jobGrid is how exactly the log says when jobs begin and end: how long a print took, to
// the second, names the part, and the log lies on a disk that can be stolen. What happens
// to the machine, and what its owner does, is told to the second.
const jobGrid = 4 * time.Hour

// grid is how exactly the time of such an event is said.
func (e Event) grid() time.Duration {
	switch e {
	case JobBegan, JobEnded:
		return jobGrid
	}
	return time.Second
}

// mend puts a segment right of which a write has failed.
func (l *Log) mend() error {
	if !l.torn {
		return nil
	}
	good := make([]byte, l.size)
	if _, err := l.file.ReadAt(good, 0); err != nil && l.size > 0 {
		return err
	}
	if err := l.rewrite(l.segs[len(l.segs)-1], good); err != nil {
		return err
	}
	l.torn = false
	return nil
}

// rewrite makes good the contents of a segment, and opens it.
func (l *Log) rewrite(s segment, good []byte) error {
	if err := slot.Replace(l.fs, s.name(), good); err != nil {
		return err
	}
	f, err := l.fs.Open(s.name(), slot.Edit)
	if err != nil {
		return err
	}
	l.closeFile()
	l.file, l.size = f, int64(len(good))
	return nil
}

// turn begins the next segment. The oldest makes room for it, once the log itself says
// so.
func (l *Log) turn() error {
	next := segment{0, l.walk.end.N + 1}
	if n := len(l.segs); n > 0 {
		next.at = (l.segs[n-1].at + 1) % segments
	}
	if len(l.segs) == segments {
		if err := l.carry(l.segs[1].first); err != nil {
			return err
		}
		if l.walk.begin < l.segs[1].first {
			if _, err := l.write(Entry{At: time.Now(), Event: Rotated, Serial: l.segs[1].first}); err != nil {
				return err
			}
		}
		next.first = l.walk.end.N + 1
		l.segs = l.segs[1:]
		l.walk.first = l.segs[0].first
	}
	f, err := l.fs.Open(next.name(), slot.Create)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), l.fs.SyncDir(".")); err != nil {
		return errors.Join(err, f.Close())
	}
	l.closeFile()
	l.file, l.size = f, 0
	l.segs = append(l.segs, next)
	return nil
}

// carry writes once more what the log says of each recipient's grants, where that was
// before entry first: what a log has said of a revocation it goes on saying.
func (l *Log) carry(first uint64) error {
	for _, e := range slices.Clone(l.consents) {
		if e.N >= first {
			continue
		}
		if _, err := l.write(e); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) closeFile() {
	if l.file != nil {
		_ = l.file.Close() // all of it is synced
	}
	l.file = nil
}

// Close lets go of the log's file. It is called once Run has ended.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeFile()
	return nil
}

// Damage is what was wrong with the log that Open has found, nil if nothing was.
func (l *Log) Damage() *TamperError { return l.damage }

// Consents are the newest entries about each recipient's grants, oldest first. The log
// carries them along, however often it has begun a new segment.
func (l *Log) Consents() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Entry(nil), l.consents...)
}

// remember keeps the newest entry about a recipient's grants. Lines that no head covers
// may be anybody's, so serials never fall, and a grant follows a revocation only with a
// serial above it.
func (l *Log) remember(e Entry) {
	if i := slices.IndexFunc(l.consents, func(old Entry) bool { return old.Recipient == e.Recipient }); i >= 0 {
		old := l.consents[i]
		if e.Event == Grant && (e.Serial < old.Serial || e.Serial == old.Serial && old.Event == Revoke) {
			return
		}
		e.Serial = max(e.Serial, old.Serial)
		l.consents = slices.Delete(l.consents, i, i+1)
	}
	l.consents = append(l.consents, e)
}

// End is the last entry.
func (l *Log) End() Ref {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.walk.end
}

func (l *Log) wake() {
	select {
	case l.kick <- struct{}{}:
	default: // it is awake
	}
}
