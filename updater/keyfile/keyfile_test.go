package keyfile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFiles: what is saved is loaded again, is for its owner alone, and replaces nothing.
func TestFiles(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{ed, p256} {
		path := filepath.Join(t.TempDir(), "key")
		if err := Save(path, key); err != nil {
			t.Fatal(err)
		}
		if err := Save(path, key); !errors.Is(err, os.ErrExist) {
			t.Errorf("saved twice: %v", err)
		}
		got, err := Load(path)
		if err != nil || !got.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
			t.Errorf("loaded %T, %v", got, err)
		}
		public, err := LoadPublic(path + ".pub")
		if err != nil || !public.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
			t.Errorf("loaded %T, %v", public, err)
		}
		if _, err := Load(path + ".pub"); !errors.Is(err, ErrBlock) {
			t.Errorf("a public key as a private one: %v", err)
		}
		if _, err := LoadPublic(path); !errors.Is(err, ErrBlock) {
			t.Errorf("a private key as a public one: %v", err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string]string{"cut": string(text[:len(text)/2]), "empty": "", "damaged": strings.Replace(string(text), "-----\nM", "-----\nA", 1), "long": strings.Repeat("x", longest+1)} {
			file := filepath.Join(t.TempDir(), "bad")
			if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(file); err == nil || strings.Contains(err.Error(), bad) && bad != "" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "read by others") {
			t.Errorf("that others can read: %v", err)
		}
	}
}
