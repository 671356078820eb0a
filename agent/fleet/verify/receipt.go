package verify

import (
	"errors"
	"slices"

	"platen/agent/evidence"
)

// Receipt judges the PEM of a receipt by which a printer left its owner, and returns
// which printer that is: its id is the digest of the key that signed, so nothing else is
// needed to tell a receipt of that printer from one of any other. The error of what is
// not believed is a *Refusal.
func Receipt(text []byte) (evidence.PrinterID, evidence.Receipt, error) {
	var none evidence.PrinterID
	r, q, digest, err := evidence.DecodeReceipt(text)
	if err != nil {
		return none, r, refuse(BadEncoding, err)
	}
	id, err := signedBy(r.AK, q, digest)
	if err != nil {
		return none, r, err
	}
	if r.Kept == slices.Contains(r.Indices, evidence.IdentityIndex) {
		return none, r, refuse(BadEncoding, errors.New("it contradicts itself"))
	}
	return id, r, nil
}
