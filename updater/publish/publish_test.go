package publish_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"platen/updater"
	"platen/updater/publish"
	"platen/updater/trust"
)

var start = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)

// site is a repository in a fresh folder.
type site struct {
	*publish.Repo
	t         *testing.T
	base, dir string
	keys      string
	now       time.Time
}

func newSite(t *testing.T) *site {
	t.Helper()
	base := t.TempDir()
	s := &site{t: t, base: base, dir: filepath.Join(base, "public"), keys: filepath.Join(base, "safe"), now: start}
	r, err := publish.Init(s.dir, s.keys, "", publish.DefaultPolicy(), s.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	s.Repo = r
	return s
}

func (s *site) file(contents string) string {
	s.t.Helper()
	name := filepath.Join(s.base, "bin")
	if err := os.WriteFile(name, []byte(contents), 0o755); err != nil {
		s.t.Fatal(err)
	}
	return name
}

func (s *site) add(n uint64, board string) (publish.Release, error) {
	return s.Add(publish.Item{Release: n, Board: board, File: s.file(fmt.Sprint(board, n))}, nil, s.now)
}

func (s *site) mustAdd(n uint64, board string) publish.Release {
	s.t.Helper()
	rel, err := s.add(n, board)
	if err != nil {
		s.t.Fatal(err)
	}
	return rel
}

func (s *site) mustPublish() publish.Versions {
	s.t.Helper()
	v, err := s.Publish(s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// client is a printer that reads the folder.
func (s *site) client() *trust.Client {
	s.t.Helper()
	root, err := s.Root()
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := trust.New(trust.Config{Dir: s.t.TempDir(), FactoryRoot: root, URL: s.dir, Now: func() time.Time { return s.now }})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// sees expects a printer to find a release and to get its contents.
func (s *site) sees(c *trust.Client, board string, n uint64) {
	s.t.Helper()
	if err := c.Refresh(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	target, err := c.Find(board, "agent")
	if err != nil || target.Release != n {
		s.t.Fatalf("found release %d for %s, %v; want %d", target.Release, board, err, n)
	}
	var b bytes.Buffer
	if err := c.Download(context.Background(), target, &b); err != nil || b.String() != fmt.Sprint(board, n) {
		s.t.Fatalf("release %d for %s: %q, %v", n, board, &b, err)
	}
}

func TestPrintersSeeWhatIsPublished(t *testing.T) {
	s := newSite(t)
	c := s.client()
	s.mustAdd(5, "one")
	s.mustAdd(1, "two-b")
	if err := c.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Find("one", "agent"); !errors.Is(err, updater.ErrUnknownBoard) {
		t.Errorf("before it is published: %v", err)
	}
	s.mustPublish()
	s.sees(c, "one", 5)
	s.sees(c, "two-b", 1)
	r, err := publish.Open(s.dir, "") // as the next command does
	if err != nil {
		t.Fatal(err)
	}
	s.Repo = r
	s.mustAdd(6, "one")
	s.mustPublish()
	s.sees(c, "one", 6)
}

func TestKeysAreKeptApart(t *testing.T) {
	s := newSite(t)
	s.mustAdd(1, "sim")
	s.mustPublish()
	found := map[string]int{}
	err := filepath.WalkDir(s.base, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(data, []byte("PRIVATE KEY")) {
			return err
		}
		rel, _ := filepath.Rel(s.base, path)
		role, _, _ := strings.Cut(filepath.Base(path), "-")
		found[filepath.Dir(rel)+" "+role]++
		st, err := d.Info()
		if err == nil && st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", rel, st.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"safe root": 3, "safe targets": 3, "public.online snapshot": 1, "public.online timestamp": 1}
	if fmt.Sprint(found) != fmt.Sprint(want) {
		t.Errorf("keys are in %v, want %v", found, want)
	}
}

func TestInitRefuses(t *testing.T) {
	base := t.TempDir()
	at := func(s string) string { return filepath.Join(base, s) }
	good := publish.DefaultPolicy()
	for name, x := range map[string]struct{ dir, keys, online string }{
		"keys in the public folder":        {at("p"), at("p/keys"), ""},
		"online keys in the public folder": {at("p"), at("k"), at("p/o")},
		"all keys in one folder":           {at("p"), at("k"), at("k")},
		"offline keys among online ones":   {at("p"), at("o/k"), at("o")},
		"no key folder":                    {at("p"), "", ""},
	} {
		if _, err := publish.Init(x.dir, x.keys, x.online, good, start); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, change := range map[string]func(*publish.Policy){
		"threshold 0":              func(p *publish.Policy) { p.RootThreshold = 0 },
		"negative threshold":       func(p *publish.Policy) { p.TargetsThreshold = -1 },
		"threshold above the keys": func(p *publish.Policy) { p.TargetsThreshold = 4 },
		"no validity":              func(p *publish.Policy) { p.TimestampValid = 0 },
	} {
		p := good
		change(&p)
		if _, err := publish.Init(at("p"), at("k"), "", p, start); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := publish.Open(at("p"), ""); !errors.Is(err, publish.ErrNoRepo) {
		t.Errorf("open nothing: %v", err)
	}
	r, err := publish.Init(at("p"), at("k"), "", good, start)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := publish.Init(at("p"), at("k2"), "", good, start); !errors.Is(err, publish.ErrExists) {
		t.Errorf("init twice: %v", err)
	}
}

func TestAddRefuses(t *testing.T) {
	s := newSite(t)
	s.mustAdd(3, "sim")
	empty := filepath.Join(s.base, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	bin := s.file("x")
	for name, item := range map[string]publish.Item{
		"same number":   {Release: 3, Board: "sim", File: bin},
		"lower number":  {Release: 2, Board: "sim", File: bin},
		"no number":     {Board: "sim", File: bin},
		"bad board":     {Release: 4, Board: "../x", File: bin},
		"upper case":    {Release: 4, Board: "Sim", File: bin},
		"no board":      {Release: 4, File: bin},
		"bad kind":      {Release: 4, Board: "sim", Kind: "a/b", File: bin},
		"empty file":    {Release: 4, Board: "sim", File: empty},
		"not a file":    {Release: 4, Board: "sim", File: s.base},
		"hyphen at end": {Release: 4, Board: "sim-", File: bin},
	} {
		if _, err := s.Add(item, nil, s.now); !errors.Is(err, publish.ErrRelease) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.mustAdd(4, "sim")
	s.mustAdd(1, "sim-2") // another board counts by itself
}

func TestTooFewKeys(t *testing.T) {
	s := newSite(t)
	names, err := filepath.Glob(filepath.Join(s.keys, "targets-*.pem"))
	if err != nil || len(names) != 3 {
		t.Fatal(names, err)
	}
	other := filepath.Join(s.base, "elsewhere")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range names[1:] {
		if err := os.Rename(name, filepath.Join(other, filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.add(1, "sim"); !errors.Is(err, publish.ErrKeys) {
		t.Errorf("with one of two keys: %v", err)
	}
	if _, err := s.Add(publish.Item{Release: 1, Board: "sim", File: s.file("x")}, []string{s.keys, s.keys}, s.now); !errors.Is(err, publish.ErrKeys) {
		t.Errorf("with the same key twice: %v", err)
	}
	item := publish.Item{Release: 1, Board: "sim", File: s.file("sim1")}
	if _, err := s.Add(item, []string{s.keys, other}, s.now); err != nil { // control
		t.Errorf("with two folders: %v", err)
	}
	s.mustPublish()
	s.sees(s.client(), "sim", 1)
	if err := os.Chmod(names[0], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.add(2, "sim"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("with a key that others can read: %v", err)
	}
}

func TestDamagedFilesAreNotPublished(t *testing.T) {
	s := newSite(t)
	rel := s.mustAdd(1, "sim")
	s.mustPublish()
	before, err := os.ReadFile(filepath.Join(s.dir, "timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.dir, "targets", "sim", "agent", "1", rel.SHA256+".platen")
	for name, contents := range map[string]string{"flipped": "sim2", "longer": "sim11", "empty": ""} {
		if err := os.WriteFile(file, []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Publish(s.now); !errors.Is(err, publish.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(s.now); !errors.Is(err, publish.ErrDamaged) {
		t.Errorf("missing: %v", err)
	}
	after, err := os.ReadFile(filepath.Join(s.dir, "timestamp.json"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the timestamp changed, %v", err)
	}
}

func TestDamagedMetadataIsNotExtended(t *testing.T) {
	for _, name := range []string{"1.root.json", "2.targets.json", "timestamp.json"} {
		s := newSite(t)
		s.mustAdd(1, "sim")
		s.mustPublish()
		path := filepath.Join(s.dir, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(data, []byte(`"version":`)) + len(`"version":`)
		if name == "timestamp.json" {
			at = 0
		}
		data[at] = '7'
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := publish.Open(s.dir, "")
		if err == nil {
			_, err = r.Publish(s.now)
		}
		if !errors.Is(err, publish.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRotate(t *testing.T) {
	s := newSite(t)
	s.mustAdd(1, "sim")
	s.mustPublish()
	c := s.client()
	s.sees(c, "sim", 1)
	release := uint64(1)
	for i, role := range []string{"root", "targets", "snapshot", "timestamp", "root", "root", "targets", "targets"} {
		done, err := s.Rotate(publish.Exchange{Role: role, Lost: ""}, nil, s.now)
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		if done.Root != int64(i+2) || done.Added == done.Removed {
			t.Errorf("%s: %+v", role, done)
		}
		release++
		s.mustAdd(release, "sim")
		s.mustPublish()
		s.sees(c, "sim", release)
		s.sees(s.client(), "sim", release)
	}
	for v := 1; v <= 9; v++ {
		if _, err := os.Stat(filepath.Join(s.dir, fmt.Sprintf("%d.root.json", v))); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Rotate(publish.Exchange{Role: "root", Lost: "zz"}, nil, s.now); !errors.Is(err, publish.ErrKeys) {
		t.Errorf("a key that is not there: %v", err)
	}
	if _, err := s.Rotate(publish.Exchange{Role: "mirror", Lost: ""}, nil, s.now); err == nil {
		t.Error("a role that is not there was rotated")
	}
}

// TestInterruptedRotation: the new root was written, the targets were not signed
// again.
func TestInterruptedRotation(t *testing.T) {
	s := newSite(t)
	s.mustAdd(1, "sim")
	s.mustPublish()
	for range 2 { // so that too few of the old keys are left
		if _, err := s.Rotate(publish.Exchange{Role: "targets", Lost: ""}, nil, s.now); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"3.targets.json", "4.targets.json"} {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := publish.Open(s.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Publish(s.now); !errors.Is(err, publish.ErrDamaged) || !strings.Contains(err.Error(), "renew") {
		t.Errorf("publish: %v", err)
	}
	if _, err := r.Renew(nil, s.now); err != nil {
		t.Fatal(err)
	}
	s.sees(s.client(), "sim", 1)
}

func TestExpiryAndRenewal(t *testing.T) {
	s := newSite(t)
	s.mustAdd(1, "sim")
	v := s.mustPublish()
	if want := start.Add(7 * 24 * time.Hour); !v.Expires.Equal(want) {
		t.Errorf("valid until %v, want %v", v.Expires, want)
	}
	s.now = start.Add(366 * 24 * time.Hour)
	if _, err := s.Publish(s.now); err == nil {
		t.Error("metadata with an expired root was published")
	}
	st, err := s.Status(s.now)
	if err != nil || len(st.Roles) != 4 || !st.Roles[0].Expired || !st.Roles[3].Expired {
		t.Errorf("status %+v, %v", st, err)
	}
	if _, err := s.Renew(nil, s.now); err != nil {
		t.Fatal(err)
	}
	s.sees(s.client(), "sim", 1)
}

// TestClocks: an offline machine whose clock is ahead would make printers take
// everything else for expired.
func TestClocks(t *testing.T) {
	s := newSite(t)
	s.now = start.Add(48 * time.Hour)
	s.mustAdd(1, "sim")
	if _, err := s.Publish(start); err == nil || !strings.Contains(err.Error(), "future") {
		t.Errorf("targets from the future: %v", err)
	}
	s.mustPublish()
}

// TestTwoProcesses: what one opened before another rotated keys is not written with
// the old ones.
func TestTwoProcesses(t *testing.T) {
	s := newSite(t)
	other, err := publish.Open(s.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Rotate(publish.Exchange{Role: "timestamp"}, nil, s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(s.now); err == nil || !strings.Contains(err.Error(), "start again") {
		t.Errorf("publish: %v", err)
	}
	if _, err := s.add(1, "sim"); err == nil {
		t.Error("a release was added with an old root")
	}
}

func TestStatus(t *testing.T) {
	s := newSite(t)
	rel := s.mustAdd(1, "sim")
	st, err := s.Status(s.now)
	if err != nil || st.Published || len(st.Releases) != 1 || !reflect.DeepEqual(st.Releases[0], rel) {
		t.Errorf("after add: %+v, %v", st, err)
	}
	s.mustPublish()
	if st, err = s.Status(s.now); err != nil || !st.Published || st.Roles[1].Threshold != 2 || st.Roles[1].Keys != 3 {
		t.Errorf("after publish: %+v, %v", st, err)
	}
}

// TestReadersWhilePublishing: whoever reads while releases are published sees one
// state or another, never a mixture.
func TestReadersWhilePublishing(t *testing.T) {
	s := newSite(t)
	s.mustAdd(1, "sim")
	s.mustPublish()
	c := s.client()
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
				if err := c.Refresh(context.Background()); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	for n := uint64(2); n < 12; n++ {
		s.mustAdd(n, "sim")
		s.mustPublish()
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.sees(c, "sim", 11)
}
