package publish_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"platen/updater"
	"platen/updater/approval"
	"platen/updater/publish"
)

// TestApprovalsTravel: what is approved reaches printers with the newest release, and a
// release that nothing was approved for brings nothing.
func TestApprovalsTravel(t *testing.T) {
	s := newSite(t)
	path := filepath.Join(s.base, "approver")
	pub, err := approval.GenerateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := approval.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(5) {
		s.mustAdd(n+1, "sim")
	}
	s.mustAdd(9, "other")
	boot := approval.PCR{Index: 8, Value: approval.Digest{8}}
	if _, err := s.Approve(publish.States{Board: "sim", Releases: 2, Boot: []approval.PCR{boot}}, key, nil, s.now); err != nil {
		t.Fatal(err)
	}
	s.mustPublish()
	c := s.client()
	s.sees(c, "sim", 5)
	target, err := c.Find("sim", "agent")
	if err != nil {
		t.Fatal(err)
	}
	list, err := approval.Parse(target.Approvals)
	if err != nil || len(list) != 4 {
		t.Fatalf("%d approvals, %v", len(list), err)
	}
	of := map[uint64]int{}
	for _, a := range list {
		of[a.Release]++
		if !a.Verify(pub) || len(a.PCRs) != 2 || a.PCRs[0] != boot {
			t.Errorf("an approval of release %d is not as it was signed", a.Release)
		}
	}
	if of[5] != 2 || of[4] != 2 {
		t.Errorf("approvals by release: %v", of)
	}
	alone := approval.Extend(approval.Digest{}, approval.Digest(target.SHA256))
	if list[1].PCRs[1].Value != alone && list[2].PCRs[1].Value != alone {
		t.Error("the newest release alone is not approved")
	}

	s.mustAdd(6, "sim")
	s.mustPublish()
	if err := c.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	if target, err = c.Find("sim", "agent"); err != nil || target.Release != 6 || target.Approvals != nil {
		t.Errorf("release %d brings %d bytes, %v", target.Release, len(target.Approvals), err)
	}
}

// TestApprovalsFollowTheRoot: a root file system that was released with what registers hold is
// approved together with the agents that run on it, and no state mixes two of them: between
// them the machine restarts.
func TestApprovalsFollowTheRoot(t *testing.T) {
	s := newSite(t)
	path := filepath.Join(s.base, "approver")
	if _, err := approval.GenerateKey(path); err != nil {
		t.Fatal(err)
	}
	key, err := approval.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	add := func(i publish.Item) {
		t.Helper()
		i.Board, i.File = "sim", s.file(fmt.Sprint(i.Kind, i.Release))
		if _, err := s.Add(i, nil, s.now); err != nil {
			t.Fatal(err)
		}
	}
	boot := func(n byte) []approval.PCR { return []approval.PCR{{Index: 8, Value: approval.Digest{n}}} }
	root := func(n uint64) []publish.Member { return []publish.Member{{Kind: updater.KindRoot, Release: n}} }
	add(publish.Item{Release: 1, Kind: updater.KindRoot, PCRs: boot(1)})
	add(publish.Item{Release: 1, Set: root(1)})
	add(publish.Item{Release: 2, Kind: updater.KindRoot, PCRs: boot(2)})
	add(publish.Item{Release: 2, Set: root(2)})
	add(publish.Item{Release: 3}) // an agent alone: on the root file system of the set before
	firmware := approval.PCR{Index: 0, Value: approval.Digest{7}}
	rel, err := s.Approve(publish.States{Board: "sim", Boot: []approval.PCR{firmware}}, key, nil, s.now)
	if err != nil {
		t.Fatal(err)
	}
	got := map[byte][]uint64{} // by root file system
	for _, a := range rel.Approvals {
		if len(a.PCRs) != 3 || a.PCRs[0] != firmware || a.PCRs[1].Index != 8 {
			t.Fatalf("registers %v", a.PCRs)
		}
		got[a.PCRs[1].Value[0]] = append(got[a.PCRs[1].Value[0]], a.Release)
	}
	if d := cmp.Diff(map[byte][]uint64{1: {1}, 2: {2, 3, 3, 2}}, got); d != "" {
		t.Error(d)
	}
	for _, bad := range [][]approval.PCR{{{Index: 14}}, {{Index: 24}}, {{Index: 8}, {Index: 8}}} {
		if _, err := s.Add(publish.Item{Release: 9, Board: "sim", Kind: updater.KindRoot, File: s.file("x"), PCRs: bad}, nil, s.now); !errors.Is(err, publish.ErrRelease) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
