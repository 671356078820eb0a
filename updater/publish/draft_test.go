package publish_test

import (
	"context"
	"crypto"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"platen/updater"
	"platen/updater/publish"
	"platen/updater/trust"
)

// signers are keys of both kinds in a folder.
func signers(t *testing.T, n int) (list []publish.Signer, public []crypto.PublicKey) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		s, err := publish.NewKey(filepath.Join(dir, string(rune('a'+i))), []publish.Algorithm{publish.Ed25519, publish.P256}[i%2], "")
		if err != nil {
			t.Fatal(err)
		}
		list, public = append(list, s), append(public, s.Public())
	}
	return list, public
}

// ceremony is a repository whose offline keys are nowhere near it.
func ceremony(t *testing.T, now time.Time, n, threshold int) (*site, []publish.Signer) {
	t.Helper()
	keys, public := signers(t, n)
	base := t.TempDir()
	s := &site{t: t, base: base, dir: filepath.Join(base, "public"), now: now}
	p := publish.DefaultPolicy()
	p.RootThreshold, p.TargetsThreshold = threshold, threshold
	d, err := publish.Ceremony(s.dir, "", public, public, p, s.now)
	if err != nil {
		t.Fatal(err)
	}
	s.submit(d, keys[:threshold]...)
	if s.Repo, err = publish.Open(s.dir, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Repo.Close() })
	return s, keys
}

func (s *site) submit(d *publish.Draft, by ...publish.Signer) {
	s.t.Helper()
	for _, k := range by {
		if _, err := d.Sign(k); err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := publish.Submit(s.dir, "", d, s.now); err != nil {
		s.t.Fatal(err)
	}
}

// drafted is a release that waits for signatures.
func (s *site) drafted(n uint64) *publish.Draft {
	s.t.Helper()
	d, err := s.Draft(func() error {
		_, err := s.add(n, "sim")
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func TestEachSignsAlone(t *testing.T) {
	s, keys := ceremony(t, start, 3, 2)
	c := s.client()
	d := s.drafted(1)
	if _, err := publish.Submit(s.dir, "", d, s.now); !errors.Is(err, publish.ErrKeys) {
		t.Fatalf("nobody has signed: %v", err)
	}
	path := filepath.Join(t.TempDir(), "d")
	if err := d.Save(path); err != nil {
		t.Fatal(err)
	}
	var copies []*publish.Draft
	for _, k := range keys[1:] { // each signs a copy
		one, err := publish.LoadDraft(path)
		if err != nil {
			t.Fatal(err)
		}
		if signed, err := one.Sign(k); err != nil || len(signed) != 1 {
			t.Fatal(signed, err)
		}
		if _, err := publish.Submit(s.dir, "", one, s.now); !errors.Is(err, publish.ErrKeys) {
			t.Fatalf("one of two has signed: %v", err)
		}
		copies = append(copies, one)
	}
	if err := copies[0].Merge(copies[1]); err != nil {
		t.Fatal(err)
	}
	if missing, err := copies[0].Missing(); err != nil || missing["2.targets.json"] > 0 {
		t.Errorf("missing: %v, %v", missing, err)
	}
	s.submit(copies[0])
	s.sees(c, "sim", 1)

	strangers, _ := signers(t, 1)
	if _, err := s.drafted(2).Sign(strangers[0]); !errors.Is(err, publish.ErrKeys) {
		t.Errorf("a stranger signs: %v", err)
	}
	late, other := s.drafted(2), s.drafted(3)
	if err := late.Merge(other); !errors.Is(err, publish.ErrDraft) {
		t.Errorf("two drafts are taken for one: %v", err)
	}
	s.submit(other, keys[0], keys[2])
	for _, k := range keys {
		if _, err := late.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := publish.Submit(s.dir, "", late, s.now); !errors.Is(err, publish.ErrDraft) {
		t.Errorf("a draft that something came before: %v", err)
	}
	s.sees(c, "sim", 3)
}

func TestKeysAreExchangedByDraft(t *testing.T) {
	s, keys := ceremony(t, start, 3, 2)
	c := s.client()
	fresh, public := signers(t, 1)
	lost, err := publish.KeyID(keys[2].Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"root", "targets"} {
		d, err := s.Draft(func() error {
			_, err := s.Rotate(publish.Exchange{Role: role, Lost: lost, Fresh: public[0]}, nil, s.now)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		s.submit(d, keys[0], keys[1])
		if s.Repo, err = publish.Open(s.dir, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.drafted(1).Sign(keys[2]); !errors.Is(err, publish.ErrKeys) {
		t.Errorf("the lost key signs: %v", err)
	}
	s.submit(s.drafted(1), keys[0], fresh[0])
	s.sees(c, "sim", 1)

	none := func(role string) error {
		_, err := s.Draft(func() error {
			_, err := s.Rotate(publish.Exchange{Role: role, None: true}, nil, s.now)
			return err
		})
		return err
	}
	if err := none("targets"); err != nil {
		t.Errorf("two of three remain: %v", err)
	}
	if err := none("timestamp"); !errors.Is(err, publish.ErrKeys) {
		t.Errorf("a role without keys: %v", err)
	}
}

func TestDraftsThatAreTamperedWith(t *testing.T) {
	s, keys := ceremony(t, start, 2, 2)
	d := s.drafted(1)
	for _, k := range keys {
		if _, err := d.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	doc := &d.Documents[0]
	whole := append([]byte{}, doc.Metadata...)
	for i := range whole {
		if i%23 != 0 || whole[i] < '0' {
			continue
		}
		doc.Metadata = append([]byte{}, whole...)
		doc.Metadata[i]++
		if _, err := publish.Submit(s.dir, "", d, s.now); err == nil {
			t.Fatalf("byte %d of %s was changed", i, doc.File)
		}
	}
	doc.Metadata = whole
	s.submit(d)
	s.sees(s.client(), "sim", 1)
}

// TestAgentsSign: keys that an ssh-agent has sign as those in files do.
func TestAgentsSign(t *testing.T) {
	for _, tool := range []string{"ssh-agent", "ssh-add", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal("needs " + tool)
			}
			t.Skip("needs " + tool)
		}
	}
	dir, err := os.MkdirTemp("", "agent") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		agent.Process.Kill() // it ends no other way
		agent.Wait()
	})
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := publish.AgentKeys(socket); err == nil {
			break
		} else if time.Since(begun) > 2*time.Minute {
			t.Fatal(err)
		}
	}
	for _, kind := range [][]string{{"-t", "ed25519"}, {"-t", "ecdsa", "-b", "256"}, {"-t", "rsa"}} {
		file := filepath.Join(dir, kind[1])
		run(t, nil, "ssh-keygen", append(kind, "-q", "-N", "", "-f", file)...)
		run(t, []string{"SSH_AUTH_SOCK=" + socket}, "ssh-add", "-q", file)
	}
	keys, err := publish.AgentKeys(socket)
	if err != nil || len(keys) != 2 {
		t.Fatalf("%d keys that can sign, %v", len(keys), err)
	}
	public := []crypto.PublicKey{keys[0].Public(), keys[1].Public()}
	base := t.TempDir()
	s := &site{t: t, base: base, dir: filepath.Join(base, "public"), now: start}
	d, err := publish.Ceremony(s.dir, "", public, public, publish.DefaultPolicy(), s.now)
	if err != nil {
		t.Fatal(err)
	}
	s.submit(d, keys...)
	if s.Repo, err = publish.Open(s.dir, ""); err != nil {
		t.Fatal(err)
	}
	s.submit(s.drafted(1), keys...)
	s.sees(s.client(), "sim", 1)
}

func run(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// TestRollout: who gets a release is decided by each printer, from what is signed.
func TestRollout(t *testing.T) {
	s := newSite(t)
	s.mustAdd(1, "sim")
	s.mustAdd(2, "sim")
	root, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	finds := func(printer, ring string, floor uint64) (uint64, error) {
		c, err := trust.New(trust.Config{Dir: t.TempDir(), FactoryRoot: root, URL: s.dir, Printer: printer, Ring: ring,
			Floor: updater.Floor{Release: floor}, Now: func() time.Time { return s.now }})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
		target, err := c.Find("sim", "agent")
		return target.Release, err
	}
	set := func(edit func(*updater.Rollout)) {
		t.Helper()
		if _, err := s.Repo.Rollout("sim", "agent", 0, edit, nil, s.now); err != nil {
			t.Fatal(err)
		}
		s.mustPublish()
	}
	r := updater.Rollout{Share: 1000}
	in, out := "", ""
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z"} {
		if r.Admits("sim", "agent", 2, name, "") {
			in = name
		} else {
			out = name
		}
	}
	set(func(r *updater.Rollout) { r.Share, r.Rings = 1000, []string{"beta"} })
	for _, c := range []struct {
		printer, ring string
		floor, want   uint64
	}{{in, "", 0, 2}, {out, "", 0, 1}, {out, "beta", 0, 2}, {out, "gamma", 0, 1}, {out, "", 2, 2}} {
		if n, err := finds(c.printer, c.ring, c.floor); err != nil || n != c.want {
			t.Errorf("%+v finds release %d, %v", c, n, err)
		}
	}
	set(func(r *updater.Rollout) { r.Paused = true })
	if n, err := finds(in, "beta", 1); err != nil || n != 1 {
		t.Errorf("paused: release %d, %v", n, err)
	}
	set(func(r *updater.Rollout) { r.Paused, r.Share = false, updater.WholeShare })
	if n, err := finds(out, "", 1); err != nil || n != 2 {
		t.Errorf("for all: release %d, %v", n, err)
	}
	set(func(r *updater.Rollout) { r.Withdrawn = true })
	if n, err := finds(in, "beta", 1); err != nil || n != 1 {
		t.Errorf("withdrawn: release %d, %v", n, err)
	}
	if n, err := finds(in, "", 2); err != nil || n != 2 {
		t.Errorf("withdrawn, but it runs here: release %d, %v", n, err)
	}
	if _, err := s.Repo.Rollout("sim", "agent", 2, func(r *updater.Rollout) { r.Withdrawn = false }, nil, s.now); !errors.Is(err, publish.ErrRelease) {
		t.Errorf("a withdrawn release comes back: %v", err)
	}
}
