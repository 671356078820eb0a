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
