package attest

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"platen/updater/approval"
)

// PolicyByGoTPM is the policy of keys that are bound to an approver, as go-tpm makes it.
func PolicyByGoTPM(t *testing.T, key *ecdsa.PublicKey) []byte {
	t.Helper()
	a, err := newApprover(key, approval.Ref)
	if err != nil {
		t.Fatal(err)
	}
	calculator, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := (tpm2.PolicyAuthorize{KeySign: a.name, PolicyRef: a.policyRef()}).Update(calculator); err != nil {
		t.Fatal(err)
	}
	return calculator.Hash().Digest
}

// wire is the wire between TPM and processor, with somebody who listens.
type wire struct {
	transport.TPMCloser
	heard []byte
}

func (w *wire) Send(cmd []byte) ([]byte, error) {
	rsp, err := w.TPMCloser.Send(cmd)
	w.heard = append(append(w.heard, cmd...), rsp...)
	return rsp, err
}

// Listen is all that passes between TPM and processor while fn runs.
func Listen(ctx context.Context, t *TPM, fn func()) ([]byte, error) {
	w := &wire{}
	plug := func(in bool) error {
		_, err := call(ctx, t, func(o *owner) (struct{}, error) {
			if in {
				w.TPMCloser, o.link = o.link, w
			} else {
				o.link = w.TPMCloser
			}
			return struct{}{}, nil
		})
		return err
	}
	err := plug(true)
	fn()
	return w.heard, errors.Join(err, plug(false))
}

// UseByPassword uses the job key with its empty password, as no method does.
func UseByPassword(ctx context.Context, t *TPM, point []byte) error {
	_, err := call(ctx, t, func(o *owner) (struct{}, error) {
		return struct{}{}, o.use(jobKey, func(key tpm2.AuthHandle) error {
			_, err := o.agree(key, point)
			return err
		})
	})
	return err
}

// UseUnder uses the job key under an approval without looking at it first.
func UseUnder(ctx context.Context, t *TPM, a approval.Approval, point []byte) error {
	_, err := call(ctx, t, func(o *owner) (struct{}, error) {
		k := &known{Approval: a}
		if err := o.vouch(k); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, o.use(jobKey, func(key tpm2.AuthHandle) error {
			key.Auth = tpm2.Policy(tpm2.TPMAlgSHA256, 16, o.approver.satisfy(k))
			_, err := o.agree(key, point)
			return err
		})
	})
	return err
}

// UseEK uses the first endorsement key, with a challenge that is for nobody.
func UseEK(ctx context.Context, t *TPM) error {
	_, err := call(ctx, t, func(o *owner) ([]byte, error) {
		eks, err := o.endorsementKeys()
		if err != nil {
			return nil, err
		}
		return o.activate(eks[0].Public, make([]byte, 68), make([]byte, 97))
	})
	return err
}

// Replug has the TPM reset by do, which ends connections to it, and connects anew.
func Replug(ctx context.Context, t *TPM, path string, do func() error) error {
	_, err := call(ctx, t, func(o *owner) (struct{}, error) {
		if err := errors.Join(o.link.Close(), do()); err != nil {
			return struct{}{}, err
		}
		var err error
		o.link, err = Open(path)
		return struct{}{}, err
	})
	return err
}

// Identity reads the number that all keys hang on, as the agent does or in clear.
func Identity(ctx context.Context, t *TPM, secretly bool) ([32]byte, error) {
	return call(ctx, t, func(o *owner) ([32]byte, error) {
		if secretly {
			return o.identity()
		}
		index, _, err := o.nvIndex(identityPublic())
		if err != nil {
			return [32]byte{}, err
		}
		rsp, err := tpm2.NVRead{AuthHandle: index, NVIndex: index, Size: 32}.Execute(o.link)
		if err != nil {
			return [32]byte{}, err
		}
		return [32]byte(rsp.Data.Buffer), nil
	})
}
