package enrol

import (
	"bytes"
	"encoding/pem"

	"platen/agent/evidence"
	"platen/agent/fleet/verify"
)

// attestation certifies the RSA attestation key of an enrolled printer, for an ACME server
// that trusts this fleet's authority. It needs no secret: the certificate is of use to
// nobody but the TPM that holds the key.
func (s *Service) attestation(request []byte) ([]byte, error) {
	req, err := evidence.DecodeAttestationRequest(request)
	if err != nil {
		return nil, &verify.Refusal{Reason: verify.BadEnrolment, Err: err}
	}
	r, known := s.cfg.Verifier.Record(req.Printer)
	if !known {
		return nil, &verify.Refusal{Reason: verify.UnknownPrinter}
	}
	if s.cfg.Store.Left(req.Printer) {
		return nil, &verify.Refusal{Reason: verify.Revoked}
	}
	key, err := verify.AttestationKey(r, req)
	if err != nil {
		return nil, err
	}
	chain, err := s.cfg.CA.Attestation(key, r)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, der := range chain {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}
