package releases

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"platen/agent/fleet/verify"
	"platen/updater"
	"platen/updater/approval"
	"platen/updater/publish"
)

// repo makes a repository and a way to release a file in it.
func repo(t *testing.T) (dir string, add func(n uint64, text string), publishNow func()) {
	t.Helper()
	base := t.TempDir()
	dir = filepath.Join(base, "repo")
	r, err := publish.Init(dir, filepath.Join(base, "offline"), "", publish.DefaultPolicy(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir, func(n uint64, text string) {
			t.Helper()
			f := filepath.Join(base, "file")
			if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Add(publish.Item{Release: n, Board: "sim", File: f}, nil, time.Now()); err != nil {
				t.Fatal(err)
			}
		}, func() {
			t.Helper()
			if _, err := r.Publish(time.Now()); err != nil {
				t.Fatal(err)
			}
		}
}

func TestIndexFollowsWhatIsPublished(t *testing.T) {
	dir, add, publishNow := repo(t)
	one, two := sha256.Sum256([]byte("one")), sha256.Sum256([]byte("two"))
	fixed := sha256.Sum256([]byte("by hand"))
	add(1, "one")
	publishNow()
	told := 0
	x := New(Repo{Dir: dir, Cache: t.TempDir()}, map[[32]byte]uint64{fixed: 9}, func(n int) { told = n }, nil)
	x.pause = 0
	defer x.Close()
	if r, ok := x.Release(one); !ok || r.Number != 1 || told != 2 {
		t.Errorf("release 1: %d %v, told of %d", r.Number, ok, told)
	}
	if r, ok := x.Release(fixed); !ok || r.Number != 9 {
		t.Errorf("the one by hand: %d %v", r.Number, ok)
	}
	add(2, "two")
	if _, ok := x.Release(two); ok {
		t.Error("release 2 is known before it was published")
	}
	publishNow()
	if r, ok := x.Release(two); !ok || r.Number != 2 || x.Len() != 3 || told != 3 {
		t.Errorf("release 2: %d %v, %d known, told of %d", r.Number, ok, x.Len(), told)
	}
	// A repository that is damaged later takes nothing away.
	if err := os.WriteFile(filepath.Join(dir, "timestamp.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := x.Release(two); !ok {
		t.Error("a damaged repository made a release unknown")
	}
}

func TestNoRepositoryYet(t *testing.T) {
	x := New(Repo{Dir: filepath.Join(t.TempDir(), "later"), Cache: t.TempDir()}, nil, nil, nil)
	if _, ok := x.Release([32]byte{}); ok || x.Len() != 0 {
		t.Error("something is known of an empty folder")
	}
}

// TestOnlyWhatIsSignedCounts: an operator's folder in an attacker's hands releases nothing.
// The same folder, read by who has never seen another one, is the control.
func TestOnlyWhatIsSignedCounts(t *testing.T) {
	dir, add, publishNow := repo(t)
	add(1, "one")
	publishNow()
	cache := t.TempDir()
	look := func(r Repo, agent string) bool {
		t.Helper()
		x := New(r, nil, nil, nil)
		_, ok := x.Release(sha256.Sum256([]byte(agent)))
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		return ok
	}
	if !look(Repo{Dir: dir, Cache: cache}, "one") {
		t.Fatal("release 1 is not known")
	}
	evil, addEvil, publishEvil := repo(t) // with keys of its own
	addEvil(2, "evil")
	publishEvil()
	if look(Repo{Dir: evil, Cache: cache}, "evil") {
		t.Error("a release that other keys have signed is known")
	}
	if !look(Repo{Dir: evil, Cache: t.TempDir()}, "evil") {
		t.Error("control: nor is it to who trusts those keys")
	}
	if look(Repo{Dir: evil, Cache: t.TempDir(), Root: filepath.Join(dir, "1.root.json")}, "evil") {
		t.Error("it is known to who was given another root")
	}
	if !look(Repo{Dir: dir, Cache: t.TempDir(), Root: filepath.Join(dir, "1.root.json")}, "one") {
		t.Error("control: release 1 is not known from its root")
	}
}

// TestBootsAreOfTheRelease: what registers hold after the boot of a root file system comes
// along with the agent whose set has it; an agent without one may run on any of its board's.
func TestBootsAreOfTheRelease(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "repo")
	r, err := publish.Init(dir, filepath.Join(base, "offline"), "", publish.DefaultPolicy(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	add := func(i publish.Item, text string) {
		t.Helper()
		i.Board, i.File = "sim", filepath.Join(base, text)
		if err := os.WriteFile(i.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Add(i, nil, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	boot := func(n byte) []approval.PCR {
		return []approval.PCR{{Index: 9, Value: approval.Digest{n, 9}}, {Index: 8, Value: approval.Digest{n}}}
	}
	add(publish.Item{Release: 1, Kind: updater.KindRoot, PCRs: boot(1)}, "root one")
	add(publish.Item{Release: 1}, "one")
	add(publish.Item{Release: 2, Kind: updater.KindRoot, PCRs: boot(2)}, "root two")
	add(publish.Item{Release: 2, Set: []publish.Member{{Kind: updater.KindRoot, Release: 2}}}, "two")
	add(publish.Item{Release: 3, Kind: updater.KindRoot}, "root that says nothing")
	add(publish.Item{Release: 3, Set: []publish.Member{{Kind: updater.KindRoot, Release: 3}}}, "three")
	if _, err := r.Publish(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Add(publish.Item{Release: 4, Board: "sim", File: filepath.Join(base, "one"), PCRs: boot(1)}, nil, time.Now()); err == nil {
		t.Error("registers were said of an agent")
	}
	x := New(Repo{Dir: dir, Cache: t.TempDir()}, nil, nil, nil)
	defer x.Close()
	first, second := verify.Boot{8: {1}, 9: {1, 9}}, verify.Boot{8: {2}, 9: {2, 9}}
	for agent, want := range map[string]verify.Release{
		"one":   {Number: 1, Boots: []verify.Boot{first, second}},
		"two":   {Number: 2, Boots: []verify.Boot{second}, Bound: true},
		"three": {Number: 3},
	} {
		got, ok := x.Release(sha256.Sum256([]byte(agent)))
		slices.SortFunc(got.Boots, func(a, b verify.Boot) int { return int(a[8][0]) - int(b[8][0]) })
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("%s: %v %s", agent, ok, diff)
		}
	}
}
