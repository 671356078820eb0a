package consent

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"platen/agent/durable"
	"platen/agent/evidence"
)

// MaxRecipients bounds how many recipients can ever have had a grant.
const MaxRecipients = 32

const stateName = "state.json"

// state is what has to survive besides the grants themselves.
type state struct {
	Version int                             `json:"version"`
	Serials map[evidence.RecipientID]uint64 `json:"serials"` // the last used up
	Revoked map[evidence.RecipientID]bool   `json:"revoked"`
	Log     head                            `json:"log"`
}

// Store holds the grants of one printer on disk. Its methods may be called from
// any goroutine, and several processes may have the same directory open; each sees
// the others' changes at its next [Store.Reload].
type Store struct {
	dir     string
	printer evidence.PrinterID
	owner   ed25519.PublicKey

	mu      sync.Mutex
	state   state
	grants  map[evidence.RecipientID]Grant
	raw     map[evidence.RecipientID]string // envelopes of grants
	dead    map[evidence.RecipientID]uint64 // serials revoked by this process, come what may on disk
	changed chan struct{}
	read    stamp
}

// OpenStore opens the grants in dir, which it makes if need be. Grants that owner
// did not sign, that are for another printer or whose items have changed are left
// out; a log that was tampered with is [ErrAudit], and then nothing is in force.
func OpenStore(dir string, printer evidence.PrinterID, owner ed25519.PublicKey) (*Store, error) {
	if len(owner) != ed25519.PublicKeySize {
		return nil, errors.New("no owner's key: make one with platen consent keygen")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the consent directory: %w", err)
	}
	s := &Store{dir: dir, printer: printer, owner: owner, changed: make(chan struct{}), dead: map[evidence.RecipientID]uint64{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.locked(s.recover); err != nil {
		return nil, err
	}
	return s, nil
}

// recover reads everything and finishes what a power cut left half done. The lock
// is held.
func (s *Store) recover() error {
	st, err := loadState(s.dir)
	if err != nil {
		return err
	}
	w, err := readLog(s.dir, st.Log)
	if err != nil {
		return err
	}
	if err := cutTail(filepath.Join(s.dir, logName), w.whole); err != nil {
		return err
	}
	s.state = st
	if w.extra > 0 {
		if err := s.rollForward(w.all[len(w.all)-1], w.end); err != nil {
			return err
		}
	}
	s.readGrants()
	return nil
}

// rollForward records an entry that was logged but not recorded. A grant's serial
// is used up by it, a revocation holds.
func (s *Store) rollForward(e Entry, end head) error {
	s.state.Log = end
	s.state.Serials[e.Recipient] = max(e.Serial, s.state.Serials[e.Recipient])
	s.state.Revoked[e.Recipient] = e.Event == EventRevoke
	return s.save()
}

// cutTail removes a line that a power cut left without an end.
func cutTail(path string, whole int64) error {
	fi, err := os.Stat(path)
	if err != nil || fi.Size() <= whole {
		return nil // no log yet, or nothing behind its last line
	}
	if err := os.Truncate(path, whole); err != nil {
		return fmt.Errorf("repair the consent log: %w", err)
	}
	return nil
}

func (s *Store) readGrants() {
	s.grants, s.raw = map[evidence.RecipientID]Grant{}, map[evidence.RecipientID]string{}
	for r, serial := range s.state.Serials {
		if s.state.Revoked[r] || serial <= s.dead[r] {
			continue
		}
		b, err := readSmall(s.path(r), maxEnvelope)
		if err != nil {
			continue // revoked, or cut off before it was in force
		}
		g, err := Open(b, s.owner)
		if err == nil && g.Recipient == r && g.Serial == serial && g.Printer == s.printer {
			s.grants[r], s.raw[r] = g, string(b)
		}
	}
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
	return g, s.locked(func() error { return s.put(g, envelope, now) })
}

func (s *Store) put(g Grant, envelope []byte, now time.Time) error {
	if err := s.recover(); err != nil { // another process may have been here
		return err
	}
	last, known := s.state.Serials[g.Recipient]
	if g.Serial <= last {
		return fmt.Errorf("%w: it is %d, used are up to %d", ErrSerial, g.Serial, last)
	}
	if !known && len(s.state.Serials) >= MaxRecipients {
		return fmt.Errorf("%d recipients have had a grant, more are not kept", MaxRecipients)
	}
	err := s.append(Entry{At: now.UTC().Truncate(time.Second), Event: EventGrant, Recipient: g.Recipient, Serial: g.Serial, Envelope: hash(envelope)})
	if err != nil {
		return err
	}
	delete(s.grants, g.Recipient)
	delete(s.raw, g.Recipient)
	defer s.notify()
	s.state.Serials[g.Recipient] = g.Serial
	delete(s.state.Revoked, g.Recipient)
	if err := s.save(); err != nil {
		return err
	}
	if err := durable.Replace(s.path(g.Recipient), envelope); err != nil {
		return fmt.Errorf("write the grant: %w", err)
	}
	s.grants[g.Recipient], s.raw[g.Recipient] = g, string(envelope)
	return nil
}

// Revoke ends what recipient r may be sent. It takes effect before it returns,
// even with an error: that then says what could not be recorded.
func (s *Store) Revoke(r evidence.RecipientID, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead[r] = s.state.Serials[r]
	if _, ok := s.grants[r]; ok {
		delete(s.grants, r)
		delete(s.raw, r)
		s.notify()
	}
	return s.locked(func() error { return s.revoke(r, now) })
}

func (s *Store) revoke(r evidence.RecipientID, now time.Time) error {
	removed := os.Remove(s.path(r))
	if errors.Is(removed, os.ErrNotExist) {
		return fmt.Errorf("recipient %s has no grant", r)
	}
	removed = errors.Join(removed, durable.SyncDir(s.dir))
	if err := s.recover(); err != nil {
		return errors.Join(removed, err)
	}
	s.state.Revoked[r] = true
	logged := s.append(Entry{At: now.UTC().Truncate(time.Second), Event: EventRevoke, Recipient: r, Serial: s.state.Serials[r]})
	if err := errors.Join(removed, logged, s.save()); err != nil {
		return fmt.Errorf("the grant is revoked, but that could not be recorded: %w", err)
	}
	return nil
}

// stamp is a directory's time of change and when it was looked at.
type stamp struct{ changed, looked time.Time }

// settled reports that nothing can have changed in the directory without changing
// the time it bears, whose steps are coarse.
func (a stamp) settled(b stamp) bool {
	return a.changed.Equal(b.changed) && a.looked.Sub(a.changed) > 2*time.Second
}

// Reload reads what other processes have changed. It reports whether anything was.
// On an error nothing is in force. It costs one stat if nothing was changed.
func (s *Store) Reload() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := stamp{looked: time.Now()}
	if fi, err := os.Stat(s.dir); err == nil {
		now.changed = fi.ModTime()
		if s.read.settled(now) {
			return false, nil
		}
	}
	before := maps.Clone(s.raw)
	err := s.locked(s.recover)
	s.read = now
	if err != nil {
		s.read = stamp{}
		clear(s.grants)
		clear(s.raw)
	}
	if maps.Equal(before, s.raw) {
		return false, err
	}
	s.notify()
	return true, err
}

// Watch calls [Store.Reload] every so often until ctx ends, so that what another
// process grants or revokes takes effect here within that time. Errors are logged
// as they change.
func (s *Store) Watch(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, err := s.Reload()
		if text := fmt.Sprint(err); err != nil && text != said {
			log.Error("consent cannot be read: nothing is sent", "error", err)
			said = text
		} else if err == nil {
			said = ""
		}
	}
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

func loadState(dir string) (state, error) {
	st := state{Version: 1, Log: head{0, genesis}}
	b, err := readSmall(filepath.Join(dir, stateName), 64<<10)
	if err == nil {
		if err := json.Unmarshal(b, &st); err != nil || st.Version != 1 {
			return st, fmt.Errorf("%w: %s is damaged", ErrAudit, stateName)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return st, fmt.Errorf("read %s: %w", stateName, err)
	}
	if st.Serials == nil {
		st.Serials = map[evidence.RecipientID]uint64{}
	}
	if st.Revoked == nil {
		st.Revoked = map[evidence.RecipientID]bool{}
	}
	return st, nil
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
