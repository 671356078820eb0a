package attest

import (
	"context"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// EnrolRequest makes the first message of an enrolment in its frame: the printer's
// public keys, the maker's certificates and a certificate request whose common
// name is the printer's id. claim is the code that lets the printer in, or empty.
func (t *TPM) EnrolRequest(ctx context.Context, claim string) ([]byte, error) {
	return t.enrolRequest(ctx, claim, t.tls)
}

func (t *TPM) enrolRequest(ctx context.Context, claim string, client *Signer) ([]byte, error) {
	req, err := call(ctx, t, func(o *owner) (evidence.EnrolRequest, error) { return o.enrolRequest(claim, client.id) })
	if err != nil {
		return nil, fmt.Errorf("make an enrolment request: %w", err)
	}
	if req.CSR, err = t.csr(client); err != nil {
		return nil, fmt.Errorf("make an enrolment request: %w", err)
	}
	return req.Encode()
}

func (o *owner) enrolRequest(claim string, client keyID) (evidence.EnrolRequest, error) {
	req := evidence.EnrolRequest{V: evidence.Version, Claim: claim}
	var err error
	if req.EKs, err = o.endorsementKeys(); err != nil {
		return req, err
	}
	if req.TLS, err = o.certify(client, attestationKey, evidence.Purpose(evidence.UseTLS)); err != nil {
		return req, err
	}
	if req.Job, err = o.certify(jobKey, attestationKey, evidence.Purpose(evidence.UseJob)); err != nil {
		return req, err
	}
	ak, err := o.public(attestationKey)
	if err != nil {
		return req, err
	}
	req.AK = tpm2.Marshal(ak)
	return req, nil
}

// Activate answers the challenge to a request, both in their frames: the TPM opens
// the secret, quotes its PCRs over both messages, and the answer goes back in its
// frame.
func (t *TPM) Activate(ctx context.Context, request, challenge []byte) ([]byte, error) {
	answer, err := call(ctx, t, func(o *owner) (evidence.EnrolResponse, error) { return o.answer(request, challenge) })
	if err != nil {
		return nil, fmt.Errorf("answer the enrolment's challenge: %w", err)
	}
	return answer.Encode()
}

func (o *owner) answer(request, challenge []byte) (evidence.EnrolResponse, error) {
	var out evidence.EnrolResponse
	req, err := evidence.DecodeEnrolRequest(request)
	if err != nil {
		return out, err
	}
	ch, err := evidence.DecodeEnrolChallenge(challenge)
	if err != nil {
		return out, err
	}
	if ch.EK >= uint64(len(req.EKs)) {
		return out, fmt.Errorf("%w: challenge for a key that was not offered", evidence.ErrEncoding)
	}
	secret, err := o.activate(req.EKs[ch.EK].Public, ch.Blob, ch.Secret)
	if err != nil {
		return out, err
	}
	defer clear(secret)
	q, err := o.quote(evidence.EnrolDigest(request, challenge))
	if err != nil {
		return out, err
	}
	return evidence.EnrolResponse{V: evidence.Version, Session: ch.Session, Quote: q, Log: o.fullLog(),
		MAC: evidence.EnrolMAC(secret, request, challenge, q)}, nil
}
