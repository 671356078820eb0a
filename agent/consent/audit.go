package consent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"platen/agent/durable"
	"platen/agent/evidence"
)

// ErrAudit reports a log that was edited, cut or forked.
var ErrAudit = errors.New("consent log was tampered with")

// ErrFull reports that the log has no room for another grant. Revoking still works.
var ErrFull = errors.New("consent log is full: keep a copy of audit.jsonl and begin a new directory")

// Event is what an entry of the log records.
type Event string

// The events.
const (
	EventGrant  Event = "grant"
	EventRevoke Event = "revoke"
)

// Entry is one line of the log.
type Entry struct {
	N         uint64               `json:"n"` // from 1
	At        time.Time            `json:"at"`
	Event     Event                `json:"event"`
	Recipient evidence.RecipientID `json:"recipient"`
	Serial    uint64               `json:"serial"`
	Envelope  string               `json:"envelope,omitempty"` // SHA-256 of a grant's envelope
	Prev      string               `json:"prev"`               // SHA-256 of the line before, without its end
}

// head is the end of the log as the state records it.
type head struct {
	N    uint64 `json:"n"`
	Hash string `json:"hash"`
}

// maxLog bounds the log in bytes for grants; a revocation may go one reserve over.
const (
	maxLog     = 1 << 20
	logReserve = 64 << 10
)

const logName = "audit.jsonl"

var genesis = hex.EncodeToString(make([]byte, sha256.Size))

func (s *Store) append(e Entry) error {
	size, limit := int64(0), int64(maxLog)
	if fi, err := os.Stat(filepath.Join(s.dir, logName)); err == nil {
		size = fi.Size()
	}
	if e.Event == EventRevoke {
		limit += logReserve
	}
	if size >= limit {
		return ErrFull
	}
	e.N, e.Prev = s.state.Log.N+1, s.state.Log.Hash
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode a log entry: %w", err)
	}
	if err := durable.Append(filepath.Join(s.dir, logName), append(line, '\n')); err != nil {
		return fmt.Errorf("append to the consent log: %w", err)
	}
	s.state.Log = head{e.N, hash(line)}
	return nil
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// walk is what readLog found.
type walk struct {
	all   []Entry
	end   head  // of the last entry
	extra int   // entries behind the recorded head: at most one, left by a power cut
	whole int64 // bytes of the file in whole lines
}

// readLog walks the chain of the log in dir and holds it against the recorded head.
func readLog(dir string, h head) (w walk, err error) {
	b, err := readSmall(filepath.Join(dir, logName), maxLog+2*logReserve)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return w, fmt.Errorf("read the consent log: %w", err)
	}
	w.end = head{0, genesis}
	atHead := h.N == 0
	for {
		line, rest, found := bytes.Cut(b, []byte("\n"))
		if !found {
			break
		}
		var e Entry
		if json.Unmarshal(line, &e) != nil || e.N != w.end.N+1 || e.Prev != w.end.Hash {
			return walk{}, fmt.Errorf("%w: entry %d", ErrAudit, w.end.N+1)
		}
		w.end = head{e.N, hash(line)}
		w.all = append(w.all, e)
		w.whole += int64(len(line) + 1)
		b = rest
		if e.N == h.N {
			atHead = w.end.Hash == h.Hash
		} else if e.N > h.N {
			w.extra++
		}
	}
	if !atHead || w.extra > 1 {
		return walk{}, fmt.Errorf("%w: it has %d entries, %d were recorded, and they do not match", ErrAudit, w.end.N, h.N)
	}
	return w, nil
}

// Audit returns the entries of the log and checks that none was changed, removed
// or added since the store recorded its head.
func (s *Store) Audit() ([]Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Entry
	err := s.locked(func() error {
		st, err := loadState(s.dir)
		if err != nil {
			return err
		}
		w, err := readLog(s.dir, st.Log)
		all = w.all
		return err
	})
	return all, err
}
