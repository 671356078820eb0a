package attest_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// indices lists what is in a TPM's NV.
func indices(t *testing.T, s *rig.Swtpm) (list []tpm2.TPMHandle) {
	t.Helper()
	during(t, s, func(link transport.TPM) {
		for _, first := range []uint32{0x01000000, 0x81000000} { // indices, persistent objects
			rsp, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 100}.Execute(link)
			if err != nil {
				t.Fatal(err)
			}
			handles, err := rsp.CapabilityData.Data.Handles()
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, handles.Handle...)
		}
	})
	return list
}

// TestForget: with its identity a printer's keys are gone, and nothing of it is left in
// the TPM; what was sealed to them does not open any more.
func TestForget(t *testing.T) {
	s := rigtest.Swtpm(t)
	before := indices(t, s)
	a := open(t, s, "")
	id, job, client := a.ID(), a.JobKey().PublicKey(), a.TLSKey().Public().(*ecdsa.PublicKey)
	secret, err := a.Secret("test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.CountTicket(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeTPM(t, a)
	if n := len(indices(t, s)) - len(before); n != 3 { // the control: there was something to remove
		t.Errorf("%d indices of the printer in the TPM, want boots, tickets and identity", n)
	}
	a = open(t, s, "")
	if again, err := a.Secret("test"); err != nil || again != secret || a.ID() != id {
		t.Errorf("closing changed the printer: %v", err)
	}
	if err := a.Forget(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Quote(t.Context(), [32]byte{}); err == nil {
		t.Error("a TPM that forgot its printer quotes for it")
	}
	closeTPM(t, a)
	if after := indices(t, s); !slices.Equal(after, before) {
		t.Errorf("in the TPM: %x, before: %x", after, before)
	}
	b := open(t, s, "")
	again, err := b.Secret("test")
	if err != nil {
		t.Fatal(err)
	}
	if b.ID() == id || b.JobKey().PublicKey().Equal(job) || client.Equal(b.TLSKey().Public()) || again == secret {
		t.Error("a key came back")
	}
}

// TestClients: each recipient sees another client key, always the same.
func TestClients(t *testing.T) {
	tpm := open(t, rigtest.Swtpm(t), "")
	key := func(label string) *ecdsa.PublicKey {
		c, err := tpm.Client(t.Context(), label)
		if err != nil {
			t.Fatal(err)
		}
		if c.ID() != tpm.ID() {
			t.Error("another printer")
		}
		digest := make([]byte, 32)
		sig, err := c.Key().Sign(nil, digest, crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		public := c.Key().Public().(*ecdsa.PublicKey)
		if !ecdsa.VerifyASN1(public, digest, sig) {
			t.Error("its signature is not good")
		}
		return public
	}
	if !key("").Equal(tpm.TLSKey().Public()) || key("a").Equal(key("")) || key("a").Equal(key("b")) || !key("a").Equal(key("a")) {
		t.Error("labels and keys do not correspond")
	}
}

// TestWireHidesIdentityAndChallenge: neither the number that the keys hang on nor the
// secret of an enrolment can be read between TPM and processor.
func TestWireHidesIdentityAndChallenge(t *testing.T) {
	tpm := open(t, rigtest.Swtpm(t), t.TempDir())
	var who [32]byte
	var err error
	heard, lerr := attest.Listen(t.Context(), tpm, func() { who, err = attest.Identity(t.Context(), tpm, true) })
	if err != nil || lerr != nil {
		t.Fatal(err, lerr)
	}
	if bytes.Contains(heard, who[:]) {
		t.Error("the identity can be read on the wire")
	}
	heard, lerr = attest.Listen(t.Context(), tpm, func() { _, err = attest.Identity(t.Context(), tpm, false) })
	if err != nil || lerr != nil || !bytes.Contains(heard, who[:]) { // the control
		t.Errorf("what is read in clear is not heard: %v %v", err, lerr)
	}
	request, challenge, secret := challenged(t, tpm)
	var answer []byte
	heard, lerr = attest.Listen(t.Context(), tpm, func() { answer, err = tpm.Activate(t.Context(), request, challenge) })
	if err != nil || lerr != nil {
		t.Fatal(err, lerr)
	}
	rsp, err := evidence.DecodeEnrolResponse(answer)
	if err != nil || rsp.MAC != evidence.EnrolMAC(secret, request, challenge, rsp.Quote) {
		t.Fatalf("the challenge was not opened: %v", err)
	}
	if bytes.Contains(heard, secret) {
		t.Error("the challenge's secret can be read on the wire")
	}
}

// challenged is an enrolment up to its challenge, whose secret is known.
func challenged(t *testing.T, tpm *attest.TPM) (request, challenge, secret []byte) {
	t.Helper()
	request, err := tpm.EnrolRequest(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	req, err := evidence.DecodeEnrolRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	ek, err := tpm2.Unmarshal[tpm2.TPMTPublic](req.EKs[0].Public)
	if err != nil {
		t.Fatal(err)
	}
	ak, err := tpm2.Unmarshal[tpm2.TPMTPublic](req.AK)
	if err != nil {
		t.Fatal(err)
	}
	name, err := tpm2.ObjectName(ak)
	if err != nil {
		t.Fatal(err)
	}
	kem, err := tpm2.ImportEncapsulationKey(ek)
	if err != nil {
		t.Fatal(err)
	}
	secret = []byte("a secret of thirty-two characters")[:32]
	ch := evidence.EnrolChallenge{V: evidence.Version, Session: [16]byte{1}}
	if ch.Blob, ch.Secret, err = tpm2.CreateCredential(rand.Reader, kem, name.Buffer, secret); err != nil {
		t.Fatal(err)
	}
	if challenge, err = ch.Encode(); err != nil {
		t.Fatal(err)
	}
	return request, challenge, secret
}
