package verify_test

import (
	"encoding/pem"
	"testing"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/agent/fleet/verify"
	"platen/cross/rig/rigtest"
)

// TestDelivery: that a printer holds a job is believed if it signed every bit of that, and no
// other of its quotes says so.
func TestDelivery(t *testing.T) {
	tpm, err := attest.New(t.Context(), attest.Config{Path: rigtest.Swtpm(t).Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer tpm.Close()
	key, err := tpm.AttestationKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	quote := func(d [32]byte) (evidence.Quote, error) { return tpm.Quote(t.Context(), d) }
	d := evidence.Delivery{V: evidence.Version, AK: key, At: 1_800_000_000, Job: make([]byte, 16), Digest: make([]byte, 32)}
	d.Job[3], d.Digest[5] = 7, 9
	text, err := d.Sign(quote)
	if err != nil {
		t.Fatal(err)
	}
	id, got, err := verify.Delivery(text)
	if err != nil || id != tpm.ID() || got.Job[3] != 7 || got.Digest[5] != 9 || got.At != d.At {
		t.Fatalf("printer %v, %+v: %v", id, got, err)
	}
	block, _ := pem.Decode(text)
	for at := 0; at < len(block.Bytes); at += 3 {
		b := append([]byte(nil), block.Bytes...)
		b[at] ^= 1
		if id, _, err := verify.Delivery(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: b})); err == nil && id == tpm.ID() {
			t.Errorf("a bit of byte %d was changed, and it is believed", at)
		}
	}
	gone, err := evidence.Receipt{V: evidence.Version, AK: key, Indices: []uint64{evidence.IdentityIndex}}.Sign(quote)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"noise": []byte("noise"), "a receipt of something else": gone} {
		if _, _, err := verify.Delivery(text); verify.ReasonOf(err) != verify.BadEncoding {
			t.Errorf("%s: %v", name, err)
		}
	}
	block, _ = pem.Decode(gone) // under the other's name
	if _, _, err := verify.Delivery(pem.EncodeToMemory(&pem.Block{Type: "PLATEN DELIVERY", Bytes: block.Bytes})); verify.ReasonOf(err) != verify.BadEncoding {
		t.Errorf("a receipt that calls itself a delivery: %v", err)
	}
	if _, err := (evidence.Delivery{V: evidence.Version, AK: key}).Sign(quote); err == nil {
		t.Error("a delivery of no job is signed")
	}
}
