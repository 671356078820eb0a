package consent

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// GenerateKey makes an owner's key: path gets the private key (PEM, PKCS #8, mode
// 0600), path.pub the public one (PEM, PKIX). Files that exist are left alone and
// are an error.
func GenerateKey(path string) (ed25519.PublicKey, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the owner's key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the owner's key: %w", err)
	}
	if err := writeNew(path, "PRIVATE KEY", der, 0o600); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode the owner's public key: %w", err)
	}
	return pub, writeNew(path+".pub", "PUBLIC KEY", spki, 0o644)
}

// LoadKey reads a private key that [GenerateKey] wrote, or that
// openssl genpkey -algorithm ed25519 did.
func LoadKey(path string) (ed25519.PrivateKey, error) {
	der, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: not a PKCS #8 key", path)
	}
	if key, ok := k.(ed25519.PrivateKey); ok {
		return key, nil
	}
	return nil, fmt.Errorf("%s: not an Ed25519 key: make one with platen consent keygen", path)
}

// LoadPub reads an owner's public key (PEM, PKIX).
func LoadPub(path string) (ed25519.PublicKey, error) {
	der, err := readPEM(path, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	k, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: not a PKIX public key", path)
	}
	if pub, ok := k.(ed25519.PublicKey); ok {
		return pub, nil
	}
	return nil, fmt.Errorf("%s: not an Ed25519 public key", path)
}

func readPEM(path, kind string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the owner's key: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 16<<10))
	if err != nil {
		return nil, fmt.Errorf("read the owner's key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: no %s in PEM", path, kind)
	}
	return block.Bytes, nil
}

func writeNew(path, kind string, der []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	return errors.Join(err, f.Sync(), f.Close())
}
