package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// TamperError is what is wrong with a log.
type TamperError struct {
	// Kind is "edited", "truncated", "forked", "signature" or "rolled-back".
	Kind string
	// N is the entry at which it shows.
	N uint64
}

// Error says what was found and where.
func (e *TamperError) Error() string {
	what := map[string]string{
		"edited":      "an entry was changed, removed or inserted",
		"truncated":   "entries are missing",
		"forked":      "it is not a continuation of the other",
		"signature":   "a head was not signed by the printer",
		"rolled-back": "an earlier log was put in its place",
	}[e.Kind]
	return fmt.Sprintf("audit log was tampered with at entry %d: %s", e.N, what)
}

// ErrorCode is "audit-" and the kind.
func (e *TamperError) ErrorCode() string { return "audit-" + e.Kind }

// walk goes through the lines of a log in order. What it has seen of a chain is in its
// fields.
type walk struct {
	first uint64            // number of the first entry
	end   Ref               // the last entry
	begin uint64            // where the log says that it begins
	heads int               // how many
	last  *Head             // of them
	recap map[uint64]string // hashes of the newest entries, for heads that come later
}

// recent is how many entries a head may come after the one it signs.
const recent = 4 * maxWaiting

// line takes the next line, without its end.
func (w *walk) line(line []byte) (Entry, error) {
	var e Entry
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if dec.Decode(&e) != nil || dec.InputOffset() != int64(len(line)) || e.check() != nil {
		return e, &TamperError{"edited", w.end.N + 1}
	}
	if w.first == 0 {
		w.first, w.recap = e.N, map[uint64]string{}
		w.end = Ref{e.N - 1, e.Prev}
		if e.N == 0 || e.N == 1 && e.Prev != genesis {
			return e, &TamperError{"edited", 1}
		}
	}
	if e.N != w.end.N+1 || e.Prev != w.end.Hash {
		return e, &TamperError{"edited", w.end.N + 1}
	}
	w.end = Ref{e.N, hash(line)}
	w.recap[e.N] = w.end.Hash
	delete(w.recap, e.N-recent)
	switch e.Event {
	case Rotated:
		w.begin = e.Serial
	case Signed:
		if h, ok := w.recap[e.Head.Of]; e.Head.Of >= w.first && (!ok || h != e.Head.Hash) {
			return e, &TamperError{"edited", e.N}
		}
		w.heads++
		w.last = e.Head
	}
	return e, nil
}

// front checks that the log begins where it says.
func (w *walk) front() error {
	if w.first > 1 && w.first != w.begin {
		return &TamperError{"truncated", w.first}
	}
	return nil
}
