// Package keyfile has the files that people keep keys in: PEM, as openssl reads and writes
// them. A private key is PKCS #8 in a file for its owner only, a public one PKIX. Start at
// [Save] and [Load].
//
// Which algorithms are good for what is for the callers to say, who hold what they get
// against the type that they want.
package keyfile

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The types of PEM blocks.
const (
	Private     = "PRIVATE KEY"
	Public      = "PUBLIC KEY"
	Certificate = "CERTIFICATE"
)

// ErrBlock reports a file without the PEM block that was looked for.
var ErrBlock = errors.New("no PEM block of that type")

// longest bounds a key's file.
const longest = 64 << 10

// Create makes a file that is on the disk when it returns. One that is there is not
// replaced: os.ErrExist. If it fails otherwise there is none.
func Create(path string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil { // half a file would be in the way of the next attempt
		return fmt.Errorf("write key file: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Save makes two files: path has the private key, path.pub the public one. If it fails it
// has made neither.
func Save(path string, key crypto.Signer) error {
	text, err := Encode(key)
	if err != nil {
		return err
	}
	if err := Create(path, text, 0o600); err != nil {
		return err
	}
	if err := SavePublic(path+".pub", key.Public()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// Encode is the text of a private key's file.
func Encode(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: Private, Bytes: der}), nil
}

// SavePublic makes the file of a public key.
func SavePublic(path string, key crypto.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return fmt.Errorf("encode public key: %w", err)
	}
	return Create(path, pem.EncodeToMemory(&pem.Block{Type: Public, Bytes: der}), 0o644)
}

// Load reads a private key that [Save] wrote, or openssl genpkey. One that others can read
// is refused.
func Load(path string) (crypto.Signer, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// Parse reads the text of a private key's file, which is at path.
func Parse(path string, text []byte) (crypto.Signer, error) {
	der, err := block(path, text, Private)
	if err != nil {
		return nil, err
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key %s can be read by others: chmod 600 it, and consider the key lost", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("key %s is damaged: %w", path, err)
	}
	if key, ok := parsed.(crypto.Signer); ok {
		return key, nil
	}
	return nil, fmt.Errorf("key %s is of a kind that does not sign", path)
}

// LoadPublic reads a public key that [SavePublic] wrote, or openssl pkey -pubout.
func LoadPublic(path string) (crypto.PublicKey, error) {
	der, err := LoadBlock(path, Public)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("public key %s is damaged: %w", path, err)
	}
	return key, nil
}

// LoadBlock reads the contents of a file's first PEM block, which has to be of a type:
// ErrBlock.
func LoadBlock(path, kind string) ([]byte, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	return block(path, text, kind)
}

func read(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err == nil && st.Size() > longest {
		err = errors.New("it is too long for one")
	}
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	return text, nil
}

func block(path string, text []byte, kind string) ([]byte, error) {
	b, _ := pem.Decode(text)
	if b == nil || b.Type != kind {
		return nil, fmt.Errorf("%s, %s: %w", path, kind, ErrBlock)
	}
	return b.Bytes, nil
}
