package attest

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"platen/agent/evidence"
	"platen/updater/approval"
)

// approver is the key that job keys are bound to, and what it has approved.
type approver struct {
	ref    string // what it approves: approval.Ref or approval.StateRef
	public *ecdsa.PublicKey
	area   tpm2.TPMTPublic
	name   tpm2.TPM2BName
	policy tpm2.TPM2BDigest // of keys that are bound to it
	known  []known
}

// known is an approval, and the TPM's word that its signature is good, once it is there.
type known struct {
	approval.Approval
	ticket *tpm2.TPMTTKVerified
}

// newApprover describes the key to the TPM, for one use; nil is nil.
func newApprover(key *ecdsa.PublicKey, ref string) (*approver, error) {
	if key == nil {
		return nil, nil
	}
	point, err := key.Bytes()
	if err != nil || len(point) != 65 {
		return nil, errors.New("the approver's key is not on P-256")
	}
	a := &approver{ref: ref, public: key, area: tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{SignEncrypt: true, UserWithAuth: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
			CurveID: tpm2.TPMECCNistP256, KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull}}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: point[1:33]}, Y: tpm2.TPM2BECCParameter{Buffer: point[33:]}}),
	}}
	name, err := tpm2.ObjectName(&a.area)
	if err != nil {
		return nil, fmt.Errorf("name the approver's key: %w", err)
	}
	a.name = *name
	policy, err := approval.KeyPolicyFor(ref, key)
	a.policy = tpm2.TPM2BDigest{Buffer: policy[:]}
	return a, err
}

func (a *approver) policyRef() tpm2.TPM2BDigest { return tpm2.TPM2BDigest{Buffer: []byte(a.ref)} }

// show replaces the approvals that the TPM is shown by those of list that are signed, and
// returns how many are not.
func (a *approver) show(list []approval.Approval) (left int) {
	a.known = nil
	for _, one := range list {
		if one.VerifyFor(a.ref, a.public) {
			a.known = append(a.known, known{Approval: one})
		}
	}
	return len(list) - len(a.known)
}

// SetApprovals replaces what the TPM is shown. Approvals that the approver did not sign
// are left out; their number is returned.
func (t *TPM) SetApprovals(ctx context.Context, list []approval.Approval) (left int, err error) {
	return call(ctx, t, func(o *owner) (int, error) {
		if o.approver == nil {
			return len(list), nil
		}
		return o.approver.show(list), nil
	})
}

// Approved is the approval under which the job keys can be used now; without an approver
// it is empty. If there is none the error is a *SealedError.
func (t *TPM) Approved(ctx context.Context) (approval.Approval, error) {
	return call(ctx, t, func(o *owner) (a approval.Approval, err error) {
		if o.approver == nil {
			return a, nil
		}
		k, err := o.approved()
		if err == nil {
			a = k.Approval
		}
		return a, err
	})
}

// State is the present values of the registers that quotes cover, to be approved.
func (t *TPM) State(ctx context.Context) (approval.Approval, error) {
	return call(ctx, t, func(o *owner) (a approval.Approval, err error) {
		values, err := o.readPCRs()
		for i, pcr := range evidence.Selection() {
			a.PCRs = append(a.PCRs, approval.PCR{Index: uint8(pcr), Value: values[i]})
		}
		return a, err
	})
}

// WouldOpen reports whether job keys could be used under one of these approvals after
// the agent with this digest was started: at once, or after a reset of the machine. The
// registers of the machine itself are taken to stay what they are; but boot has what some of
// them hold after a reset, if another root file system starts then.
func (t *TPM) WouldOpen(ctx context.Context, list []approval.Approval, agent [32]byte, boot map[uint8][32]byte) (now, fresh bool, err error) {
	_, err = call(ctx, t, func(o *owner) (struct{}, error) {
		if o.approver == nil {
			now, fresh = true, true
			return struct{}{}, nil
		}
		list := slices.DeleteFunc(slices.Clone(list), func(a approval.Approval) bool { return !a.Verify(o.approver.public) })
		state, err := o.state(list)
		if err != nil {
			return struct{}{}, err
		}
		if log := o.log.digests; len(log) == 0 || log[len(log)-1] != agent {
			state[evidence.AgentPCR] = approval.Extend(state[evidence.AgentPCR], agent)
		}
		now = fits(list, state)
		state = o.afterReset(state, agent)
		for pcr, value := range boot {
			state[pcr] = value
		}
		fresh = fits(list, state)
		return struct{}{}, nil
	})
	return now, fresh, err
}

// afterReset is the state in which the agent with this digest would run after a reset of
// the machine, with the settings there are now.
func (o *owner) afterReset(state *[24]approval.Digest, agent [32]byte) *[24]approval.Digest {
	state[evidence.AgentPCR] = approval.Extend(approval.Digest{}, agent)
	state[evidence.SettingsPCR] = approval.Digest(o.log.settings.Last().After([32]byte{}).Value())
	return state
}

func fits(list []approval.Approval, state *[24]approval.Digest) bool {
	return slices.ContainsFunc(list, func(a approval.Approval) bool { return len(a.Differs(state)) == 0 })
}

// state reads the registers that these approvals are about.
func (o *owner) state(list []approval.Approval) (*[24]approval.Digest, error) {
	var state [24]approval.Digest
	var wanted [24]bool
	for _, a := range list {
		for _, p := range a.PCRs {
			wanted[p.Index] = true
		}
	}
	for i, want := range wanted {
		if !want {
			continue
		}
		rsp, err := tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
			{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(uint(i))}}}}.Execute(o.link)
		if err != nil {
			return nil, fmt.Errorf("read the PCRs: %w", err)
		}
		if len(rsp.PCRValues.Digests) != 1 || len(rsp.PCRValues.Digests[0].Buffer) != sha256.Size {
			return nil, errors.New("read the PCRs: the TPM has no SHA-256 bank; allocate one (tpm2_pcrallocate)")
		}
		state[i] = approval.Digest(rsp.PCRValues.Digests[0].Buffer)
	}
	return &state, nil
}

// approved is the approval that the present state meets, or a *SealedError with the one
// that it is nearest to.
func (o *owner) approved() (*known, error) {
	list := make([]approval.Approval, len(o.approver.known))
	for i, k := range o.approver.known {
		list[i] = k.Approval
	}
	state, err := o.state(list)
	if err != nil {
		return nil, err
	}
	sealed := &SealedError{}
	for i, a := range list {
		differs := a.Differs(state)
		if len(differs) == 0 {
			return &o.approver.known[i], nil
		}
		if n := len(sealed.PCRs); n == 0 || len(differs) < n || len(differs) == n && a.Release > sealed.Release {
			sealed.Release, sealed.PCRs = a.Release, differs
		}
	}
	if n := len(o.log.digests); n > 1 || n > 0 && len(o.log.settings) > 1 {
		sealed.Fresh = fits(list, o.afterReset(state, o.log.digests[n-1]))
	}
	return nil, sealed
}

// vouch has the TPM check an approval's signature, once for each.
func (o *owner) vouch(k *known) error {
	if k.ticket != nil {
		return nil
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(k.Signature, &sig); err != nil {
		return fmt.Errorf("read an approval: %w", err)
	}
	loaded, err := tpm2.LoadExternal{InPublic: tpm2.New2B(o.approver.area), Hierarchy: tpm2.TPMRHOwner}.Execute(o.link)
	if err != nil {
		return fmt.Errorf("load the approver's key: %w", err)
	}
	policy := k.Policy()
	digest := sha256.Sum256(append(policy[:], o.approver.ref...))
	rsp, err := tpm2.VerifySignature{KeyHandle: loaded.ObjectHandle, Digest: tpm2.TPM2BDigest{Buffer: digest[:]},
		Signature: tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA,
			&tpm2.TPMSSignatureECC{Hash: tpm2.TPMAlgSHA256,
				SignatureR: tpm2.TPM2BECCParameter{Buffer: sig.R.FillBytes(make([]byte, 32))},
				SignatureS: tpm2.TPM2BECCParameter{Buffer: sig.S.FillBytes(make([]byte, 32))}})}}.Execute(o.link)
	if err = errors.Join(err, o.flush(loaded.ObjectHandle)); err != nil {
		return fmt.Errorf("check an approval: %w", err)
	}
	k.ticket = &rsp.Validation
	return nil
}

// useSecret loads a key whose results are secret and hands it to fn: they leave the TPM
// encrypted, so they cannot be read from the wires between TPM and processor. A bound key
// is used by the approval of the present state; without one the error is a *SealedError.
func (o *owner) useSecret(id keyID, fn func(tpm2.AuthHandle) error) error {
	var k *known
	if o.approver != nil {
		var err error
		if k, err = o.approved(); err != nil {
			return err
		}
		if err := o.vouch(k); err != nil {
			return err
		}
	}
	return o.use(id, func(key tpm2.AuthHandle) error {
		return o.secretly(tpm2.AESEncryption(128, tpm2.EncryptOut), func(secrecy []tpm2.AuthOption) error {
			if k == nil {
				key.Auth = tpm2.HMAC(tpm2.TPMAlgSHA256, 16, secrecy...)
			} else {
				key.Auth = tpm2.Policy(tpm2.TPMAlgSHA256, 16, o.approver.satisfy(k), secrecy...)
			}
			return fn(key)
		})
	})
}

// satisfy makes a session meet the keys' policy: the TPM compares its registers with the
// approval, and takes the approver's word for the result.
func (a *approver) satisfy(k *known) tpm2.PolicyCallback {
	return func(tpm transport.TPM, session tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		values, policy := k.Values(), k.Policy()
		_, err := tpm2.PolicyPCR{PolicySession: session, PcrDigest: tpm2.TPM2BDigest{Buffer: values[:]},
			Pcrs: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: k.Select()}}}}.Execute(tpm)
		if err != nil {
			return fmt.Errorf("compare the PCRs: %w", err)
		}
		_, err = tpm2.PolicyAuthorize{PolicySession: session, ApprovedPolicy: tpm2.TPM2BDigest{Buffer: policy[:]},
			PolicyRef: a.policyRef(), KeySign: a.name, CheckTicket: *k.ticket}.Execute(tpm)
		if err != nil {
			return fmt.Errorf("present the approval: %w", err)
		}
		return nil
	}
}
