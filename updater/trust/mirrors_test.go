package trust

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"platen/updater"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// second is another, honest mirror of a lab; it counts what it is asked for.
func (l *lab) second(t *testing.T) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	files := http.StripPrefix("/", http.FileServer(http.Dir(l.dir)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

// TestMirrors: whatever the first mirror does, the second one serves; the refusal is
// told all the same. While the first one is good, the second is not asked.
func TestMirrors(t *testing.T) {
	l := newLab(t)
	l.release(1)
	old := l.read("timestamp.json")
	l.release(2)
	url, asked := l.second(t)
	var told []string
	cfg := l.config(t.TempDir())
	cfg.Mirrors = []string{url}
	cfg.Refused = func(err error) { told = append(told, updater.Code(err)) }
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mustRefresh(t, c, 2)
	if asked.Load() != 0 || len(told) > 0 {
		t.Errorf("the second mirror was asked %d times, refused: %q", asked.Load(), told)
	}
	l.release(3)
	l.serve("timestamp.json", old)
	mustRefresh(t, c, 3)
	l.hook("timestamp.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	mustRefresh(t, c, 3)
	l.serve("timestamp.json", l.read("4.snapshot.json"))
	mustRefresh(t, c, 3)
	if got := strings.Join(told, " "); got != "rollback unavailable signature" {
		t.Errorf("told: %s", got)
	}
}

// TestMirrorsAllBad: the error is that of a mirror that answered.
func TestMirrorsAllBad(t *testing.T) {
	l := newLab(t)
	l.release(1)
	old := l.read("timestamp.json")
	l.release(2)
	cfg := l.config(t.TempDir())
	cfg.URL, cfg.Mirrors = filepath.Join(l.dir, "not-there"), []string{l.url}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mustRefresh(t, c, 2)
	l.serve("timestamp.json", old)
	refused(t, c, updater.ErrRollback)
}

// TestDownloadOverMirrors: a download that breaks at one mirror goes on at the next, from
// where it broke; one that a mirror has spoilt begins at another one.
func TestDownloadOverMirrors(t *testing.T) {
	l := newLab(t)
	rel := l.release(1)
	url, asked := l.second(t)
	cfg := l.config(t.TempDir())
	cfg.Mirrors = []string{url}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	target := mustRefresh(t, c, 1)
	path := "targets/sim/agent/1/" + rel.SHA256 + ".platen"
	l.hook(path, lying(image(1), 70000))
	if got, err := fetched(t, c, target); err != nil || !bytes.Equal(got, image(1)) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if asked.Load() != 1 {
		t.Errorf("the second mirror was asked %d times, want once for the rest", asked.Load())
	}
	target = mustRefresh(t, c, 1) // from the first one again
	bad := image(1)
	bad[5] ^= 1
	l.serve(path, bad)
	if _, err := fetched(t, c, target); !errors.Is(err, updater.ErrTarget) {
		t.Errorf("spoilt: %v", err)
	}
	if got, err := fetched(t, c, target); err != nil || !bytes.Equal(got, image(1)) {
		t.Errorf("again: %d bytes, %v", len(got), err)
	}
}

// begun is a writer that holds the beginning of a target.
type begun struct {
	bytes.Buffer
	head []byte
}

func (b *begun) Head() *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b.head), 0, int64(len(b.head)))
}

// TestHeadIsNotFetched: what is there already is hashed and not fetched; if it is
// damaged, that shows.
func TestHeadIsNotFetched(t *testing.T) {
	l := newLab(t)
	l.release(1)
	c := l.client()
	target := mustRefresh(t, c, 1)
	l.requests()
	for _, n := range []int{0, 1, 70000, len(image(1))} {
		w := &begun{head: image(1)[:n]}
		if err := c.Download(t.Context(), target, w); err != nil || !bytes.Equal(w.Bytes(), image(1)[n:]) {
			t.Errorf("with %d bytes there: %d fetched, %v", n, w.Len(), err)
		}
	}
	if reqs := l.requests(); len(reqs) != 3 || !strings.HasSuffix(reqs[2], "bytes=70000-") {
		t.Errorf("requests %q", reqs)
	}
	w := &begun{head: make([]byte, 70000)}
	if err := c.Download(t.Context(), target, w); !errors.Is(err, updater.ErrTarget) {
		t.Errorf("with a damaged beginning: %v", err)
	}
}

// fullDisk fails to keep anything while it is full.
type fullDisk struct {
	slot.FS
	full bool
}

func (d *fullDisk) Rename(from, to string) error {
	if d.full {
		return syscall.ENOSPC
	}
	return d.FS.Rename(from, to)
}

// TestOwnFailures: a disk that is full and a TPM that fails are not the mirrors' fault:
// none is told of, no other one is asked, and what was found before stays.
func TestOwnFailures(t *testing.T) {
	l := newLab(t)
	l.release(1)
	d, m, told := &fullDisk{FS: updatertest.NewDisk()}, &index{}, 0
	cfg := l.config("")
	cfg.Memory, cfg.Refused = m, func(error) { told++ }
	at := mirror{dirFetcher(l.dir), dirFetcher(filepath.Join(l.dir, "targets"))}
	c, err := newClient(cfg, d, at, at)
	if err != nil {
		t.Fatal(err)
	}
	mustRefresh(t, c, 1)
	l.release(2)
	broken := errors.New("TPM is in lockout")
	for _, fails := range []struct { // in this order: what the disk has taken, it is not asked to take again
		disk bool
		tpm  error
	}{{disk: true}, {tpm: broken}} {
		d.full, m.fail = fails.disk, fails.tpm
		if err := c.Refresh(t.Context()); !errors.Is(err, broken) && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("disk %v, TPM %v: %v", fails.disk, fails.tpm, err)
		}
		mustFind(t, c, 1)
	}
	d.full, m.fail = false, nil
	if told != 0 || c.at != 0 {
		t.Errorf("%d refusals told of, mirror %d asked", told, c.at)
	}
	floor := updater.Floor{Release: 1}
	d.full = true
	if err := c.Raise(floor); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("raise: %v", err)
	}
	if err := c.Raise(floor); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the same raise again is reported as done: %v", err)
	}
	d.full = false
	if err := c.Raise(floor); err != nil {
		t.Fatal(err)
	}
	if kept, err := c.store.loadFloor(); err != nil || kept.Release != 1 {
		t.Errorf("kept %+v, %v", kept, err)
	}
	mustRefresh(t, c, 2)
}

// TestStaleMirrorIsNotPreferred: a mirror that is up to date and lacks a role's metadata
// counts, and not one that is whole and behind: else whoever spoils one file of the one
// would bring back what the other has.
func TestStaleMirrorIsNotPreferred(t *testing.T) {
	l := newLab(t)
	l.release(1)
	list := []*grant{newGrant(t, "sim-controller", "sim/controller/*/*").list(t, "sim/controller/5/image", board, "controller", 5)}
	mirror := func(path string, answer http.HandlerFunc) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, path) {
				answer(w, r)
				return
			}
			l.ServeHTTP(w, r)
		}))
		t.Cleanup(srv.Close)
		return srv.URL + "/tuf"
	}
	l.delegate(10, list)
	old := httptest.NewRecorder()
	l.ServeHTTP(old, httptest.NewRequest(http.MethodGet, "/tuf/timestamp.json", nil))
	l.delegate(11, list)
	stale := mirror("timestamp.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(old.Body.Bytes()) })
	lacking := mirror("11.sim-controller.json", http.NotFound)
	client := func(urls ...string) *Client {
		cfg := l.config(t.TempDir())
		cfg.URL, cfg.Mirrors = urls[0], urls[1:]
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	both, alone := client(lacking, stale), client(stale)
	for range 2 {
		mustRefresh(t, both, 1)
		if got := both.set.Targets["targets"].Signed.Version; got != 11 {
			t.Errorf("targets %d count", got)
		}
		if _, err := both.Find(board, "controller"); !errors.Is(err, updater.ErrUnavailable) {
			t.Errorf("what is lacking: %v", err)
		}
	}
	mustRefresh(t, alone, 1) // the control
	if got := alone.set.Targets["targets"].Signed.Version; got != 10 {
		t.Errorf("alone: targets %d count", got)
	}
}
