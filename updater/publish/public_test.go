package publish_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/updater/publish"
)

// TestDraftFromPublicFolder: what is drafted without the online folder is valid for as long as
// what this repository signs, and it is the repository that takes it.
func TestDraftFromPublicFolder(t *testing.T) {
	s, keys := ceremony(t, start, 3, 2)
	if _, err := s.Expire(0, 100*24*time.Hour, 0, 0); err != nil {
		t.Fatal(err)
	}
	s.submit(s.drafted(1), keys[0], keys[1])
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := publish.Open(dir, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened as if its settings were there: %v", err)
	}
	r, err := publish.OpenPublic(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	team, public := signers(t, 1)
	now := s.now.Add(time.Hour)
	d, err := r.Draft(func() error {
		_, err := r.Delegate(publish.Grant{Board: "sim", Kind: "controller", Keys: public}, nil, now)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range d.Documents {
		var md struct {
			Signed struct {
				Expires time.Time `json:"expires"`
			} `json:"signed"`
		}
		if err := json.Unmarshal(doc.Metadata, &md); err != nil || !md.Signed.Expires.Equal(now.Add(100*24*time.Hour)) {
			t.Errorf("%s is valid until %v, %v", doc.File, md.Signed.Expires, err)
		}
	}
	if _, err := r.Publish(now); !errors.Is(err, publish.ErrKeys) {
		t.Errorf("published without keys: %v", err)
	}
	if _, err := r.Expire(time.Hour, 0, 0, 0); err == nil {
		t.Error("settings were made up")
	}
	s.now = now
	s.submit(d, keys[0], keys[1], team[0])
}
