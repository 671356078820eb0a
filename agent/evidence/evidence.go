// Package evidence is the wire between a printer's TPM and whoever verifies what
// the printer says: batches of machine data that a quote binds to one printer,
// one recipient, one boot and one place in a chain, and the four messages with
// which a printer enrols.
//
// A printer collects encoded messages, asks its [Chain] for the next [Header],
// has the TPM quote [Header.Digest], and sends [Encode] of the resulting [Batch].
// The header names the printer, the Merkle root of the messages and the digest of
// the header before it, so a verifier notices every change, gap, fork and replay.
// Beside the quote travels the [Log] of agents that were measured into PCR 14
// since the TPM was reset; it replays to the quoted value or the batch is refused.
//
// Everything on the wire is CBOR in RFC 8949's core deterministic encoding inside
// a frame of fixed size, see [Encode]. Decoding is strict: what does not encode
// back to the very same bytes is refused, and every length has a bound. The
// package is pure: no files, no network, no TPM, no clock.
package evidence

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
)

// Version is the version of every message of this package.
const Version = 1

// Limits of what is encoded and decoded.
const (
	// WireSize is the size in bytes that a batch is padded to by default: every
	// message on the channel has the same size, whether or not there is news. It is
	// what leaves an MQTT v5 PUBLISH to BatchTopic, at QoS 1 and without properties,
	// at 1 KiB, so that one a minute stays below 64 KiB an hour inside TLS records.
	WireSize = 1024 - publishOverhead
	// MaxWire is the largest frame in bytes that is decoded at all.
	MaxWire = 16 << 10
	// MaxMsgs is the most messages in one batch.
	MaxMsgs = 128
	// MaxMsg is the largest message in bytes.
	MaxMsg = 1024
	// MaxNonce is the longest nonce in bytes.
	MaxNonce = 32
	// MaxLog is the most digests that a batch carries of the log of PCR 14.
	MaxLog = 4
	// MaxFullLog is the most digests of the log of PCR 14 that an enrolment carries.
	MaxFullLog = 64
	// publishOverhead is type and length (3), topic (2 + 71), packet id (2) and the
	// length of no properties (1): MQTT v5, section 3.3.
	publishOverhead = 79
	// maxTPM bounds one TPM structure (attest, signature, public area) in bytes.
	maxTPM = 1024
)

// Errors a caller branches on.
var (
	// ErrEncoding reports bytes that are not a canonical message of this version.
	ErrEncoding = errors.New("not canonical evidence")
	// ErrTooLarge reports a batch that does not fit its frame: send fewer messages.
	ErrTooLarge = errors.New("batch does not fit its frame")
	// ErrLimit reports a field beyond its limit.
	ErrLimit = errors.New("evidence field over its limit")
)

// PrinterID names a printer: the SHA-256 digest of the name of its attestation key.
type PrinterID [32]byte

var idText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// String is the text form: 52 characters of lower-case base32 (RFC 4648). It fits
// a topic level and a certificate's common name.
func (p PrinterID) String() string { return idText.EncodeToString(p[:]) }

// MarshalText is String, for JSON and TOML.
func (p PrinterID) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText parses the text form.
func (p *PrinterID) UnmarshalText(text []byte) error {
	id, err := ParsePrinterID(string(text))
	if err != nil {
		return err
	}
	*p = id
	return nil
}

// ParsePrinterID parses the text form of a printer id and nothing else.
func ParsePrinterID(s string) (PrinterID, error) {
	var id PrinterID
	b, err := idText.DecodeString(s)
	if err != nil || len(b) != len(id) || idText.EncodeToString(b) != s {
		return id, fmt.Errorf("a printer id is %d characters of a-z and 2-7", idText.EncodedLen(len(id)))
	}
	copy(id[:], b)
	return id, nil
}

// RecipientID names a recipient of machine data, as the owner's grant does.
type RecipientID [16]byte

// String is the text form: 32 hexadecimal digits in lower case.
func (r RecipientID) String() string { return hex.EncodeToString(r[:]) }

// MarshalText is String, for JSON and TOML.
func (r RecipientID) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText parses the text form.
func (r *RecipientID) UnmarshalText(text []byte) error {
	id, err := ParseRecipientID(string(text))
	if err != nil {
		return err
	}
	*r = id
	return nil
}

// ParseRecipientID parses the text form of a recipient id and nothing else.
func ParseRecipientID(s string) (RecipientID, error) {
	var id RecipientID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, fmt.Errorf("a recipient id is %d hexadecimal digits in lower case", 2*len(id))
	}
	copy(id[:], b)
	return id, nil
}
