package telemetry

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/seam"
	"platen/agent/spool"
	"platen/updater/slot"
)

// broken is a disk that takes nothing more once it is full.
type broken struct {
	*ram
	full bool
}

func (d *broken) Open(name string, mode slot.Mode) (slot.File, error) {
	if d.full && mode != slot.Read {
		return nil, errFull
	}
	f, err := d.ram.Open(name, mode)
	return brokenFile{f, d}, err
}

type brokenFile struct {
	slot.File
	d *broken
}

func (f brokenFile) WriteAt(p []byte, off int64) (int, error) {
	if f.d.full {
		return 0, errFull
	}
	return f.File.WriteAt(p, off)
}

var errFull = errors.New("no space left")

// TestWeekAway: a recipient that is gone costs memory that is bounded, whether the disk takes the
// messages or not, and what is lost is told when it is back. It is gone for as many slots as a week
// has minutes, a fifth of that if time is short; they are seconds without PLATEN_SOAK. Each case says whether its memory may
// grow from the middle to the end: that of the control, which keeps all of it there, does.
func TestWeekAway(t *testing.T) {
	slots := 7 * 24 * 60
	if testing.Short() {
		slots /= 5
	}
	grant := consent.Terms{Recipient: vendor, Name: "x", Profile: catalog.Owner, Period: time.Second, Life: 60 * 24 * time.Hour, Serial: 1}
	if os.Getenv("PLATEN_SOAK") != "" {
		grant.Period = time.Minute
	}
	var d *broken
	disk := func(full bool) func(consent.Grant) (*spool.Spool, error) {
		return func(g consent.Grant) (*spool.Spool, error) {
			d = &broken{ram: &ram{files: map[string][]byte{}}}
			s, err := spool.Open(context.Background(), d, bare{}, g.Recipient.String(), nil)
			d.full = full
			return s, err
		}
	}
	memory := func(most int) func(consent.Grant) (*spool.Spool, error) {
		return func(consent.Grant) (*spool.Spool, error) { return spool.InMemory(most), nil }
	}
	for _, c := range []struct {
		name          string
		open          func(consent.Grant) (*spool.Spool, error)
		loses, bounds bool
	}{
		{"a disk", disk(false), false, true},
		{"a disk that is full", disk(true), true, true},
		{"some memory", memory(500), true, true},
		{"control: memory enough", memory(1 << 20), false, false},
	} {
		if testing.Short() && c.name == "a disk that is full" {
			continue // of which so many are kept that so few do not fill it
		}
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, func(cfg *Config) { cfg.Spool = c.open })
				defer func() { r.stop() }()
				r.wire.set(true)
				grant.From, d = time.Now(), nil
				g, err := consent.New(grant)
				if err != nil {
					t.Fatal(err)
				}
				r.grants.set(g)
				var heap [2]int64
				for half := range heap {
					for range slots / 2 {
						r.src.m.Set(status(seam.PhaseIdle, 20_000))
						time.Sleep(grant.Period)
					}
					synctest.Wait()
					heap[half] = inUse() - d.memory()
				}
				if grew, some := heap[1]-heap[0], int64(20*slots); c.bounds && grew > some || !c.bounds && grew < some {
					t.Errorf("memory grew by %d bytes from the middle to the end", grew)
				}
				r.wire.set(false)
				for r.col.Stats()[0].Waiting > 0 {
					time.Sleep(grant.Period)
				}
				synctest.Wait()
				headers, msgs := read(t, r.wire.sent())
				lost := uint64(0)
				for _, h := range headers {
					lost += h.Dropped
				}
				if said := r.col.Stats()[0].Dropped; (lost > 0) != c.loses || lost != said || int(lost)+len(msgs) < slots {
					t.Errorf("%d messages came and %d were lost, the printer says %d, of %d", len(msgs), lost, said, slots)
				}
			})
		})
	}
}

// memory is what this disk has in memory, which a real one has not.
func (d *broken) memory() (n int64) {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.files {
		n += int64(cap(b))
	}
	return n
}

// inUse is what the heap holds.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held back
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
