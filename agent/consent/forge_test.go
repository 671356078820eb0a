package consent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"platen/agent/audit"
)

// Who has the disk edits the folder as they like: what the log does not say is in force
// stays out of force.
func TestEditedDirectoryRevivesNothing(t *testing.T) {
	dir, j := t.TempDir(), &journal{}
	s := open(t, dir, j)
	if _, err := s.Put(sign(t, terms(1)), t0); err != nil {
		t.Fatal(err)
	}
	granted := snapshot(t, dir)
	logged := j.all[:1:1]
	if err := s.Revoke(acme, t0); err != nil {
		t.Fatal(err)
	}
	edited := func(state string) map[string][]byte {
		return map[string][]byte{stateName: []byte(state), filepath.Base(s.path(acme)): granted[filepath.Base(s.path(acme))]}
	}
	whole := `{"version":1,"serials":{"` + acme.String() + `":1},"revoked":{},"entry":`
	forged := append(j.all[:2:2], audit.Entry{N: 3, Event: audit.Grant, Recipient: acme.String(), Serial: 1, Digest: logged[0].Digest})
	others := []audit.Entry{{N: 1, Event: audit.Tampered}, {N: 2, Event: audit.Update}, {N: 3, Event: audit.Update}}
	for name, c := range map[string]struct {
		files map[string][]byte
		log   []audit.Entry
		want  int
	}{
		"control":                      {edited(whole + "1}"), logged, 1},
		"revoked flag removed":         {edited(whole + "2}"), j.all, 0},
		"no flag, far ahead":           {edited(whole + "99}"), j.all, 0},
		"log put anew":                 {edited(whole + "2}"), others, 0},
		"another envelope of a serial": {edited(whole + "1}"), []audit.Entry{{N: 1, Event: audit.Grant, Recipient: acme.String(), Serial: 1, Digest: "00"}}, 0},
		"a grant's line forged":        {snapshotWith(t, dir, edited("")), forged, 0},
		"damaged state":                {edited(`{"version":1,"ser`), logged, 0},
		"state of another version":     {edited(`{"version":2}`), logged, 0},
		"state too long":               {edited(string(make([]byte, maxState+1))), logged, 0},
		"no state":                     {map[string][]byte{filepath.Base(s.path(acme)): granted[filepath.Base(s.path(acme))]}, logged, 0},
	} {
		dir, log := restore(t, c.files), &journal{all: c.log[:len(c.log):len(c.log)]}
		for range 2 { // and at the next start
			s := open(t, dir, log)
			if n := len(s.Grants(t0)); n != c.want {
				t.Errorf("%s: %d grants in force, want %d", name, n, c.want)
			}
		}
		s := open(t, dir, log)
		if _, err := s.Put(sign(t, terms(s.NextSerial(acme))), t0); err != nil || len(open(t, dir, log).Grants(t0)) != 1 {
			t.Errorf("%s: the owner's next grant: %v", name, err)
		}
	}
}

// snapshotWith is the folder as it is, with the grant's file of another.
func snapshotWith(t *testing.T, dir string, other map[string][]byte) map[string][]byte {
	t.Helper()
	files := snapshot(t, dir)
	for name, b := range other {
		if name != stateName {
			files[name] = b
		}
	}
	return files
}

// A revocation that a full disk kept out of the log is written there at the next start.
func TestUnrecordedRevocationIsRecorded(t *testing.T) {
	dir, j := t.TempDir(), &journal{}
	s := open(t, dir, j)
	if _, err := s.Put(sign(t, terms(1)), t0); err != nil {
		t.Fatal(err)
	}
	granted := snapshot(t, dir)
	j.full = errors.New("no space left on device")
	if err := s.Revoke(acme, t0); !errors.Is(err, j.full) {
		t.Fatalf("control: %v", err)
	}
	j.full = nil
	open(t, dir, j)
	if n := len(open(t, restore(t, granted), j).Grants(t0)); n != 0 || len(j.all) != 2 || j.all[1].Event != audit.Revoke {
		t.Errorf("%d grants in force, log %v", n, j.all)
	}
}

// A grant whose file is gone is revoked in the log all the same.
func TestRevokeWithoutFile(t *testing.T) {
	dir, j := t.TempDir(), &journal{}
	s := open(t, dir, j)
	if _, err := s.Put(sign(t, terms(1)), t0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path(acme)); err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(acme, t0); err != nil || len(j.all) != 2 || j.all[1].Event != audit.Revoke || j.all[1].Serial != 1 {
		t.Errorf("%v, log %v", err, j.all)
	}
	if err := s.Revoke(acme, t0); err == nil || len(j.all) != 2 {
		t.Errorf("revoked twice: %v, log %v", err, j.all)
	}
}
