package publish_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/updater/publish"
)

// TestThiefsListingIsNotKept: whoever has a role's keys lists, in the place that it was given,
// other contents of what the targets have released, releases of other kinds, and numbers that
// are not those of their folders. None of it gets into the repository by a draft, and where it
// is, none of it becomes the targets' own.
func TestThiefsListingIsNotKept(t *testing.T) {
	s, keys := ceremony(t, start, 3, 2)
	team, public := signers(t, 1)
	s.submit(s.firmware(3), keys[0], keys[1])
	s.submit(s.draft(func() error {
		_, err := s.Delegate(publish.Grant{Board: "sim", Kind: "controller", Keys: public}, nil, s.now)
		return err
	}), keys[0], keys[1], team[0])
	s.submit(s.firmware(5), team[0])
	d := s.firmware(6)
	doc := &d.Documents[0]
	var md map[string]any
	if err := json.Unmarshal(doc.Metadata, &md); err != nil {
		t.Fatal(err)
	}
	list := md["signed"].(map[string]any)["targets"].(map[string]any)
	forge := func(at string, change map[string]any) {
		file := maps.Clone(list["sim/controller/6/platen"].(map[string]any))
		about := maps.Clone(file["custom"].(map[string]any))
		maps.Copy(about, change)
		file["custom"] = about
		list[at] = file
		name := file["hashes"].(map[string]any)["sha256"].(string) + ".platen"
		from, to := filepath.Join(s.dir, "targets/sim/controller/6", name), filepath.Join(s.dir, "targets", filepath.Dir(at), name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Link(from, to)); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	forge("sim/controller/3/platen", map[string]any{"release": 3})
	forge("sim/controller/4/platen", map[string]any{"release": 900})
	forge("sim/controller/2/platen", map[string]any{"release": 2, "kind": "agent"})
	forge("sim/controller/05/platen", map[string]any{"release": 5})
	var err error
	if doc.Metadata, err = json.Marshal(md); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Sign(team[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := publish.Submit(s.dir, "", d, s.now); !errors.Is(err, publish.ErrDraft) || !strings.Contains(err.Error(), "twice") {
		t.Errorf("submitted: %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, doc.File), doc.Metadata, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(s.now); !errors.Is(err, publish.ErrDamaged) {
		t.Errorf("published: %v", err)
	}
	var back publish.Delegated
	s.submit(s.draft(func() (err error) { back, err = s.Undelegate("sim-controller", 5, nil, s.now); return err }), keys[0], keys[1])
	if len(back.Kept) != 1 || back.Kept[0].Release != 5 || len(back.Kept[0].SHA256) != 64 {
		t.Errorf("kept: %+v", back.Kept)
	}
	st, err := s.Status(s.now)
	if err != nil || len(st.Releases) != 2 || st.Releases[0].Release != 3 || st.Releases[1].Release != 5 {
		t.Fatalf("released: %+v, %v", st.Releases, err)
	}
	if st.Releases[0].SHA256 == list["sim/controller/6/platen"].(map[string]any)["custom"].(map[string]any)["sha256"] {
		t.Error("a release of the targets has other contents")
	}
	s.finds(s.client(), "controller", 5, "firmware5")
}
