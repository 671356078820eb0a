package releases

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

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
	x := New(dir, map[[32]byte]uint64{fixed: 9}, func(n int) { told = n }, nil)
	x.pause = 0
	if n, ok := x.Release(one); !ok || n != 1 || told != 2 {
		t.Errorf("release 1: %d %v, told of %d", n, ok, told)
	}
	if n, ok := x.Release(fixed); !ok || n != 9 {
		t.Errorf("the one by hand: %d %v", n, ok)
	}
	add(2, "two")
	if _, ok := x.Release(two); ok {
		t.Error("release 2 is known before it was published")
	}
	publishNow()
	if n, ok := x.Release(two); !ok || n != 2 || x.Len() != 3 || told != 3 {
		t.Errorf("release 2: %d %v, %d known, told of %d", n, ok, x.Len(), told)
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
	x := New(filepath.Join(t.TempDir(), "later"), nil, nil, nil)
	if _, ok := x.Release([32]byte{}); ok || x.Len() != 0 {
		t.Error("something is known of an empty folder")
	}
}
