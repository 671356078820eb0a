package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"platen/agent/durable"
)

// Append writes events to the log, all or none of them, and returns once they are durable: one
// wait for the disk, however many there are.
func (s *Store) Append(events ...Event) error {
	var lines []byte
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode an event: %w", err)
		}
		lines = append(append(lines, line...), '\n')
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.rotate(); err != nil {
		return err
	}
	_, err := s.log.Write(lines)
	if err == nil {
		err = s.log.Sync()
	}
	if err != nil {
		// What was written of it, if it is there after all, is told twice.
		err = errors.Join(err, s.log.Truncate(s.size), s.log.Close())
		s.log = nil
		return fmt.Errorf("append to the event log: %w", err)
	}
	s.size += int64(len(lines))
	return nil
}

// rotate opens the file of the day and removes those that are too old.
func (s *Store) rotate() error {
	day, err := s.today()
	if err != nil {
		return err
	}
	if s.log != nil && s.day == day {
		return nil
	}
	if s.log != nil {
		if err := s.log.Close(); err != nil {
			return fmt.Errorf("close the event log: %w", err)
		}
	}
	s.log, err = os.OpenFile(filepath.Join(s.dir, eventsDir, day+".jsonl"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		s.log = nil
		return fmt.Errorf("open the event log: %w", err)
	}
	s.day = day
	if s.size, err = closeLine(s.log); err != nil {
		err = errors.Join(err, s.log.Close())
		s.log = nil
		return fmt.Errorf("repair the event log: %w", err)
	}
	return s.expire()
}

// ahead is how far the clock may have been ahead without the log beginning again at an earlier day.
const ahead = 7 * 24 * time.Hour

// today is the day whose file the log goes on with: none before the newest that there is, since
// a start reads them in their order and from where it left off. If the clock was so far ahead that
// this one would never end, the log goes back, and the next start reads all of it.
func (s *Store) today() (string, error) {
	now := s.now().UTC()
	day, newest := now.Format(time.DateOnly), s.day
	if s.log == nil {
		files, err := logFiles(s.dir)
		if err != nil {
			return "", err
		}
		if len(files) > 0 {
			newest = dayOf(files[len(files)-1])
		}
	}
	if newest <= day || newest <= now.Add(ahead).Format(time.DateOnly) {
		return max(day, newest), nil
	}
	err := os.Remove(filepath.Join(s.dir, checkpointName))
	if err == nil {
		err = durable.SyncDir(s.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("forget up to where the log is dealt with: %w", err)
	}
	return day, nil
}

// closeLine ends a line that a power cut left open, and returns how long the file is.
func closeLine(f *os.File) (int64, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return size, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil || last[0] == '\n' {
		return size, err
	}
	_, err = f.Write([]byte("\n"))
	return size + 1, err
}

func (s *Store) expire() error {
	files, err := logFiles(s.dir)
	if err != nil {
		return err
	}
	oldest := s.now().UTC().Add(-time.Duration(s.end)).Format(time.DateOnly)
	for _, f := range files {
		if dayOf(f) < oldest {
			if err := os.Remove(f); err != nil {
				return fmt.Errorf("remove old events: %w", err)
			}
		}
	}
	return nil
}

// logFiles are the files of the log in dir, the oldest first.
func logFiles(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, eventsDir, "*.jsonl")) // sorted
	if err != nil {
		return nil, fmt.Errorf("list the event log: %w", err)
	}
	return files, nil
}

func dayOf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".jsonl") }
