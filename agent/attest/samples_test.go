package attest_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"platen/agent/attest"
	"platen/cross/rig/rigtest"
	"platen/slicer/mesh"
	"platen/slicer/pack"
	"platen/slicer/secure"
	"platen/slicer/vault"
)

// TestContentSamples opens the samples of lib3mf (Tests/TestFiles/SecureContent, where
// PLATEN_LIB3MF says they are) with their key in a TPM. Two are encrypted for it; two only
// look it, and are refused.
func TestContentSamples(t *testing.T) {
	dir := os.Getenv("PLATEN_LIB3MF")
	if dir == "" {
		t.Skip("PLATEN_LIB3MF names no folder with the samples of lib3mf")
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	block, _ := pem.Decode(read("sample.pem"))
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	tpm := open(t, rigtest.Swtpm(t), "")
	if _, err := tpm.ContentKey().Public(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, sound := range map[string]bool{"keystore_encrypted.3mf": true, "keystore_encrypted_compressed.3mf": true,
		"keystore.3mf": false, "keystore_compressed.3mf": false} {
		file := read(name)
		v, err := vault.New(12 << 20)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := sampleKeys(t, tpm, v, key, file)
		if err == nil {
			var m *mesh.Mesh
			if m, err = mesh.LoadSecure(t.Context(), v, bytes.NewReader(file), int64(len(file)), mesh.Detect, keys); err == nil && len(m.Triangles()) == 0 {
				err = errors.New("nothing in it")
			}
		}
		if (err == nil) != sound {
			t.Errorf("%s: %v", name, err)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}

// sampleKeys has the TPM unwrap the content keys of a file.
func sampleKeys(t *testing.T, tpm *attest.TPM, v *vault.Vault, key *rsa.PrivateKey, file []byte) (secure.Keys, error) {
	t.Helper()
	a, err := pack.Open(v, bytes.Clone(file))
	if err != nil {
		return nil, err
	}
	in, err := pack.NewReader(v)
	if err != nil {
		return nil, err
	}
	s, err := secure.Read(v, a, in, a.Find([]byte("Secure/keystore.xml")))
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	keys := make(secure.Keys, s.Groups())
	for _, w := range s.For("LIB3MF#TEST", spki) {
		digest := sha1.New
		if w.Digest == secure.SHA256 {
			digest = sha256.New
		}
		got, err := attest.DecryptWith(t.Context(), tpm, key, digest, digest, w.Key)
		if err != nil {
			return nil, err
		}
		copy(keys[w.Group][:], got)
	}
	return keys, nil
}
