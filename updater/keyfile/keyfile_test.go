package keyfile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
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

// TestFullDisk: what could not be written leaves nothing behind, so that it can be tried
// again; nor does a key whose public half could not be put beside it.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &few); err != nil {
		t.Fatal(err)
	}
	err := Create(path, make([]byte, 100), 0o600)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.EFBIG) {
		t.Errorf("written where there is no room: %v", err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err = errors.Join(err, os.WriteFile(path+".pub", []byte("of another"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, key); !errors.Is(err, os.ErrExist) {
		t.Errorf("beside another's public key: %v", err)
	}
	if err := errors.Join(os.Remove(path+".pub"), Save(path, key)); err != nil {
		t.Errorf("tried again: %v", err)
	}
}
