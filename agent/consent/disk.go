package consent

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: over %d bytes", filepath.Base(path), limit)
	}
	return b, err
}

// locked runs f while no other process changes the directory.
func (s *Store) locked(f func() error) error {
	l, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock the consent directory: %w", err)
	}
	defer l.Close() // lets go of the lock
	for {
		err = syscall.Flock(int(l.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock the consent directory: %w", err)
	}
	return f()
}
