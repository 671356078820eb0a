package approval

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"

	"platen/updater/keyfile"
)

// GenerateKey makes an approver's key: path holds the private key (PKCS #8, for its owner
// only), path.pub the public one, for printers. Files that are there are not replaced.
func GenerateKey(path string) (*ecdsa.PublicKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err == nil {
		err = keyfile.Save(path, key)
	}
	if err != nil {
		return nil, fmt.Errorf("make an approver's key: %w", err)
	}
	return &key.PublicKey, nil
}

// LoadKey reads a private key that [GenerateKey] wrote, or openssl genpkey -algorithm EC
// -pkeyopt ec_paramgen_curve:P-256 did. Others must not be able to read it.
func LoadKey(path string) (*ecdsa.PrivateKey, error) {
	k, err := keyfile.Load(path)
	if err != nil {
		return nil, err
	}
	if key, ok := k.(*ecdsa.PrivateKey); ok && key.Curve == elliptic.P256() {
		return key, nil
	}
	return nil, fmt.Errorf("%s: not an approver's key on P-256: make one with platen approve keygen", path)
}

// LoadPub reads the public key (PEM, PKIX).
func LoadPub(path string) (*ecdsa.PublicKey, error) {
	k, err := keyfile.LoadPublic(path)
	if err != nil {
		return nil, err
	}
	if key, ok := k.(*ecdsa.PublicKey); ok && key.Curve == elliptic.P256() {
		return key, nil
	}
	return nil, fmt.Errorf("%s: not an approver's key on P-256: make one with platen approve keygen", path)
}
