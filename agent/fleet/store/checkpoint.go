package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"platen/agent/evidence"
	"platen/agent/fleet/verify"
)

const checkpointName = "checkpoint.json"

// Position is a place in the log, between two lines.
type Position struct {
	Day    string `json:"day"`
	Offset int64  `json:"offset"` // bytes
}

// Position is the end of the log.
func (s *Store) Position() (Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.rotate(); err != nil {
		return Position{}, err
	}
	return Position{s.day, s.size}, nil
}

// SavePrinters writes the states of printers and waits for the disk once.
func (s *Store) SavePrinters(states map[evidence.PrinterID][]byte) error {
	dir := filepath.Join(s.dir, printersDir)
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("save the printers' states: %w", err)
	}
	defer d.Close() // it was only read from
	for id, b := range states {
		if err = os.WriteFile(statePath(dir, id)+".new", b, 0o600); err != nil {
			return fmt.Errorf("save the printers' states: %w", err)
		}
	}
	if err := unix.Syncfs(int(d.Fd())); err != nil { // whole files only get their names
		return fmt.Errorf("save the printers' states: %w", err)
	}
	for id := range states {
		if err := os.Rename(statePath(dir, id)+".new", statePath(dir, id)); err != nil {
			return fmt.Errorf("save the printers' states: %w", err)
		}
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("save the printers' states: %w", err)
	}
	return nil
}

func statePath(dir string, id evidence.PrinterID) string {
	return filepath.Join(dir, id.String()+".json")
}

// Checkpoint notes that the states on disk have everything that stands in the log before at:
// Load goes on from there.
func (s *Store) Checkpoint(at Position) error {
	b, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("encode %s: %w", checkpointName, err)
	}
	return s.replace(checkpointName, append(b, '\n'))
}

// recall brings a verifier up to what the log has behind the last checkpoint, and saves what
// changed with that. Without a checkpoint all of the log is read, which is longer and comes to the
// same.
func (s *Store) recall(v *verify.Verifier) error {
	var from Position
	b, err := os.ReadFile(filepath.Join(s.dir, checkpointName))
	if err == nil {
		err = json.Unmarshal(b, &from)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read up to where the log is dealt with: %w", err)
	}
	files, err := logFiles(s.dir)
	if err != nil || len(files) == 0 {
		return err
	}
	changed := map[evidence.PrinterID]bool{}
	for _, f := range files {
		offset := from.Offset
		if dayOf(f) > from.Day {
			offset = 0
		}
		if dayOf(f) < from.Day {
			continue
		}
		if err := recallFile(v, f, offset, changed); err != nil {
			return fmt.Errorf("bring the printers' states up to the log: %w", err)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return s.saveChanged(v, changed)
}

// atOnce bounds the states that are held in memory to be saved.
const atOnce = 1000

// saveChanged saves the states of printers, and that they have all of the log: nobody adds to it.
func (s *Store) saveChanged(v *verify.Verifier, changed map[evidence.PrinterID]bool) error {
	at, err := s.Position()
	if err != nil {
		return err
	}
	states := map[evidence.PrinterID][]byte{}
	for id := range changed {
		if states[id], err = v.PrinterState(id); err != nil {
			return err
		}
		if len(states) == atOnce {
			if err := s.SavePrinters(states); err != nil {
				return err
			}
			clear(states)
		}
	}
	if err := s.SavePrinters(states); err != nil {
		return err
	}
	return s.Checkpoint(at)
}

// recallFile has a verifier recall what a file of the log says behind offset, and adds the printers
// of which it did not know that to changed.
func recallFile(v *verify.Verifier, path string, offset int64, changed map[evidence.PrinterID]bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read from
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	for e, err := range lines(f) {
		if err != nil {
			return err
		}
		if e.Event != Batch || len(e.Frame) == 0 {
			continue
		}
		id, err := evidence.ParsePrinterID(e.Printer)
		if err == nil {
			err = v.Recall(id, e.Frame)
		}
		if err == nil { // else it is in the state already, or the printer is gone
			changed[id] = true
		}
	}
	return nil
}
