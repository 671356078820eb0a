package attest

import (
	"context"

	"github.com/google/go-tpm/tpm2"
)

// headIndex is the NV index of the counter of heads of the audit log.
const headIndex tpm2.TPMHandle = 0x01805041

// AttestationKey is the TPMT_PUBLIC of the attestation key, whose name's digest is the
// printer's id.
func (t *TPM) AttestationKey(ctx context.Context) ([]byte, error) {
	return call(ctx, t, func(o *owner) ([]byte, error) {
		public, err := o.public(attestationKey)
		return tpm2.Marshal(public), err
	})
}

// CountHead reads the counter of the audit log's heads, after it has added one to it if
// add is set. fresh says that the TPM had no such counter before.
func (t *TPM) CountHead(ctx context.Context, add bool) (n uint64, fresh bool, err error) {
	n, err = call(ctx, t, func(o *owner) (n uint64, err error) {
		n, fresh, err = o.counter(headIndex, add)
		return n, err
	})
	return n, fresh, err
}
