package evidence

import (
	"crypto/sha256"
	"fmt"
)

// Header is what a quote signs of a batch. Its canonical bytes are hashed into the
// quote's qualifying data, so no field can be changed after the TPM has signed.
type Header struct {
	_ struct{} `cbor:",toarray"`
	// V is Version.
	V uint64
	// Printer is the printer that speaks.
	Printer PrinterID
	// Recipient is whom the batch is for; each recipient has a chain of its own.
	Recipient RecipientID
	// Boot is the TPM's boot counter: it rises by at least one with each reset.
	Boot uint64
	// Start is the TPM's clock in milliseconds when this chain began. Within one
	// boot a chain that begins anew has a larger one.
	Start uint64
	// Seq numbers the batches of a chain from 1.
	Seq uint64
	// First is the number of the first message, counted from 0 over the chain,
	// lost messages included.
	First uint64
	// Count is the number of messages; zero is a batch without news.
	Count uint64
	// Root is the Merkle root of the messages.
	Root [32]byte
	// Prev is the digest of the header before, zero for the first.
	Prev [32]byte
	// Nonce is the verifier's last nonce, up to MaxNonce bytes; empty if none came.
	Nonce []byte
	// Dropped is how many messages the printer lost, because its spool is bounded,
	// between the batch before and this one.
	Dropped uint64
}

// Bytes is the canonical encoding of h.
func (h Header) Bytes() ([]byte, error) {
	if h.Nonce == nil {
		h.Nonce = []byte{}
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	return marshal(h)
}

// Digest is the SHA-256 digest of the canonical header: the quote's qualifying
// data and the next header's Prev.
func (h Header) Digest() ([32]byte, error) {
	b, err := h.Bytes()
	if err != nil {
		return [32]byte{}, err
	}
	return sha256.Sum256(b), nil
}

func (h Header) check() error {
	if h.V != Version || h.Seq == 0 || h.Count > MaxMsgs || len(h.Nonce) > MaxNonce {
		return fmt.Errorf("%w: header", ErrLimit)
	}
	if h.First+h.Count < h.First {
		return fmt.Errorf("%w: message numbers wrap", ErrLimit)
	}
	return nil
}

// ParseHeader decodes the canonical bytes of a header.
func ParseHeader(b []byte) (Header, error) {
	var h Header
	if len(b) > maxTPM {
		return h, fmt.Errorf("%w: header too long", ErrEncoding)
	}
	if err := unmarshal(b, &h); err != nil {
		return Header{}, err
	}
	if h.Nonce == nil {
		return Header{}, fmt.Errorf("%w: nonce is null", ErrEncoding)
	}
	if err := h.check(); err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return h, nil
}
