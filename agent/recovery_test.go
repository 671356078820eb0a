package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/intake"
	"platen/agent/marker"
	"platen/agent/seam"
)

// printer is one whose power can be lost, as far as its recovery goes.
type printer struct {
	t    *testing.T
	dir  string
	tpm  *counter
	boot uint64
	tk   intake.Ticket
	now  time.Time
}

func newPrinter(t *testing.T) *printer {
	now := time.Now()
	return &printer{t: t, dir: t.TempDir(), tpm: new(counter), boot: 7, now: now,
		tk: intake.Ticket{Job: bytes.Repeat([]byte{5}, 16), Copies: 1, NotBefore: now, NotAfter: now.Add(time.Hour)}}
}

// life is an agent of a printer, from its start to off.
func (p *printer) life(f func(r *recovery, l *intake.Ledger)) {
	p.t.Helper()
	l, err := intake.OpenLedger(p.t.Context(), filepath.Join(p.dir, "tickets.json"), [32]byte{1}, p.tpm, p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	r := newRecovery(slog.New(slog.DiscardHandler))
	if err := r.open(filepath.Join(p.dir, "marker"), [32]byte{2}, p.boot, l); err != nil {
		p.t.Fatal(err)
	}
	ctx, off := context.WithCancel(p.t.Context())
	defer func() { off(); <-r.gone }()
	go r.run(ctx)
	f(r, l)
}

// disk is the marker that is on the disk.
func (p *printer) disk() (marker.Marker, bool) {
	p.t.Helper()
	f, err := marker.Open(filepath.Join(p.dir, "marker"), [32]byte{2})
	if err != nil {
		p.t.Fatal(err)
	}
	m, ok, err := f.Read()
	if err != nil {
		p.t.Fatal(err)
	}
	return m, ok
}

var testTag = [32]byte{3}

// begin counts the printer's copy and begins its print.
func (p *printer) begin(r *recovery, l *intake.Ledger) {
	p.t.Helper()
	if err := l.Take(p.t.Context(), p.tk, p.now); err != nil {
		p.t.Fatal(err)
	}
	m := fresh([16]byte(p.tk.Job), testTag)
	m.Count = l.Begun(p.tk.Job)
	r.begin(m)
}

// TestMarkerIsWritten: what is on the disk follows the print, at most once in marker.Every
// but for quarters, and is gone with the print's end, with the copy closed.
func TestMarkerIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinter(t)
		p.life(func(r *recovery, l *intake.Ledger) {
			r.ready([16]byte{})
			p.begin(r, l)
			synctest.Wait()
			if m, ok := p.disk(); !ok || m.Layer != 0 || m.Boot != p.boot || m.Count == 0 {
				t.Errorf("at the beginning: %v, layer %d", ok, m.Layer)
			}
			for n := range uint32(50) { // as fast as no print is
				r.layer(seam.Layer{Layer: n, Mark: seam.MarkLayer})
				synctest.Wait()
			}
			if m, _ := p.disk(); m.Layer != 0 {
				t.Errorf("layer %d is written within %v", m.Layer, marker.Every)
			}
			time.Sleep(marker.Every)
			synctest.Wait()
			if m, _ := p.disk(); m.Layer != 49 {
				t.Errorf("layer %d after %v", m.Layer, marker.Every)
			}
			before, _ := p.disk()
			r.layer(seam.Layer{Layer: 50, Mark: seam.MarkParked})
			r.status(seam.Status{Phase: seam.PhasePrinting, Progress: 25})
			synctest.Wait()
			m, _ := p.disk()
			if m.Layer != 50 || m.Mark != seam.MarkParked || m.Count == before.Count || m.Count != l.Begun(p.tk.Job) {
				t.Errorf("at a quarter: layer %d, count %d, the ledger's is %d", m.Layer, m.Count, l.Begun(p.tk.Job))
			}
			r.status(seam.Status{Phase: seam.PhasePrinting, Progress: 25})
			synctest.Wait()
			if again, _ := p.disk(); again != m {
				t.Error("a quarter counts twice")
			}
			r.end([16]byte{9}) // some other
			r.end([16]byte(p.tk.Job))
			synctest.Wait()
			if _, ok := p.disk(); ok || l.Begun(p.tk.Job) != 0 {
				t.Error("the print has ended, and would go on")
			}
			if names, _ := os.ReadDir(p.dir); len(names) != 1 {
				t.Errorf("%d files, want the ledger alone", len(names))
			}
		})
	})
}

// TestBroken: after a power loss the print is there, for the same job alone and until it goes
// on or is given up; nothing else is printed meanwhile.
func TestBroken(t *testing.T) {
	p := newPrinter(t)
	p.life(func(r *recovery, l *intake.Ledger) {
		r.ready([16]byte{})
		p.begin(r, l)
		r.layer(seam.Layer{Layer: 12, Mark: seam.MarkLayer})
		r.settle(t.Context())
	})
	job, none := [16]byte(p.tk.Job), [16]byte{}
	p.boot++
	p.life(func(r *recovery, l *intake.Ledger) {
		r.ready(none)
		if v := r.view(true); v == nil || v.Layer != 12 || !v.Ticket || v.Code != "" || r.view(false).Code != "broken-board" {
			t.Errorf("shown as %+v", v)
		}
		for name, c := range map[string]struct {
			resume bool
			job    [16]byte
			tag    [32]byte
			can    bool
			want   error
		}{
			"another print":    {false, none, testTag, true, errBroken},
			"the same, anew":   {false, job, testTag, true, errBroken},
			"other settings":   {true, job, [32]byte{4}, true, errBrokenOther},
			"another ticket":   {true, [16]byte{1}, testTag, true, errBrokenOther},
			"on another board": {true, job, testTag, false, errBrokenBoard},
			"control":          {true, job, testTag, true, nil},
		} {
			if m, err := r.admit(c.resume, c.job, c.tag, c.can); !errors.Is(err, c.want) || (m != nil) != (c.want == nil) {
				t.Errorf("%s: %v", name, err)
			}
		}
		from, err := r.admit(true, job, testTag, true)
		if err != nil || from.Layer != 12 {
			t.Fatal(err)
		}
		n, err := l.Resume(t.Context(), p.tk, from.Count, from.Layer, p.now)
		if err != nil {
			t.Fatal(err)
		}
		m := *from
		m.Count = n
		r.begin(m)
		r.settle(t.Context())
		if now, ok := p.disk(); !ok || now.Count != n || now.Boot != p.boot || r.pending() {
			t.Errorf("it goes on, and the disk says %v, count %d", ok, now.Count)
		}
	})
	p.boot++ // and once more
	p.life(func(r *recovery, l *intake.Ledger) {
		r.ready(none)
		if err := r.discard(); err != nil || !errors.Is(r.discard(), errNotBroken) {
			t.Errorf("given up: %v", err)
		}
		r.settle(t.Context())
		if _, ok := p.disk(); ok || l.Begun(p.tk.Job) != 0 {
			t.Error("it is given up, and would go on")
		}
		if _, err := r.admit(false, none, testTag, true); err != nil {
			t.Errorf("nothing is in the way: %v", err)
		}
		if _, err := r.admit(true, none, testTag, true); !errors.Is(err, errNotBroken) {
			t.Errorf("nothing to go on with: %v", err)
		}
	})
}

// TestBack: a print that was to go on, and could not be handed to a session, is as broken as
// before, on the disk as well, and can be tried again; a new one that could not be ends.
func TestBack(t *testing.T) {
	p := newPrinter(t)
	job := [16]byte(p.tk.Job)
	p.life(func(r *recovery, l *intake.Ledger) {
		r.ready([16]byte{})
		p.begin(r, l)
		r.layer(seam.Layer{Layer: 12, Mark: seam.MarkParked})
	})
	broken := func(r *recovery) *marker.Marker {
		t.Helper()
		r.ready([16]byte{})
		from, err := r.admit(true, job, testTag, true)
		if err != nil || from.Layer != 12 || from.Mark != seam.MarkParked {
			t.Fatalf("the broken print cannot go on: %v", err)
		}
		return from
	}
	for _, settled := range []bool{true, false, true} {
		p.boot++
		p.life(func(r *recovery, l *intake.Ledger) {
			from := broken(r)
			n, err := l.Resume(t.Context(), p.tk, from.Count, from.Layer, p.now)
			if err != nil {
				t.Fatal(err)
			}
			m := *from
			m.Count = n
			r.begin(m)
			if settled {
				r.settle(t.Context())
			}
			r.back([16]byte{9}, from) // of some other job
			if r.pending() {
				t.Error("another job's failure breaks this one")
			}
			r.back(job, from)
			if again := broken(r); again.Count != n {
				t.Errorf("its marker names count %d, the ledger's is %d", again.Count, n)
			}
		})
	}
	p.boot++
	p.life(func(r *recovery, l *intake.Ledger) {
		if err := l.Resumable(p.tk, broken(r).Count, 12); errorCode(err) != "ticket-resume" {
			t.Errorf("what was tried is not counted: %v", err)
		}
		if err := r.discard(); err != nil {
			t.Fatal(err)
		}
		r.begin(fresh([16]byte{7}, testTag))
		r.back([16]byte{7}, nil)
		if r.settle(t.Context()); r.pending() {
			t.Error("a print that never began is broken")
		}
		if _, ok := p.disk(); ok {
			t.Error("a print that never began has a marker")
		}
	})
}

// TestAnotherAgent: an agent that comes within the same boot goes on with the marker of the
// session that it finds, and drops that of one which has ended: no power was lost.
func TestAnotherAgent(t *testing.T) {
	for _, lives := range []bool{true, false} {
		p := newPrinter(t)
		p.life(func(r *recovery, l *intake.Ledger) {
			p.begin(r, l)
			r.layer(seam.Layer{Layer: 12, Mark: seam.MarkLayer})
		}) // what was not written yet is, when an agent goes in order
		p.life(func(r *recovery, l *intake.Ledger) {
			if r.pending() {
				t.Error("a print is broken without a power loss")
			}
			var found [16]byte
			if lives {
				found = [16]byte(p.tk.Job)
			}
			r.ready(found)
			r.layer(seam.Layer{Layer: 13, Mark: seam.MarkLayer})
			r.settle(t.Context())
			if m, ok := p.disk(); ok != lives || lives && m.Layer != 13 || (l.Begun(p.tk.Job) != 0) != lives {
				t.Errorf("session lives: %v; the disk has a marker: %v, layer %d", lives, ok, m.Layer)
			}
		})
	}
}

// TestProgramsWithoutLayers cannot go on, nor can files in clear of which no digest came.
func TestProgramsWithoutLayers(t *testing.T) {
	p := newPrinter(t)
	p.life(func(r *recovery, l *intake.Ledger) {
		p.begin(r, l)
		r.layer(seam.Layer{Mark: seam.MarkNone})
		r.layer(seam.Layer{Layer: 1, Mark: seam.MarkLayer})
	})
	p.boot++
	p.life(func(r *recovery, _ *intake.Ledger) {
		if _, err := r.admit(true, [16]byte(p.tk.Job), testTag, true); !errors.Is(err, errBrokenLayers) || r.view(true).Code != "broken-layers" {
			t.Errorf("goes on: %v", err)
		}
	})
}

// TestSealedMeanwhile: a print in clear may begin while the TPM opens nothing. Once it does,
// the print is marked, and what an older marker said is of no interest any more.
func TestSealedMeanwhile(t *testing.T) {
	p := newPrinter(t)
	p.life(func(r *recovery, l *intake.Ledger) { p.begin(r, l) })
	p.boot++
	l, err := intake.OpenLedger(t.Context(), filepath.Join(p.dir, "tickets.json"), [32]byte{1}, p.tpm, p.now)
	if err != nil {
		t.Fatal(err)
	}
	r := newRecovery(slog.New(slog.DiscardHandler))
	ctx, off := context.WithCancel(t.Context())
	defer func() { off(); <-r.gone }()
	go r.run(ctx)
	r.ready([16]byte{})
	r.begin(fresh([16]byte{9}, testTag))
	r.settle(t.Context())
	if m, _ := p.disk(); m.Job != [16]byte(p.tk.Job) {
		t.Fatal("the disk has changed without its key")
	}
	if err := r.open(filepath.Join(p.dir, "marker"), [32]byte{2}, p.boot, l); err != nil {
		t.Fatal(err)
	}
	r.settle(t.Context())
	if m, ok := p.disk(); !ok || m.Job != [16]byte{9} || m.Boot != p.boot || r.pending() {
		t.Errorf("the disk has %v, of this print: %v", ok, m.Job == [16]byte{9})
	}
}
