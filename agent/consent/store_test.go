package consent

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"platen/agent/audit"
	"platen/agent/evidence"
)

// journal is an audit log in memory.
type journal struct {
	all    []audit.Entry
	damage *audit.TamperError
	full   error
}

func (j *journal) Append(e audit.Entry) (audit.Ref, error) {
	if j.full != nil {
		return audit.Ref{}, j.full
	}
	e.N = uint64(len(j.all) + 1)
	j.all = append(j.all, e)
	return j.End(), nil
}

func (j *journal) Consents() []audit.Entry {
	var newest []audit.Entry
	for _, e := range j.all {
		newest = slices.DeleteFunc(newest, func(old audit.Entry) bool { return old.Recipient == e.Recipient })
		newest = append(newest, e)
	}
	return newest
}

func (j *journal) End() audit.Ref             { return audit.Ref{N: uint64(len(j.all))} }
func (j *journal) Damage() *audit.TamperError { return j.damage }

func open(t *testing.T, dir string, j *journal) *Store {
	t.Helper()
	s, err := OpenStore(dir, printer, pub(1), j)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStoreGrantRevokeReplay(t *testing.T) {
	dir, j := t.TempDir(), &journal{}
	s := open(t, dir, j)
	first := sign(t, terms(s.NextSerial(acme)))
	if _, err := s.Put(first, t0); err != nil {
		t.Fatal(err)
	}
	if n := len(open(t, dir, j).Grants(t0)); n != 1 {
		t.Fatalf("control: %d grants after opening again", n)
	}
	if g := s.Grants(t0.Add(366 * 24 * time.Hour)); len(g) != 0 {
		t.Error("in force after its end")
	}
	if g := s.Grants(t0.Add(-time.Second)); len(g) != 0 {
		t.Error("in force before its begin")
	}
	if _, err := s.Put(first, t0); !errors.Is(err, ErrSerial) {
		t.Errorf("the same grant again: %v", err)
	}
	changed := s.Changed()
	if err := s.Revoke(acme, t0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("a revocation was not announced")
	}
	for _, s := range []*Store{s, open(t, dir, j)} {
		if _, err := s.Put(first, t0); !errors.Is(err, ErrSerial) {
			t.Errorf("the revoked grant again: %v", err)
		}
		if n := len(s.Grants(t0)); n != 0 {
			t.Errorf("%d grants after revoking", n)
		}
	}
	// The file of the revoked grant, put back by hand, is not in force either.
	if err := os.WriteFile(s.path(acme), first, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := len(open(t, dir, j).Grants(t0)); n != 0 {
		t.Error("a revoked grant came back as a file")
	}
	if _, err := s.Put(sign(t, terms(s.NextSerial(acme))), t0); err != nil {
		t.Errorf("a new grant: %v", err)
	}
	if len(j.all) != 3 || j.all[1].Event != audit.Revoke || j.all[2].Serial != 2 || j.all[0].Recipient != acme.String() || len(j.all[0].Digest) != 64 {
		t.Errorf("log: %v", j.all)
	}
	if err := s.Revoke(evidence.RecipientID{9}, t0); err == nil {
		t.Error("revoked a grant that was never given")
	}
}

func TestStoreRefuses(t *testing.T) {
	s := open(t, t.TempDir(), &journal{})
	other := terms(1)
	other.Printer[0] ^= 1
	old := terms(1)
	old.From, old.Life = t0.Add(-2*time.Hour), time.Hour
	for name, c := range map[string]struct {
		env  []byte
		want error
	}{
		"another printer": {sign(t, other), ErrPrinter},
		"ended":           {sign(t, old), ErrTime},
		"forged":          {reseal(t, sign(t, terms(1)), key(9), func(s string) string { return s }), ErrSignature},
	} {
		if _, err := s.Put(c.env, t0); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.Grants(t0)); n != 0 {
		t.Errorf("%d grants in force", n)
	}
	if _, err := OpenStore(t.TempDir(), printer, nil, &journal{}); err == nil || !strings.Contains(err.Error(), "platen consent keygen") {
		t.Errorf("no owner: %v", err)
	}
}

// A full log, or a full disk under it, lets no grant in force and stops no revocation.
func TestFullLogStopsGrantsNotRevocation(t *testing.T) {
	dir, j := t.TempDir(), &journal{}
	s := open(t, dir, j)
	if _, err := s.Put(sign(t, terms(1)), t0); err != nil {
		t.Fatal(err)
	}
	j.full = errors.New("no space left on device")
	if _, err := s.Put(sign(t, terms(2)), t0); !errors.Is(err, j.full) {
		t.Errorf("a grant into a full log: %v", err)
	}
	if n := len(s.Grants(t0)); n != 1 {
		t.Fatalf("control: %d grants with a full log", n)
	}
	changed := s.Changed()
	if err := s.Revoke(acme, t0); !errors.Is(err, j.full) {
		t.Errorf("that it could not be recorded is not said: %v", err)
	}
	select {
	case <-changed:
	default:
		t.Error("the revocation was not announced")
	}
	for _, s := range []*Store{s, open(t, dir, j)} {
		if n := len(s.Grants(t0)); n != 0 {
			t.Errorf("%d grants", n)
		}
	}
}

// T08, T29: an older directory that is put back brings no grant back that was revoked or
// replaced, and one whose log was tampered with none at all.
func TestOldDirectoryPutBack(t *testing.T) {
	dir, j := t.TempDir(), &journal{}
	s := open(t, dir, j)
	first := sign(t, terms(1))
	if _, err := s.Put(first, t0); err != nil {
		t.Fatal(err)
	}
	granted := snapshot(t, dir)
	if n := len(open(t, restore(t, granted), j).Grants(t0)); n != 1 {
		t.Fatalf("control: %d grants", n)
	}
	if err := s.Revoke(acme, t0); err != nil {
		t.Fatal(err)
	}
	back := open(t, restore(t, granted), j)
	if n := len(back.Grants(t0)); n != 0 {
		t.Errorf("%d grants that were revoked", n)
	}
	if _, err := back.Put(first, t0); !errors.Is(err, ErrSerial) {
		t.Errorf("the revoked grant again: %v", err)
	}
	delete(granted, stateName)
	if n := len(open(t, restore(t, granted), j).Grants(t0)); n != 0 {
		t.Errorf("%d grants without a state", n)
	}
	if _, err := s.Put(sign(t, terms(2)), t0); err != nil {
		t.Fatal(err)
	}
	now := snapshot(t, dir)
	for name, j := range map[string]*journal{
		"tampered": {damage: &audit.TamperError{Kind: "edited"}}, "shorter": {all: j.all[:1:1]}, "gone": {},
	} {
		dir := restore(t, now)
		if n := len(open(t, dir, j).Grants(t0)); n != 0 {
			t.Errorf("log %s: %d grants", name, n)
		}
		again := open(t, dir, &journal{all: slices.Clone(j.all)})
		if n := len(again.Grants(t0)); n != 0 {
			t.Errorf("log %s: %d grants after a restart", name, n)
		}
		if _, err := again.Put(sign(t, terms(3)), t0); err != nil || len(again.Grants(t0)) != 1 {
			t.Errorf("log %s: the owner's next grant: %v", name, err)
		}
	}
}

// snapshot reads all files of dir.
func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func restore(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if b == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A power cut after any step of a change leaves a store that opens and allows no more than
// before or after.
func TestPowerCut(t *testing.T) {
	dir, j := t.TempDir(), &journal{}
	s := open(t, dir, j)
	before := snapshot(t, dir)
	if _, err := s.Put(sign(t, terms(1)), t0); err != nil {
		t.Fatal(err)
	}
	granted := snapshot(t, dir)
	if err := s.Revoke(acme, t0); err != nil {
		t.Fatal(err)
	}
	revoked := snapshot(t, dir)
	name := filepath.Base(s.path(acme))

	check := func(what string, entries int, files map[string][]byte, want int) {
		t.Helper()
		dir, j := restore(t, files), &journal{all: j.all[:entries:entries]}
		s := open(t, dir, j)
		if n := len(s.Grants(t0)); n != want {
			t.Errorf("%s: %d grants in force, want %d", what, n, want)
		}
		serial := s.NextSerial(acme)
		if serial <= uint64(min(entries, 1)) {
			t.Errorf("%s: serial %d is free again", what, serial)
		}
		if _, err := s.Put(sign(t, terms(serial)), t0); err != nil {
			t.Errorf("%s: the next grant: %v", what, err)
		}
		if n := len(open(t, dir, j).Grants(t0)); n != 1 {
			t.Errorf("%s: %d grants after the next one", what, n)
		}
	}
	check("grant logged", 1, before, 0)
	check("grant recorded", 1, map[string][]byte{stateName: granted[stateName]}, 0)
	check("granted", 1, granted, 1)
	check("revoke: file gone", 1, map[string][]byte{stateName: granted[stateName]}, 0)
	check("revoke logged", 2, map[string][]byte{stateName: granted[stateName]}, 0)
	check("revoke logged, file not gone", 2, granted, 0)
	check("revoked", 2, revoked, 0)
	if granted[name] == nil || revoked[name] != nil {
		t.Error("control: the grant's file was never there, or is there still")
	}
}

// TestStoreSaysWhatItDrops: a grant that the journal knows and the store leaves out is told, and
// one that was revoked is not.
func TestStoreSaysWhatItDrops(t *testing.T) {
	dir, j := t.TempDir(), &journal{}
	s := open(t, dir, j)
	env := sign(t, terms(1))
	if _, err := s.Put(env, t0); err != nil {
		t.Fatal(err)
	}
	if d := open(t, dir, j).Dropped(); len(d) != 0 {
		t.Errorf("control: %v", d)
	}
	g, err := Open(env, pub(1))
	if err != nil {
		t.Fatal(err)
	}
	older := reseal(t, env, key(1), func(s string) string {
		return strings.Replace(s, hex.EncodeToString(g.Catalogue[:]), strings.Repeat("00", len(g.Catalogue)), 1)
	})
	if err := os.WriteFile(s.path(acme), older, 0o600); err != nil {
		t.Fatal(err)
	}
	if d := open(t, dir, j).Dropped(); d[acme] == nil || errors.Is(d[acme], ErrCatalogue) {
		t.Errorf("a file that the journal does not know: %v", d)
	}
	j.all[0].Digest = digest(older)
	if d := open(t, dir, j).Dropped(); !errors.Is(d[acme], ErrCatalogue) {
		t.Errorf("a grant of another catalogue: %v", d)
	}
	if err := s.Revoke(acme, t0); err != nil {
		t.Fatal(err)
	}
	if d := open(t, dir, j).Dropped(); len(d) != 0 {
		t.Errorf("a revoked one: %v", d)
	}
}
