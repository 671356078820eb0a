package releases

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"platen/agent/fleet/verify"
	"platen/updater"
	"platen/updater/approval"
	"platen/updater/publish"
)

// TestWhatReleasesMeasure: what the signed metadata names of a release, and the images of its
// board's controllers, is what its printers may run with.
func TestWhatReleasesMeasure(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "repo")
	r, err := publish.Init(dir, filepath.Join(base, "offline"), "", publish.DefaultPolicy(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, item := range []publish.Item{
		{Release: 1, Board: "one", File: "agent 1", Measured: []approval.Digest{{1}, {2}}},
		{Release: 2, Board: "two", File: "agent 2"},
		{Release: 5, Board: "one", Kind: updater.KindController, File: "a binary"},
		{Release: 6, Board: "one", Kind: updater.KindController, File: "Intel HEX", Measured: []approval.Digest{{6}}},
	} {
		text := item.File
		item.File = filepath.Join(base, "file")
		if err := os.WriteFile(item.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Add(item, nil, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Publish(time.Now()); err != nil {
		t.Fatal(err)
	}
	x := New(Repo{Dir: dir, Cache: t.TempDir()}, nil, nil, nil)
	defer x.Close()
	first, ok := x.Release(sha256.Sum256([]byte("agent 1")))
	if !ok || first.Number != 1 || !cmp.Equal(first.Boards, [][32]byte{{1}, {2}}) {
		t.Errorf("the first release is %+v", first)
	}
	images := map[[32]byte]bool{}
	for _, d := range first.Controllers {
		images[d] = true
	}
	if want := map[[32]byte]bool{sha256.Sum256([]byte("a binary")): true, {6}: true}; !cmp.Equal(images, want) {
		t.Errorf("its controllers have %x", first.Controllers)
	}
	second, ok := x.Release(sha256.Sum256([]byte("agent 2")))
	if !ok || second.Number != 2 || second.Boards != nil || second.Controllers != nil {
		t.Errorf("a release that names nothing takes %+v, want any: %+v", second, verify.Release{Number: 2})
	}
}

// twoBoards is a repository in which team releases one kind of what is for the board one.
func twoBoards(t *testing.T, kind string) (dir string, add func(publish.Item, string), publishNow func()) {
	t.Helper()
	base := t.TempDir()
	dir = filepath.Join(base, "repo")
	r, err := publish.Init(dir, filepath.Join(base, "offline"), "", publish.DefaultPolicy(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if _, err := r.Delegate(publish.Grant{Role: "team", Board: "one", Kind: kind}, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	add = func(i publish.Item, text string) {
		t.Helper()
		i.File = filepath.Join(base, "file")
		if err := os.WriteFile(i.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Add(i, nil, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	publishNow = func() {
		t.Helper()
		if _, err := r.Publish(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	add(publish.Item{Release: 5, Board: "one", Kind: updater.KindController}, "firmware")
	add(publish.Item{Release: 6, Board: "one", Kind: updater.KindRoot, PCRs: []approval.PCR{{Index: 9, Value: approval.Digest{9}}}}, "root")
	add(publish.Item{Release: 1, Board: "one"}, "agent 1")
	add(publish.Item{Release: 2, Board: "one", Set: []publish.Member{{Kind: updater.KindRoot, Release: 6}}}, "agent 2")
	publishNow()
	return dir, add, publishNow
}

// spoil makes what a role lists unusable until mend is called.
func spoil(t *testing.T, dir, role string) (mend func()) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*."+role+".json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	good := map[string][]byte{}
	for _, f := range files {
		if good[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for f, b := range good {
			if err := os.WriteFile(f, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRoleThatCannotBeUsed: while the metadata of a role cannot be used, what is known of its board
// stays, and nothing new of it is; the rest goes on.
func TestRoleThatCannotBeUsed(t *testing.T) {
	for _, kind := range []string{updater.KindController, updater.KindRoot, updater.KindAgent} {
		t.Run(kind, func(t *testing.T) {
			dir, add, publishNow := twoBoards(t, kind)
			told := 0
			x := New(Repo{Dir: dir, Cache: t.TempDir()}, nil, func(int) { told++ }, nil)
			x.pause = 0
			defer x.Close()
			release := func(x *Index, text string) verify.Release {
				got, _ := x.Release(sha256.Sum256([]byte(text)))
				return got
			}
			first, second := release(x, "agent 1"), release(x, "agent 2")
			if len(first.Controllers) != 1 || len(first.Boots) != 1 || !second.Bound {
				t.Fatalf("known at first: %+v, %+v", first, second)
			}
			add(publish.Item{Release: 3, Board: "one"}, "agent 3")
			add(publish.Item{Release: 1, Board: "two"}, "another board's")
			add(publish.Item{Release: 7, Board: "one", Kind: kind}, "more of the role")
			publishNow()
			mend := spoil(t, dir, "team")
			for range 3 {
				if one, two := release(x, "agent 1"), release(x, "agent 2"); !cmp.Equal(one, first) || !cmp.Equal(two, second) {
					t.Errorf("they are %+v, %+v, were %+v, %+v", one, two, first, second)
				}
			}
			if got := release(x, "agent 3"); got.Number != 0 {
				t.Errorf("a new one of the board is known, with %+v", got)
			}
			if got := release(x, "another board's"); got.Number != 1 || told != 2 {
				t.Errorf("another board's: %+v, told %d times", got, told)
			}
			once, err := Read(t.Context(), dir, filepath.Join(dir, "1.root.json"), nil, nil)
			if err != nil || release(once, "agent 1").Number != 0 || release(once, "another board's").Number != 1 {
				t.Errorf("read once: %v, %+v", err, release(once, "agent 1"))
			}
			mend()
			if got := release(x, "agent 3"); got.Number != 3 || len(got.Boots) == 0 || len(got.Controllers) == 0 {
				t.Errorf("once the role is there again: %+v", got)
			}
		})
	}
}
