package verify

import (
	"bytes"
	"crypto/rsa"
	"errors"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// AttestationKey judges a printer's request for a certificate of the RSA key that speaks
// for its client key to ACME servers: it has to live in the TPM that enrolled as record,
// to be made there, and to sign nothing but what the TPM itself states. The error of what
// is not believed is a *Refusal.
func AttestationKey(record Record, req evidence.AttestationRequest) (*rsa.PublicKey, error) {
	ak, err := parsePublic(record.AK)
	if err != nil {
		return nil, refuse(BadKey, err)
	}
	point, err := p256(record.AK)
	if err != nil {
		return nil, refuse(BadKey, err)
	}
	_, signer, err := names(ak)
	if err != nil {
		return nil, refuse(BadKey, err)
	}
	public, err := parsePublic(req.Key.Public)
	if err != nil {
		return nil, refuse(BadKey, err)
	}
	a := public.ObjectAttributes
	if public.Type != tpm2.TPMAlgRSA || public.NameAlg != tpm2.TPMAlgSHA256 || !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin ||
		a.EncryptedDuplication || !a.Restricted || !a.SignEncrypt || a.Decrypt {
		return nil, refuse(BadKey, errors.New("not a restricted RSA key that was made in its TPM"))
	}
	att, err := statement(point, signer, req.Key.Attest, req.Key.Sig)
	if err != nil {
		return nil, refuse(NotCertified, err)
	}
	name, err := tpm2.ObjectName(public)
	if err != nil {
		return nil, refuse(BadKey, err)
	}
	purpose := evidence.Purpose(evidence.UseACME)
	if att.kind != tpm2.TPMSTAttestCertify || !bytes.Equal(att.name, name.Buffer) || !bytes.Equal(att.extra, purpose[:]) {
		return nil, refuse(NotCertified, errors.New("the statement is about something else"))
	}
	key, err := tpm2.Pub(*public)
	if err != nil {
		return nil, refuse(BadKey, errors.New("no public key in the TPM's structure"))
	}
	rsaKey, ok := key.(*rsa.PublicKey)
	if !ok || rsaKey.N.BitLen() < 2048 {
		return nil, refuse(BadKey, errors.New("not an RSA key of at least 2048 bits"))
	}
	return rsaKey, nil
}
