package attest_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"slices"
	"testing"

	"platen/cross/rig"
	"platen/cross/rig/rigtest"
	"platen/updater/approval"
)

// releases takes printers through the states that a list of releases approves.
func releases(t *testing.T, s *rig.Swtpm) {
	key := approver(t)
	release := func(n uint64) approval.Measured {
		return approval.Measured{Release: n, Digest: sha256.Sum256([]byte{byte(n)})}
	}
	list := signedStates(t, key, release(1), release(2), release(3))
	cases := []struct {
		runs  []uint64
		opens bool
		fresh bool // a restart of the machine would do
	}{
		{[]uint64{2, 3, 2}, true, false}, // 3 failed its trial
		{[]uint64{1, 2, 3}, true, false}, {[]uint64{3, 1}, false, true}, {[]uint64{1, 4}, false, false},
		{[]uint64{3}, true, false}, {[]uint64{1}, true, false}, {[]uint64{1, 3}, true, false},
		{[]uint64{2, 3, 2, 3}, false, true}, {[]uint64{4}, false, false}, {[]uint64{4, 3}, false, true}, {nil, false, false},
	}
	if testing.Short() {
		cases = cases[:4]
	}
	for _, c := range cases {
		if err := s.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		tpm := bound(t, s, key)
		setApprovals(t, tpm, 0, list...)
		for i, n := range c.runs {
			now, fresh, err := tpm.WouldOpen(t.Context(), list, release(n).Digest, nil)
			if err != nil {
				t.Fatal(err)
			}
			if last := i == len(c.runs)-1; last && (now != c.opens || !now && fresh != c.fresh) {
				t.Errorf("%v: foretold %v, and %v after a restart", c.runs, now, fresh)
			}
			if err := tpm.ExtendAgent(t.Context(), release(n).Digest); err != nil {
				t.Fatal(err)
			}
		}
		if c.opens {
			mustOpen(t, tpm)
			a, err := tpm.Approved(t.Context())
			if err != nil || a.Release != c.runs[len(c.runs)-1] {
				t.Errorf("%v: opens as release %d, %v", c.runs, a.Release, err)
			}
		} else if e := mustBeSealed(t, tpm); e.Fresh != c.fresh || !slices.Equal(e.PCRs, []uint8{14}) {
			t.Errorf("%v: %v", c.runs, e)
		}
		closeTPM(t, tpm)
	}
}

func signedStates(t testing.TB, key *ecdsa.PrivateKey, releases ...approval.Measured) []approval.Approval {
	t.Helper()
	list, err := approval.States(releases, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i], err = list[i].Sign(key); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// TestAnotherRoot: an agent that comes with another root file system opens jobs if what the
// registers hold after the restart was approved; what they hold now does not count then.
func TestAnotherRoot(t *testing.T) {
	s := rigtest.Swtpm(t)
	key := approver(t)
	agent := approval.Measured{Release: 2, Digest: sha256.Sum256([]byte("two"))}
	kernel := approval.Digest{8}
	list, err := approval.States([]approval.Measured{agent}, []approval.PCR{{Index: 8, Value: kernel}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i], err = list[i].Sign(key); err != nil {
			t.Fatal(err)
		}
	}
	tpm := bound(t, s, key)
	defer closeTPM(t, tpm)
	for name, c := range map[string]struct {
		boot  map[uint8][32]byte
		fresh bool
	}{
		"the same":     {nil, false},
		"the approved": {map[uint8][32]byte{8: kernel}, true},
		"another":      {map[uint8][32]byte{8: {9}}, false},
	} {
		now, fresh, err := tpm.WouldOpen(t.Context(), list, agent.Digest, c.boot)
		if err != nil || now || fresh != c.fresh {
			t.Errorf("%s: %v, after a restart %v, %v", name, now, fresh, err)
		}
	}
}
