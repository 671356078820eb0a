package evidence

import (
	"encoding/pem"
	"fmt"
)

// Receipt is what a printer signs when its owner gives it away: what of the owner's was
// removed from it.
type Receipt struct {
	_ struct{} `cbor:",toarray"`
	// V is Version.
	V uint64
	// AK is the attestation key's TPMT_PUBLIC, whose name's digest is the printer's id.
	AK []byte
	// At is the time by the printer's clock, in seconds since 1970.
	At uint64
	// Kept is true if the printer keeps its identity and keys.
	Kept bool
	// Files is the number of files that were overwritten and removed, since the agent was
	// last started.
	Files uint64
	// Indices are the NV indices of the TPM that are removed once this is signed. Unless
	// Kept, IdentityIndex is among them, and with it all keys go.
	Indices []uint64
}

// IdentityIndex is the NV index of the number that a printer's keys hang on: without it
// none of them can be made again.
const IdentityIndex = 0x01805049

// receiptType is the PEM type of a receipt.
const receiptType = "PLATEN RECEIPT"

const maxIndices = 16

// signedReceipt is a receipt in the encoding that was signed, and the quote over it.
type signedReceipt struct {
	_ struct{} `cbor:",toarray"`
	// Body is the CBOR of a Receipt.
	Body []byte
	// Quote is over ReceiptDigest of Body.
	Quote Quote
}

func (r signedReceipt) check() error {
	if err := r.Quote.check(); err != nil {
		return err
	}
	return limit(sized(r.Body, MaxWire), "receipt")
}

func (r Receipt) check() error {
	return limit(r.V == Version && sized(r.AK, maxTPM) && r.Indices != nil && len(r.Indices) <= maxIndices, "receipt")
}

// Sign makes the PEM of a receipt; quote signs its digest.
func (r Receipt) Sign(quote func([32]byte) (Quote, error)) ([]byte, error) {
	r.Indices = append([]uint64{}, r.Indices...)
	if err := r.check(); err != nil {
		return nil, err
	}
	body, err := marshal(r)
	if err != nil {
		return nil, err
	}
	q, err := quote(receiptDigest(body))
	if err != nil {
		return nil, fmt.Errorf("sign the receipt: %w", err)
	}
	signed := signedReceipt{Body: body, Quote: q}
	wire, err := encodeEnrol(magicReceipt, signed, signed.check())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: receiptType, Bytes: wire}), nil
}

// DecodeReceipt reads the PEM of a receipt, and what its quote has to be over. Whether
// it is, package verify says.
func DecodeReceipt(text []byte) (r Receipt, q Quote, digest [32]byte, err error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != receiptType {
		return r, q, digest, fmt.Errorf("%w: no receipt in PEM", ErrEncoding)
	}
	signed, err := decodeEnrol[signedReceipt](magicReceipt, block.Bytes)
	if err != nil {
		return r, q, digest, err
	}
	if err := unmarshal(signed.Body, &r); err != nil {
		return r, q, digest, err
	}
	return r, signed.Quote, receiptDigest(signed.Body), r.check()
}

func receiptDigest(body []byte) [32]byte { return transcript("platen receipt v1", body) }
