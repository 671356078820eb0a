package verify

import (
	"fmt"

	"platen/agent/evidence"
)

// Delivery judges the PEM by which a printer said that it holds all of a sealed job, and
// returns which printer that is, as [Receipt] does. The error of what is not believed is a
// *Refusal. Whether it is the printer, the job and the file that were meant is the
// caller's to compare.
func Delivery(text []byte) (evidence.PrinterID, evidence.Delivery, error) {
	d, q, digest, err := evidence.DecodeDelivery(text)
	if err != nil {
		return evidence.PrinterID{}, d, refuse(BadEncoding, err)
	}
	id, err := signedBy(d.AK, q, digest)
	return id, d, err
}

// signedBy is the printer whose attestation key, ak, signed a quote over digest.
func signedBy(ak []byte, q evidence.Quote, digest [32]byte) (evidence.PrinterID, error) {
	var none evidence.PrinterID
	public, err := parsePublic(ak)
	if err != nil {
		return none, refuse(BadKey, err)
	}
	if err := checkAttributes(public, role{sign: true, restricted: true}); err != nil {
		return none, refuse(BadKey, fmt.Errorf("attestation key: %w", err))
	}
	key, err := p256(ak)
	if err != nil {
		return none, refuse(BadKey, err)
	}
	id, signer, err := names(public)
	if err != nil {
		return none, refuse(BadKey, err)
	}
	if _, err := quotedValues(key, signer, q, digest); err != nil {
		return none, err
	}
	return id, nil
}
