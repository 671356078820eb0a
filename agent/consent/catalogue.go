package consent

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"platen/agent/catalog"
)

// CatalogueType is the DSSE payload type of a signed catalogue: catalog.List as JSON.
const CatalogueType = "application/vnd.platen.catalogue.v1+json"

// ErrOther reports a signed catalogue that is not the one of this release.
var ErrOther = errors.New("signed is another catalogue than this release has")

// maxCatalogue bounds a signed catalogue in bytes.
const maxCatalogue = 256 << 10

// SignCatalogue makes the DSSE envelope of this release's catalogue: what whoever
// publishes the release declares to be all that it can send.
func SignCatalogue(key ed25519.PrivateKey) ([]byte, error) {
	text, err := json.Marshal(catalog.Published())
	if err != nil {
		return nil, fmt.Errorf("encode the catalogue: %w", err)
	}
	return seal(CatalogueType, text, key)
}

// OpenCatalogue checks a signed catalogue: it is [ErrSignature] if pub did not sign it,
// and [ErrOther] if it is not this release's.
func OpenCatalogue(envelope []byte, pub ed25519.PublicKey) error {
	if len(envelope) > maxCatalogue {
		return fmt.Errorf("%w: too long", ErrRecord)
	}
	var env dsse.Envelope
	dec := json.NewDecoder(bytes.NewReader(envelope))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&env); err != nil || env.PayloadType != CatalogueType {
		return fmt.Errorf("%w: not the envelope of a catalogue", ErrRecord)
	}
	text, err := env.DecodeB64Payload()
	if err != nil {
		return fmt.Errorf("%w: payload", ErrRecord)
	}
	if !signed(env, text, pub) {
		return ErrSignature
	}
	var l catalog.List
	if json.Unmarshal(text, &l) != nil || !l.Same() {
		return ErrOther
	}
	return nil
}

// seal signs a payload into a DSSE envelope, one line of JSON.
func seal(payloadType string, text []byte, key ed25519.PrivateKey) ([]byte, error) {
	sig := ed25519.Sign(key, dsse.PAE(payloadType, text))
	b, err := json.Marshal(dsse.Envelope{
		PayloadType: payloadType,
		Payload:     base64.StdEncoding.EncodeToString(text),
		Signatures:  []dsse.Signature{{KeyID: KeyID(key.Public().(ed25519.PublicKey)), Sig: base64.StdEncoding.EncodeToString(sig)}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode an envelope: %w", err)
	}
	return append(b, '\n'), nil
}
