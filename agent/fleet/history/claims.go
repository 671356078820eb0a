package history

import (
	"encoding/base64"
	"strconv"

	"platen/agent/evidence"
	"platen/agent/fleet/verify"
)

// Claims are what is known of a printer from the last of its batches that is believed, under
// the names that an Entity Attestation Token has for it in JSON (RFC 9711).
type Claims struct {
	// UEID is the printer's id, in base64url: section 4.2.1, type RAND with 256 bits.
	UEID string `json:"ueid"`
	// Nonce is what the batch answers, in base64url: section 4.1; empty without one.
	Nonce string `json:"eat_nonce,omitempty"`
	// BootCount is the TPM's.
	BootCount uint64 `json:"bootcount"`
	// SWName and SWVersion are the agent that runs and its release, a version of no scheme.
	SWName    string   `json:"swname"`
	SWVersion []string `json:"swversion"`
}

// ueidRAND is the type of a UEID that is a random number (RFC 9711, section 4.2.1.1). A
// printer's id is the digest of a key that its TPM drew.
const ueidRAND = 0x01

// claims are those of a batch.
func claims(v verify.Verdict) Claims {
	return Claims{UEID: ueid(v.Printer), Nonce: base64.RawURLEncoding.EncodeToString(v.Header.Nonce), BootCount: v.Header.Boot,
		SWName: "platen", SWVersion: []string{strconv.FormatUint(v.Release, 10)}}
}

func ueid(id evidence.PrinterID) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{ueidRAND}, id[:]...))
}
