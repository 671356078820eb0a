// Package store is what the fleet remembers on disk: the verifier's state, a log of
// everything that was believed or refused, and the claim codes that let printers in.
//
// Layout below the fleet's folder: fleet.json, who the recipient is; verifier.json
// and printers/<id>.json, the verifier's state, each replaced at once;
// events/<day>.jsonl, one event a line, only ever appended to; checkpoint.json, up to where in the
// log those states have everything; claims/<hash>, one file for each code that was not used yet.
//
// The log is what counts: [Store.Append] makes many events durable at once, [Store.Load] brings
// the states that were saved last up to it, and [Store.Checkpoint] saves those that changed so
// that this does not take long. Failures: a batch is in the log before it counts, so that a
// power cut makes the log tell of a batch twice rather than never. A line torn by a power cut is
// closed at the next start and skipped by [Events].
package store

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"platen/agent/durable"
	"platen/agent/evidence"
	"platen/agent/fleet/verify"
)

// Fleet is who receives, as the owner's grant names it.
type Fleet struct {
	Recipient evidence.RecipientID `json:"recipient"`
	Name      string               `json:"name"`
}

// Store is an open folder. Its methods may be called from any goroutine. Only one
// process may have it open for writing; claim codes are the exception.
type Store struct {
	dir   string
	Fleet Fleet

	mu   sync.Mutex
	log  *os.File
	size int64 // of log, in bytes
	day  string
	now  func() time.Time
	end  keep
}

// keep is how long the log is kept.
type keep time.Duration

// DefaultKeep is how long events are kept by default.
const DefaultKeep = 90 * 24 * time.Hour

const (
	fleetName    = "fleet.json"
	verifierName = "verifier.json"
	printersDir  = "printers"
	eventsDir    = "events"
	claimsDir    = "claims"
	maxLine      = 16 << 10
)

// Open opens or makes a store in dir. name is the recipient's name for a store that
// is new, or, if not empty, its new name. Events older than keepFor are removed day
// by day; zero means DefaultKeep.
func Open(dir, name string, keepFor time.Duration) (*Store, error) {
	for _, d := range []string{dir, filepath.Join(dir, printersDir), filepath.Join(dir, eventsDir), filepath.Join(dir, claimsDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open the fleet's folder: %w", err)
		}
	}
	if keepFor == 0 {
		keepFor = DefaultKeep
	}
	s := &Store{dir: dir, now: time.Now, end: keep(keepFor)}
	if err := s.identity(name); err != nil {
		return nil, err
	}
	return s, nil
}

// Scratch makes an empty file in the fleet's folder that is gone with the process that has it.
func (s *Store) Scratch() (*os.File, error) {
	path := filepath.Join(s.dir, "scratch")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return nil, fmt.Errorf("make room for the printers' states: %w", err)
	}
	return f, nil
}

// Peek reads who the recipient of an existing store is, without opening it.
func Peek(dir string) (Fleet, error) {
	var f Fleet
	b, err := os.ReadFile(filepath.Join(dir, fleetName))
	if err != nil {
		return f, fmt.Errorf("%s is not a fleet's folder: start platen-fleet up --dir %s first", dir, dir)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("%s: %w", filepath.Join(dir, fleetName), err)
	}
	return f, nil
}

func (s *Store) identity(name string) error {
	path := filepath.Join(s.dir, fleetName)
	_, err := os.Stat(path)
	if err == nil {
		if s.Fleet, err = Peek(s.dir); err != nil || name == "" || name == s.Fleet.Name {
			return err
		}
	} else {
		if _, err := rand.Read(s.Fleet.Recipient[:]); err != nil {
			return fmt.Errorf("make the recipient's id: %w", err)
		}
		if name == "" {
			name = "Platen fleet"
		}
	}
	s.Fleet.Name = name
	b, err := json.MarshalIndent(s.Fleet, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", fleetName, err)
	}
	return s.replace(fleetName, append(b, '\n'))
}

// Load restores a verifier. A store without state leaves it as it is.
func (s *Store) Load(v *verify.Verifier) error {
	b, err := os.ReadFile(filepath.Join(s.dir, verifierName))
	if errors.Is(err, os.ErrNotExist) {
		return s.SaveAll(v) // its nonces have to be known after a restart
	}
	if err != nil {
		return fmt.Errorf("read the verifier's state: %w", err)
	}
	if err := v.Restore(b); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.dir, printersDir, "*.json"))
	if err != nil {
		return fmt.Errorf("read the printers' states: %w", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("read a printer's state: %w", err)
		}
		if err := v.RestorePrinter(b); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
	}
	return s.recall(v)
}

// SaveAll writes the whole state of a verifier.
func (s *Store) SaveAll(v *verify.Verifier) error {
	b, err := v.State()
	if err != nil {
		return err
	}
	return s.replace(verifierName, b)
}

// SavePrinter writes one printer's state.
func (s *Store) SavePrinter(v *verify.Verifier, id evidence.PrinterID) error {
	b, err := v.PrinterState(id)
	if err != nil {
		return err
	}
	return s.replace(filepath.Join(printersDir, id.String()+".json"), b)
}

// Records reads the records of all printers in dir without opening the store.
func Records(dir string) ([]verify.Record, error) {
	if _, err := Peek(dir); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, printersDir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list printers: %w", err)
	}
	var out []verify.Record
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("list printers: %w", err)
		}
		var p struct {
			Record verify.Record `json:"record"`
		}
		if err := json.Unmarshal(b, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		out = append(out, p.Record)
	}
	return out, nil
}

// replace writes a file so that a power cut leaves the old or the new one.
func (s *Store) replace(name string, b []byte) error {
	if err := durable.Replace(filepath.Join(s.dir, name), b); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// Close closes the log.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log == nil {
		return nil
	}
	err := s.log.Close()
	s.log = nil
	return err
}
