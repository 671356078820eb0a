package attest_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"hash"
	"math/big"
	"testing"

	"platen/agent/attest"
	"platen/cross/rig/rigtest"
)

// TestContentKey opens what the standard library encrypts, with every pair of hashes.
func TestContentKey(t *testing.T) {
	tpm := open(t, rigtest.Swtpm(t), "")
	pub, err := tpm.ContentKey().Public(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if pub.N.BitLen() != 2048 {
		t.Fatalf("%d bits", pub.N.BitLen())
	}
	hashes := map[crypto.Hash]func() hash.Hash{crypto.SHA1: sha1.New, crypto.SHA256: sha256.New}
	for digest, newDigest := range hashes {
		for mask, newMask := range hashes {
			for _, secret := range [][]byte{bytes.Repeat([]byte{7}, 32), {}, {0, 1, 0}, bytes.Repeat([]byte{1}, 190)} {
				sealed, err := rsa.EncryptOAEPWithOptions(rand.Reader, pub, secret, &rsa.OAEPOptions{Hash: digest, MGFHash: mask})
				if err != nil {
					t.Fatal(err)
				}
				got, err := tpm.ContentKey().Decrypt(t.Context(), newDigest, newMask, sealed)
				if err != nil || !bytes.Equal(got, secret) {
					t.Errorf("%v, %v: %d bytes, %v", digest, mask, len(got), err)
				}
			}
		}
	}
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, pub, []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	labelled, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, pub, []byte("secret"), []byte("label"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(sealed)
	flipped[100] ^= 1
	raw := func(n int64) []byte { return big.NewInt(n).FillBytes(make([]byte, 256)) }
	for name, c := range map[string][]byte{
		"flipped": flipped, "a label": labelled, "short": sealed[:255], "long": append(sealed, 0), "empty": nil,
		"zero": raw(0), "one": raw(1), "the modulus": pub.N.Bytes(), "beyond": bytes.Repeat([]byte{255}, 256),
	} {
		if got, err := tpm.ContentKey().Decrypt(t.Context(), sha256.New, sha256.New, c); !errors.Is(err, attest.ErrContent) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := tpm.ContentKey().Decrypt(t.Context(), sha1.New, sha256.New, sealed); !errors.Is(err, attest.ErrContent) {
		t.Errorf("another hash: %v", err)
	}
	if got, err := tpm.ContentKey().Decrypt(t.Context(), sha256.New, sha256.New, sealed); err != nil || string(got) != "secret" {
		t.Errorf("control: %v", err)
	}
}
