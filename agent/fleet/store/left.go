package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"platen/agent/durable"
	"platen/agent/evidence"
)

// Departure is why a printer is no longer one of the fleet.
type Departure struct {
	// At is when that was said.
	At time.Time `json:"at"`
	// Gone is true if the printer itself left, with a receipt; otherwise an operator revoked it.
	Gone bool `json:"gone,omitempty"`
}

// String is "revoked" or "gone".
func (d Departure) String() string {
	if d.Gone {
		return "gone"
	}
	return "revoked"
}

const leftDir = "left"

func leftPath(dir string, id evidence.PrinterID) string {
	return filepath.Join(dir, leftDir, id.String()+".json")
}

// Leave takes a printer out of the fleet in dir: from then on nothing that it sends is
// believed, and it is not let in. Any process may call it while the fleet runs. One that
// is gone stays gone when it is revoked as well.
func Leave(dir string, id evidence.PrinterID, d Departure) error {
	if old, left, err := Left(dir, id); err != nil || left && old.Gone {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, leftDir), 0o700); err != nil {
		return fmt.Errorf("take a printer out: %w", err)
	}
	b, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("take a printer out: %w", err)
	}
	if err := durable.Replace(leftPath(dir, id), append(b, '\n')); err != nil {
		return fmt.Errorf("take a printer out: %w", err)
	}
	return nil
}

// Readmit takes [Leave] back.
func Readmit(dir string, id evidence.PrinterID) error {
	if err := os.Remove(leftPath(dir, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("let a printer in again: %w", err)
	}
	return nil
}

// Left reports whether a printer is no longer one of the fleet in dir. A note that cannot
// be read counts as one that was made.
func Left(dir string, id evidence.PrinterID) (d Departure, left bool, err error) {
	b, err := os.ReadFile(leftPath(dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return d, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		return d, true, fmt.Errorf("read whether a printer left: %w", err)
	}
	return d, true, nil
}

// Left reports whether a printer is no longer one of the fleet; see the function Left.
func (s *Store) Left(id evidence.PrinterID) bool {
	_, left, _ := Left(s.dir, id) // one that cannot be read has left
	return left
}

// AllLeft lists the printers that left the fleet.
func (s *Store) AllLeft() (map[evidence.PrinterID]bool, error) { return allLeft(s.dir) }

func allLeft(dir string) (map[evidence.PrinterID]bool, error) {
	entries, err := os.ReadDir(filepath.Join(dir, leftDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list printers that left: %w", err)
	}
	all := map[evidence.PrinterID]bool{}
	for _, e := range entries {
		if id, err := evidence.ParsePrinterID(strings.TrimSuffix(e.Name(), ".json")); err == nil {
			all[id] = true
		}
	}
	return all, nil
}

// Leave takes a printer out of the fleet; see the function Leave.
func (s *Store) Leave(id evidence.PrinterID, d Departure) error { return Leave(s.dir, id, d) }
