package evidence

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

// modes builds the one encoder and decoder of the package: RFC 8949 section 4.2.1
// outward, and inward nothing that this encoder could not have made.
var modes = sync.OnceValues(func() (codec, error) {
	opts := cbor.CoreDetEncOptions()
	enc, err := opts.EncMode()
	if err != nil {
		return codec{}, fmt.Errorf("evidence encoder: %w", err)
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   4,
		MaxArrayElements:  MaxMsgs,
		MaxMapPairs:       16,
	}.DecMode()
	if err != nil {
		return codec{}, fmt.Errorf("evidence decoder: %w", err)
	}
	return codec{enc, dec}, nil
})

func marshal(v any) ([]byte, error) {
	c, err := modes()
	if err != nil {
		return nil, err
	}
	b, err := c.enc.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode evidence: %w", err)
	}
	return b, nil
}

// unmarshal decodes b into v and refuses it unless v encodes to b again.
func unmarshal(b []byte, v any) error {
	c, err := modes()
	if err != nil {
		return err
	}
	if err := c.dec.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: malformed", ErrEncoding)
	}
	again, err := c.enc.Marshal(v)
	if err != nil || !bytes.Equal(again, b) {
		return fmt.Errorf("%w: encoded in another way", ErrEncoding)
	}
	return nil
}

// A frame is four bytes of magic, the length of the body as 32 bits big-endian,
// the body, and zeros up to the frame's size.
const frameHeader = 8

// The magics of the frames, one a message.
const (
	magicBatch       = "PlE2"
	magicRequest     = "PlQ1"
	magicChallenge   = "PlC1"
	magicResponse    = "PlA2"
	magicResult      = "PlR1"
	magicReceipt     = "PlG1"
	magicAttestation = "PlK1"
)

// frame wraps body, padded with zeros to size bytes; size 0 adds no padding.
func frame(magic string, body []byte, size int) ([]byte, error) {
	n := frameHeader + len(body)
	if size == 0 {
		size = n
	}
	if n > size || size > MaxWire {
		return nil, fmt.Errorf("%w: %d bytes for a frame of %d", ErrTooLarge, n, size)
	}
	out := make([]byte, size)
	copy(out, magic)
	binary.BigEndian.PutUint32(out[4:], uint32(len(body)))
	copy(out[frameHeader:], body)
	return out, nil
}

// Trim is a frame without its padding, which stays a frame; of anything else all is left.
func Trim(wire []byte) []byte {
	if len(wire) < frameHeader {
		return wire
	}
	n := binary.BigEndian.Uint32(wire[4:])
	if uint64(n) > uint64(len(wire)-frameHeader) {
		return wire
	}
	return wire[:frameHeader+int(n)]
}

// unframe returns the body of a frame. The body aliases wire.
func unframe(magic string, wire []byte) ([]byte, error) {
	if len(wire) < frameHeader || len(wire) > MaxWire || string(wire[:4]) != magic {
		return nil, fmt.Errorf("%w: no such frame", ErrEncoding)
	}
	n := binary.BigEndian.Uint32(wire[4:])
	rest := wire[frameHeader:]
	if uint64(n) > uint64(len(rest)) {
		return nil, fmt.Errorf("%w: cut short", ErrEncoding)
	}
	for _, b := range rest[n:] {
		if b != 0 {
			return nil, fmt.Errorf("%w: padding is not zero", ErrEncoding)
		}
	}
	return rest[:n], nil
}
