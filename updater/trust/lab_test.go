package trust

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
	"platen/updater/publish"
	"platen/updater/slot"
)

// TestMain keeps what tests write in memory, where there is a folder for that: cuts of the
// power have disks of their own, and everything else would only wait for the machine's.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("/dev/shm", "trust")
	if err == nil {
		os.Setenv("TMPDIR", dir)
	}
	code := m.Run()
	if err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// lab is a real repository behind a mirror that a test can make hostile, and the
// clock of the printer.
type lab struct {
	t      testing.TB
	dir    string // public files
	keys   string // offline keys
	online string
	repo   *publish.Repo
	root   []byte
	now    time.Time
	url    string

	mu     sync.Mutex
	hooks  map[string]http.HandlerFunc // by path without leading slash
	served []string
}

const board = "sim"

var labStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newLab(t testing.TB) *lab { return newLabWith(t, publish.DefaultPolicy()) }

func newLabWith(t testing.TB, p publish.Policy) *lab {
	t.Helper()
	base := t.TempDir()
	l := &lab{
		t: t, dir: filepath.Join(base, "repo"), keys: filepath.Join(base, "keys"), now: labStart,
		online: filepath.Join(base, "online"), hooks: map[string]http.HandlerFunc{},
	}
	var err error
	if l.repo, err = publish.Init(l.dir, l.keys, l.online, p, l.now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.repo.Close() })
	if l.root, err = l.repo.Root(); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	l.url = srv.URL + "/tuf"
	return l
}

// ServeHTTP is the mirror.
func (l *lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/tuf/")
	l.mu.Lock()
	hook := l.hooks[path]
	l.served = append(l.served, path+r.Header.Get("Range"))
	l.mu.Unlock()
	if hook != nil {
		hook(w, r)
		return
	}
	http.StripPrefix("/tuf/", http.FileServer(http.Dir(l.dir))).ServeHTTP(w, r)
}

// hook makes the mirror answer for a path by f; nil ends that.
func (l *lab) hook(path string, f http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hooks[path] = f
}

// serve makes the mirror answer with data.
func (l *lab) serve(path string, data []byte) {
	l.hook(path, func(w http.ResponseWriter, _ *http.Request) { w.Write(data) })
}

func (l *lab) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.hooks)
}

// requests returns the paths asked for since the last call.
func (l *lab) requests() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.served
	l.served = nil
	return s
}

// image is what release n looks like: more than the pace of a stalled transfer.
func image(n int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("release %d. ", n)), 20000+n) }

// add signs release n; publish announces it.
func (l *lab) add(n int) publish.Release {
	l.t.Helper()
	file := filepath.Join(l.t.TempDir(), "platen")
	if err := os.WriteFile(file, image(n), 0o755); err != nil {
		l.t.Fatal(err)
	}
	rel, err := l.repo.Add(publish.Item{Release: uint64(n), Board: board, File: file}, nil, l.now)
	if err != nil {
		l.t.Fatal(err)
	}
	return rel
}

func (l *lab) publish() publish.Versions {
	l.t.Helper()
	v, err := l.repo.Publish(l.now)
	if err != nil {
		l.t.Fatal(err)
	}
	return v
}

func (l *lab) release(n int) publish.Release {
	l.t.Helper()
	rel := l.add(n)
	l.publish()
	return rel
}

func (l *lab) config(dir string) Config {
	return Config{Dir: dir, FactoryRoot: l.root, URL: l.url, Now: func() time.Time { return l.now }, Stall: 20 * time.Second}
}

func (l *lab) client() *Client { return l.clientIn(l.t.TempDir()) }

func (l *lab) clientIn(dir string) *Client {
	l.t.Helper()
	c, err := New(l.config(dir))
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// read returns a public file.
func (l *lab) read(name string) []byte {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil {
		l.t.Fatal(err)
	}
	return data
}

// signers reads the keys of a role; stolen from wherever they are.
func (l *lab) signers(role string) []ed25519.PrivateKey {
	l.t.Helper()
	var keys []ed25519.PrivateKey
	for _, dir := range []string{l.keys, l.online} {
		names, err := filepath.Glob(filepath.Join(dir, role+"-*.pem"))
		if err != nil {
			l.t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				l.t.Fatal(err)
			}
			block, _ := pem.Decode(text)
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				l.t.Fatal(err)
			}
			keys = append(keys, k.(ed25519.PrivateKey))
		}
	}
	return keys
}

func keyID(t testing.TB, k ed25519.PrivateKey) (string, *metadata.Key) {
	t.Helper()
	pub, err := metadata.KeyFromPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	id, err := pub.ID()
	if err != nil {
		t.Fatal(err)
	}
	return id, pub
}

// sign replaces the signatures of md and returns its bytes.
func sign[T metadata.Roles](t testing.TB, md *metadata.Metadata[T], keys ...ed25519.PrivateKey) []byte {
	t.Helper()
	payload, err := cjson.EncodeCanonical(md.Signed)
	if err != nil {
		t.Fatal(err)
	}
	md.ClearSignatures()
	for _, k := range keys {
		id, _ := keyID(t, k)
		md.Signatures = append(md.Signatures, metadata.Signature{KeyID: id, Signature: ed25519.Sign(k, payload)})
	}
	data, err := md.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// parse reads metadata of a role from a public file.
func parse[T metadata.Roles](l *lab, name string, md *metadata.Metadata[T]) *metadata.Metadata[T] {
	l.t.Helper()
	md, err := md.FromBytes(l.read(name))
	if err != nil {
		l.t.Fatal(err)
	}
	return md
}

// forge is what a thief of the online keys can do: make the mirror announce any
// targets metadata, under new versions of snapshot and timestamp.
func (l *lab) forge(targets []byte, targetsVersion int64) {
	l.t.Helper()
	ts := parse(l, "timestamp.json", metadata.Timestamp())
	v := ts.Signed.Meta["snapshot.json"].Version + 1
	sn := parse(l, fmt.Sprintf("%d.snapshot.json", v-1), metadata.Snapshot())
	sn.Signed.Version = v
	sn.Signed.Meta["targets.json"] = metadata.MetaFile(targetsVersion)
	ts.Signed.Version++
	ts.Signed.Meta["snapshot.json"] = metadata.MetaFile(v)
	l.serve(fmt.Sprintf("%d.targets.json", targetsVersion), targets)
	l.serve(fmt.Sprintf("%d.snapshot.json", v), sign(l.t, sn, l.signers("snapshot")...))
	l.serve("timestamp.json", sign(l.t, ts, l.signers("timestamp")...))
}

// mustRefresh refreshes and finds release want.
func mustRefresh(t testing.TB, c *Client, want uint64) updater.Target {
	t.Helper()
	if err := c.Refresh(context.Background()); err != nil {
		t.Fatalf("refresh: %v", err)
	}
	return mustFind(t, c, want)
}

func mustFind(t testing.TB, c *Client, want uint64) updater.Target {
	t.Helper()
	got, err := c.Find(board, "agent")
	if err != nil || got.Release != want {
		t.Fatalf("found release %d, %v; want %d", got.Release, err, want)
	}
	return got
}

// refused refreshes, expects the reason, and expects everything to be as before:
// what is found, the floor, and what a client started anew believes.
func refused(t testing.TB, c *Client, want error) {
	t.Helper()
	before, beforeErr := c.Find(board, "agent")
	floor := c.Floor()
	if err := c.Refresh(context.Background()); !errors.Is(err, want) {
		t.Errorf("refresh: %v; want %v", err, want)
	} else if updater.Code(err) == "failed" {
		t.Errorf("the refusal has no code: %v", err)
	}
	after, afterErr := c.Find(board, "agent")
	if !reflect.DeepEqual(before, after) || (beforeErr == nil) != (afterErr == nil) || c.Floor() != floor {
		t.Errorf("a refused refresh changed the state: %v, %v", after, afterErr)
	}
}

var _ slot.FS = (*slot.Dir)(nil)

// rotate exchanges the oldest key of a role.
func (l *lab) rotate(role string) error {
	_, err := l.repo.Rotate(publish.Exchange{Role: role}, nil, l.now)
	return err
}
