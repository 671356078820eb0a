package consent

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	"platen/updater/keyfile"
)

// GenerateKey makes an owner's key: path gets the private key (PEM, PKCS #8, mode
// 0600), path.pub the public one (PEM, PKIX). Files that exist are left alone and
// are an error.
func GenerateKey(path string) (ed25519.PublicKey, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		err = keyfile.Save(path, key)
	}
	if err != nil {
		return nil, fmt.Errorf("make the owner's key: %w", err)
	}
	return pub, nil
}

// LoadKey reads a private key that [GenerateKey] wrote, or that
// openssl genpkey -algorithm ed25519 did. Others must not be able to read it.
func LoadKey(path string) (ed25519.PrivateKey, error) {
	k, err := keyfile.Load(path)
	if err != nil {
		return nil, err
	}
	if key, ok := k.(ed25519.PrivateKey); ok {
		return key, nil
	}
	return nil, fmt.Errorf("%s: not an Ed25519 key: make one with platen consent keygen", path)
}

// LoadPub reads an owner's public key (PEM, PKIX).
func LoadPub(path string) (ed25519.PublicKey, error) {
	k, err := keyfile.LoadPublic(path)
	if err != nil {
		return nil, err
	}
	if pub, ok := k.(ed25519.PublicKey); ok {
		return pub, nil
	}
	return nil, fmt.Errorf("%s: not an Ed25519 public key", path)
}
