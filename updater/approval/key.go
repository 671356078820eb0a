package approval

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// GenerateKey makes an approver's key: path holds the private key (PKCS #8, for its owner
// only), path.pub the public one, for printers. Files that are there are not replaced.
func GenerateKey(path string) (*ecdsa.PublicKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an approver's key: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make an approver's key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("make an approver's key: %w", err)
	}
	if err := create(path, "PRIVATE KEY", private, 0o600); err != nil {
		return nil, err
	}
	return &key.PublicKey, create(path+".pub", "PUBLIC KEY", public, 0o644)
}

func create(path, kind string, der []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write an approver's key: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write an approver's key: %w", err)
	}
	return nil
}

// LoadKey reads a private key that [GenerateKey] wrote, or openssl genpkey -algorithm EC
// -pkeyopt ec_paramgen_curve:P-256 did. Others must not be able to read it.
func LoadKey(path string) (*ecdsa.PrivateKey, error) {
	der, err := read(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key %s can be read by others: chmod 600 it, and consider the key lost", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if key, ok := k.(*ecdsa.PrivateKey); err == nil && ok && key.Curve == elliptic.P256() {
		return key, nil
	}
	return nil, fmt.Errorf("%s: not an approver's key on P-256: make one with platen approve keygen", path)
}

// LoadPub reads the public key (PEM, PKIX).
func LoadPub(path string) (*ecdsa.PublicKey, error) {
	der, err := read(path, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	k, err := x509.ParsePKIXPublicKey(der)
	if key, ok := k.(*ecdsa.PublicKey); err == nil && ok && key.Curve == elliptic.P256() {
		return key, nil
	}
	return nil, fmt.Errorf("%s: not an approver's key on P-256: make one with platen approve keygen", path)
}

func read(path, kind string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read an approver's key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: no PEM block %q in it", path, kind)
	}
	return block.Bytes, nil
}
