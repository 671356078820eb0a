// Package approval is which states of a printer may open its jobs, as somebody who may
// say so has signed it.
//
// A printer's job keys are bound to one key, the approver's: its TPM uses them only in a
// state (values of PCRs) that the approver has signed (TPM2_PolicyAuthorize, TPM 2.0 part
// 3, section 23.16). So the keys stay what they are over every update, and each release
// brings the approvals of its own states along. This package makes and checks what is
// signed, by arithmetic alone: [States] says which states a release will have,
// [Approval.Sign] approves one, away from any printer. What a TPM makes of it is package
// agent/attest's.
//
// The approver's key is ECDSA on P-256, because a TPM checks its signatures, and lies in
// PEM files; see [GenerateKey].
package approval

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// What an approver's signature is for: the policyRef of an approval.
const (
	Ref      = "platen job keys v1"  // the keys that open jobs
	StateRef = "platen state key v1" // the key of the encrypted state of a printer that boots an image of ours
)

// AgentPCR is the PCR that agents are measured into.
const AgentPCR = 14

const (
	numPCRs = 24       // of a bank
	most    = 64       // approvals in a list
	maxSig  = 80       // bytes of an ASN.1 signature on P-256: at most 72
	maxList = 64 << 10 // bytes of a list

	ccPCR       = 0x17f // TPM_CC_PolicyPCR
	ccAuthorize = 0x16a // TPM_CC_PolicyAuthorize
	algSHA256   = 0x000b
)

// ErrList reports a list of approvals that is none.
var ErrList = errors.New("not a list of approvals: make it anew with platen-ota approve or platen approve")

// Digest is a SHA-256 digest, in hexadecimal as text.
type Digest [sha256.Size]byte

// MarshalText is the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(d[:])), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (d *Digest) UnmarshalText(t []byte) error {
	b, err := hex.DecodeString(string(t))
	if err != nil || len(b) != len(d) {
		return errors.New("not a SHA-256 digest: 64 hexadecimal digits")
	}
	copy(d[:], b)
	return nil
}

// PCR is one register of the SHA-256 bank and its value.
type PCR struct {
	Index uint8  `json:"pcr"`
	Value Digest `json:"value"`
}

// Approval is one state of a printer and the approver's signature on it.
type Approval struct {
	// Release is the release whose state it is, 0 if it was approved at the printer. It
	// is for people: what counts are the values.
	Release uint64 `json:"release"`
	// PCRs are the registers that count, by rising index, at least one.
	PCRs []PCR `json:"pcrs"`
	// Signature is ECDSA on P-256 over Approval.Signed, in ASN.1.
	Signature []byte `json:"signature,omitempty"`
}

// Parse reads a list of approvals, at most 64 in 64 KiB. It checks their form, not their
// signatures. Any mistake is ErrList.
func Parse(text []byte) ([]Approval, error) {
	var list []Approval
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if len(text) > maxList || d.Decode(&list) != nil || d.More() || len(list) > most {
		return nil, ErrList
	}
	for _, a := range list {
		if !a.sound() {
			return nil, ErrList
		}
	}
	return list, nil
}

func (a Approval) sound() bool {
	last := -1
	for _, p := range a.PCRs {
		if int(p.Index) <= last || p.Index >= numPCRs {
			return false
		}
		last = int(p.Index)
	}
	return last >= 0 && len(a.Signature) <= maxSig
}

// Select is the bitmap of the registers, as TPMS_PCR_SELECTION has it.
func (a Approval) Select() []byte {
	bits := make([]byte, numPCRs/8)
	for _, p := range a.PCRs {
		bits[p.Index/8] |= 1 << (p.Index % 8)
	}
	return bits
}

// Values is the SHA-256 digest over the values, as TPM2_PolicyPCR takes it.
func (a Approval) Values() [32]byte {
	h := sha256.New()
	for _, p := range a.PCRs {
		h.Write(p.Value[:])
	}
	return [32]byte(h.Sum(nil))
}

// Policy is the policy digest of a session after TPM2_PolicyPCR in this state (TPM 2.0
// part 3, section 23.7).
func (a Approval) Policy() [32]byte {
	values := a.Values()
	b := make([]byte, sha256.Size) // a session begins with zeros
	b = binary.BigEndian.AppendUint32(b, ccPCR)
	b = binary.BigEndian.AppendUint32(b, 1) // one selection
	b = binary.BigEndian.AppendUint16(b, algSHA256)
	b = append(b, numPCRs/8)
	b = append(b, a.Select()...)
	return sha256.Sum256(append(b, values[:]...))
}

// Signed is the digest that the approver signs: of the policy and [Ref] (part 3, section
// 23.16: aHash).
func (a Approval) Signed() [32]byte { return a.signedFor(Ref) }

func (a Approval) signedFor(ref string) [32]byte {
	policy := a.Policy()
	return sha256.Sum256(append(policy[:], ref...))
}

// Sign is the approval with the approver's signature.
func (a Approval) Sign(key *ecdsa.PrivateKey) (Approval, error) { return a.SignFor(Ref, key) }

// SignFor is Sign for another use of the TPM than that of job keys, such as [StateRef].
// The same key and state give the same signature (RFC 6979), so that what is built with it
// is the same each time.
func (a Approval) SignFor(ref string, key *ecdsa.PrivateKey) (Approval, error) {
	if !a.sound() {
		return a, errors.New("a state to approve is at least one PCR, by rising index below 24")
	}
	digest := a.signedFor(ref)
	sig, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return a, fmt.Errorf("sign an approval: %w", err)
	}
	a.Signature = sig
	return a, nil
}

// KeyPolicy is the policy of keys that are bound to an approver: that of a session after
// TPM2_PolicyAuthorize with its key and [Ref] (part 3, section 23.16). By it a printer's
// certified job key shows to whom it is bound.
func KeyPolicy(approver *ecdsa.PublicKey) ([32]byte, error) { return KeyPolicyFor(Ref, approver) }

// KeyPolicyFor is KeyPolicy for another use, see [Approval.SignFor].
func KeyPolicyFor(ref string, approver *ecdsa.PublicKey) ([32]byte, error) {
	point, err := approver.Bytes()
	if err != nil || approver.Curve != elliptic.P256() {
		return [32]byte{}, errors.New("the approver's key is not on P-256")
	}
	// Its name: the digest of its TPMT_PUBLIC (part 2, section 12.2.4).
	area := []byte{0x00, 0x23, 0x00, algSHA256, // an elliptic curve's, named with SHA-256
		0x00, 0x04, 0x00, 0x40, 0x00, 0x00, // sign and userWithAuth; no policy
		0x00, 0x10, 0x00, 0x18, 0x00, algSHA256, 0x00, 0x03, 0x00, 0x10} // ECDSA with SHA-256, P-256
	area = append(append(area, 0, 32), point[1:33]...)
	area = append(append(area, 0, 32), point[33:]...)
	name := sha256.Sum256(area)
	b := make([]byte, sha256.Size)
	b = binary.BigEndian.AppendUint32(b, ccAuthorize)
	b = append(b, 0x00, algSHA256)
	policy := sha256.Sum256(append(b, name[:]...))
	return sha256.Sum256(append(policy[:], ref...)), nil
}

// Verify reports whether the approver has signed the approval.
func (a Approval) Verify(approver *ecdsa.PublicKey) bool { return a.VerifyFor(Ref, approver) }

// VerifyFor is Verify for another use, see [Approval.SignFor].
func (a Approval) VerifyFor(ref string, approver *ecdsa.PublicKey) bool {
	digest := a.signedFor(ref)
	return a.sound() && ecdsa.VerifyASN1(approver, digest[:], a.Signature)
}

// Differs lists the registers whose value in state is another than in the approval.
func (a Approval) Differs(state *[numPCRs]Digest) []uint8 {
	var list []uint8
	for _, p := range a.PCRs {
		if state[p.Index] != p.Value {
			list = append(list, p.Index)
		}
	}
	return list
}
