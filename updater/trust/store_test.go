package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// emptied gives a client a store without anything in it.
func emptied(t *testing.T, c *Client) slot.FS {
	t.Helper()
	c.floor = updater.Floor{}
	return updatertest.NewDisk()
}

// TestTornCache: whatever a cached file has become, the next refresh works.
func TestTornCache(t *testing.T) {
	l := newLab(t)
	l.release(1)
	for _, role := range []string{"root", "snapshot"} {
		if err := l.rotate(role); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"roots/2.root.json", "roots/3.root.json", "timestamp.json", "snapshot.json", "targets.json", "floor"} {
		for how, damage := range map[string]func([]byte) []byte{
			"empty": func([]byte) []byte { return nil },
			"half":  func(p []byte) []byte { return p[:len(p)/2] },
			"zeros": func(p []byte) []byte { return make([]byte, len(p)) },
			"flip":  func(p []byte) []byte { p[len(p)/2] ^= 1; return p },
			"huge":  func(p []byte) []byte { return bytes.Repeat([]byte("["), 5<<20) },
		} {
			if testing.Short() && how != "half" {
				continue
			}
			dir := t.TempDir()
			mustRefresh(t, l.clientIn(dir), 1)
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(data), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := l.clientIn(dir).Refresh(context.Background()); err != nil {
				t.Errorf("%s %s: %v", name, how, err)
			}
		}
	}
}

// TestStoredBytes: what is stored is what was received, and is not fetched again.
func TestStoredBytes(t *testing.T) {
	l := newLab(t)
	l.release(1)
	if err := l.rotate("root"); err != nil {
		t.Fatal(err)
	}
	c := l.client()
	mustRefresh(t, c, 1)
	for stored, public := range map[string]string{
		"roots/2.root.json": "2.root.json", "timestamp.json": "timestamp.json",
		"snapshot.json": "3.snapshot.json", "targets.json": "2.targets.json",
	} {
		got, err := os.ReadFile(filepath.Join(c.cfg.Dir, stored))
		if err != nil || !bytes.Equal(got, l.read(public)) {
			t.Errorf("%s: %v, not what was received", stored, err)
		}
	}
	l.requests()
	mustRefresh(t, l.clientIn(c.cfg.Dir), 1)
	if got := strings.Join(l.requests(), " "); got != "3.root.json timestamp.json" {
		t.Errorf("the second refresh asked for %s", got)
	}
}

func TestRootsAreWalkedFromTheFactory(t *testing.T) {
	l := newLab(t)
	l.release(1)
	for _, role := range []string{"root", "root", "root", "targets", "timestamp"} {
		if err := l.rotate(role); err != nil {
			t.Fatal(err)
		}
	}
	mustRefresh(t, l.client(), 1)
	l.hook("2.root.json", http.NotFound)
	if err := l.client().Refresh(context.Background()); !errors.Is(err, updater.ErrSignature) {
		t.Errorf("with a root missing: %v", err)
	}
	for _, status := range []int{http.StatusForbidden, http.StatusGone} { // private buckets
		l.hook("7.root.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		l.hook("2.root.json", nil)
		mustRefresh(t, l.client(), 1)
	}
	l.hook("7.root.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	c := l.client()
	refused(t, c, updater.ErrUnavailable)
}

// TestParserPanics: signed metadata that makes the parser panic is refused.
func TestParserPanics(t *testing.T) {
	l := newLab(t)
	l.release(1)
	c := l.client()
	mustRefresh(t, c, 1)
	for name, meta := range map[string]map[string]*metadata.MetaFiles{
		"none": {}, "null": {"snapshot.json": nil}, "version 0": {"snapshot.json": {}},
		"length": {"snapshot.json": {Version: 2, Length: 1 << 40}}, "negative": {"snapshot.json": {Version: 2, Length: -1}},
	} {
		ts := parse(l, "timestamp.json", metadata.Timestamp())
		ts.Signed.Version++
		ts.Signed.Meta = meta
		l.serve("timestamp.json", sign(t, ts, l.signers("timestamp")...))
		t.Run(name, func(t *testing.T) { refused(t, c, updater.ErrMetadata) })
		l.heal()
	}
	root := parse(l, "1.root.json", metadata.Root())
	root.Signed.Version = 2
	root.Signed.Roles["timestamp"] = nil
	l.serve("2.root.json", sign(t, root, l.signers("root")...))
	if err := l.client().Refresh(context.Background()); err == nil || updater.Code(err) == "failed" {
		t.Errorf("a role without contents: %v", err)
	}
	l.heal()
	if err := guard(func() error { panic("control") }); !errors.Is(err, updater.ErrMetadata) {
		t.Errorf("guard: %v", err)
	}
}

// TestPowerCuts cuts the power after every effect of a refresh: the next refresh
// works, and the floor that was reported as raised is there.
func TestPowerCuts(t *testing.T) {
	l := newLab(t)
	l.release(1)
	d := updatertest.NewDisk()
	cfg := l.config("")
	open := func(d *updatertest.Disk) *Client {
		c, err := newClient(cfg, d, mirror{dirFetcher(l.dir), dirFetcher(filepath.Join(l.dir, "targets"))})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open(d)
	mustRefresh(t, c, 1)
	d.Mark("0")
	if err := l.rotate("root"); err != nil {
		t.Fatal(err)
	}
	l.release(2)
	mustRefresh(t, c, 2)
	for n := uint64(1); n <= 2; n++ {
		if err := c.Raise(updater.Floor{Release: n}); err != nil {
			t.Fatal(err)
		}
		d.Mark(fmt.Sprint(n))
	}
	states := 0
	for crash := range d.Crashes(3) {
		states++
		after := open(crash.Disk)
		mustRefresh(t, after, 2)
		var want uint64
		if n := len(crash.Acked); n > 0 {
			want = uint64(n - 1)
		}
		if got := after.Floor().Release; got < want {
			t.Fatalf("%s: floor %d after %d was reported", crash.At, got, want)
		}
		if testing.Short() && states >= 8 {
			break
		}
	}
	if states < 8 {
		t.Fatalf("only %d states", states)
	}
	t.Logf("%d states", states)
}

func TestFolderRepository(t *testing.T) {
	l := newLab(t)
	l.release(1)
	for _, url := range []string{l.dir, "file://" + l.dir} {
		l.url = url
		c := l.client()
		target := mustRefresh(t, c, 1)
		if got, err := fetched(t, c, target); err != nil || !bytes.Equal(got, image(1)) {
			t.Errorf("%s: %d bytes, %v", url, len(got), err)
		}
	}
	outside := filepath.Join(t.TempDir(), "timestamp.json")
	if err := os.Rename(filepath.Join(l.dir, "timestamp.json"), outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(l.dir, "timestamp.json")); err != nil {
		t.Fatal(err)
	}
	refused(t, l.client(), updater.ErrUnavailable)
	if err := os.Remove(filepath.Join(l.dir, "timestamp.json")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(l.dir, "timestamp.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, l.client(), updater.ErrUnavailable) // and does not hang
	l.url = filepath.Join(l.dir, "gone")
	refused(t, l.client(), updater.ErrUnavailable)
}

func TestAddresses(t *testing.T) {
	l := newLab(t)
	for _, url := range []string{"", "ftp://x/", "http://[::1", "gopher:x"} {
		cfg := l.config(t.TempDir())
		cfg.URL = url
		if _, err := New(cfg); err == nil {
			t.Errorf("%q is taken for an address", url)
		}
	}
	cfg := l.config(t.TempDir())
	cfg.FactoryRoot = []byte("{}")
	if _, err := New(cfg); !errors.Is(err, updater.ErrSignature) && !errors.Is(err, updater.ErrMetadata) {
		t.Errorf("an empty factory root: %v", err)
	}
}

func TestServerGone(t *testing.T) {
	l := newLab(t)
	srv := httptest.NewServer(l)
	l.url = srv.URL + "/tuf/"
	l.release(1)
	c := l.client()
	mustRefresh(t, c, 1)
	srv.Close()
	refused(t, c, updater.ErrUnavailable)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRedirects(t *testing.T) {
	l := newLab(t)
	l.release(1)
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, l.url+strings.TrimPrefix(r.URL.Path, "/tuf"), http.StatusFound)
	}))
	defer secure.Close()
	cfg := l.config(t.TempDir())
	cfg.URL, cfg.Client = secure.URL+"/tuf/", secure.Client()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, c, updater.ErrUnavailable) // away from https
	plain := httptest.NewServer(secure.Config.Handler)
	defer plain.Close()
	cfg.URL = plain.URL + "/tuf/"
	if c, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	mustRefresh(t, c, 1) // control: the same redirect between equals
	loop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	}))
	defer loop.Close()
	cfg.URL = loop.URL
	if c, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	refused(t, c, updater.ErrUnavailable)
}

// held is a repository in memory.
type held map[string][]byte

func (h held) open(_ context.Context, path string, offset int64) (io.ReadCloser, error) {
	data, ok := h[path]
	if !ok {
		return nil, errNotFound
	}
	return io.NopCloser(bytes.NewReader(data[offset:])), nil
}

// FuzzMetadata feeds each file to a client: nothing panics, nothing unsigned is
// believed, every refusal has a code.
func FuzzMetadata(f *testing.F) {
	l := newLab(f)
	l.release(1)
	l.release(2)
	repo := held{}
	names := []string{"2.root.json", "timestamp.json", "3.snapshot.json", "3.targets.json"}
	for i, name := range names {
		if i > 0 {
			repo[name] = l.read(name)
			f.Add(uint8(i), append(l.read(name), ' ', '{'))
			f.Add(uint8(i), bytes.Replace(l.read(name), []byte(`"version":3`), []byte(`"version":4`), 1)[1:])
		}
		f.Add(uint8(i), []byte(`{"signed":{"_type":"timestamp","version":1},"signatures":[]}`))
		f.Add(uint8(i), []byte(`{"signed":{"_type":"root","roles":{"root":null},"keys":null},"signatures":[{"keyid":"a","sig":"zz"}]}`))
		f.Add(uint8(i), []byte(`{"signed":{"_type":"snapshot","meta":{"targets.json":null}}}`))
		f.Add(uint8(i), []byte("[[[[[[[["))
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		name := names[int(which)%len(names)]
		public := maps.Clone(repo)
		public[name] = data
		c, err := newClient(l.config(""), updatertest.NewDisk(), mirror{meta: public})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Refresh(context.Background())
		if name != "2.root.json" && bytes.Equal(data, repo[name]) {
			return // the genuine file
		}
		if err == nil && !sameSigned(data, repo[name]) || err != nil && updater.Code(err) == "failed" {
			t.Errorf("%s: %v", name, err)
		}
	})
}

// sameSigned reports whether the signed parts of two files say the same; signatures
// are over what a file says, not over its spaces.
func sameSigned(a, b []byte) bool {
	var x, y struct {
		Signed any `json:"signed"`
	}
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
