// Package intake is how a job comes into the printer: the sealed file, the ticket
// that says who may print it, and the local socket through which both arrive.
//
// A sealed file is an age file (age-encryption.org/v1) whose recipient is the
// printer's P-256 key in its TPM, written age1tag…, or that key together with an
// ML-KEM-768 key, age1tagpq…; stock age seals one. The agent
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
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/mlkem"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"filippo.io/age"
)

// Stanzas of age for tagged recipients, P-256 alone and with ML-KEM-768 (C2SP age.md,
// tagged recipients); in labels their names follow labelPrefix.
const (
	classicStanza = "p256tag"
	hybridStanza  = "mlkem768p256tag"
	labelPrefix   = "age-encryption.org/"

	pointSize = 65 // of an encapsulated P-256 key
)

// ErrNotSealedHere reports a sealed file whose recipients do not include this
// printer.
var ErrNotSealedHere error = &FileError{"not-sealed-here", "the file is not sealed to this printer: seal it to the recipient that platen status prints"}

// Recipient writes a P-256 public key as an age recipient, "age1tag1…".
func Recipient(pub *ecdh.PublicKey) (string, error) {
	c, err := compressed(pub)
	if err != nil {
		return "", err
	}
	return bech32("age1tag", c), nil
}

// HybridRecipient writes the same key, together with an ML-KEM-768 key, as the age
// recipient "age1tagpq1…": what is sealed to it stays closed as long as either holds.
func HybridRecipient(pub *ecdh.PublicKey, pq *mlkem.EncapsulationKey768) string {
	return bech32("age1tagpq", append(pq.Bytes(), pub.Bytes()...))
}

// compressed is the SEC 1 compressed form of a P-256 key, 33 bytes.
func compressed(pub *ecdh.PublicKey) ([]byte, error) {
	raw := pub.Bytes() // uncompressed, SEC 1 section 2.3.3
	if pub.Curve() != ecdh.P256() || len(raw) != 65 {
		return nil, errors.New("the printer's job key is not a P-256 key")
	}
	return append([]byte{2 + raw[64]&1}, raw[1:33]...), nil
}

// bech32 encodes data under a human-readable part (BIP 173), without its bound on
// length, as age does.
func bech32(hrp string, data []byte) string {
	const charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	var words []byte // of 5 bits
	acc, bits := 0, 0
	for _, b := range data {
		acc, bits = acc<<8|int(b), bits+8
		for ; bits >= 5; bits -= 5 {
			words = append(words, byte(acc>>(bits-5)&31))
		}
		acc &= 1<<bits - 1
	}
	if bits > 0 {
		words = append(words, byte(acc<<(5-bits)&31))
	}
	sum := uint32(1)
	mix := func(v byte) {
		generator := [...]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, g := range generator {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	for i := range len(hrp) {
		mix(hrp[i] >> 5)
	}
	mix(0)
	for i := range len(hrp) {
		mix(hrp[i] & 31)
	}
	out := []byte(hrp + "1")
	for _, w := range words {
		mix(w)
		out = append(out, charset[w])
	}
	for range 6 {
		mix(0)
	}
	sum ^= 1
	for i := range 6 {
		out = append(out, charset[sum>>(25-5*i)&31])
	}
	return string(out)
}

// stanzaTag is the tag by which a recipient knows its stanza: HKDF-Extract over the
// encapsulated key and the first 4 bytes of the digest of the recipient's P-256 key.
func stanzaTag(kind string, enc, own []byte) ([]byte, error) {
	h := sha256.Sum256(own)
	t, err := hkdf.Extract(sha256.New, append(enc[:len(enc):len(enc)], h[:4]...), []byte(labelPrefix+kind))
	if err != nil {
		return nil, err
	}
	return t[:4], nil
}

// Identity opens stanzas with a key that need not be in memory: its ECDH runs
// where the key is. It implements age.Identity.
type Identity struct {
	ways map[string]way // by type of stanza
}

// way is how one type of stanza is opened.
type way struct {
	priv hpke.PrivateKey
	own  []byte // P-256 key, as its tag takes it
	size int    // of an encapsulated key
}

// NewIdentity makes an identity of a P-256 key and, for hybrid recipients, an ML-KEM-768
// key; without that one only the others are opened.
func NewIdentity(key ecdh.KeyExchanger, pq *mlkem.DecapsulationKey768) (*Identity, error) {
	own, err := compressed(key.PublicKey())
	if err != nil {
		return nil, err
	}
	priv, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("using the job key: %w", err)
	}
	id := &Identity{map[string]way{classicStanza: {priv, own, pointSize}}}
	if pq != nil {
		if priv, err = hpke.NewHybridPrivateKey(pq, key); err != nil {
			return nil, fmt.Errorf("using the job key: %w", err)
		}
		id.ways[hybridStanza] = way{priv, key.PublicKey().Bytes(), mlkem.CiphertextSize768 + pointSize}
	}
	return id, nil
}

// Unwrap returns the file key of the first stanza that is for this key. Stanzas
// for others are skipped by their tag, without using the key.
func (id *Identity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		enc, err := id.ours(s)
		if err != nil {
			return nil, err
		}
		if enc == nil {
			continue
		}
		r, err := hpke.NewRecipient(enc, id.ways[s.Type].priv, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(labelPrefix+s.Type))
		if err != nil {
			return nil, fmt.Errorf("using the job key: %w", err)
		}
		key, err := r.Open(nil, s.Body)
		if err != nil {
			return nil, &FileError{"altered", "the sealed file's header was altered: seal it again"}
		}
		return key, nil
	}
	return nil, age.ErrIncorrectIdentity
}

// Sealed is ErrNotSealedHere if no stanza of a sealed file's header is for this key. The
// key is not used.
func (id *Identity) Sealed(header []byte) error {
	_, err := age.DecryptHeader(header, tagged{id})
	if errors.Is(err, errTagged) {
		return nil
	}
	return ErrNotSealedHere
}

// tagged finds stanzas and opens none.
type tagged struct{ id *Identity }

var errTagged = errors.New("there is one")

// Unwrap is errTagged if a stanza is for the key.
func (t tagged) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if enc, err := t.id.ours(s); enc != nil || err != nil {
			return nil, errTagged // one that is damaged is for FileKey to refuse
		}
	}
	return nil, age.ErrIncorrectIdentity
}

// ours is the encapsulated key of a stanza that is for this key, nil if it is not, by its
// tag.
func (id *Identity) ours(s *age.Stanza) ([]byte, error) {
	w, known := id.ways[s.Type]
	if !known || len(s.Args) != 2 {
		return nil, nil
	}
	enc, err := base64.RawStdEncoding.Strict().DecodeString(s.Args[1])
	if err != nil || len(enc) != w.size {
		return nil, &FileError{"altered", "the sealed file's header is damaged: seal it again"}
	}
	want, err := stanzaTag(s.Type, enc, w.own)
	if err != nil {
		return nil, fmt.Errorf("reading the sealed file's header: %w", err)
	}
	if s.Args[0] != base64.RawStdEncoding.EncodeToString(want) {
		return nil, nil
	}
	return enc, nil
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
		return key, &FileError{"altered", "the sealed file's key has the wrong size: seal it again"}
	}
	clear(k)
	return key, nil
}
