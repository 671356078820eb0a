package attest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"

	"platen/agent/attest"
	"platen/cross/rig/rigtest"
	"platen/updater/approval"
)

// TestSealState: the state's key opens in a state that was approved for that, and not in
// another, by another approver's word, by an approval of job keys or at another TPM.
func TestSealState(t *testing.T) {
	s := rigtest.Swtpm(t)
	key, other := approverKey(t), approverKey(t)
	secret := bytes.Repeat([]byte{7}, attest.MaxSeal)
	blob, err := attest.SealState(s.Path(), secret, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	state := approval.Approval{PCRs: []approval.PCR{{Index: 8}, {Index: approval.AgentPCR}}}
	changed := approval.Approval{PCRs: []approval.PCR{{Index: 8, Value: approval.Digest{1}}}}
	sign := func(a approval.Approval, ref string, key *ecdsa.PrivateKey) []approval.Approval {
		a, err := a.SignFor(ref, key)
		if err != nil {
			t.Fatal(err)
		}
		return []approval.Approval{a}
	}
	good := append(sign(changed, approval.StateRef, key), sign(state, approval.StateRef, key)...)
	if got, err := attest.UnsealState(s.Path(), blob, &key.PublicKey, good); err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("control: %v", err)
	}
	for name, c := range map[string]struct {
		approver *ecdsa.PrivateKey
		list     []approval.Approval
	}{
		"no approval":         {key, nil},
		"another state":       {key, sign(changed, approval.StateRef, key)},
		"approves jobs":       {key, sign(state, approval.Ref, key)},
		"another's signature": {key, sign(state, approval.StateRef, other)},
		"another approver":    {other, sign(state, approval.StateRef, other)},
	} {
		if got, err := attest.UnsealState(s.Path(), blob, &c.approver.PublicKey, c.list); err == nil || got != nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := attest.UnsealState(rigtest.Swtpm(t).Path(), blob, &key.PublicKey, good); !errors.Is(err, attest.ErrSeal) {
		t.Errorf("another TPM: %v", err)
	}
	tpm := open(t, s, "")
	if err := tpm.ExtendAgent(t.Context(), [32]byte{3}); err != nil {
		t.Fatal(err)
	}
	closeTPM(t, tpm)
	var sealed *attest.SealedError
	if _, err := attest.UnsealState(s.Path(), blob, &key.PublicKey, good); !errors.As(err, &sealed) {
		t.Errorf("after the state has changed: %v", err)
	}
}

// TestSealStateWithoutApprover opens in any state, at this TPM.
func TestSealStateWithoutApprover(t *testing.T) {
	s := rigtest.Swtpm(t)
	blob, err := attest.SealState(s.Path(), []byte("key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := attest.UnsealState(s.Path(), blob, nil, nil); err != nil || string(got) != "key" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := attest.UnsealState(s.Path(), blob[:20], nil, nil); !errors.Is(err, attest.ErrSeal) {
		t.Errorf("a part of it: %v", err)
	}
}

func approverKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
