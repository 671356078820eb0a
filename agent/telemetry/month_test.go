package telemetry

import (
	"context"
	"io"
	"io/fs"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/seam"
	"platen/agent/spool"
	"platen/updater/slot"
)

// ram is a disk in memory that keeps nothing but what its files hold.
type ram struct {
	mu    sync.Mutex
	files map[string][]byte
}

// ramFile is an open file of it.
type ramFile struct {
	d    *ram
	name string
}

func (d *ram) Open(name string, mode slot.Mode) (slot.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.files[name]; !ok && mode != slot.Create {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if mode == slot.Create {
		d.files[name] = nil
	}
	return &ramFile{d, name}, nil
}

func (d *ram) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}

func (d *ram) SyncDir(string) error  { return nil }
func (d *ram) Lock() (func(), error) { return func() {}, nil }

// size is how much is on it.
func (d *ram) size() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.files {
		n += len(b)
	}
	return n
}

func (f *ramFile) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	b := f.d.files[f.name]
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *ramFile) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	b := f.d.files[f.name]
	if need := int(off) + len(p); need > len(b) {
		b = append(b, make([]byte, need-len(b))...)
	}
	copy(b[off:], p)
	f.d.files[f.name] = b
	return len(p), nil
}

func (f *ramFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.d.files[f.name])), nil
}

func (f *ramFile) Sync() error  { return nil }
func (f *ramFile) Close() error { return nil }

// T31: the verifier is gone for 30 days (less than one without PLATEN_SOAK), and meanwhile the agent
// is restarted on the 10th and the board on the 20th. What is kept is bounded by its age, on a disk that is bounded; when the
// recipient is back everything comes by itself, the oldest first, and the headers tell of exactly
// what was lost.
func TestThirtyDaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day, period = 24 * time.Hour, 10 * time.Minute
		third := day / 4                    // of the time away, in which nothing gets too old
		if os.Getenv("PLATEN_SOAK") != "" { // a collector looks each second what is granted
			third = 10 * day
		}
		disk, dir := &ram{files: map[string][]byte{}}, t.TempDir()
		g, err := consent.New(consent.Terms{Recipient: vendor, Name: "x", Profile: catalog.Vendor, Period: period, From: time.Now(), Life: 60 * day, Serial: 1})
		if err != nil {
			t.Fatal(err)
		}
		most := 0
		run := func(boot uint64, away bool, d time.Duration) (Stat, []sentFrame) {
			r := start(t, func(c *Config) {
				c.StateDir, c.Quoter = dir, quoter{boot}
				c.Spool = func(g consent.Grant) (*spool.Spool, error) {
					return spool.Open(context.Background(), disk, bare{}, g.Recipient.String(), nil)
				}
			})
			r.wire.set(away)
			r.grants.set(g)
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(period) {
				r.src.m.Set(status(seam.PhasePrinting, 20_000))
				most = max(most, disk.size())
			}
			synctest.Wait()
			st := r.col.Stats()[0]
			r.stop()
			return st, r.wire.sent()
		}
		_, before := run(1, false, third/10)
		gone := time.Now()
		run(1, true, third)
		run(1, true, third)
		st, none := run(2, true, third)
		back := time.Now()
		kept := min(3*third, spool.MaxAge)
		waits := int(kept / period)
		if len(none) != 0 || st.Waiting < waits-2 || st.Waiting > waits+int(12*time.Hour/period)+2 || (st.Dropped == 0) != (kept == 3*third) {
			t.Errorf("after %v %d frames came, %d messages wait, %d were lost", 3*third, len(none), st.Waiting, st.Dropped)
		}
		if bound := 64*(64<<10+4<<10) + 4<<10; most > bound || most < 50*waits {
			t.Errorf("%d bytes on the disk, at most %d are allowed", most, bound)
		}
		st, after := run(2, false, third/2)
		if st.Waiting != 0 || st.Problem != "" {
			t.Errorf("%d messages wait still: %s", st.Waiting, st.Problem)
		}
		first, _ := read(t, before)
		headers, msgs := read(t, after)
		var lost, next uint64
		for i, h := range headers {
			if i > 0 && (h.Seq != headers[i-1].Seq+1 || h.First != next+h.Dropped) {
				t.Fatalf("frame %d: number %d, first message %d after %d, %d lost", i, h.Seq, h.First, next, h.Dropped)
			}
			lost += h.Dropped
			next = h.First + h.Count
		}
		last := int64(0)
		for _, m := range msgs {
			if m.At.Unix() < last {
				t.Fatalf("a message of %v behind a later one", m.At)
			}
			last = m.At.Unix()
		}
		// A slot each ten minutes, but for what a restart brings forward.
		if all, want := int(lost)+len(msgs), int((3*third+third/2)/period); all < want-8 || all > want+8 {
			t.Errorf("%d messages came and %d were lost, of %d", len(msgs), lost, want)
		}
		if age := back.Sub(msgs[0].At); age < kept-day || age > kept+day || msgs[0].At.Before(gone.Add(-period)) {
			t.Errorf("the oldest that came is %v old", age)
		}
		if len(first) == 0 || (headers[0].Dropped == 0) != (lost == 0) {
			t.Errorf("control: %d frames before, the first after it tells of %d lost", len(first), headers[0].Dropped)
		}
	})
}
