package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"platen/updater/slot"
	"platen/updater/updatertest"
)

// Numbers that somebody has spoken for do not come again, though a power cut took their
// messages: what is put then is not taken for them.
func TestNumbersSpokenFor(t *testing.T) {
	d := updatertest.NewDisk()
	s := open(t, d)
	for i := range 5 {
		s.Put(text(i), at)
	}
	s.Take(20) // a frame of before the power cut spoke for 15 more
	s.Put(text(20), at)
	for range 2 {
		if got, lost := drainKept(s, 20); len(got) != 1 || got[0] != string(text(20)) || lost != 0 {
			t.Fatalf("%d messages, %d lost", len(got), lost)
		}
		s = open(t, d)
	}
}

// drainKept is what waits behind the messages before upto, of which nothing is taken.
func drainKept(s *Spool, upto uint64) (got []string, lost uint64) {
	s.Take(upto)
	msgs, lost, _ := s.Peek(1<<20, 0, window)
	for _, m := range msgs {
		got = append(got, string(m))
	}
	return got, lost
}

// A spool that begins anew has another id, and a restart changes none.
func TestID(t *testing.T) {
	d := updatertest.NewDisk()
	get := func(k tpm) string {
		s, err := Open(t.Context(), d, k, "acme", nil)
		if err != nil {
			t.Fatal(err)
		}
		return s.ID()
	}
	first := get(1)
	if first == "" || get(1) != first {
		t.Error("a restart changes it")
	}
	if other := get(2); other == first || other != get(2) {
		t.Error("begun anew: the same id")
	}
	if a, b := InMemory(1), InMemory(1); a.ID() == b.ID() {
		t.Error("two in memory have the same id")
	}
}

// moody is a TPM that is of no use at times.
type moody struct{ seal, unseal error }

func (m moody) Seal(ctx context.Context, b []byte) ([]byte, error) {
	if m.seal != nil {
		return nil, m.seal
	}
	return keyed{}.Seal(ctx, b)
}

func (m moody) Unseal(ctx context.Context, b []byte) ([]byte, error) {
	if m.unseal != nil {
		return nil, m.unseal
	}
	return keyed{}.Unseal(ctx, b)
}

// Whatever is wrong with the TPM for a while takes no message. The control is a key that
// never opens again.
func TestTPMOutOfOrder(t *testing.T) {
	busy := errors.New("the TPM is busy")
	for name, c := range map[string]struct {
		tpm  moody
		lost bool
	}{
		"busy":                 {moody{unseal: busy}, false},
		"busy with a new key":  {moody{unseal: ErrKey, seal: busy}, false},
		"never opens: control": {moody{unseal: ErrKey}, true},
	} {
		d := updatertest.NewDisk()
		open(t, d).Put(text(1), at)
		if _, err := Open(t.Context(), d, c.tpm, "acme", nil); c.lost != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := drain(open(t, d)); c.lost != (len(got) == 0) {
			t.Errorf("%s: %d messages are left", name, len(got))
		}
	}
}

// faulty is a disk with faults that tests switch on, and counts.
type faulty struct {
	*updatertest.Disk
	unread        string // a file that is not read
	after         int    // so many openings of it still work
	unsynced      bool
	syncs, closes int
}

var errFault = errors.New("input/output error")

func (f *faulty) Open(name string, m slot.Mode) (slot.File, error) {
	if name == f.unread && m == slot.Read {
		if f.after--; f.after < 0 {
			return nil, errFault
		}
	}
	file, err := f.Disk.Open(name, m)
	return faultyFile{file, f}, err
}

func (f *faulty) Close() error { f.closes++; return nil }

type faultyFile struct {
	slot.File
	f *faulty
}

func (f faultyFile) Sync() error {
	if f.f.syncs++; f.f.unsynced {
		return errFault
	}
	return f.File.Sync()
}

// A segment that cannot be read for once is not cut by the attempt.
func TestOpenFails(t *testing.T) {
	d := &faulty{Disk: updatertest.NewDisk()}
	s := open(t, d)
	s.Put(text(0), at)
	_, _, upto := s.Peek(1<<20, 0, 1)
	s.Take(upto)
	s.Done(upto)
	s.size = s.limit // the next message begins a segment
	s.Put(text(1), at)
	want, ok := d.Contents("seg-1")
	if err := s.Close(); err != nil || !ok || d.closes != 1 {
		t.Fatalf("control: %v, %d segments, folder closed %d times", err, len(s.segs), d.closes)
	}
	d.unread, d.after = "seg-1", 1 // its head is read
	if _, err := Open(t.Context(), d, keyed{}, "acme", nil); !errors.Is(err, errFault) {
		t.Fatalf("control: %v", err)
	}
	if got, _ := d.Contents("seg-1"); !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d are left", len(got), len(want))
	}
	d.unread = ""
	if got, _ := drain(open(t, d)); len(got) != 1 || got[0] != string(text(1)) {
		t.Errorf("%q", got)
	}
}

// What could not be made durable is tried again.
func TestSyncAgain(t *testing.T) {
	d := &faulty{Disk: updatertest.NewDisk()}
	s := open(t, d)
	s.Put(text(0), at)
	s.synced, d.unsynced = time.Time{}, true
	s.Put(text(1), at)
	d.unsynced = false
	before := d.syncs
	if err := s.Close(); err != nil || d.syncs != before+1 {
		t.Errorf("%v, synced %d times at the end", err, d.syncs-before)
	}
}

// However seldom there is a message, none gets older than it may.
func TestSeldomMessagesGo(t *testing.T) {
	s := open(t, updatertest.NewDisk())
	const n = 16 * 24
	for i := range n {
		s.Put(fmt.Appendf(nil, "%d", i), at.Add(time.Duration(i)*time.Hour))
	}
	got, lost := drain(s)
	oldest := n - 1 - int(MaxAge/time.Hour)
	var first int
	if _, err := fmt.Sscan(got[0], &first); err != nil || first < oldest || first > oldest+12 || len(got)+int(lost) != n {
		t.Errorf("the first is of hour %d, want %d at least; %d messages, %d lost: %v", first, oldest, len(got), lost, err)
	}
}
