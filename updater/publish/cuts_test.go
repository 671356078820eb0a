package publish_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/updater"
	"platen/updater/publish"
)

// role is the delegated one of these tests.
const role = "sim-controller"

// plant is a repository with a log and with releases of two roles, all of it announced.
func plant(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	_, err1 := s.InitLog("example.com/log")
	_, err2 := s.Delegate(publish.Grant{Board: "sim", Kind: "controller"}, nil, s.now)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if err := s.grow(1); err != nil {
		t.Fatal(err)
	}
	return s
}

// grow releases n of both, and announces them.
func (s *site) grow(n uint64) error {
	_, err1 := s.Add(publish.Item{Release: n, Board: "sim", File: s.file(fmt.Sprint("sim", n))}, s.safe(), s.now)
	_, err2 := s.Add(publish.Item{Release: n, Board: "sim", Kind: "controller", File: s.file(fmt.Sprint("firmware", n))}, s.safe(), s.now)
	_, err3 := s.Publish(s.now)
	return errors.Join(err1, err2, err3)
}

// again is a copy of a site, as its next command finds it; e is how it sees its folder.
func (s *site) again(e *publish.Effects) *site {
	s.t.Helper()
	base := s.t.TempDir()
	c := &site{t: s.t, base: base, dir: filepath.Join(base, "public"), keys: filepath.Join(base, "safe"), now: s.now}
	for from, to := range map[string]string{s.dir: c.dir, s.keys: c.keys, publish.OnlineDir(s.dir): publish.OnlineDir(c.dir)} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			s.t.Fatal(err)
		}
		keys, err := filepath.Glob(to + "/*.pem")
		for _, key := range keys {
			err = errors.Join(err, os.Chmod(key, 0o600)) // as it was
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	c.open(e)
	return c
}

// open opens the site anew.
func (s *site) open(e *publish.Effects) {
	s.t.Helper()
	r, err := publish.Open(s.dir, "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.Close() })
	r.Cut(e)
	s.Repo = r
}

// steps are what is cut. Each gets its keys where they are.
var steps = map[string]func(s *site) error{
	"publish": func(s *site) error { _, err := s.Publish(s.now); return err },
	"add":     func(s *site) error { return s.grow(2) },
	"renew":   func(s *site) error { _, err := s.Renew(s.safe(), s.now); return err },
	"renew role": func(s *site) error {
		return errors.Join(s.RenewRole(role, s.safe(), s.now), func() error { _, err := s.Publish(s.now); return err }())
	},
	"rotate root":      func(s *site) error { return s.exchange("root") },
	"rotate targets":   func(s *site) error { return errors.Join(s.exchange("targets"), s.exchange("targets")) },
	"rotate snapshot":  func(s *site) error { return s.exchange("snapshot") },
	"rotate timestamp": func(s *site) error { return s.exchange("timestamp") },
	"rotate role":      func(s *site) error { return s.exchange(role) },
	"delegate": func(s *site) error {
		_, err := s.Delegate(publish.Grant{Board: "sim", Kind: "rootfs"}, s.safe(), s.now)
		return err
	},
	"submit": func(s *site) error {
		d, err := s.Draft(func() error { return s.exchange(role) })
		if err == nil {
			err = s.signAll(d)
		}
		if err == nil {
			err = s.SubmitHere(d, s.now)
		}
		return err
	},
	"revoke": func(s *site) error {
		_, err := s.Undelegate(role, 1, s.safe(), s.now)
		return err
	},
}

func (s *site) safe() []string { return []string{s.keys} }

func (s *site) exchange(role string) error {
	_, err := s.Rotate(publish.Exchange{Role: role}, s.safe(), s.now)
	return err
}

// signAll signs a draft by whatever key it asks for.
func (s *site) signAll(d *publish.Draft) error {
	files, err := filepath.Glob(s.keys + "/*.pem")
	for _, file := range files {
		k, err := publish.OpenKey(file, nil)
		if err != nil {
			return err
		}
		if _, err := d.Sign(k); err != nil && !errors.Is(err, publish.ErrKeys) {
			return err
		}
	}
	return err
}

// mend does what errors say, from one command to the next, until all is announced.
func (s *site) mend() error {
	for range 4 {
		s.open(&publish.Effects{})
		_, err := s.Publish(s.now)
		switch {
		case err == nil:
			return nil
		case strings.Contains(err.Error(), "renew --role "+role):
			err = s.RenewRole(role, s.safe(), s.now)
		case strings.Contains(err.Error(), "renew signs it again"):
			_, err = s.Renew(s.safe(), s.now)
		}
		if err != nil {
			return err
		}
	}
	return errors.New("what errors say does not help")
}

// sound expects what printers see to be whole and no older than it was.
func (s *site) sound(kinds map[string]uint64) error {
	c := s.client()
	if err := c.Refresh(context.Background()); err != nil {
		return err
	}
	for kind, n := range kinds {
		got, err := c.Find("sim", kind)
		if err != nil || got.Release < n {
			return fmt.Errorf("printers find %s %d, want %d: %w", kind, got.Release, n, err)
		}
	}
	return nil
}

// half reports that a root was written and what it has signed by other online keys was not:
// printers wait for it.
func (s *site) half(step string) bool {
	_, err := os.Stat(filepath.Join(s.dir, "2.root.json"))
	return err == nil && (step == "rotate snapshot" || step == "rotate timestamp")
}

// perFile is how many effects a file has: made, written, durable, renamed, and that durable.
const perFile = 5

var both = map[string]uint64{"agent": 1, "controller": 1}

// TestCutsOfThePipeline cuts the power at every effect of every step: printers see what they
// saw, or what comes; what errors say mends the rest, also if somebody renews first, and if
// the mending is cut as well; and the next releases get through.
func TestCutsOfThePipeline(t *testing.T) {
	s, states := plant(t), 0
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			whole := &publish.Effects{}
			s := &site{t: t, dir: s.dir, keys: s.keys, now: s.now}
			if err := step(s.again(whole)); err != nil {
				t.Fatal(err)
			}
			first, each := perFile, perFile // its name is there, and perhaps not for ever
			switch {
			case os.Getenv("PLATEN_SOAK") != "":
				first, each = 1, 1
			case testing.Short():
				each *= 4
			}
			for n := first; n <= whole.N; n += each {
				cut := s.again(&publish.Effects{Until: n})
				if err := step(cut); err == nil {
					t.Fatalf("cut at effect %d of %d, it ended well", n, whole.N)
				}
				if err := cut.sound(both); err != nil && !(cut.half(name) && errors.Is(err, updater.ErrSignature)) {
					t.Fatalf("effect %d of %d: %v", n, whole.N, err)
				}
				cut.open(&publish.Effects{Until: 1 + n%11}) // somebody renews, and it is cut
				_, err1 := cut.Renew(cut.safe(), s.now)
				cut.open(&publish.Effects{Until: 1 + n%7}) // and so is what would mend it
				err2 := cut.RenewRole(role, cut.safe(), s.now)
				if err := cut.mend(); err != nil {
					t.Fatalf("effect %d of %d, then %v, then %v: %v", n, whole.N, err1, err2, err)
				}
				if err := cut.grow(9); err != nil {
					t.Fatalf("effect %d of %d: the next releases: %v", n, whole.N, err)
				}
				if err := cut.sound(map[string]uint64{"agent": 9, "controller": 9}); err != nil {
					t.Fatalf("effect %d of %d: %v", n, whole.N, err)
				}
				states += 3
			}
		})
	}
	t.Logf("%d cuts", states)
}

// TestCutsAreNoticed is the control: targets that name a role whose listing is not there.
func TestCutsAreNoticed(t *testing.T) {
	s := plant(t).again(&publish.Effects{})
	if _, err := s.Delegate(publish.Grant{Board: "sim", Kind: "rootfs"}, s.safe(), s.now); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.dir, "1.sim-rootfs.json")); err != nil {
		t.Fatal(err)
	}
	if err := s.mend(); err == nil {
		t.Error("a listing that was never written is not missed")
	}
}

// TestRenewWaitsForACutRotation: it would leave the role's rotation where nothing ends it.
func TestRenewWaitsForACutRotation(t *testing.T) {
	for name, then := range map[string]func(s *site) error{
		"renew":  func(s *site) error { _, err := s.Renew(s.safe(), s.now); return err },
		"rotate": func(s *site) error { return s.exchange("targets") },
	} {
		s := plant(t).again(&publish.Effects{Until: 6}) // the listing of the role is not begun
		if err := s.exchange(role); err == nil {
			t.Fatal("it was not cut")
		}
		s.open(&publish.Effects{})
		if err := then(s); !errors.Is(err, publish.ErrDamaged) || !strings.Contains(err.Error(), "renew --role "+role) {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.RenewRole(role, s.safe(), s.now); err != nil {
			t.Fatal(err)
		}
		if err := then(s); err != nil {
			t.Errorf("%s afterwards: %v", name, err)
		}
	}
}
