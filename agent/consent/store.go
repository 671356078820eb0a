package consent

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"platen/agent/audit"
	"platen/agent/durable"
	"platen/agent/evidence"
)

// MaxRecipients bounds how many recipients can ever have had a grant.
const MaxRecipients = 32

const (
	stateName = "state.json"
	maxState  = 64 << 10 // bytes
)

// Journal is where each change is written down before it counts; audit.Log is one.
type Journal interface {
	// Append writes an entry, and returns once a power cut cannot take it away.
	Append(e audit.Entry) (audit.Ref, error)
	// Consents are the newest entries about each recipient's grants. No recipient's is
	// ever lost, unless all that was written down is.
	Consents() []audit.Entry
	// End is the last entry.
	End() audit.Ref
	// Damage is what was wrong with the journal when it was opened, nil if nothing was.
	Damage() *audit.TamperError
}

// state is what has to survive besides the grants themselves.
type state struct {
	Version int                             `json:"version"`
	Serials map[evidence.RecipientID]uint64 `json:"serials"` // the last used up
	Revoked map[evidence.RecipientID]bool   `json:"revoked"`
	Entry   uint64                          `json:"entry"` // of the journal, up to which this is what it says
}

// Store holds the grants of one printer on disk. Its methods may be called from
// any goroutine; the directory belongs to one process at a time.
type Store struct {
	dir     string
	printer evidence.PrinterID
	owner   ed25519.PublicKey
	journal Journal

	mu      sync.Mutex
	state   state
	grants  map[evidence.RecipientID]Grant
	changed chan struct{}
	dropped map[evidence.RecipientID]error
}

// OpenStore opens the grants in dir, which it makes if need be. Grants that owner
// did not sign, that are for another printer or whose items have changed are left
// out, and so are all that the journal does not say are in force: after it was tampered
// with that is all of them, and the owner has to sign new ones. The same goes if the
// directory was damaged.
func OpenStore(dir string, printer evidence.PrinterID, owner ed25519.PublicKey, journal Journal) (*Store, error) {
	if len(owner) != ed25519.PublicKeySize {
		return nil, errors.New("no owner's key: make one with platen consent keygen")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the consent directory: %w", err)
	}
	s := &Store{dir: dir, printer: printer, owner: owner, journal: journal, changed: make(chan struct{})}
	var whole bool
	var err error
	if s.state, whole, err = loadState(dir); err != nil {
		return nil, err
	}
	if err := s.follow(whole); err != nil {
		return nil, err
	}
	s.readGrants()
	return s, nil
}

// follow brings the state to what the journal says: a power cut may have come between
// the two, or somebody may have changed the state or put an older one back. Without a
// whole state all grants of before count as revoked.
func (s *Store) follow(whole bool) error {
	if s.journal.Damage() != nil && s.journal.Consents() == nil || s.journal.End().N < s.state.Entry {
		for r := range s.state.Serials {
			s.state.Revoked[r] = true
		}
	}
	for _, e := range s.journal.Consents() {
		r, err := evidence.ParseRecipientID(e.Recipient)
		if err != nil {
			continue
		}
		last := s.state.Serials[r]
		switch {
		case !whole || e.Event == audit.Revoke && e.Serial >= last:
			s.state.Revoked[r] = true
		case e.Event == audit.Grant && e.Serial > last:
			delete(s.state.Revoked, r)
		}
		s.state.Serials[r] = max(e.Serial, last)
		if s.state.Revoked[r] && e.Event == audit.Grant { // it could not be recorded when it happened
			_, _ = s.journal.Append(audit.Entry{Event: audit.Revoke, Recipient: e.Recipient, Serial: s.state.Serials[r]}) // or at the next start
		}
	}
	if end := s.journal.End().N; end != s.state.Entry || !whole {
		s.state.Entry = end
		return s.save()
	}
	return nil
}

// readGrants reads the grants of which both the state and the journal say that they are in
// force: anybody who has the disk can write the one, and what the other says is signed.
func (s *Store) readGrants() {
	s.grants, s.dropped = map[evidence.RecipientID]Grant{}, map[evidence.RecipientID]error{}
	for _, e := range s.journal.Consents() {
		r, err := evidence.ParseRecipientID(e.Recipient)
		if err != nil {
			continue
		}
		delete(s.grants, r)
		if e.Event != audit.Grant || s.state.Revoked[r] || s.state.Serials[r] != e.Serial {
			continue
		}
		if g, err := s.read(r, e); err != nil {
			s.dropped[r] = err
		} else {
			s.grants[r] = g
		}
	}
}

// read is the grant of an entry.
func (s *Store) read(r evidence.RecipientID, e audit.Entry) (Grant, error) {
	b, err := readSmall(s.path(r), maxEnvelope)
	if err != nil {
		return Grant{}, fmt.Errorf("read the grant: %w", err)
	}
	if digest(b) != e.Digest {
		return Grant{}, errors.New("the grant's file is not what the journal says")
	}
	g, err := Open(b, s.owner)
	if err == nil && (g.Recipient != r || g.Serial != e.Serial || g.Printer != s.printer) {
		err = ErrPrinter
	}
	return g, err
}

// Dropped is why a recipient's grant is not in force though the journal says so, of all that
// were left out when the store was opened.
func (s *Store) Dropped() map[evidence.RecipientID]error { return s.dropped }

// digest is what the journal says of an envelope.
func digest(envelope []byte) string {
	sum := sha256.Sum256(envelope)
	return hex.EncodeToString(sum[:])
}

// Put puts a signed grant in force in place of the recipient's last one.
func (s *Store) Put(envelope []byte, now time.Time) (Grant, error) {
	g, err := Open(envelope, s.owner)
	if err != nil {
		return Grant{}, err
	}
	if g.Printer != s.printer {
		return Grant{}, ErrPrinter
	}
	if !now.Before(g.Expiry) {
		return Grant{}, g.InForce(now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return g, s.put(g, envelope, now)
}

func (s *Store) put(g Grant, envelope []byte, now time.Time) error {
	last, known := s.state.Serials[g.Recipient]
	if g.Serial <= last {
		return fmt.Errorf("%w: it is %d, used are up to %d", ErrSerial, g.Serial, last)
	}
	if !known && len(s.state.Serials) >= MaxRecipients {
		return fmt.Errorf("%d recipients have had a grant, more are not kept", MaxRecipients)
	}
	ref, err := s.journal.Append(audit.Entry{At: now, Event: audit.Grant, Recipient: g.Recipient.String(), Serial: g.Serial, Digest: digest(envelope)})
	if err != nil {
		return err
	}
	delete(s.grants, g.Recipient)
	defer s.notify()
	s.state.Serials[g.Recipient], s.state.Entry = g.Serial, ref.N
	delete(s.state.Revoked, g.Recipient)
	if err := s.save(); err != nil {
		return err
	}
	if err := durable.Replace(s.path(g.Recipient), envelope); err != nil {
		return fmt.Errorf("write the grant: %w", err)
	}
	s.grants[g.Recipient] = g
	return nil
}

// Revoke ends what recipient r may be sent. It takes effect before it returns,
// even with an error: that then says what could not be recorded.
func (s *Store) Revoke(r evidence.RecipientID, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.grants[r]; ok {
		delete(s.grants, r)
		s.notify()
	}
	removed := os.Remove(s.path(r))
	if errors.Is(removed, os.ErrNotExist) {
		if s.state.Serials[r] == 0 || s.state.Revoked[r] {
			return fmt.Errorf("recipient %s has no grant", r)
		}
		removed = nil // of a grant whose file is gone it is recorded all the same
	}
	removed = errors.Join(removed, durable.SyncDir(s.dir))
	s.state.Revoked[r] = true
	ref, logged := s.journal.Append(audit.Entry{At: now, Event: audit.Revoke, Recipient: r.String(), Serial: s.state.Serials[r]})
	if logged == nil {
		s.state.Entry = ref.N
	}
	if err := errors.Join(removed, logged, s.save()); err != nil {
		return fmt.Errorf("the grant is revoked, but that could not be recorded: %w", err)
	}
	return nil
}

// Grants returns the grants in force at now, in the order of their recipients.
func (s *Store) Grants(now time.Time) []Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Grant
	for _, g := range s.grants {
		if g.InForce(now) == nil {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b Grant) int { return cmp.Compare(a.Recipient.String(), b.Recipient.String()) })
	return out
}

// NextSerial is the serial for the next grant for r.
func (s *Store) NextSerial(r evidence.RecipientID) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Serials[r] + 1
}

// Changed returns a channel that is closed at the next change of what is in force.
// Expiry is no change; ask [Store.Grants] for the moment in question.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Store) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Store) path(r evidence.RecipientID) string {
	return filepath.Join(s.dir, "grant-"+r.String()+".json")
}

// loadState reads the state. One that is not there, or that no store has written, is
// empty, and not whole.
func loadState(dir string) (st state, whole bool, err error) {
	b, err := readSmall(filepath.Join(dir, stateName), maxState)
	switch {
	case err == nil:
		whole = json.Unmarshal(b, &st) == nil && st.Version == 1
	case !errors.Is(err, errLong) && !errors.Is(err, os.ErrNotExist):
		return st, false, fmt.Errorf("read %s: %w", stateName, err)
	}
	if !whole {
		st = state{Version: 1}
	}
	if st.Serials == nil {
		st.Serials = map[evidence.RecipientID]uint64{}
	}
	if st.Revoked == nil {
		st.Revoked = map[evidence.RecipientID]bool{}
	}
	return st, whole, nil
}

func (s *Store) save() error {
	b, err := json.Marshal(s.state)
	if err != nil {
		return fmt.Errorf("encode %s: %w", stateName, err)
	}
	if err := durable.Replace(filepath.Join(s.dir, stateName), b); err != nil {
		return fmt.Errorf("write %s: %w", stateName, err)
	}
	return nil
}
