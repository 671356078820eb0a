package audit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"

	"platen/agent/evidence"
)

// Numbers of the TPM 2.0 library specification, part 2: sections 6.3, 6.4, 6.9 and 6.2.
const (
	tpmGenerated = 0xff544347
	stAttest     = 0x8018 // TPM_ST_ATTEST_QUOTE
	algSHA256    = 0x000b
	algNull      = 0x0010
	algECDSA     = 0x0018
	algECC       = 0x0023
	curveP256    = 0x0003
	restricted   = 1 << 16 // of TPMA_OBJECT
	signs        = 1 << 18
)

var errQuote = errors.New("not a quote of the printer's attestation key")

// tpmBytes reads the big-endian structures of a TPM; bad sticks.
type tpmBytes struct {
	b   []byte
	bad bool
}

func (t *tpmBytes) take(n int) []byte {
	if t.bad || n > len(t.b) {
		t.bad = true
		return make([]byte, n)
	}
	out := t.b[:n]
	t.b = t.b[n:]
	return out
}

func (t *tpmBytes) u16() uint16 { return binary.BigEndian.Uint16(t.take(2)) }

func (t *tpmBytes) u32() uint32 { return binary.BigEndian.Uint32(t.take(4)) }

// sized reads a TPM2B.
func (t *tpmBytes) sized() []byte { return t.take(int(t.u16())) }

// want reads 16 bits and holds them to a value.
func (t *tpmBytes) want(v uint16) {
	if t.u16() != v {
		t.bad = true
	}
}

// attestationKey reads the TPMT_PUBLIC of a restricted P-256 signing key (part 2,
// section 12.2.4), and holds it to the printer's id: the digest of the key's name.
func attestationKey(public []byte, id evidence.PrinterID) (*ecdsa.PublicKey, error) {
	name := sha256.Sum256(public)
	if sha256.Sum256(append([]byte{algSHA256 >> 8, algSHA256}, name[:]...)) != id {
		return nil, errors.New("the key is not that of the printer")
	}
	t := tpmBytes{b: public}
	t.want(algECC)
	t.want(algSHA256)
	attributes := t.u32()
	t.sized() // policy
	t.want(algNull)
	t.want(algECDSA)
	t.want(algSHA256)
	t.want(curveP256)
	t.want(algNull)
	x, y := t.sized(), t.sized()
	if t.bad || len(t.b) != 0 || len(x) > 32 || len(y) > 32 || attributes&restricted == 0 || attributes&signs == 0 {
		return nil, errors.New("the key is not an attestation key")
	}
	point := make([]byte, 65)
	point[0] = 4
	copy(point[33-len(x):], x)
	copy(point[65-len(y):], y)
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
}

// checkQuote checks that key signed a quote over the values of q and over qualifying.
func checkQuote(key *ecdsa.PublicKey, q evidence.Quote, qualifying [32]byte) error {
	s := tpmBytes{b: q.Sig} // TPMT_SIGNATURE, part 2, section 11.3.4
	s.want(algECDSA)
	s.want(algSHA256)
	r, ss := new(big.Int).SetBytes(s.sized()), new(big.Int).SetBytes(s.sized())
	digest := sha256.Sum256(q.Attest)
	if s.bad || len(s.b) != 0 || !ecdsa.Verify(key, digest[:], r, ss) {
		return errQuote
	}
	t := tpmBytes{b: q.Attest} // TPMS_ATTEST, part 2, section 10.12.12
	if t.u32() != tpmGenerated {
		return errQuote
	}
	t.want(stAttest)
	t.sized() // who signed, which is key
	extra := t.sized()
	t.take(17 + 8) // clock and firmware
	if t.u32() != 1 {
		return errQuote
	}
	t.want(algSHA256)
	chosen := t.take(int(t.take(1)[0]))
	values, is := q.PCRs.Digest(), t.sized()
	if t.bad || len(t.b) != 0 || !bytes.Equal(extra, qualifying[:]) || !bytes.Equal(is, values[:]) || !bytes.Equal(chosen, selection()) {
		return errQuote
	}
	return nil
}

// selection is evidence.Selection as a TPM writes it: a bit a register.
func selection() []byte {
	bits := make([]byte, 3)
	for _, p := range evidence.Selection() {
		bits[p/8] |= 1 << (p % 8)
	}
	return bits
}
