package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// parse reads one TPM structure from bytes that a stranger sent, and nothing but
// that structure in its one encoding.
func parse[T tpm2.Marshallable, P interface {
	*T
	tpm2.Unmarshallable
}](b []byte) (p *T, err error) {
	// The library checks what it reads by reflection; a mistake in there must cost
	// this message, not the process.
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, errors.New("malformed TPM structure")
		}
	}()
	p, err = tpm2.Unmarshal[T, P](b)
	if err != nil {
		return nil, errors.New("malformed TPM structure")
	}
	if !bytes.Equal(tpm2.Marshal(*p), b) {
		return nil, errors.New("TPM structure encoded in another way")
	}
	return p, nil
}

func parsePublic(b []byte) (*tpm2.TPMTPublic, error) {
	p, err := parse[tpm2.TPMTPublic](b)
	if err != nil {
		return nil, fmt.Errorf("public area: %w", err)
	}
	return p, nil
}

// checkSig checks an ECDSA signature with SHA-256 over attest.
func checkSig(key *ecdsa.PublicKey, attest, sig []byte) error {
	r, s, ok := readECDSA(sig)
	if !ok {
		return refuse(BadSignature, errors.New("not a TPM's ECDSA signature over SHA-256"))
	}
	digest := sha256.Sum256(attest)
	if !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)) {
		return refuse(BadSignature, nil)
	}
	return nil
}

// magic begins every structure that a TPM generated itself, and nothing that it
// would sign for somebody else with a restricted key: TPM_GENERATED_VALUE.
var magic = []byte{0xff, 'T', 'C', 'G'}

// statement checks that the attestation key signed attest and that the TPM made it,
// and returns it.
func statement(ak *ecdsa.PublicKey, signer, attest, sig []byte) (attested, error) {
	if err := checkSig(ak, attest, sig); err != nil {
		return attested{}, err
	}
	if !bytes.HasPrefix(attest, magic) {
		return attested{}, refuse(BadMagic, nil)
	}
	att, ok := readAttest(attest)
	if !ok {
		return attested{}, refuse(BadAttest, nil)
	}
	if !bytes.Equal(att.signer, signer) {
		return attested{}, refuse(WrongSigner, nil)
	}
	return att, nil
}

// quoted checks that a quote is the printer's, over qualifying and over exactly the PCRs of
// evidence.Selection in the SHA-256 bank. It returns what was quoted; whether the values
// are those that are expected is the caller's to check.
func quoted(ak *ecdsa.PublicKey, signer, attest, sig []byte, qualifying [32]byte) (attested, error) {
	att, err := statement(ak, signer, attest, sig)
	if err != nil {
		return att, err
	}
	if att.kind != tpm2.TPMSTAttestQuote {
		return att, refuse(NotAQuote, nil)
	}
	if !bytes.Equal(att.selection, wantSelection()) {
		return att, refuse(WrongBank, nil)
	}
	if !bytes.Equal(att.extra, qualifying[:]) {
		return att, refuse(WrongQualifying, nil)
	}
	return att, nil
}

// quotedValues is quoted for a quote that has its values with it.
func quotedValues(ak *ecdsa.PublicKey, signer []byte, q evidence.Quote, qualifying [32]byte) (attested, error) {
	att, err := quoted(ak, signer, q.Attest, q.Sig, qualifying)
	if err != nil {
		return att, err
	}
	if values := q.PCRs.Digest(); !bytes.Equal(att.pcrDigest, values[:]) {
		return att, refuse(WrongPCRs, nil)
	}
	return att, nil
}

// wantSelection is the TPML_PCR_SELECTION of evidence.Selection.
func wantSelection() []byte {
	b := []byte{0, 0, 0, 1, 0, byte(tpm2.TPMAlgSHA256), 3, 0, 0, 0} // one bank, three bytes of bits
	for _, pcr := range evidence.Selection() {
		b[7+pcr/8] |= 1 << (pcr % 8)
	}
	return b
}
