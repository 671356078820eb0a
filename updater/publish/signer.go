package publish

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"platen/updater/keyfile"
)

// Signer signs with one key: of a file ([OpenKey]), or of an ssh-agent ([AgentKeys]) and
// whatever stands behind it, such as a PKCS #11 token or a TPM.
type Signer interface {
	// Public is an ed25519.PublicKey, or an *ecdsa.PublicKey on P-256.
	Public() crypto.PublicKey
	// Sign signs a message: with Ed25519 as it is, with ECDSA its SHA-256, as ASN.1.
	Sign(message []byte) ([]byte, error)
}

// Algorithm is of a signing key.
type Algorithm string

// The algorithms.
const (
	Ed25519 Algorithm = "ed25519"
	P256    Algorithm = "p256"
)

// errNoKey reports a file that holds no private key, or one that needs a passphrase where
// none can be asked for.
var errNoKey = errors.New("no private key on Ed25519 or P-256 that can be used")

// software is a Signer whose key is in memory.
type software struct{ private crypto.Signer }

func (s software) Public() crypto.PublicKey { return s.private.Public() }

func (s software) Sign(message []byte) ([]byte, error) {
	if _, ok := s.private.(ed25519.PrivateKey); ok {
		return s.private.Sign(nil, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return s.private.Sign(rand.Reader, sum[:], crypto.SHA256)
}

func generate(a Algorithm) (software, error) {
	switch a {
	case Ed25519:
		_, private, err := ed25519.GenerateKey(nil)
		return software{private}, err
	case P256:
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		return software{private}, err
	}
	return software{}, fmt.Errorf("there is no algorithm %q: use %s or %s", a, Ed25519, P256)
}

// NewKey makes a key: path is the private one (PKCS #8 in PEM, for its owner only; with a
// passphrase inside of a file of age, which age -d opens as well), path.pub the public one
// (PKIX in PEM). Files that are there are not replaced.
func NewKey(path string, a Algorithm, passphrase string) (Signer, error) {
	s, err := generate(a)
	if err != nil {
		return nil, err
	}
	if err := s.save(path, passphrase); err != nil {
		return nil, err
	}
	return s, keyfile.SavePublic(path+".pub", s.Public())
}

func (s software) save(path, passphrase string) error {
	text, err := keyfile.Encode(s.private)
	if err != nil {
		return err
	}
	if passphrase != "" {
		if text, err = lock(text, passphrase, workFactor); err != nil {
			return fmt.Errorf("encrypt key: %w", err)
		}
	}
	return keyfile.Create(path, text, 0o600)
}

// workFactor is the logarithm of what trying a passphrase costs: age's own, a second or so.
const workFactor = 18

func lock(text []byte, passphrase string, work int) ([]byte, error) {
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, err
	}
	to.SetWorkFactor(work)
	var b bytes.Buffer
	a := armor.NewWriter(&b)
	w, err := age.Encrypt(a, to)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	err = errors.Join(err, w.Close(), a.Close())
	return b.Bytes(), err
}

// OpenKey reads a private key that [NewKey] wrote, or openssl genpkey did. passphrase is
// asked if the file is encrypted. Others must not be able to read it.
func OpenKey(path string, passphrase func() (string, error)) (Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if strings.HasPrefix(string(text), armor.Header) {
		if passphrase == nil {
			return nil, fmt.Errorf("%s: %w", path, errNoKey)
		}
		if text, err = unlock(text, passphrase); err != nil {
			return nil, fmt.Errorf("open key %s: %w", path, err)
		}
	}
	private, err := keyfile.Parse(path, text)
	if errors.Is(err, keyfile.ErrBlock) || err == nil && !usable(private.Public()) {
		return nil, fmt.Errorf("%s: %w", path, errNoKey)
	}
	if err != nil {
		return nil, err
	}
	return software{private}, nil
}

func unlock(text []byte, passphrase func() (string, error)) ([]byte, error) {
	word, err := passphrase()
	if err != nil {
		return nil, err
	}
	id, err := age.NewScryptIdentity(word)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(text)), id)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, 64<<10))
}

// usable reports whether a key is of an algorithm that this package signs with.
func usable(public crypto.PublicKey) bool {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return true
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256()
	}
	return false
}

// OpenPub reads a public key (PKIX in PEM), for example the .pub file of [NewKey].
func OpenPub(path string) (crypto.PublicKey, error) {
	public, err := keyfile.LoadPublic(path)
	if err == nil && !usable(public) {
		err = fmt.Errorf("%s: no public key on Ed25519 or P-256", path)
	}
	return public, err
}
