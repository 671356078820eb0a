package verify_test

import (
	"encoding/pem"
	"errors"
	"testing"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/agent/fleet/verify"
	"platen/cross/rig/rigtest"
)

// TestReceipt: a receipt is believed if the printer that it names signed every bit of it.
func TestReceipt(t *testing.T) {
	swtpm := rigtest.Swtpm(t)
	open := func() *attest.TPM {
		tpm, err := attest.New(t.Context(), attest.Config{Path: swtpm.Path()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tpm.Close() })
		return tpm
	}
	tpm := open()
	key, err := tpm.AttestationKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sign := func(change func(*evidence.Receipt)) []byte {
		r := evidence.Receipt{V: evidence.Version, AK: key, At: 1_800_000_000, Files: 12, Indices: []uint64{evidence.IdentityIndex}}
		if change != nil {
			change(&r)
		}
		text, err := r.Sign(func(d [32]byte) (evidence.Quote, error) { return tpm.Quote(t.Context(), d) })
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	text := sign(nil)
	id, r, err := verify.Receipt(text)
	if err != nil || id != tpm.ID() || r.Files != 12 || r.At != 1_800_000_000 {
		t.Fatalf("printer %v, %+v: %v", id, r, err)
	}
	block, _ := pem.Decode(text)
	for at := range block.Bytes {
		b := append([]byte(nil), block.Bytes...)
		b[at] ^= 1
		if id, _, err := verify.Receipt(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: b})); err == nil && id == tpm.ID() {
			t.Errorf("a bit of byte %d was changed, and it is believed", at)
		}
	}
	for name, change := range map[string]func(*evidence.Receipt){
		"an identity that goes and stays":         func(r *evidence.Receipt) { r.Kept = true },
		"an identity that neither goes nor stays": func(r *evidence.Receipt) { r.Indices = nil },
	} {
		if _, _, err := verify.Receipt(sign(change)); verify.ReasonOf(err) != verify.BadEncoding {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := verify.Receipt([]byte("noise")); verify.ReasonOf(err) != verify.BadEncoding {
		t.Errorf("noise: %v", err)
	}
	if err := errors.Join(tpm.Forget(t.Context(), false), tpm.Close()); err != nil {
		t.Fatal(err)
	}
	tpm = open() // another printer now
	if _, _, err := verify.Receipt(sign(nil)); verify.ReasonOf(err) != verify.BadSignature {
		t.Errorf("signed by another printer: %v", err)
	}
}
