package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func open(t *testing.T, dir, name string) *Store {
	t.Helper()
	s, err := Open(dir, name, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestIdentityStays(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, "One").Fleet
	if got := open(t, dir, "").Fleet; got != first || got.Name != "One" {
		t.Errorf("%+v became %+v", first, got)
	}
	if got := open(t, dir, "Two").Fleet; got.Recipient != first.Recipient || got.Name != "Two" {
		t.Errorf("renamed: %+v", got)
	}
	if _, err := Peek(t.TempDir()); err == nil || !strings.Contains(err.Error(), "platen-fleet up") {
		t.Errorf("a folder that is none: %v", err)
	}
}

// A claim code lets one printer in, and only until it ends.
func TestClaims(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "")
	code, expires, err := NewClaim(dir, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CheckClaim(code); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckClaim(code + "x"); !errors.Is(err, ErrClaim) {
		t.Errorf("another code: %v", err)
	}
	files, err := os.ReadDir(filepath.Join(dir, claimsDir))
	if err != nil || len(files) != 1 || strings.Contains(files[0].Name(), code) {
		t.Errorf("the code itself is on disk: %v %v", files, err)
	}
	s.now = func() time.Time { return expires }
	if err := s.UseClaim(code); !errors.Is(err, ErrClaim) {
		t.Errorf("an expired code: %v", err)
	}
	s.now = time.Now
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if s.UseClaim(code) == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("a code was good %d times", won.Load())
	}
}

func seqs(t *testing.T, dir string) []uint64 {
	t.Helper()
	var out []uint64
	for e, err := range Events(dir) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Seq)
	}
	return out
}

// A line that a power cut tore, at any byte, costs that line and no other.
func TestTornLine(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "")
	for i := range 3 {
		if err := s.Append(Event{Event: Batch, Seq: uint64(i + 1), At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	path := s.log.Name()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := strings.LastIndex(strings.TrimSpace(string(whole)), "\n") + 1
	for cut := last; cut <= len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		again := open(t, dir, "")
		if err := again.Append(Event{Event: Batch, Seq: 9, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		got := seqs(t, dir)
		if got[0] != 1 || got[1] != 2 || got[len(got)-1] != 9 || len(got) < 3 || cut >= len(whole)-1 && len(got) != 4 {
			t.Fatalf("cut at %d: %v", cut, got)
		}
	}
}

func TestOldEventsGo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "")
	day := 24 * time.Hour
	begin := time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)
	for i := range 100 {
		s.now = func() time.Time { return begin.Add(time.Duration(i) * day) }
		if err := s.Append(Event{Event: Batch, Seq: uint64(i + 1), At: s.now()}); err != nil {
			t.Fatal(err)
		}
	}
	got := seqs(t, dir)
	if got[0] != 10 || got[len(got)-1] != 100 {
		t.Errorf("events %d to %d are left, want 10 to 100", got[0], got[len(got)-1])
	}
}

// TestClockGoesBack: what is appended then is behind what a checkpoint has dealt with, or there is
// no checkpoint any more.
func TestClockGoesBack(t *testing.T) {
	dir := t.TempDir()
	noon := time.Date(2027, 3, 20, 12, 0, 0, 0, time.UTC)
	var seq uint64
	add := func(s *Store, back int) Position {
		t.Helper()
		s.now = func() time.Time { return noon.AddDate(0, 0, -back) }
		seq++
		if err := s.Append(Event{Event: Batch, Seq: seq, At: s.now()}); err != nil {
			t.Fatal(err)
		}
		at, err := s.Position()
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	s := open(t, dir, "")
	last := add(s, 0)
	if err := s.Checkpoint(last); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{s, open(t, dir, "")} {
		if at := add(s, 1); at.Day != last.Day || at.Offset <= last.Offset {
			t.Errorf("%+v is not behind %+v", at, last)
		}
	}
	checkpoint := filepath.Join(dir, checkpointName)
	if _, err := os.Stat(checkpoint); err != nil {
		t.Error(err)
	}
	if at := add(s, 30); at.Day != "2027-02-18" {
		t.Errorf("a month back it is %+v", at)
	}
	if _, err := os.Stat(checkpoint); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a checkpoint is left: %v", err)
	}
}
