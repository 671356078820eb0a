package evidence

import (
	"encoding/pem"
	"fmt"
)

// Delivery is what a printer signs once it holds all of a sealed job that it prints from:
// whoever sent the job may delete it. It says which file that was by its ciphertext, and
// nothing of what is in it.
type Delivery struct {
	_ struct{} `cbor:",toarray"`
	// V is Version.
	V uint64
	// AK is the attestation key's TPMT_PUBLIC, whose name's digest is the printer's id.
	AK []byte
	// At is the time by the printer's clock, in seconds since 1970.
	At uint64
	// Job is the id of the ticket, 16 bytes.
	Job []byte
	// Digest is the SHA-256 of the sealed file, as the ticket says it.
	Digest []byte
}

// deliveryType is the PEM type of a delivery.
const deliveryType = "PLATEN DELIVERY"

func (d Delivery) check() error {
	return limit(d.V == Version && sized(d.AK, maxTPM) && len(d.Job) == 16 && len(d.Digest) == 32, "delivery")
}

// Sign makes the PEM of a delivery; quote signs its digest.
func (d Delivery) Sign(quote func([32]byte) (Quote, error)) ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	body, err := marshal(d)
	if err != nil {
		return nil, err
	}
	q, err := quote(deliveryDigest(body))
	if err != nil {
		return nil, fmt.Errorf("sign the delivery of a job: %w", err)
	}
	signed := signedReceipt{Body: body, Quote: q}
	wire, err := encodeEnrol(magicReceipt, signed, signed.check())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: deliveryType, Bytes: wire}), nil
}

// DecodeDelivery reads the PEM of a delivery, and what its quote has to be over. Whether
// it is, package verify says.
func DecodeDelivery(text []byte) (d Delivery, q Quote, digest [32]byte, err error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != deliveryType {
		return d, q, digest, fmt.Errorf("%w: no delivery in PEM", ErrEncoding)
	}
	signed, err := decodeEnrol[signedReceipt](magicReceipt, block.Bytes)
	if err != nil {
		return d, q, digest, err
	}
	if err := unmarshal(signed.Body, &d); err != nil {
		return d, q, digest, err
	}
	return d, signed.Quote, deliveryDigest(signed.Body), d.check()
}

func deliveryDigest(body []byte) [32]byte { return transcript("platen delivery v1", body) }
