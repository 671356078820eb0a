package attest

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/go-tpm/tpm2"

	"platen/updater/approval"
)

// SealState makes a blob of the key of a printer's encrypted state that only the TPM at
// path opens, with [UnsealState]. With an approver it opens only in a state of the machine
// that was approved for this use ([approval.StateRef]), whatever releases come; without one
// in any state. It is for the init of an image, before an agent has the TPM: the identity in
// the TPM and its counter of boots are not touched.
func SealState(path string, secret []byte, approver *ecdsa.PublicKey) (blob []byte, err error) {
	if len(secret) == 0 || len(secret) > MaxSeal {
		return nil, fmt.Errorf("seal the state's key: it has 1 to %d bytes", MaxSeal)
	}
	err = withTPM(path, approver, func(o *owner) error {
		var policy []byte
		if o.approver != nil {
			policy = o.approver.policy.Buffer
		}
		return o.use(storageKey, func(parent tpm2.AuthHandle) error {
			return o.secretly(tpm2.AESEncryption(128, tpm2.EncryptIn), func(secrecy []tpm2.AuthOption) error {
				parent.Auth = tpm2.HMAC(tpm2.TPMAlgSHA256, 16, secrecy...)
				blob, err = o.seal(parent, secret, policy)
				return err
			})
		})
	})
	if err != nil {
		return nil, fmt.Errorf("seal the state's key: %w", err)
	}
	return blob, nil
}

// UnsealState opens what SealState has made, by the one of the approvals that the present
// state meets. It is a *[SealedError] if there is none, and ErrSeal if the blob is another
// TPM's, or was made for another approver.
func UnsealState(path string, blob []byte, approver *ecdsa.PublicKey, approvals []approval.Approval) (secret []byte, err error) {
	public, private, err := split(blob)
	if err != nil {
		return nil, fmt.Errorf("open the state's key: %w", err)
	}
	err = withTPM(path, approver, func(o *owner) error {
		var k *known
		if o.approver != nil {
			o.approver.show(approvals)
			if k, err = o.approved(); err != nil {
				return err
			}
			if err = o.vouch(k); err != nil {
				return err
			}
		}
		secret, err = o.unseal(public, private, k)
		if errors.Is(err, tpm2.TPMRCPolicyFail) || errors.Is(err, tpm2.TPMRCAuthUnavailable) {
			return ErrSeal
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the state's key: %w", err)
	}
	return secret, nil
}

// withTPM has the TPM for itself, with no keys but the storage key.
func withTPM(path string, key *ecdsa.PublicKey, fn func(*owner) error) error {
	approver, err := newApprover(key, approval.StateRef)
	if err != nil {
		return err
	}
	link, err := Open(path)
	if err != nil {
		return err
	}
	o := &owner{link: link, logger: slog.New(slog.DiscardHandler), keys: bareKeyring(), approver: approver}
	if err = startup(link); err == nil {
		err = o.sweep()
	}
	if err == nil {
		err = o.explain(fn(o))
	}
	return errors.Join(err, o.close())
}
