package releases

import (
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// TestRead: a repository is read once, from its folder and from a server, by its own root and by no
// other one.
func TestRead(t *testing.T) {
	dir, add, publishNow := repo(t)
	add(1, "one")
	publishNow()
	other, addOther, publishOther := repo(t)
	addOther(2, "two")
	publishOther()
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	log := slog.New(slog.DiscardHandler)
	root := func(dir string) string { return filepath.Join(dir, "1.root.json") }
	fixed := map[[32]byte]uint64{sha256.Sum256([]byte("by hand")): 9}
	for _, at := range []string{dir, srv.URL} {
		x, err := Read(t.Context(), at, root(dir), fixed, log)
		if err != nil {
			t.Fatal(err)
		}
		for agent, want := range map[string]uint64{"one": 1, "by hand": 9, "two": 0} {
			if r, ok := x.Release(sha256.Sum256([]byte(agent))); r.Number != want || ok != (want != 0) {
				t.Errorf("%s: release %d, %v", agent, r.Number, ok)
			}
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		if _, err := Read(t.Context(), at, root(other), fixed, log); err == nil {
			t.Error("read by the root of another repository")
		}
	}
	if _, err := Read(t.Context(), filepath.Join(t.TempDir(), "nowhere"), root(dir), fixed, log); err == nil {
		t.Error("read where there is none")
	}
}
