package uplink

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"time"

	"platen/agent/evidence"
	"platen/agent/uplink/acme"
)

// acmeTime bounds an order: a TPM takes seconds to derive the RSA key, and a server may take its time.
const acmeTime = 2 * time.Minute

// Attester is the printer's TPM as an ACME server wants it; attest.Client is one.
type Attester interface {
	// AttestationRequest asks the fleet to certify the key that states things.
	AttestationRequest(ctx context.Context) ([]byte, error)
	// Attest states that the TPM holds the client key, over digest.
	Attest(ctx context.Context, digest [32]byte) (evidence.Certified, error)
	// CSR is a certificate request for the client key in DER.
	CSR() ([]byte, error)
}

// ACME has another authority certify the client key of an enrolled printer: the one whose
// ACME directory is at the https URL directory, by what the TPM states. The fleet at base
// certifies the key that states it; see [Enrol] for base, roots and key. The result is res with
// the new certificate in place of the fleet's.
func ACME(ctx context.Context, base string, roots *x509.CertPool, directory string, tpm Attester, key crypto.PublicKey, res evidence.EnrolResult) (evidence.EnrolResult, error) {
	var none evidence.EnrolResult
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" || roots == nil {
		return none, errors.New("enrolment needs an https URL and the CA that its certificate chains to")
	}
	ctx, cancel := context.WithTimeout(ctx, acmeTime)
	defer cancel()
	c := client(roots)
	defer c.CloseIdleConnections()
	request, err := tpm.AttestationRequest(ctx)
	if err != nil {
		return none, err
	}
	text, err := post(ctx, c, u.JoinPath(evidence.AttestationPath).String(), request)
	if err != nil {
		return none, err
	}
	var chain [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		chain = append(chain, block.Bytes)
	}
	csr, err := tpm.CSR()
	if err != nil {
		return none, err
	}
	res.Certs, err = acme.Order(ctx, c, directory, acme.Request{Identifier: res.Printer.String(), CSR: csr,
		Attest: func(ctx context.Context, digest [32]byte) ([]byte, error) {
			statement, err := tpm.Attest(ctx, digest)
			if err != nil {
				return nil, err
			}
			return evidence.WebAuthnTPM(statement, chain)
		}})
	if err != nil {
		return none, err
	}
	return res, checkResult(res, res.Printer, key)
}
