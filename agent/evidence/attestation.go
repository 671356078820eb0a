package evidence

import "fmt"

// UseACME is the purpose of the key that speaks for the client key to an ACME server.
const UseACME = "acme"

// AttestationRequest asks the fleet for a certificate of the printer's RSA attestation key,
// by which an ACME server that trusts the fleet believes what that key states.
type AttestationRequest struct {
	_ struct{} `cbor:",toarray"`
	// V is Version.
	V uint64
	// Printer is the id of an enrolled printer.
	Printer PrinterID
	// Key is the RSA key, certified for UseACME by the attestation key of the enrolment.
	Key Certified
}

func (r AttestationRequest) check() error {
	return limit(r.V == Version && r.Key.ok(), "attestation request")
}

// Encode returns the frame of r.
func (r AttestationRequest) Encode() ([]byte, error) {
	return encodeEnrol(magicAttestation, r, r.check())
}

// DecodeAttestationRequest reads the frame of an AttestationRequest and nothing else.
func DecodeAttestationRequest(wire []byte) (AttestationRequest, error) {
	return decodeEnrol[AttestationRequest](magicAttestation, wire)
}

// webAuthn is an attestation object of Web Authentication, section 6.5.4, without what an
// ACME server does not look at.
type webAuthn struct {
	Format    string            `cbor:"fmt"`
	Statement webAuthnStatement `cbor:"attStmt"`
}

// webAuthnStatement is that of format "tpm", section 8.3.
type webAuthnStatement struct {
	Version  string   `cbor:"ver"`
	Alg      int64    `cbor:"alg"` // of COSE
	Chain    [][]byte `cbor:"x5c"`
	Sig      []byte   `cbor:"sig"`
	CertInfo []byte   `cbor:"certInfo"`
	PubArea  []byte   `cbor:"pubArea"`
}

// rs256 is RSASSA-PKCS1-v1_5 with SHA-256 in COSE.
const rs256 = -257

// WebAuthnTPM is the attestation object by which the RSA key of chain's first certificate
// states that a TPM holds a key: c is that key and TPM2_Certify's statement.
func WebAuthnTPM(c Certified, chain [][]byte) ([]byte, error) {
	if err := limit(c.ok() && len(chain) > 0 && len(chain) <= maxChain, "attestation object"); err != nil {
		return nil, err
	}
	b, err := marshal(webAuthn{Format: "tpm", Statement: webAuthnStatement{Version: "2.0", Alg: rs256, Chain: chain,
		Sig: c.Sig, CertInfo: c.Attest, PubArea: c.Public}})
	if err != nil {
		return nil, fmt.Errorf("encode an attestation object: %w", err)
	}
	return b, nil
}
