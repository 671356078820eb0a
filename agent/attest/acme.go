package attest

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// acmeKey is a second restricted key: ACME servers of today check RSA statements alone. It
// is derived when it is first used, which takes a TPM some seconds.
var acmeKey = keyID{name: "ACME attestation key"}

// acmeTemplate is an RSA-2048 key that signs with RSASSA and SHA-256 what the TPM itself made.
func acmeTemplate(who [32]byte) tpm2.TPMTPublic {
	t := contentTemplate(who)
	t.ObjectAttributes.Decrypt, t.ObjectAttributes.SignEncrypt, t.ObjectAttributes.Restricted = false, true, true
	t.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
		Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
		Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})},
		KeyBits: 8 * contentBytes,
	})
	return t
}

// AttestationRequest asks the fleet, in its frame, to certify the key that speaks for the
// client key to an ACME server; see package uplink/acme.
func (t *TPM) AttestationRequest(ctx context.Context) ([]byte, error) {
	key, err := call(ctx, t, func(o *owner) (evidence.Certified, error) {
		if _, err := o.public(acmeKey); err != nil {
			return evidence.Certified{}, err
		}
		return o.certify(acmeKey, attestationKey, evidence.Purpose(evidence.UseACME))
	})
	if err != nil {
		return nil, fmt.Errorf("make an attestation request: %w", err)
	}
	return evidence.AttestationRequest{V: evidence.Version, Printer: t.id, Key: key}.Encode()
}

// Attest states for an ACME server that the TPM holds the client key, over the digest that
// the server's challenge asks for. Sig is a TPMT_SIGNATURE.
func (c *Client) Attest(ctx context.Context, digest [32]byte) (evidence.Certified, error) {
	return call(ctx, c.TPM, func(o *owner) (evidence.Certified, error) { return o.certify(c.key.id, acmeKey, digest) })
}

// CSR is a certificate request for the client key in DER; the common name is the printer's id.
func (c *Client) CSR() ([]byte, error) { return c.csr(c.key) }

func (t *TPM) csr(client *Signer) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:            pkix.Name{CommonName: t.id.String()},
		SignatureAlgorithm: x509.ECDSAWithSHA256,
	}, client)
}
