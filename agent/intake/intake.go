// Package intake is how a job comes into the printer: the sealed file, the ticket
// that says who may print it, and the local socket through which both arrive.
//
// A sealed file is an age file (age-encryption.org/v1) whose recipient is the
// printer's P-256 key in its TPM, written age1tag…; stock age seals one. The agent
// takes its ciphertext into memory with [Hold], checks the [Ticket], and unwraps
// the file key with [Identity]; it never decrypts the payload, which only a
// session does. A ticket is a DSSE envelope signed by an operator key that the
// printer's owner trusts; a [Ledger] counts the copies it was used for.
//
// A file in clear, given by its owner at the printer, is not looked at here at
// all: its descriptor goes from the socket to the session.
package intake

import (
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/base64"
	"errors"
	"fmt"

	"filippo.io/age"
	"filippo.io/age/tag"
)

// Labels of the p256tag stanza of age (C2SP age.md, tagged recipients).
const (
	stanzaType  = "p256tag"
	stanzaLabel = "age-encryption.org/p256tag"
)

// ErrNotSealedHere reports a sealed file whose recipients do not include this
// printer.
var ErrNotSealedHere = errors.New("the file is not sealed to this printer: seal it to the recipient that platen status prints")

// Recipient writes a P-256 public key as an age recipient, "age1tag1…".
func Recipient(pub *ecdh.PublicKey) (string, error) {
	r, err := recipient(pub)
	if err != nil {
		return "", err
	}
	return r.String(), nil
}

func recipient(pub *ecdh.PublicKey) (*tag.Recipient, error) {
	raw := pub.Bytes() // uncompressed, SEC 1 section 2.3.3
	if pub.Curve() != ecdh.P256() || len(raw) != 65 {
		return nil, errors.New("the printer's job key is not a P-256 key")
	}
	compressed := append([]byte{2 + raw[64]&1}, raw[1:33]...)
	r, err := tag.NewClassicRecipient(compressed)
	if err != nil {
		return nil, fmt.Errorf("encoding the recipient: %w", err)
	}
	return r, nil
}

// Identity opens stanzas with a key that need not be in memory: its ECDH runs
// where the key is. It implements age.Identity.
type Identity struct {
	key  ecdh.KeyExchanger
	priv hpke.PrivateKey
	own  *tag.Recipient
}

// NewIdentity makes an identity of a P-256 key.
func NewIdentity(key ecdh.KeyExchanger) (*Identity, error) {
	own, err := recipient(key.PublicKey())
	if err != nil {
		return nil, err
	}
	priv, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("using the job key: %w", err)
	}
	return &Identity{key: key, priv: priv, own: own}, nil
}

// Unwrap returns the file key of the first stanza that is for this key. Stanzas
// for others are skipped by their tag, without using the key.
func (id *Identity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type != stanzaType || len(s.Args) != 2 {
			continue
		}
		enc, err := base64.RawStdEncoding.Strict().DecodeString(s.Args[1])
		if err != nil || len(enc) != 65 {
			return nil, errors.New("the sealed file's header is damaged: seal it again")
		}
		want, err := id.own.Tag(enc)
		if err != nil {
			return nil, fmt.Errorf("reading the sealed file's header: %w", err)
		}
		if s.Args[0] != base64.RawStdEncoding.EncodeToString(want) {
			continue
		}
		r, err := hpke.NewRecipient(enc, id.priv, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(stanzaLabel))
		if err != nil {
			return nil, fmt.Errorf("using the job key: %w", err)
		}
		key, err := r.Open(nil, s.Body)
		if err != nil {
			return nil, errors.New("the sealed file's header was altered: seal it again")
		}
		return key, nil
	}
	return nil, age.ErrIncorrectIdentity
}

// FileKey unwraps the file key of a sealed file from its header. Every stanza is
// bound by the header's MAC, which the session checks when it opens the file.
func FileKey(header []byte, id *Identity) ([16]byte, error) {
	var key [16]byte
	k, err := age.DecryptHeader(header, id)
	if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
		return key, ErrNotSealedHere
	}
	if err != nil {
		return key, fmt.Errorf("opening the sealed file: %w", err)
	}
	if copy(key[:], k) != len(key) || len(k) != len(key) {
		return key, errors.New("the sealed file's key has the wrong size: seal it again")
	}
	clear(k)
	return key, nil
}
