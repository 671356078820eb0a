package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"platen/agent/evidence"
	"platen/agent/intake"
	"platen/agent/mirror"
	"platen/updater/slot"
)

// mirrors are the owner's mirrors of what was sent, one a recipient, opened as needed.
type mirrors struct {
	dir string

	mu  sync.Mutex
	all map[evidence.RecipientID]*mirror.Mirror
}

// of opens the mirror of a recipient.
func (m *mirrors) of(r evidence.RecipientID) (*mirror.Mirror, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if x, ok := m.all[r]; ok {
		return x, nil
	}
	dir, err := slot.OpenDir(filepath.Join(m.dir, r.String()))
	if err != nil {
		return nil, err
	}
	x, err := mirror.Open(dir)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	if m.all == nil {
		m.all = map[evidence.RecipientID]*mirror.Mirror{}
	}
	m.all[r] = x
	return x, nil
}

// add keeps a frame before it leaves.
func (m *mirrors) add(r evidence.RecipientID, frame []byte) error {
	x, err := m.of(r)
	if err != nil {
		return err
	}
	return x.Add(frame)
}

func (m *mirrors) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, x := range m.all {
		errs = append(errs, x.Close())
	}
	m.all = nil
	return errors.Join(errs...)
}

// exportMirror writes what was sent to a recipient into the client's file.
func (a *Agent) exportMirror(req intake.Request, file *os.File) error {
	r, err := evidence.ParseRecipientID(req.Recipient)
	if err != nil {
		return fmt.Errorf("reading the mirror: %w", err)
	}
	if file == nil {
		return errors.New("an export needs a file to be written to")
	}
	if _, err := os.Stat(filepath.Join(a.mirrors.dir, r.String())); err != nil {
		return fmt.Errorf("nothing was ever sent to recipient %s", r)
	}
	m, err := a.mirrors.of(r)
	if err != nil {
		return fmt.Errorf("reading the mirror: %w", err)
	}
	return m.Export(file)
}
