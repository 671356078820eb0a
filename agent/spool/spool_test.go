package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"platen/updater/slot"
	"platen/updater/updatertest"
)

// tpm seals by adding a number of its own.
type tpm byte

func (t tpm) Seal(_ context.Context, b []byte) ([]byte, error) {
	return append([]byte{byte(t)}, b...), nil
}

var errSeal = fmt.Errorf("sealed to another TPM: %w", ErrKey)

func (t tpm) Unseal(_ context.Context, b []byte) ([]byte, error) {
	if b[0] != byte(t) {
		return nil, errSeal
	}
	return b[1:], nil
}

var at = time.Unix(1_800_000_000, 0)

func open(t interface{ Fatal(...any) }, d slot.FS) *Spool {
	s, err := Open(context.Background(), d, keyed{}, "acme", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keyed seals nothing, and is what it says for tests of other things.
type keyed struct{}

func (keyed) Seal(_ context.Context, b []byte) ([]byte, error) {
	return append([]byte("sealed:"), b...), nil
}
func (keyed) Unseal(_ context.Context, b []byte) ([]byte, error) {
	return bytes.TrimPrefix(b, []byte("sealed:")), nil
}

func text(n int) []byte { return fmt.Appendf(nil, "message %06d %s", n, strings.Repeat("x", 40)) }

// drain takes all that waits, in order, a batch at a time, and counts what was lost.
func drain(s *Spool) (got []string, lost uint64) {
	for {
		msgs, gone, upto := s.Peek(1<<20, 0, window)
		for _, m := range msgs {
			got = append(got, string(m))
		}
		lost += gone
		s.Take(upto)
		s.Done(upto)
		if len(msgs) == 0 {
			return got, lost
		}
	}
}

func TestMessagesSurvive(t *testing.T) {
	d := updatertest.NewDisk()
	s := open(t, d)
	const n = 1500 // several segments, far more than memory holds
	for i := range n {
		s.Put(text(i), at)
	}
	if len(s.near) > window {
		t.Errorf("%d messages in memory", len(s.near))
	}
	msgs, lost, upto := s.Peek(500, 3, 100)
	if len(msgs) != 8 || lost != 0 || string(msgs[0]) != string(text(0)) {
		t.Fatalf("%d messages, %d lost", len(msgs), lost)
	}
	s.Take(upto) // and never acknowledged
	if n1, _ := s.Len(); n1 != n-8 {
		t.Errorf("%d wait, want %d", n1, n-8)
	}
	s = open(t, d) // after a restart: those as well
	got, lost := drain(s)
	if len(got) != n || lost != 0 || got[0] != string(text(0)) || got[n-1] != string(text(n-1)) {
		t.Errorf("after a restart: %d messages, %d lost", len(got), lost)
	}
	if got, lost := drain(open(t, d)); len(got) != 0 || lost != 0 {
		t.Errorf("%d messages that had arrived come back, %d lost", len(got), lost)
	}
}

// A disk that is stolen tells nothing, and nothing in it can be changed or moved.
func TestEncrypted(t *testing.T) {
	d := updatertest.NewDisk()
	s := open(t, d)
	for i := range 20 {
		s.Put(text(i), at)
	}
	b, _ := d.Contents("seg-0")
	if bytes.Contains(b, []byte("message")) || len(b) < 20*len(text(0)) {
		t.Errorf("%d bytes, messages in clear: %v", len(b), bytes.Contains(b, []byte("message")))
	}
	record := (len(b) - headerSize - 2 - nonceSize - fixed - tagSize) / 20
	start := headerSize + 2 + nonceSize + fixed + tagSize
	for name, c := range map[string]struct {
		change func(b []byte)
		want   int
	}{
		"control": {func([]byte) {}, 20},
		"one bit": {func(b []byte) { b[start+5*record+40] ^= 1 }, 5},
		"two swapped": {func(b []byte) {
			r := bytes.Clone(b[start+5*record : start+6*record])
			copy(b[start+5*record:], b[start+6*record:start+7*record])
			copy(b[start+6*record:], r)
		}, 5},
		"one repeated": {func(b []byte) { copy(b[start+6*record:start+7*record], b[start+5*record:start+6*record]) }, 6},
		"number":       {func(b []byte) { b[headerSize-1] = segments }, 0},
	} {
		changed := bytes.Clone(b)
		c.change(changed)
		d.Damage("seg-0", changed)
		if got, _ := drain(open(t, d)); len(got) != c.want {
			t.Errorf("%s: %d messages, want %d", name, len(got), c.want)
		}
	}
	d.Damage("seg-0", b)
	other, err := Open(t.Context(), d, keyed{}, "somebody else", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := drain(other); len(got) != 0 {
		t.Error("opened under another recipient's name")
	}
}

// Another TPM, or one that was cleared, opens nothing; what it begins anew works.
func TestKeyOfAnotherTPM(t *testing.T) {
	d := updatertest.NewDisk()
	get := func(k tpm) *Spool {
		s, err := Open(t.Context(), d, k, "acme", nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	get(1).Put(text(1), at)
	if got, _ := drain(get(1)); len(got) != 1 {
		t.Fatalf("control: %q", got)
	}
	get(1).Put(text(2), at)
	if got, _ := drain(get(2)); len(got) != 0 {
		t.Errorf("another TPM reads %q", got)
	}
	get(2).Put(text(3), at)
	if got, _ := drain(get(2)); len(got) != 1 || got[0] != string(text(3)) {
		t.Errorf("begun anew: %q", got)
	}
}

// Seven days without a recipient at the shortest period cost what they may, and show as
// one gap in front of the newest messages. T03, T31.
func TestLongOutage(t *testing.T) {
	d := updatertest.NewDisk()
	s := open(t, d)
	s.limit = 2 << 10
	days, period := 7, time.Minute
	if testing.Short() {
		days = 2
	}
	n := days * int(24*time.Hour/period)
	for i := range n {
		s.Put(bytes.Repeat([]byte{byte(i)}, 160), at.Add(time.Duration(i)*period))
	}
	total := 0
	for i := range segments {
		b, _ := d.Contents(segmentName(i))
		total += len(b)
	}
	waiting, dropped := s.Len()
	if total > segments*(2<<10+maxMessage) || len(s.near) > window || waiting+int(dropped) != n || dropped == 0 || waiting < 500 {
		t.Errorf("%d bytes on the disk, %d messages in memory, %d wait and %d were dropped of %d", total, len(s.near), waiting, dropped, n)
	}
	again := open(t, d)
	got, lost := drain(again)
	if len(got) != waiting || lost != dropped || got[0][0] != byte(dropped) {
		t.Errorf("%d messages and a gap of %d, want %d and %d", len(got), lost, waiting, dropped)
	}
}

func TestOldMessagesGo(t *testing.T) {
	s := open(t, updatertest.NewDisk())
	for i := range 2000 { // some segments
		s.Put(text(i), at)
	}
	segs := len(s.segs)
	s.Put(text(2000), at.Add(MaxAge+time.Second))
	if segs < 3 || len(s.segs) != 1 {
		t.Errorf("%d segments of %d are left", len(s.segs), segs)
	}
	got, lost := drain(s)
	if len(got)+int(lost) != 2001 || lost == 0 {
		t.Errorf("%d messages, %d lost", len(got), lost)
	}
}

// A frame that is being made speaks for messages that are dropped meanwhile.
func TestDroppedWhileTaken(t *testing.T) {
	const most = 100
	s := InMemory(most)
	for i := range most {
		s.Put(text(i), at)
	}
	msgs, _, upto := s.Peek(1<<20, 0, 10)
	for i := range 4 {
		s.Put(text(most+i), at)
	}
	s.Take(upto)
	if len(msgs) != 10 {
		t.Fatal("control")
	}
	got, lost := drain(s)
	if lost != 0 || len(got) != most+4-10 {
		t.Errorf("%d messages, %d lost", len(got), lost)
	}
	for i := range most + 7 {
		s.Put(text(i), at)
	}
	if got, lost := drain(s); lost != 7 || len(got) != most || got[0] != string(text(7)) {
		t.Errorf("without a disk: %d messages, %d lost", len(got), lost)
	}
}

var errFull = errors.New("no space left on device")

// full is a disk that takes nothing while it is full.
type full struct {
	*updatertest.Disk
	full atomic.Bool
}

func (f *full) Open(name string, m slot.Mode) (slot.File, error) {
	file, err := f.Disk.Open(name, m)
	if err == nil && f.full.Load() && m == slot.Create {
		return nil, errFull
	}
	return fullFile{file, f}, err
}

type fullFile struct {
	slot.File
	f *full
}

func (f fullFile) WriteAt(p []byte, off int64) (int, error) {
	if f.f.full.Load() {
		n, _ := f.File.WriteAt(p[:len(p)/3], off)
		return n, errFull
	}
	return f.File.WriteAt(p, off)
}

// A full disk costs messages, all of them counted, and heals.
func TestFullDisk(t *testing.T) {
	d := &full{Disk: updatertest.NewDisk()}
	s := open(t, d)
	for i := range 10 {
		s.Put(text(i), at)
	}
	d.full.Store(true)
	for i := range memory + 10 {
		s.Put(text(10+i), at)
	}
	d.full.Store(false)
	for i := range 300 {
		s.Put(text(memory+20+i), at)
	}
	_, dropped := s.Len()
	got, lost := drain(s)
	if len(got)+int(lost) != memory+320 || lost != dropped || lost == 0 || got[len(got)-1] != string(text(memory+319)) {
		t.Errorf("%d messages and %d lost (%d dropped) of %d", len(got), lost, dropped, memory+320)
	}
	if got, lost := drain(open(t, d)); len(got) != 0 || lost != 0 {
		t.Errorf("after a restart: %d messages, %d lost", len(got), lost)
	}
}

// Revoked: key and messages are written over, and nobody reads them again.
func TestClear(t *testing.T) {
	d := updatertest.NewDisk()
	s := open(t, d)
	for i := range 2000 {
		s.Put(text(i), at)
	}
	key, _ := d.Contents(keyName)
	kept, _ := d.Contents("seg-1")
	if len(key) == 0 || len(kept) == 0 {
		t.Fatal("control: nothing is on the disk")
	}
	if err := s.Clear(); err != nil {
		t.Fatal(err)
	}
	for i := -1; i < segments; i++ {
		name := keyName
		if i >= 0 {
			name = segmentName(i)
		}
		if b, _ := d.Contents(name); len(b) != 0 {
			t.Errorf("%s has %d bytes", name, len(b))
		}
	}
	if n, _ := s.Len(); n != 0 {
		t.Errorf("%d messages wait", n)
	}
	d.Damage("seg-1", kept) // somebody has a copy
	if got, _ := drain(open(t, d)); len(got) != 0 {
		t.Errorf("%d messages from a copy", len(got))
	}
}

// A power cut at any point, torn in any way: what was synced is there, in its order, whole,
// and once; what was done and synced does not come back.
func TestPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := updatertest.NewDisk()
		s := open(t, d)
		put := func(i int) {
			time.Sleep(syncEvery)
			s.Put(text(i), at)
			d.Mark(fmt.Sprintf("put %d", i))
		}
		for i := range 3 {
			put(i)
		}
		_, _, upto := s.Peek(1<<20, 0, 2)
		s.Take(upto)
		s.Done(upto)
		put(3)
		d.Mark("done 2")
		s.size = s.limit // the next message begins a segment
		put(4)
		states, most := 0, 0
		for c := range d.Crashes(1) {
			last, done := -1, 0
			for _, m := range c.Acked {
				fmt.Sscanf(m, "put %d", &last)
				fmt.Sscanf(m, "done %d", &done)
			}
			r := open(t, c.Disk)
			r.Put(text(99), at)
			got, lost := drain(r)
			// The message that was being put may count as lost.
			if lost > 1 || len(got) == 0 || got[len(got)-1] != string(text(99)) {
				t.Fatalf("%s: %q, %d lost", c.At, got, lost)
			}
			got = got[:len(got)-1]
			for i, m := range got {
				if i > 0 && m <= got[i-1] {
					t.Fatalf("%s: out of order, or twice: %q", c.At, got)
				}
			}
			for i := 2; i <= last; i++ {
				if !strings.Contains(strings.Join(got, ""), string(text(i))) {
					t.Fatalf("%s: message %d of %d is gone: %q", c.At, i, last, got)
				}
			}
			if done > 0 && len(got) > 0 && got[0] < string(text(done)) {
				t.Fatalf("%s: %q came back", c.At, got[0])
			}
			states++
			most = max(most, len(got))
		}
		if states < 50 || most < 3 {
			t.Errorf("control: %d states, at most %d messages", states, most)
		}
	})
}

// Whatever is done with a spool, nothing is lost that is not counted, and nothing comes
// twice or out of order.
func TestNothingIsLostInSilence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &full{Disk: updatertest.NewDisk()}
		s, err := Open(context.Background(), d, keyed{}, "acme", nil)
		if err != nil {
			t.Fatal(err)
		}
		next, seen := 0, 0
		risky := false // something may be in memory only, and gone uncounted with the process
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "n") {
					s.Put(text(next), at)
					next++
				}
				risky = risky || d.full.Load()
			},
			"send": func(t *rapid.T) {
				msgs, lost, upto := s.Peek(rapid.IntRange(0, 20000).Draw(t, "room"), 3, window)
				seen += int(lost)
				for _, m := range msgs {
					if string(m) != string(text(seen)) {
						t.Fatalf("%q where %d should be", m, seen)
					}
					seen++
				}
				s.Take(upto)
				s.Done(upto)
				if n, _ := s.Len(); n == 0 {
					risky = false
				}
			},
			"full": func(*rapid.T) { d.full.Store(!d.full.Load()) },
			"reopen": func(t *rapid.T) {
				if risky || d.full.Load() {
					return
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open(t, d)
			},
		})
	})
}
