package consent

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// PayloadType is the DSSE payload type of a grant.
const PayloadType = "application/vnd.platen.consent.v1+text"

// maxEnvelope bounds an envelope in bytes.
const maxEnvelope = 32 << 10

// Sign makes the DSSE envelope of a grant, signed by the owner's key.
func Sign(g Grant, owner ed25519.PrivateKey) ([]byte, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	return seal(PayloadType, []byte(g.Text()), owner)
}

// Open returns the grant inside an envelope that the owner's key signed. Whether
// it is in force is [Grant.InForce]; whether it was used before is for the [Store].
func Open(envelope []byte, owner ed25519.PublicKey) (Grant, error) {
	if len(envelope) > maxEnvelope {
		return Grant{}, fmt.Errorf("%w: too long", ErrRecord)
	}
	var env dsse.Envelope
	dec := json.NewDecoder(bytes.NewReader(envelope))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&env); err != nil {
		return Grant{}, fmt.Errorf("%w: not an envelope", ErrRecord)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Grant{}, fmt.Errorf("%w: bytes behind the envelope", ErrRecord)
	}
	if env.PayloadType != PayloadType {
		return Grant{}, fmt.Errorf("%w: another payload type", ErrRecord)
	}
	text, err := env.DecodeB64Payload()
	if err != nil {
		return Grant{}, fmt.Errorf("%w: payload", ErrRecord)
	}
	if !signed(env, text, owner) {
		return Grant{}, ErrSignature
	}
	return Parse(text)
}

func signed(env dsse.Envelope, text []byte, owner ed25519.PublicKey) bool {
	if len(owner) != ed25519.PublicKeySize || len(env.Signatures) > 8 {
		return false
	}
	msg := dsse.PAE(env.PayloadType, text)
	for _, s := range env.Signatures {
		sig, err := base64.StdEncoding.DecodeString(s.Sig)
		if err == nil && len(sig) == ed25519.SignatureSize && ed25519.Verify(owner, msg, sig) {
			return true
		}
	}
	return false
}

// KeyID names an owner's key: the SHA-256 of its 32 bytes in hexadecimal.
func KeyID(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(pub)
	return hex.EncodeToString(sum[:])
}
