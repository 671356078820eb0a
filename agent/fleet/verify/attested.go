package verify

import (
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"
)

// attested is what a TPMS_ATTEST says, as far as it is looked at (TPM 2.0, part 2,
// section 10.12.12). The slices lie in what was read.
type attested struct {
	kind   tpm2.TPMST
	signer []byte // qualified name of the key that signed
	extra  []byte
	clock  tpm2.TPMSClockInfo

	selection []byte // of a quote: the whole TPML_PCR_SELECTION
	pcrDigest []byte // of a quote
	name      []byte // of a certified object
}

// reader takes a TPM's structure apart: numbers are big-endian, and what has no fixed
// size stands behind its length. It is written by hand because a verifier does hardly
// anything else: the library's way, by reflection and back to compare, takes longer
// than the arithmetic of the signature. Every structure read here has one encoding.
type reader struct {
	b   []byte
	bad bool
}

// take returns the next n bytes, nil once there are too few.
func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// sized reads a TPM2B.
func (r *reader) sized() []byte { return r.take(int(r.u16())) }

// yes reads a TPMI_YES_NO.
func (r *reader) yes() tpm2.TPMIYesNo {
	v := r.u8()
	r.bad = r.bad || v > 1
	return v == 1
}

// done reports whether everything was read and nothing is left.
func (r *reader) done() bool { return !r.bad && len(r.b) == 0 }

// readAttest reads a TPMS_ATTEST, whose magic was checked. What is in one that is
// neither a quote nor about a certified object is not looked at.
func readAttest(b []byte) (attested, bool) {
	r := &reader{b: b}
	r.u32()
	a := attested{kind: tpm2.TPMST(r.u16()), signer: r.sized(), extra: r.sized()}
	a.clock = tpm2.TPMSClockInfo{Clock: r.u64(), ResetCount: r.u32(), RestartCount: r.u32(), Safe: r.yes()}
	r.u64() // firmware version
	switch a.kind {
	case tpm2.TPMSTAttestQuote:
		from := r.b
		for n := r.u32(); n > 0 && !r.bad; n-- {
			r.u16()
			r.take(int(r.u8()))
		}
		a.selection = from[:len(from)-len(r.b)]
		a.pcrDigest = r.sized()
	case tpm2.TPMSTAttestCertify:
		a.name = r.sized()
		r.sized() // qualified name
	default:
		return a, !r.bad
	}
	return a, r.done()
}

// readECDSA reads a TPMT_SIGNATURE that is ECDSA with SHA-256 on a curve of 256 bits
// (part 2, section 11.3.4).
func readECDSA(b []byte) (r, s []byte, ok bool) {
	in := &reader{b: b}
	alg, hash := tpm2.TPMAlgID(in.u16()), tpm2.TPMAlgID(in.u16())
	r, s = in.sized(), in.sized()
	return r, s, in.done() && alg == tpm2.TPMAlgECDSA && hash == tpm2.TPMAlgSHA256 && len(r) <= 32 && len(s) <= 32
}
