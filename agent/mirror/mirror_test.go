package mirror

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/evidence"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

func frame(n int) []byte {
	f := make([]byte, evidence.WireSize)
	copy(f, fmt.Sprintf("frame %08d %0500d", n, n))
	f[600] = 0xff
	return f
}

func open(t *testing.T, d slot.FS) *Mirror {
	t.Helper()
	m, err := Open(d)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func frames(t *testing.T, m *Mirror) [][]byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.Export(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len()%evidence.WireSize != 0 {
		t.Fatalf("%d bytes are no whole frames", b.Len())
	}
	var all [][]byte
	for b.Len() > 0 {
		all = append(all, bytes.Clone(b.Next(evidence.WireSize)))
	}
	return all
}

// holds checks that the mirror ends with the frames before next, without a gap.
func holds(t *testing.T, at string, all [][]byte, next int) {
	t.Helper()
	for i, f := range all {
		if n := next - len(all) + i; !bytes.Equal(f, frame(n)) {
			t.Fatalf("%s: frame %d of %d is not number %d", at, i, len(all), n)
		}
	}
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	d := updatertest.NewDisk()
	m := open(t, d)
	for i := range 100 {
		for range 2 { // sent again, and given again after a restart
			if err := m.Add(frame(i)); err != nil {
				t.Fatal(err)
			}
			if i%10 == 0 {
				m = open(t, d)
			}
		}
	}
	all := frames(t, m)
	if len(all) != 100 {
		t.Errorf("%d frames", len(all))
	}
	holds(t, "", all, 100)
	for name, f := range map[string][]byte{"nothing": nil, "zeros": make([]byte, 100), "too long": bytes.Repeat([]byte("x"), evidence.WireSize+1)} {
		if m.Add(f) == nil {
			t.Errorf("%s: kept", name)
		}
	}
}

func TestBounded(t *testing.T) {
	d := updatertest.NewDisk()
	m := open(t, d)
	m.limit = 64 << 10
	const n = 1200
	for i := range n {
		if err := m.Add(frame(i)); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for at := range segments {
		b, _ := d.Contents(segment{at: at}.name())
		total += len(b)
	}
	all := frames(t, open(t, d))
	if total > segments*(64<<10+recordHead+evidence.WireSize) || len(all) == n || len(all) < n/2 {
		t.Errorf("%d bytes, %d frames", total, len(all))
	}
	holds(t, "", all, n)
}

var errFull = fmt.Errorf("write: %w", unix.ENOSPC)

// broken is a disk that for a while takes nothing, though there is room.
type broken struct {
	*updatertest.Disk
	err error
}

func (b *broken) Open(name string, m slot.Mode) (slot.File, error) {
	f, err := b.Disk.Open(name, m)
	return brokenFile{f, b}, err
}

type brokenFile struct {
	slot.File
	b *broken
}

func (f brokenFile) WriteAt(p []byte, off int64) (int, error) {
	if f.b.err != nil {
		return 0, f.b.err
	}
	return f.File.WriteAt(p, off)
}

// Only a disk without room costs frames that were kept; any other trouble costs none.
func TestTroubleTakesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		lost bool
	}{"input/output": {unix.EIO, false}, "no room: control": {errFull, true}} {
		d := &broken{Disk: updatertest.NewDisk()}
		m := open(t, d)
		m.limit = 8 << 10
		for i := range 60 {
			if err := m.Add(frame(i)); err != nil {
				t.Fatal(err)
			}
		}
		before := len(frames(t, m))
		d.err = c.err
		if err := m.Add(frame(60)); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
		d.err = nil
		if after := len(frames(t, m)); (after < before) != c.lost {
			t.Errorf("%s: %d frames of %d are left", name, after, before)
		}
	}
}

// adding is a client that takes its time: frames are sent meanwhile.
type adding struct {
	add  func()
	took int
}

func (a *adding) Write(p []byte) (int, error) {
	a.add()
	a.took += len(p)
	return len(p), nil
}

// A client that reads slowly keeps no frame from being sent.
func TestExportKeepsNobodyWaiting(t *testing.T) {
	m := open(t, updatertest.NewDisk())
	n := 0
	add := func() {
		if err := m.Add(frame(n)); err != nil {
			t.Error(err)
		}
		n++
	}
	for range 10 {
		add()
	}
	w := &adding{add: add}
	if err := m.Export(w); err != nil || w.took != 10*evidence.WireSize {
		t.Errorf("%d bytes, %v", w.took, err)
	}
	m.limit = 4 << 10
	for range 20 {
		add()
	}
	w.add = func() {
		for range 100 {
			add()
		}
	}
	if m.Export(w) == nil {
		t.Error("overtaken, and not said")
	}
}

// small is a disk with room for so many bytes.
type small struct {
	*updatertest.Disk
	room atomic.Int64
}

func (s *small) Open(name string, m slot.Mode) (slot.File, error) {
	if m == slot.Create {
		b, _ := s.Contents(name)
		s.room.Add(int64(len(b)))
	}
	f, err := s.Disk.Open(name, m)
	return smallFile{f, s}, err
}

type smallFile struct {
	slot.File
	s *small
}

func (f smallFile) WriteAt(p []byte, off int64) (int, error) {
	if f.s.room.Add(-int64(len(p))) < 0 {
		f.s.room.Add(int64(len(p)))
		return 0, errFull
	}
	return f.File.WriteAt(p, off)
}

// A disk that others have filled makes the mirror shorter; one without any room at all
// keeps the frame from being sent.
func TestFullDisk(t *testing.T) {
	d := &small{Disk: updatertest.NewDisk()}
	d.room.Store(200 << 10)
	m := open(t, d)
	m.limit = 64 << 10
	const n = 800
	for i := range n {
		if err := m.Add(frame(i)); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	all := frames(t, m)
	if len(all) < 100 {
		t.Errorf("only %d frames", len(all))
	}
	holds(t, "", all, n)
	none := &small{Disk: updatertest.NewDisk()}
	if err := open(t, none).Add(frame(1)); !errors.Is(err, errFull) {
		t.Errorf("no room: %v", err)
	}
}

// A power cut at any point: what was synced is there, in its order, and the next frame
// goes behind it.
func TestPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := updatertest.NewDisk()
		m := open(t, d)
		for i := range 5 {
			time.Sleep(syncEvery)
			if i == 3 {
				m.size = m.limit // the next begins a segment
			}
			if err := m.Add(frame(i)); err != nil {
				t.Fatal(err)
			}
			d.Mark(fmt.Sprint(i + 1))
		}
		states := 0
		for c := range d.Crashes(1) {
			acked := 0
			for _, s := range c.Acked {
				fmt.Sscan(s, &acked)
			}
			m := open(t, c.Disk)
			n := len(frames(t, m))
			if n < acked || n > acked+1 {
				t.Fatalf("%s: %d frames, %d were there", c.At, n, acked)
			}
			if err := m.Add(frame(n)); err != nil {
				t.Fatal(err)
			}
			holds(t, c.At, frames(t, open(t, c.Disk)), n+1)
			states++
		}
		if states < 30 {
			t.Errorf("control: %d states", states)
		}
	})
}
