package publish_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"platen/updater"
	"platen/updater/publish"
	"platen/updater/trust"
)

// draft runs a change into a draft.
func (s *site) draft(change func() error) *publish.Draft {
	s.t.Helper()
	d, err := s.Draft(change)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// firmware is a draft of release n of the controller's firmware.
func (s *site) firmware(n uint64) *publish.Draft {
	s.t.Helper()
	return s.draft(func() error {
		_, err := s.Add(publish.Item{Release: n, Board: "sim", Kind: "controller", File: s.file(fmt.Sprint("firmware", n))}, nil, s.now)
		return err
	})
}

// delegated is a repository whose firmware a team of two releases, both of whom sign.
func delegated(t *testing.T) (s *site, keys, team []publish.Signer) {
	t.Helper()
	s, keys = ceremony(t, start, 3, 2)
	team, public := signers(t, 2)
	d := s.draft(func() error {
		_, err := s.Delegate(publish.Grant{Board: "sim", Kind: "controller", Keys: public, Threshold: 2}, nil, s.now)
		return err
	})
	s.refused(d, keys[0], keys[1]) // the team has not shown that it has the keys
	s.refused(d, team[0])
	s.submit(d, team[1])
	return s, keys, team
}

// refused expects a draft to have too few signatures, with those by some keys.
func (s *site) refused(d *publish.Draft, by ...publish.Signer) {
	s.t.Helper()
	for _, k := range by {
		if _, err := d.Sign(k); err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := publish.Submit(s.dir, "", d, s.now); !errors.Is(err, publish.ErrKeys) {
		s.t.Fatalf("with too few signatures: %v", err)
	}
}

// finds expects a client to find a release of a kind and to get its contents.
func (s *site) finds(c *trust.Client, kind string, n uint64, contents string) updater.Target {
	s.t.Helper()
	if err := c.Refresh(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	target, err := c.Find("sim", kind)
	if err != nil || target.Release != n {
		s.t.Fatalf("found %s %d, %v; want %d", kind, target.Release, err, n)
	}
	var b bytes.Buffer
	if err := c.Download(context.Background(), target, &b); err != nil || b.String() != contents {
		s.t.Fatalf("%s %d: %q, %v", kind, n, &b, err)
	}
	return target
}

// TestDelegatesReleaseAlone: what was left to a team is signed by it alone, goes along in
// the set of an agent that others sign, and reaches printers by a bundle as well.
func TestDelegatesReleaseAlone(t *testing.T) {
	s, keys, team := delegated(t)
	c := s.client()
	d := s.firmware(5)
	if _, err := d.Sign(keys[0]); !errors.Is(err, publish.ErrKeys) {
		t.Errorf("a targets key signs what was left to others: %v", err)
	}
	if lines, err := d.Explain(); err != nil || !strings.Contains(strings.Join(lines, "\n"), "released by sim-controller") {
		t.Errorf("explained as %q, %v", lines, err)
	}
	s.refused(d, team[0])
	s.submit(d, team[1])
	s.finds(c, "controller", 5, "firmware5")
	set := publish.Item{Release: 7, Board: "sim", File: s.file("sim7"), Set: []publish.Member{{Kind: "controller", Release: 5}}}
	s.submit(s.draft(func() error { _, err := s.Add(set, nil, s.now); return err }), keys[0], keys[1])
	s.submit(s.draft(func() error {
		_, err := s.Repo.Rollout("sim", "controller", 5, func(r *updater.Rollout) { r.Share = updater.WholeShare / 2 }, nil, s.now)
		return err
	}), team...)
	check := func(c *trust.Client) {
		t.Helper()
		target := s.finds(c, "agent", 7, "sim7")
		if len(target.Set) != 1 || target.Set[0].Kind != "controller" || target.Set[0].Release != 5 {
			t.Errorf("its set is %+v", target.Set)
		}
	}
	check(c)
	var file bytes.Buffer
	if err := s.Bundle(&file, []string{"sim"}); err != nil {
		t.Fatal(err)
	}
	b, err := trust.OpenBundle(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	offline := s.client()
	offline.Use(b)
	check(offline)
	st, err := s.Status(s.now)
	if i := slices.IndexFunc(st.Roles, func(r publish.Role) bool { return r.Of == "sim/controller" }); err != nil || !st.Published || i < 0 || st.Roles[i].Threshold != 2 {
		t.Errorf("status: %+v, %v", st, err)
	}
}

// TestDelegatesKeysAreExchanged: by the targets keys, with what the new ones sign; a cut
// between the two files is gone over by the next Submit.
func TestDelegatesKeysAreExchanged(t *testing.T) {
	s, keys, team := delegated(t)
	c := s.client()
	s.submit(s.firmware(5), team...)
	s.finds(c, "controller", 5, "firmware5")
	fresh, public := signers(t, 1)
	lost, err := publish.KeyID(team[0].Public())
	if err != nil {
		t.Fatal(err)
	}
	before := s.firmware(6) // which the one that goes has signed
	d := s.draft(func() error {
		_, err := s.Rotate(publish.Exchange{Role: "sim-controller", Lost: lost, Fresh: public[0]}, nil, s.now)
		return err
	})
	if _, err := d.Sign(team[0]); !errors.Is(err, publish.ErrKeys) {
		t.Errorf("the key that goes signs: %v", err)
	}
	s.refused(d, keys[0], keys[1], fresh[0])
	if _, err := d.Sign(team[1]); err != nil {
		t.Fatal(err)
	}
	first := d.Documents[0]
	if err := os.WriteFile(filepath.Join(s.dir, first.File), first.Metadata, 0o644); err != nil || first.Role != "targets" {
		t.Fatal(first.Role, err)
	}
	if _, err := s.Publish(s.now); !errors.Is(err, publish.ErrDamaged) {
		t.Errorf("published half of an exchange: %v", err)
	}
	s.submit(d)
	s.finds(c, "controller", 5, "firmware5")
	for _, k := range team {
		if _, err := before.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := publish.Submit(s.dir, "", before, s.now); !errors.Is(err, publish.ErrDraft) {
		t.Errorf("signed by the keys of before: %v", err)
	}
	s.submit(s.firmware(6), team[1], fresh[0])
	s.finds(c, "controller", 6, "firmware6")
	if _, err := s.Draft(func() error {
		_, err := s.Rotate(publish.Exchange{Role: "sim-controller", None: true}, nil, s.now)
		return err
	}); !errors.Is(err, publish.ErrKeys) {
		t.Errorf("a key too few: %v", err)
	}
}

// TestDelegationIsTakenBack: printers that knew the role go on; what was kept is there,
// what was not is gone, and the place is the targets' again, or another team's.
func TestDelegationIsTakenBack(t *testing.T) {
	s, keys, team := delegated(t)
	c := s.client()
	for n := range uint64(2) {
		s.submit(s.firmware(5+n), team...)
	}
	s.finds(c, "controller", 6, "firmware6")
	s.submit(s.draft(func() error {
		_, err := s.Undelegate("sim-controller", 5, nil, s.now)
		return err
	}), keys[0], keys[1])
	s.finds(c, "controller", 5, "firmware5")
	d := s.firmware(7)
	if _, err := d.Sign(team[0]); !errors.Is(err, publish.ErrKeys) {
		t.Errorf("the team signs what was taken from it: %v", err)
	}
	s.submit(d, keys[0], keys[1])
	s.finds(c, "controller", 7, "firmware7")
	others, public := signers(t, 1)
	s.submit(s.draft(func() error {
		_, err := s.Delegate(publish.Grant{Board: "sim", Kind: "controller", Keys: public}, nil, s.now)
		return err
	}), keys[0], keys[1], others[0])
	s.finds(c, "controller", 7, "firmware7")
	s.submit(s.firmware(8), others[0])
	s.finds(c, "controller", 8, "firmware8")
}

// TestDelegateLapses: a team that does not renew holds up nobody else.
func TestDelegateLapses(t *testing.T) {
	s, keys, team := delegated(t)
	c := s.client()
	s.submit(s.firmware(5), team...)
	s.now = start.Add(360 * 24 * time.Hour)
	s.submit(s.draft(func() error { _, err := s.Renew(nil, s.now); return err }), keys[0], keys[1])
	s.reopen()
	s.submit(s.drafted(1), keys[0], keys[1])
	s.now = start.Add(367 * 24 * time.Hour)
	v := s.mustPublish()
	if !slices.Equal(v.Lapsed, []string{"sim-controller"}) {
		t.Errorf("lapsed: %q", v.Lapsed)
	}
	s.sees(c, "sim", 1)
	if _, err := c.Find("sim", "controller"); !errors.Is(err, updater.ErrExpired) {
		t.Errorf("what has lapsed: %v", err)
	}
	s.submit(s.draft(func() error { return s.RenewRole("sim-controller", nil, s.now) }), team...)
	s.finds(c, "controller", 5, "firmware5")
}

func (s *site) reopen() {
	s.t.Helper()
	r, err := publish.Open(s.dir, "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.Close() })
	s.Repo = r
}

// TestDelegatesOverreach: signed by all of the team, and not what it was given.
func TestDelegatesOverreach(t *testing.T) {
	s, keys, team := delegated(t)
	for name, change := range map[string]func(signed map[string]any){
		"another place": func(signed map[string]any) {
			list := signed["targets"].(map[string]any)
			for path, file := range list {
				delete(list, path)
				list["sim/agent/5/platen"] = file
			}
		},
		"further": func(signed map[string]any) {
			signed["delegations"] = map[string]any{"keys": map[string]any{}, "roles": []any{}}
		},
	} {
		d := s.firmware(5)
		var md map[string]any
		if err := json.Unmarshal(d.Documents[0].Metadata, &md); err != nil {
			t.Fatal(err)
		}
		change(md["signed"].(map[string]any))
		text, err := json.Marshal(md)
		if err != nil {
			t.Fatal(err)
		}
		d.Documents[0].Metadata = text
		for _, k := range team {
			if _, err := d.Sign(k); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := publish.Submit(s.dir, "", d, s.now); !errors.Is(err, publish.ErrDraft) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stray := s.firmware(5) // of a role that nobody was given
	stray.Documents[0].Role, stray.Documents[0].File = "sim-rootfs", "1.sim-rootfs.json"
	for _, k := range team {
		if _, err := stray.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := publish.Submit(s.dir, "", stray, s.now); !errors.Is(err, publish.ErrDraft) {
		t.Errorf("a role that nobody was given: %v", err)
	}
	_, public := signers(t, 2)
	for name, g := range map[string]publish.Grant{
		"the same place": {Role: "other", Board: "sim", Kind: "controller", Keys: public},
		"the same name":  {Role: "sim-controller", Board: "sim", Kind: "rootfs", Keys: public},
		"a top role":     {Role: "snapshot", Board: "sim", Kind: "rootfs", Keys: public},
		"no board":       {Kind: "rootfs", Keys: public},
		"a way up":       {Role: "../x", Board: "sim", Kind: "rootfs", Keys: public},
		"too many":       {Board: "sim", Kind: "rootfs", Keys: public, Threshold: 3},
		"one twice":      {Board: "sim", Kind: "rootfs", Keys: []crypto.PublicKey{public[0], public[0]}, Threshold: 2},
	} {
		if _, err := s.Draft(func() error { _, err := s.Delegate(g, nil, s.now); return err }); !errors.Is(err, publish.ErrRole) && !errors.Is(err, publish.ErrKeys) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.submit(s.firmware(5), team...) // the control
	s.submit(s.drafted(1), keys[0], keys[1])
	s.finds(s.client(), "controller", 5, "firmware5")
}

// TestDelegateAlone: whoever has all keys in one folder needs no draft.
func TestDelegateAlone(t *testing.T) {
	s := newSite(t)
	c := s.client()
	d, err := s.Delegate(publish.Grant{Board: "sim", Kind: "agent"}, nil, s.now)
	if err != nil || d.Role != "sim-agent" || len(d.Keys) != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	if rel := s.mustAdd(1, "sim"); rel.Role != "sim-agent" {
		t.Errorf("listed by %q", rel.Role)
	}
	s.mustAdd(1, "other")
	s.mustPublish()
	s.sees(c, "sim", 1)
	s.sees(c, "other", 1)
	if _, err := s.Rotate(publish.Exchange{Role: "sim-agent"}, nil, s.now); err != nil {
		t.Fatal(err)
	}
	s.mustAdd(2, "sim")
	s.mustPublish()
	s.sees(c, "sim", 2)
	if _, err := s.Undelegate("sim-agent", 2, nil, s.now); err != nil {
		t.Fatal(err)
	}
	s.mustPublish()
	s.sees(c, "sim", 2)
}

// cut has a change fail at a file, as if the power had gone before it was written.
func (s *site) cut(file string, change func() error) {
	s.t.Helper()
	blocked := filepath.Join(s.dir, file+".new")
	if err := os.Mkdir(blocked, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := change(); err == nil {
		s.t.Fatalf("%s was written", file)
	}
	if err := os.Remove(blocked); err != nil {
		s.t.Fatal(err)
	}
	s.reopen()
}

// TestDelegationIsCut: wherever the power goes while something is delegated, to a new role or
// to one that was there once, the repository is good, and it can be delegated again.
func TestDelegationIsCut(t *testing.T) {
	s := newSite(t)
	c := s.client()
	s.mustAdd(1, "sim")
	s.mustPublish()
	delegate := func() error { _, err := s.Delegate(publish.Grant{Board: "sim", Kind: "agent"}, nil, s.now); return err }
	for _, file := range []string{"1.sim-agent.json", "3.targets.json", "3.sim-agent.json", "5.targets.json"} {
		s.cut(file, delegate)
		s.mustPublish()
		s.sees(c, "sim", 1)
		if file[1:] == ".sim-agent.json" {
			continue
		}
		if err := delegate(); err != nil {
			t.Fatalf("again after a cut at %s: %v", file, err)
		}
		s.mustPublish()
		s.sees(c, "sim", 1)
		if _, err := s.Undelegate("sim-agent", 0, nil, s.now); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDraftedDelegationIsCut: the same of one that was signed elsewhere.
func TestDraftedDelegationIsCut(t *testing.T) {
	s, keys := ceremony(t, start, 3, 2)
	team, public := signers(t, 1)
	d := s.draft(func() error {
		_, err := s.Delegate(publish.Grant{Board: "sim", Kind: "controller", Keys: public}, nil, s.now)
		return err
	})
	for _, k := range []publish.Signer{keys[0], keys[1], team[0]} {
		if _, err := d.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	for _, doc := range slices.Backward(d.Documents) {
		s.cut(doc.File, func() error { _, err := publish.Submit(s.dir, "", d, s.now); return err })
		s.mustPublish()
	}
	s.submit(d)
	s.submit(s.firmware(5), team[0])
	s.finds(s.client(), "controller", 5, "firmware5")
}
