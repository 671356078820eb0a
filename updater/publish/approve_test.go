package publish_test

import (
	"context"
	"path/filepath"
	"testing"

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
