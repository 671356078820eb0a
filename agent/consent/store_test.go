package consent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"platen/agent/evidence"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := OpenStore(dir, printer, pub(1))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStoreGrantRevokeReplay(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	first := sign(t, terms(s.NextSerial(acme)))
	if _, err := s.Put(first, t0); err != nil {
		t.Fatal(err)
	}
	if n := len(open(t, dir).Grants(t0)); n != 1 {
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
	for _, s := range []*Store{s, open(t, dir)} {
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
	if n := len(open(t, dir).Grants(t0)); n != 0 {
		t.Error("a revoked grant came back as a file")
	}
	if _, err := s.Put(sign(t, terms(s.NextSerial(acme))), t0); err != nil {
		t.Errorf("a new grant: %v", err)
	}
	all, err := s.Audit()
	if err != nil || len(all) != 3 || all[1].Event != EventRevoke || all[2].Serial != 2 {
		t.Errorf("log: %v %v", all, err)
	}
	if err := s.Revoke(evidence.RecipientID{9}, t0); err == nil {
		t.Error("revoked a grant that was never given")
	}
}

func TestStoreRefuses(t *testing.T) {
	s := open(t, t.TempDir())
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
	if _, err := OpenStore(t.TempDir(), printer, nil); err == nil || !strings.Contains(err.Error(), "platen consent keygen") {
		t.Errorf("no owner: %v", err)
	}
}

// T29: the log shows that it was edited, forked or cut.
func TestLogShowsTampering(t *testing.T) {
	fill := func(t *testing.T) (string, []byte) {
		dir := t.TempDir()
		s := open(t, dir)
		for i := range 3 {
			if _, err := s.Put(sign(t, terms(uint64(i+1))), t0); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(filepath.Join(dir, logName))
		if err != nil {
			t.Fatal(err)
		}
		return dir, b
	}
	lines := func(b []byte) [][]byte { return bytes.SplitAfter(b, []byte("\n")) }
	for name, change := range map[string]func([]byte) []byte{
		"control":      func(b []byte) []byte { return b },
		"edited":       func(b []byte) []byte { return bytes.Replace(b, []byte(`"serial":2`), []byte(`"serial":9`), 1) },
		"last edited":  func(b []byte) []byte { return bytes.Replace(b, []byte(`"serial":3`), []byte(`"serial":9`), 1) },
		"cut":          func(b []byte) []byte { return bytes.Join(lines(b)[:2], nil) },
		"first gone":   func(b []byte) []byte { return bytes.Join(lines(b)[1:], nil) },
		"middle gone":  func(b []byte) []byte { return append(lines(b)[0], lines(b)[2]...) },
		"emptied":      func(b []byte) []byte { return nil },
		"line doubled": func(b []byte) []byte { return append(b, lines(b)[2]...) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, b := fill(t)
			s := open(t, dir)
			if err := os.WriteFile(filepath.Join(dir, logName), change(bytes.Clone(b)), 0o600); err != nil {
				t.Fatal(err)
			}
			want := error(ErrAudit)
			if name == "control" {
				want = nil
			}
			if _, err := s.Audit(); !errors.Is(err, want) {
				t.Errorf("Audit: %v", err)
			}
			if _, err := OpenStore(dir, printer, pub(1)); !errors.Is(err, want) {
				t.Errorf("OpenStore: %v", err)
			}
		})
	}
}

func TestFullLogStopsGrantsNotRevocation(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.Put(sign(t, terms(1)), t0); err != nil {
		t.Fatal(err)
	}
	// Fill the log up with entries that chain.
	var b []byte
	h := head{0, genesis}
	for len(b) < maxLog {
		line, err := json.Marshal(Entry{N: h.N + 1, At: t0, Event: EventGrant, Recipient: acme, Serial: 1, Prev: h.Hash})
		if err != nil {
			t.Fatal(err)
		}
		b, h = append(append(b, line...), '\n'), head{h.N + 1, hash(line)}
	}
	if err := os.WriteFile(filepath.Join(dir, logName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.state.Log = h
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	if n := len(open(t, dir).Grants(t0)); n != 1 {
		t.Fatalf("control: %d grants with a full log", n)
	}
	if _, err := s.Put(sign(t, terms(2)), t0); !errors.Is(err, ErrFull) {
		t.Errorf("a grant into a full log: %v", err)
	}
	if err := s.Revoke(acme, t0); err != nil {
		t.Errorf("revoking with a full log: %v", err)
	}
	if n := len(open(t, dir).Grants(t0)); n != 0 {
		t.Errorf("%d grants", n)
	}
}

// snapshot reads all files of dir but the lock.
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
	delete(files, "lock")
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

// A power cut after any step of a change, with the log torn at any byte, leaves a
// store that opens and allows no more than before or after.
func TestPowerCut(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
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

	check := func(what string, files map[string][]byte, most int) {
		t.Helper()
		dir := restore(t, files)
		s := open(t, dir)
		if n := len(s.Grants(t0)); n > most {
			t.Errorf("%s: %d grants in force, at most %d allowed", what, n, most)
		}
		if _, err := s.Audit(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := s.Put(sign(t, terms(s.NextSerial(acme))), t0); err != nil {
			t.Errorf("%s: the next grant: %v", what, err)
		}
		if n := len(open(t, dir).Grants(t0)); n != 1 {
			t.Errorf("%s: %d grants after the next one", what, n)
		}
	}
	logOf := func(a map[string][]byte) []byte { return a[logName] }
	for cut := range len(logOf(granted)) + 1 { // the grant's log entry, torn or whole
		files := map[string][]byte{logName: granted[logName][:cut], stateName: before[stateName]}
		check(fmt.Sprintf("grant cut at byte %d", cut), files, 0)
	}
	check("grant recorded", map[string][]byte{logName: granted[logName], stateName: granted[stateName]}, 0)
	check("granted", granted, 1)

	check("revoke: file gone", map[string][]byte{logName: granted[logName], stateName: granted[stateName]}, 0)
	for cut := len(logOf(granted)); cut <= len(logOf(revoked)); cut++ {
		files := map[string][]byte{logName: revoked[logName][:cut], stateName: granted[stateName]}
		check(fmt.Sprintf("revoke cut at byte %d", cut), files, 0)
	}
	check("revoked", revoked, 0)
	// Control: the check counts grants where there is one.
	if n := len(open(t, restore(t, granted)).Grants(t0)); n != 1 {
		t.Errorf("control: %d grants", n)
	}
	if bytes.Equal(granted[name], nil) {
		t.Error("control: the grant's file was never there")
	}
}
