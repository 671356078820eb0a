package updater_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/publish"
	"platen/updater/slot"
	"platen/updater/trust"
)

// printer is a printer with real slots, a real trust store and a real repository
// behind a web server.
type printer struct {
	t       *testing.T
	base    string
	now     time.Time
	repo    *publish.Repo
	url     string
	running slot.Name
	accept  func(context.Context, updater.Target) error

	mu      sync.Mutex // of what the web server's goroutines use
	held    bool
	tamper  func(path string, w http.ResponseWriter) bool
	fetched []string
	request *http.Request // the one that is being answered
}

func image(n uint64) []byte { return bytes.Repeat([]byte(fmt.Sprintf("agent %d. ", n)), 5000) }

func newPrinter(t *testing.T) *printer {
	t.Helper()
	return newPrinterAt(t, time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
}

func newPrinterAt(t *testing.T, now time.Time) *printer {
	t.Helper()
	p := &printer{t: t, base: t.TempDir(), now: now, running: slot.A}
	var err error
	p.repo, err = publish.Init(p.path("repo"), p.path("keys"), "", publish.DefaultPolicy(), p.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.repo.Close() })
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.fetched, p.request = append(p.fetched, r.URL.Path), r
		if p.tamper == nil || !p.tamper(r.URL.Path, w) {
			http.FileServer(http.Dir(p.path("repo"))).ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	p.release(1)
	if err := boot.Install(p.path("slots"), p.file(1), 1); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *printer) isHeld() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// mirror changes how the web server behaves from now on, and forgets what was
// fetched.
func (p *printer) mirror(held bool, tamper func(path string, w http.ResponseWriter) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held, p.tamper, p.fetched = held, tamper, nil
}

// paths is what was fetched since the last mirror.
func (p *printer) paths() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.fetched)
}

func (p *printer) path(name string) string { return filepath.Join(p.base, name) }

func (p *printer) file(n uint64) string {
	p.t.Helper()
	name := p.path("bin")
	if err := os.WriteFile(name, image(n), 0o755); err != nil {
		p.t.Fatal(err)
	}
	return name
}

func (p *printer) release(n uint64) {
	p.t.Helper()
	p.releaseFile(n, p.file(n))
}

func (p *printer) releaseFile(n uint64, file string) {
	p.t.Helper()
	_, err := p.repo.Add(publish.Item{Release: n, Board: "sim", File: file}, nil, p.now)
	if err == nil {
		_, err = p.repo.Publish(p.now)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// updater starts the agent anew in the slot that runs.
func (p *printer) updater() *updater.Updater {
	p.t.Helper()
	root, err := p.repo.Root()
	if err != nil {
		p.t.Fatal(err)
	}
	src, err := trust.New(trust.Config{Dir: p.path("trust"), FactoryRoot: root, URL: p.url, Now: func() time.Time { return p.now }})
	if err != nil {
		p.t.Fatal(err)
	}
	s, err := boot.Open(p.path("slots"), p.running)
	if err != nil {
		p.t.Fatal(err)
	}
	u, err := updater.New(updater.Config{Board: "sim", Kind: "agent", Release: 1, Source: src, Bootloader: s, Log: s.Log(),
		Hold: p.isHeld, Accept: p.accept})
	if err != nil {
		p.t.Fatal(err)
	}
	return u
}

// restart is what the launcher does.
func (p *printer) restart() boot.Choice {
	p.t.Helper()
	d, err := slot.OpenDir(p.path("slots"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer d.Close()
	c := boot.Pick(d, slog.New(slog.DiscardHandler))
	c.Close()
	p.running = c.Slot
	return c
}

func (p *printer) stage(want uint64) {
	p.t.Helper()
	got, err := p.updater().Stage(context.Background())
	if err != nil || got.Release != want {
		p.t.Fatalf("staged %d, %v; want %d", got.Release, err, want)
	}
}

func (p *printer) refuse(want error) {
	p.t.Helper()
	before := p.record()
	if _, err := p.updater().Stage(context.Background()); !errors.Is(err, want) {
		p.t.Errorf("stage: %v; want %v", err, want)
	}
	after := p.record()
	if after.Active != before.Active || after.Trying != before.Trying || after.Floor != before.Floor ||
		*after.Slot(before.Active) != *before.Slot(before.Active) {
		p.t.Errorf("a refused update changed the record from %+v to %+v", before, after)
	}
	if c := p.restart(); c.Slot != before.Active && before.Trying == slot.None {
		p.t.Errorf("after a refused update slot %s starts", c.Slot)
	}
}

func (p *printer) record() slot.Record {
	p.t.Helper()
	d, err := slot.OpenDir(p.path("slots"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer d.Close()
	rec, err := slot.NewLog(d).Load()
	if err != nil {
		p.t.Fatal(err)
	}
	return rec
}

func TestUpdate(t *testing.T) {
	p := newPrinter(t)
	p.refuse(updater.ErrUpToDate)
	for n := uint64(2); n <= 4; n++ {
		p.release(n)
		p.stage(n)
		if b, err := p.updater().Booted(); err != nil || b.Staged != n || b.Release != n-1 || b.Trial {
			t.Errorf("after staging %d: %+v, %v", n, b, err)
		}
		c := p.restart()
		if !c.Trial || c.Entry.Release != n {
			t.Fatalf("release %d starts, trial %v", c.Entry.Release, c.Trial)
		}
		p.refuse(updater.ErrOnTrial)
		if b, err := p.updater().Booted(); err != nil || !b.Trial || b.Release != n {
			t.Errorf("on trial: %+v, %v", b, err)
		}
		for range 2 { // twice is as good as once
			if err := p.updater().Confirm(); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := p.updater().Booted(); err != nil || b.Trial || b.Release != n || b.Floor != n {
			t.Errorf("confirmed: %+v, %v", b, err)
		}
		p.refuse(updater.ErrUpToDate)
	}
}

func TestHold(t *testing.T) {
	p := newPrinter(t)
	p.release(2)
	p.mirror(true, nil)
	p.refuse(updater.ErrHeld)
	if got := p.paths(); len(got) != 0 {
		t.Errorf("while held, %q was fetched", got)
	}
	p.mirror(false, nil)
	p.stage(2)
}

// TestHeldDuringDownload: a print begins while the update is fetched. Writing stops, and
// goes on when the printer is idle again.
func TestHeldDuringDownload(t *testing.T) {
	p := newPrinter(t)
	p.release(2)
	p.mirror(false, func(path string, _ http.ResponseWriter) bool {
		p.held = p.held || strings.HasSuffix(path, ".platen")
		return false
	})
	p.refuse(updater.ErrHeld)
	if rec := p.record(); rec.Trying != slot.None || !rec.Slot(slot.B).Empty() {
		t.Errorf("while a print runs: %+v", rec)
	}
	p.mirror(false, nil)
	p.stage(2)
}

// TestResumed: a download that broke off goes on where it was, also in another process;
// what was damaged meanwhile is fetched anew.
func TestResumed(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		p := newPrinter(t)
		p.release(2)
		size := len(image(2))
		p.mirror(false, func(path string, w http.ResponseWriter) bool {
			if !strings.HasSuffix(path, ".platen") {
				return false
			}
			if len(p.fetched) < 100 { // the first request, and what is tried again
				w.Header().Set("Content-Length", fmt.Sprint(size))
				if strings.Count(strings.Join(p.fetched, " "), ".platen") == 1 {
					w.Write(image(2)[:size/2])
				}
			}
			return true
		})
		p.refuse(updater.ErrTruncated)
		rec := p.record()
		if rec.Filling.Done != uint64(size/2) || rec.Filling.Place != slot.B || !rec.Slot(slot.B).Empty() {
			t.Fatalf("after half of it: %+v", rec)
		}
		if damaged {
			name := filepath.Join(p.path("slots"), "b", "platen.new")
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			data[7] ^= 1
			if err := os.WriteFile(name, data, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		var sent int64
		p.mirror(false, func(path string, w http.ResponseWriter) bool {
			if !strings.HasSuffix(path, ".platen") {
				return false
			}
			http.ServeContent(counted{w, &sent}, p.request, "x", time.Time{}, bytes.NewReader(image(2)))
			return true
		})
		p.stage(2)
		if want := int64(size - size/2); damaged && sent != want+int64(size) || !damaged && sent != want {
			t.Errorf("damaged %v: %d of %d bytes were sent", damaged, sent, size)
		}
		if rec := p.record(); rec.Filling != (slot.Filling{}) {
			t.Errorf("the record still plans %+v", rec.Filling)
		}
	}
}

// counted counts the bytes of a body.
type counted struct {
	http.ResponseWriter
	n *int64
}

func (c counted) Write(p []byte) (int, error) {
	*c.n += int64(len(p))
	return c.ResponseWriter.Write(p)
}

func TestFailedTrialIsNotRepeated(t *testing.T) {
	p := newPrinter(t)
	p.release(2)
	p.stage(2)
	for range boot.DefaultTries {
		if c := p.restart(); c.Entry.Release != 2 {
			t.Fatalf("release %d starts", c.Entry.Release)
		}
	}
	if c := p.restart(); c.Entry.Release != 1 {
		t.Fatalf("release %d starts after all tries", c.Entry.Release)
	}
	p.refuse(updater.ErrFailedBefore)
	if changed, err := p.updater().Forgive(); err != nil || !changed {
		t.Fatal(err)
	}
	p.stage(2)
	p.release(3)
	p.stage(3) // a newer one takes the place of the staged one
	if c := p.restart(); c.Entry.Release != 3 {
		t.Fatalf("release %d starts", c.Entry.Release)
	}
}

func TestTampered(t *testing.T) {
	p := newPrinter(t)
	p.release(2)
	flip := func(suffix string) {
		p.mirror(false, func(path string, w http.ResponseWriter) bool {
			if !strings.HasSuffix(path, suffix) {
				return false
			}
			data, err := os.ReadFile(p.path("repo") + path)
			if err != nil {
				return false
			}
			data[len(data)/2] ^= 0x20
			w.Write(data)
			return true
		})
	}
	flip(".platen")
	p.refuse(updater.ErrTarget)
	if rec := p.record(); !rec.Slot(slot.B).Empty() {
		t.Error("a tampered update is still in its slot")
	}
	p.mirror(false, nil)
	p.release(3)
	flip(".targets.json")
	p.refuse(updater.ErrMixed)
	p.mirror(false, nil)
	p.stage(3)
}

// TestFloorSurvivesWipes: after release 2 was confirmed, neither the trust store nor
// the slot record alone can be wiped to get release 1 staged again.
func TestFloorSurvivesWipes(t *testing.T) {
	for _, wiped := range []string{"trust", "slots", "both"} {
		p := newPrinter(t)
		old, err := os.ReadFile(filepath.Join(p.path("repo"), "timestamp.json"))
		if err != nil {
			t.Fatal(err)
		}
		p.release(2)
		p.stage(2)
		p.restart()
		if err := p.updater().Confirm(); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{"trust", "slots"} {
			if wiped != dir && wiped != "both" {
				continue
			}
			if err := os.RemoveAll(p.path(dir)); err != nil {
				t.Fatal(err)
			}
		}
		if wiped != "trust" {
			p.running = slot.None // the factory binary, which is release 0 here
		}
		p.mirror(false, func(path string, w http.ResponseWriter) bool {
			if path == "/timestamp.json" {
				w.Write(old)
			}
			return path == "/timestamp.json"
		})
		_, err = p.updater().Check(context.Background())
		got, want := errors.Is(err, updater.ErrRollback), wiped != "both"
		if got != want {
			t.Errorf("%s wiped: %v", wiped, err)
		}
	}
}

// TestFromFactory: a printer without any slot runs the factory binary and updates.
func TestFromFactory(t *testing.T) {
	p := newPrinter(t)
	if err := os.RemoveAll(p.path("slots")); err != nil {
		t.Fatal(err)
	}
	p.running = slot.None
	p.refuseFactory(updater.ErrUpToDate)
	p.release(2)
	p.stage(2)
	if c := p.restart(); c.Entry.Release != 2 || !c.Trial {
		t.Fatalf("release %d starts", c.Entry.Release)
	}
	if err := p.updater().Confirm(); err != nil {
		t.Fatal(err)
	}
	if c := p.restart(); c.Entry.Release != 2 || c.Trial {
		t.Fatalf("release %d starts, trial %v", c.Entry.Release, c.Trial)
	}
}

func (p *printer) refuseFactory(want error) {
	p.t.Helper()
	if _, err := p.updater().Stage(context.Background()); !errors.Is(err, want) {
		p.t.Errorf("stage: %v; want %v", err, want)
	}
}

// TestDamagedRecord: both copies of the record are gone; the factory binary runs and
// the next update heals it.
func TestDamagedRecord(t *testing.T) {
	p := newPrinter(t)
	if err := os.WriteFile(filepath.Join(p.path("slots"), "slots"), make([]byte, 8192), 0o644); err != nil {
		t.Fatal(err)
	}
	if c := p.restart(); c.Slot != slot.None {
		t.Fatalf("slot %s starts", c.Slot)
	}
	p.release(2)
	p.stage(2)
	if c := p.restart(); c.Entry.Release != 2 {
		t.Fatalf("release %d starts", c.Entry.Release)
	}
}

func TestCodes(t *testing.T) {
	for err, want := range map[error]string{
		nil: "", io.EOF: "failed", fmt.Errorf("x: %w", updater.ErrRollback): "rollback",
		updater.ErrTarget: "target", updater.ErrSlot: "slot",
	} {
		if got := updater.Code(err); got != want {
			t.Errorf("code of %v is %q, want %q", err, got, want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := updater.New(updater.Config{Board: "sim"}); err == nil {
		t.Error("an updater without a source was made")
	}
}
