package attest_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/attest"
	"platen/updater/approval"
)

// TestPolicyIsGoTPMs compares the arithmetic of package approval with go-tpm's.
func TestPolicyIsGoTPMs(t *testing.T) {
	a := approval.Approval{PCRs: []approval.PCR{{Index: 0, Value: approval.Digest{1}}, {Index: 9, Value: approval.Digest{2}}, {Index: 14, Value: approval.Digest{3}}}}
	calculator, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		t.Fatal(err)
	}
	values := a.Values()
	err = tpm2.PolicyPCR{PcrDigest: tpm2.TPM2BDigest{Buffer: values[:]}, Pcrs: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(0, 9, 14)}}}}.Update(calculator)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Policy(); !bytes.Equal(got[:], calculator.Hash().Digest) {
		t.Errorf("policy %x, want %x", got, calculator.Hash().Digest)
	}
}

// TestKeyPolicyIsGoTPMs does the same for the keys' policy.
func TestKeyPolicyIsGoTPMs(t *testing.T) {
	key := approver(t)
	got, err := approval.KeyPolicy(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if want := attest.PolicyByGoTPM(t, &key.PublicKey); !bytes.Equal(got[:], want) {
		t.Errorf("policy %x, want %x", got, want)
	}
}

func TestSealedErrorSays(t *testing.T) {
	for want, e := range map[string]*attest.SealedError{
		"no state of this system was approved":                     {},
		"what release 2 was approved for: PCR 14 (agent): install": {Release: 2, PCRs: []uint8{14}},
		"approved at the printer: PCR 0 (firmware), PCR 9 (kernel": {PCRs: []uint8{0, 9}},
		"is damaged, and an old one could be":                      {Marks: true},
		"has run release 7, and an older":                          {Floor: 7},
		"PCR 14 (agent): restart the machine":                      {Release: 2, PCRs: []uint8{14}, Fresh: true},
	} {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("%q does not say %q", e, want)
		}
	}
}
