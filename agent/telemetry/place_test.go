package telemetry

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/spool"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// A spool that begins anew in the same boot has other numbers: none of its messages is
// taken for one that was sent.
func TestSpoolBegunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, dir := newOutbox(t), t.TempDir()
		g := allow(t, vendor, catalog.Vendor, 24*time.Hour, 1)
		run := func() []sentFrame {
			r := start(t, func(c *Config) { o.in(c); c.StateDir = dir })
			r.grants.set(g)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			r.stop()
			return r.wire.sent()
		}
		if _, msgs := read(t, run()); len(msgs) < 9 {
			t.Fatalf("control: %d messages", len(msgs))
		}
		o.mu.Lock()
		o.spools[vendor] = updatertest.NewDisk() // the disk was lost
		o.mu.Unlock()
		again := time.Now()
		hs, msgs := read(t, run())
		if len(msgs) == 0 || msgs[0].At.After(again.Add(time.Second)) || hs[0].Seq < 9 {
			t.Fatalf("%d messages, the first of %v behind the start", len(msgs), msgs[0].At.Sub(again))
		}
	})
}

// A place of the chain that cannot be written down is not left as it was: after a restart
// two frames would have the same number.
func TestPlaceThatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file := newChainFile(dir, vendor).path
		block := func(name string) { // by a folder that is not empty
			if err := os.MkdirAll(filepath.Join(name, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		r := start(t, func(c *Config) { c.StateDir = dir })
		defer func() { r.stop() }()
		r.grants.set(allow(t, vendor, catalog.Vendor, 24*time.Hour, 1))
		sent := func() int {
			before := len(r.wire.sent())
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			return len(r.wire.sent()) - before
		}
		if n := sent(); n < 5 {
			t.Fatalf("control: %d frames", n)
		}
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("control: %v", err)
		}
		if err := errors.Join(os.Remove(file), os.Symlink(file, file)); err != nil { // cannot be written, but removed
			t.Fatal(err)
		}
		if n := sent(); n != 5 {
			t.Errorf("%d frames, though a place could not be written once", n)
		}
		if st, err := os.Lstat(file); err != nil || !st.Mode().IsRegular() {
			t.Errorf("what could not be written is left: %v", err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		block(file) // nor can it be removed
		if n := sent(); n != 0 || r.col.Stats()[0].Problem == "" {
			t.Errorf("%d frames, though an earlier place may be on the disk", n)
		}
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if n := sent(); n < 5 {
			t.Errorf("%d frames after that", n)
		}
	})
}

// watched is a disk that notes how many links are open when a key is shredded.
type watched struct {
	*updatertest.Disk
	note func()
}

func (w watched) Open(name string, m slot.Mode) (slot.File, error) {
	f, err := w.Disk.Open(name, m)
	if name == "key" && m == slot.Edit && err == nil {
		w.note()
	}
	return f, err
}

// Revoking several at once ends all connections before it takes its time with a disk.
func TestRevokeHangsUpFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var open []int
		var w *wire
		r := start(t, func(c *Config) {
			dial := c.Dial
			c.Dial = func(g consent.Grant) (Link, error) {
				l, err := dial(g)
				w = l.(*wireLink).w
				return l, err
			}
			c.Spool = func(g consent.Grant) (*spool.Spool, error) {
				d := watched{updatertest.NewDisk(), func() {
					mu.Lock()
					defer mu.Unlock()
					w.mu.Lock()
					defer w.mu.Unlock()
					open = append(open, w.open)
				}}
				return spool.Open(t.Context(), d, bare{}, g.Recipient.String(), nil)
			}
		})
		defer func() { r.stop() }()
		r.grants.set(allow(t, vendor, catalog.Vendor, time.Hour, 1), allow(t, owner, catalog.Owner, time.Hour, 1))
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.wire.open != 2 {
			t.Fatalf("control: %d links", r.wire.open)
		}
		r.grants.set()
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(open) < 2 {
			t.Fatalf("control: %d keys were shredded", len(open))
		}
		for i, n := range open {
			if n != 0 {
				t.Errorf("%d links are open while key %d is shredded", n, i)
			}
		}
	})
}

// While a recipient cannot be dialled, for want of an enrolment, no spool is opened.
func TestNoSpoolBeforeADial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		dialled, opened := 0, 0
		r := start(t, func(c *Config) {
			c.Dial = func(consent.Grant) (Link, error) {
				mu.Lock()
				defer mu.Unlock()
				dialled++
				return nil, errDown
			}
			c.Spool = func(consent.Grant) (*spool.Spool, error) {
				mu.Lock()
				defer mu.Unlock()
				opened++
				return spool.InMemory(1), nil
			}
		})
		defer func() { r.stop() }()
		r.grants.set(allow(t, vendor, catalog.Vendor, time.Hour, 1))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if dialled < 9 || opened != 0 {
			t.Errorf("dialled %d times, opened %d spools", dialled, opened)
		}
	})
}

// TestTornPlace: a place that was cut off while it was written is none, and one that is
// followed by what was longer before is whole.
func TestTornPlace(t *testing.T) {
	f := newChainFile(t.TempDir(), vendor)
	if err := f.save(7, 3, []byte("a header"), bytes.Repeat([]byte("f"), 900), "spool"); err != nil {
		t.Fatal(err)
	}
	long, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.save(7, 9, []byte("a header"), nil, "spool"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, upto, kept, ok := split(whole(b)); !ok || upto != 9 || kept[1] != nil || len(b) != len(long) {
		t.Errorf("a shorter place over a longer one: %d, %v", upto, ok)
	}
	for cut := 1; cut < len(long); cut++ { // the head of one and the rest of the other
		torn := append(bytes.Clone(long[:cut]), b[cut:]...)
		if _, upto, _, ok := split(whole(torn)); ok && !(bytes.Equal(torn[:60], b[:60]) && upto == 9 || bytes.Equal(torn, long)) {
			t.Fatalf("cut off at %d: %d is taken for a place", cut, upto)
		}
	}
	if _, _, _, ok := split(whole(nil)); ok {
		t.Error("nothing is taken for a place")
	}
}
