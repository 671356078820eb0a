package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// world is a repository of another maker, as tuf-on-ci and python-tuf write them: ECDSA
// keys under both of their names beside Ed25519, metadata and files under addresses of
// their own, no lengths and hashes of metadata.
type world struct {
	t       *testing.T
	url     string
	signers map[string]signature.Signer
	root    *metadata.Metadata[metadata.RootType]
	sn      *metadata.Metadata[metadata.SnapshotType]
	ts      *metadata.Metadata[metadata.TimestampType]
	targets *metadata.Metadata[metadata.TargetsType]
	meta    string // folder of verified metadata
	files   string // and of files

	mu     sync.Mutex
	served map[string][]byte
	asked  []string
}

var roles = []string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS}

func newWorld(t *testing.T) *world {
	t.Helper()
	end := time.Now().UTC().AddDate(0, 1, 0)
	base := t.TempDir()
	w := &world{
		t: t, signers: map[string]signature.Signer{}, served: map[string][]byte{},
		root: metadata.Root(end), sn: metadata.Snapshot(end), ts: metadata.Timestamp(end), targets: metadata.Targets(end),
		meta: filepath.Join(base, "metadata"), files: filepath.Join(base, "targets"),
	}
	for _, dir := range []string{w.meta, w.files} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i, role := range roles {
		w.key(role, i)
	}
	srv := httptest.NewServer(w)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	w.publish()
	root := filepath.Join(base, "root")
	if err := os.WriteFile(root, w.served["metadata/1.root.json"], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"--metadata-dir", w.meta, "init", root}); err != nil {
		t.Fatal(err)
	}
	if got := w.requests(); len(got) != 0 {
		t.Fatalf("init asked for %q", got)
	}
	return w
}

// key gives a role a key of one of three kinds.
func (w *world) key(role string, kind int) {
	w.t.Helper()
	var private crypto.Signer
	var err error
	if kind%3 == 2 {
		_, private, err = generateEd25519()
	} else {
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	public, err := metadata.KeyFromPublicKey(private.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	if kind%3 == 1 {
		public.Type = metadata.KeyTypeECDSA_SHA2_P256_COMPAT
	}
	if err := w.root.Signed.AddKey(public, role); err != nil {
		w.t.Fatal(err)
	}
	if w.signers[role], err = signature.LoadSigner(private, crypto.SHA256); err != nil {
		w.t.Fatal(err)
	}
}

func generateEd25519() (ed25519.PublicKey, crypto.Signer, error) {
	public, private, err := ed25519.GenerateKey(nil)
	return public, private, err
}

func signed[T metadata.Roles](w *world, md *metadata.Metadata[T], role string) []byte {
	w.t.Helper()
	md.ClearSignatures()
	if _, err := md.Sign(w.signers[role]); err != nil {
		w.t.Fatal(err)
	}
	md.Signatures[0].KeyID = w.root.Signed.Roles[role].KeyIDs[0] // its name depends on what its kind is called
	data, err := md.ToBytes(true)
	if err != nil {
		w.t.Fatal(err)
	}
	return append(data, ' ') // which nobody else would write
}

// publish signs everything as it is and serves it.
func (w *world) publish() {
	w.t.Helper()
	w.sn.Signed.Meta["targets.json"] = metadata.MetaFile(w.targets.Signed.Version)
	w.ts.Signed.Meta["snapshot.json"] = metadata.MetaFile(w.sn.Signed.Version)
	if name := fmt.Sprintf("metadata/%d.root.json", w.root.Signed.Version); w.served[name] == nil {
		w.serve(name, signed(w, w.root, metadata.ROOT))
	}
	w.serve(fmt.Sprintf("metadata/%d.targets.json", w.targets.Signed.Version), signed(w, w.targets, metadata.TARGETS))
	w.serve(fmt.Sprintf("metadata/%d.snapshot.json", w.sn.Signed.Version), signed(w, w.sn, metadata.SNAPSHOT))
	w.serve("metadata/timestamp.json", signed(w, w.ts, metadata.TIMESTAMP))
}

// next publishes new versions of what a release changes.
func (w *world) next() {
	w.targets.Signed.Version++
	w.sn.Signed.Version++
	w.ts.Signed.Version++
	w.publish()
}

func (w *world) serve(path string, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.served[path] = data
}

// ServeHTTP serves what there is and notes what was asked for.
func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	w.asked = append(w.asked, strings.TrimPrefix(path, "metadata/"))
	data, ok := w.served[path]
	if !ok || r.Method != http.MethodGet {
		http.NotFound(out, r)
		return
	}
	out.Write(data)
}

func (w *world) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

// add lists a file, with SHA-256 or, if long, with SHA-512.
func (w *world) add(path string, data []byte, long bool) {
	w.t.Helper()
	file := metadata.TargetFile()
	short := sha256.Sum256(data)
	sum := short[:]
	file.Hashes["sha256"] = sum
	if long {
		digest := sha512.Sum512(data)
		sum = digest[:]
		file.Hashes = metadata.Hashes{"sha512": sum}
	}
	file.Length = int64(len(data))
	w.targets.Signed.Targets[path] = file
	dir, base := filepath.Split(path)
	w.serve(fmt.Sprintf("targets/%s%x.%s", dir, sum, base), data)
}

func (w *world) refresh() error {
	return run([]string{"--metadata-url", w.url + "/metadata/", "--metadata-dir", w.meta, "refresh"})
}

func (w *world) download(names ...string) error {
	args := []string{"--metadata-url", w.url + "/metadata", "--metadata-dir", w.meta}
	for _, name := range names {
		args = append(args, "--target-name", name)
	}
	return run(append(args, "--target-dir", w.files, "--target-base-url", w.url+"/targets/", "download"))
}

// downloaded is what is in the folder of files.
func (w *world) downloaded() (all []string) {
	w.t.Helper()
	entries, err := os.ReadDir(w.files)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(w.files, e.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, string(data))
	}
	slices.Sort(all)
	return all
}

// trusted holds the metadata that is kept against what was served: byte for byte.
func (w *world) trusted(versions map[string]int) {
	w.t.Helper()
	kept, err := filepath.Glob(filepath.Join(w.meta, "*.json"))
	if err != nil || len(kept) != len(versions) {
		w.t.Errorf("kept: %q, %v; want %v", kept, err, versions)
	}
	for role, v := range versions {
		name := fmt.Sprintf("metadata/%d.%s.json", v, role)
		if role == metadata.TIMESTAMP {
			name = "metadata/timestamp.json"
		}
		got, err := os.ReadFile(filepath.Join(w.meta, role+".json"))
		if err != nil || !bytes.Equal(got, w.served[name]) {
			w.t.Errorf("%s is not version %d as it was served: %v", role, v, err)
		}
	}
}

func wantRequests(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// TestRefresh: exactly the requests that are needed, in their order; what is kept is
// byte for byte what was served, under names without versions.
func TestRefresh(t *testing.T) {
	w := newWorld(t)
	if err := w.refresh(); err != nil {
		t.Fatal(err)
	}
	wantRequests(t, w.requests(), "2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
	w.trusted(map[string]int{"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1})
	if err := w.refresh(); err != nil {
		t.Fatal(err)
	}
	wantRequests(t, w.requests(), "2.root.json", "timestamp.json")
	w.root.Signed.Version++
	w.next()
	if err := w.refresh(); err != nil {
		t.Fatal(err)
	}
	wantRequests(t, w.requests(), "2.root.json", "3.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json")
	w.trusted(map[string]int{"root": 2, "timestamp": 2, "snapshot": 2, "targets": 2})
}

// TestPartsThatAreRefused: what was good before the part that is refused is kept.
func TestPartsThatAreRefused(t *testing.T) {
	for _, role := range []string{metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS} {
		w := newWorld(t)
		if err := w.refresh(); err != nil {
			t.Fatal(err)
		}
		stranger := newWorld(t)
		w.signers[role] = stranger.signers[role]
		before := w.served["metadata/timestamp.json"]
		w.next()
		if err := w.refresh(); err == nil {
			t.Errorf("%s signed by a stranger was taken", role)
		}
		want := map[string]int{"root": 1, "timestamp": 2, "snapshot": 2, "targets": 1}
		switch role {
		case metadata.TIMESTAMP:
			want["timestamp"], want["snapshot"] = 1, 1
			w.serve("metadata/timestamp.json", before)
		case metadata.SNAPSHOT:
			want["snapshot"] = 1
		}
		w.trusted(want)
	}
}

func TestMissingSnapshot(t *testing.T) {
	w := newWorld(t)
	w.sn.Signed.Version, w.ts.Signed.Version = 2, 2
	w.publish()
	w.serve("metadata/2.snapshot.json", nil)
	delete(w.served, "metadata/2.snapshot.json")
	if err := w.refresh(); err == nil {
		t.Error("a repository without its snapshot was taken")
	}
	wantRequests(t, w.requests(), "2.root.json", "timestamp.json", "2.snapshot.json")
}

// TestDownload: files by both hashes; none is fetched twice; only verified contents are
// ever in the folder; the first that fails ends it.
func TestDownload(t *testing.T) {
	w := newWorld(t)
	w.add("one.txt", []byte("one"), false)
	w.add("path/to/a/two.txt", []byte("two"), true)
	w.next()
	if err := w.download("one.txt", "path/to/a/two.txt"); err != nil {
		t.Fatal(err)
	}
	if got := w.downloaded(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("downloaded %q", got)
	}
	w.requests()
	if err := w.download("one.txt", "path/to/a/two.txt"); err != nil {
		t.Fatal(err)
	}
	wantRequests(t, w.requests(), "2.root.json", "timestamp.json")
	w.add("one.txt", []byte("uno"), false)
	w.add("three.txt", []byte("three"), false)
	sum := sha256.Sum256([]byte("three"))
	w.serve(fmt.Sprintf("targets/%x.three.txt", sum), []byte("thr33"))
	w.next()
	if err := w.download("three.txt", "one.txt"); err == nil {
		t.Error("a file with other contents was taken")
	}
	if got := w.downloaded(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("after the first file failed: %q", got)
	}
	if err := w.download("one.txt"); err != nil {
		t.Fatal(err)
	}
	if got := w.downloaded(); !slices.Equal(got, []string{"two", "uno"}) {
		t.Errorf("after a file changed: %q", got)
	}
	if err := w.download("four.txt"); err == nil {
		t.Error("a file that is not listed was found")
	}
	w.targets.Signed.Targets["odd"] = &metadata.TargetFiles{Length: 3, Hashes: metadata.Hashes{"md4": []byte("1234")}}
	w.next()
	if err := w.download("odd"); err == nil {
		t.Error("a file without a digest that is known was taken")
	}
}

// TestUnusualRoles: a delegated role may be called anything; it is asked for, and kept,
// under its name escaped.
func TestUnusualRoles(t *testing.T) {
	for role, escaped := range map[string]string{"?": "%3F", "#": "%23", "/delegatedrole": "%2Fdelegatedrole", "../delegatedrole": "..%2Fdelegatedrole"} {
		w := newWorld(t)
		md := metadata.Targets(time.Now().UTC().AddDate(0, 1, 0))
		public := w.root.Signed.Keys[w.root.Signed.Roles["targets"].KeyIDs[0]]
		id := w.root.Signed.Roles["targets"].KeyIDs[0]
		w.targets.Signed.Delegations = &metadata.Delegations{
			Keys:  map[string]*metadata.Key{id: public},
			Roles: []metadata.DelegatedRole{{Name: role, KeyIDs: []string{id}, Threshold: 1, Paths: []string{"*"}}},
		}
		w.sn.Signed.Meta[role+".json"] = metadata.MetaFile(1)
		w.serve("metadata/1."+escaped+".json", signed(w, md, metadata.TARGETS))
		w.next()
		if err := w.download("nothing"); err == nil {
			t.Error("a file that nobody lists was found")
		}
		if got := w.requests(); got[len(got)-1] != "1."+escaped+".json" {
			t.Errorf("%s: asked for %q", role, got)
		}
		if kept, _ := filepath.Glob(filepath.Join(w.meta, "*.json")); len(kept) != 5 {
			t.Errorf("%s: kept %q", role, kept)
		}
	}
}

// TestTimeIsThatOfDate: the suite says the time by date(1).
func TestTimeIsThatOfDate(t *testing.T) {
	w := newWorld(t)
	if err := w.refresh(); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	says := func(at time.Time) {
		if err := os.WriteFile(filepath.Join(bin, "date"), fmt.Appendf(nil, "#!/bin/sh\necho %d\n", at.Unix()), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	says(time.Now().AddDate(0, 0, 20))
	if err := w.refresh(); err != nil {
		t.Errorf("before the end: %v", err)
	}
	says(time.Now().AddDate(0, 2, 0))
	if err := w.refresh(); err == nil {
		t.Error("expired metadata was taken")
	}
}

func TestCommandLine(t *testing.T) {
	w := newWorld(t)
	for _, args := range [][]string{
		nil, {"refresh"}, {"--metadata-dir", w.meta}, {"--metadata-dir", w.meta, "init"}, {"--metadata-dir", w.meta, "init", filepath.Join(w.meta, "none")},
		{"--metadata-dir", w.meta, "refresh"}, {"--metadata-dir", w.meta, "--metadata-url", w.url, "download"}, {"--odd", "refresh"},
		{"--metadata-dir", t.TempDir(), "--metadata-url", w.url + "/metadata", "refresh"},
	} {
		if err := run(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	bad := filepath.Join(t.TempDir(), "root")
	if err := os.WriteFile(bad, []byte(`{"signed":{"_type":"root"},"signatures":[]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	w.meta = t.TempDir()
	if err := run([]string{"--metadata-dir", w.meta, "init", bad}); err != nil {
		t.Fatal(err) // nothing is checked yet
	}
	if err := w.refresh(); err == nil {
		t.Error("a root that is none was taken")
	}
	if got := w.requests(); len(got) != 0 {
		t.Errorf("by a root that is none it asked for %q", got)
	}
}
