package attest

import (
	"context"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// secretPoint is a point whose logarithm nobody knows: the even one of those on P-256
// whose x-coordinate is the SHA-256 digest of "platen derived secrets v1" and a zero byte.
const secretPoint = "0486f6f454abfbb7de6853909d8c2281cbc42efc4cbb2181dcf45b1f3994ac9bdd" +
	"516c7adbdf5a36ad816fcc6433fded2925a0e3b8f520ae1f2bd20151728ab974"

// Secret is a key of the given purpose that only this printer's TPM can make, the same
// each time: what the job key agrees upon with a fixed point, through HKDF (RFC 5869).
// It is gone for good when the TPM is cleared.
func (t *TPM) Secret(purpose string) ([32]byte, error) {
	var key [32]byte
	raw, err := hex.DecodeString(secretPoint)
	if err != nil {
		return key, err
	}
	point, err := ecdh.P256().NewPublicKey(raw)
	if err != nil {
		return key, fmt.Errorf("derive a secret: %w", err)
	}
	shared, err := t.job.ECDH(point)
	if err != nil {
		return key, fmt.Errorf("derive a secret: %w", err)
	}
	defer clear(shared)
	out, err := hkdf.Key(sha256.New, shared, nil, "platen "+purpose, len(key))
	if err != nil {
		return key, fmt.Errorf("derive a secret: %w", err)
	}
	copy(key[:], out)
	clear(out)
	return key, nil
}

// JobKEM is the ML-KEM-768 key (FIPS 203) that hybrid jobs are sealed to besides the job
// key. No TPM computes it: it is derived from one, and is in the memory of its caller.
func (t *TPM) JobKEM() (*mlkem.DecapsulationKey768, error) {
	var seed []byte // d and z
	for _, half := range []string{"job ml-kem d", "job ml-kem z"} {
		s, err := t.Secret(half)
		if err != nil {
			return nil, err
		}
		seed = append(seed, s[:]...)
		clear(s[:])
	}
	defer clear(seed)
	return mlkem.NewDecapsulationKey768(seed)
}

// Tickets is the number of ticket copies that were counted on this TPM, from some number
// on: it only rises, whatever becomes of the disk. fresh says that the TPM had no such
// counter before. See [TPM.CountTicket].
func (t *TPM) Tickets(ctx context.Context) (n uint64, fresh bool, err error) {
	n, err = call(ctx, t, func(o *owner) (n uint64, err error) {
		n, fresh, err = o.counter(ticketIndex, false)
		return n, err
	})
	return n, fresh, err
}

// CountTicket adds one to [TPM.Tickets] and returns the new number.
func (t *TPM) CountTicket(ctx context.Context) (uint64, error) {
	return call(ctx, t, func(o *owner) (uint64, error) {
		n, _, err := o.counter(ticketIndex, true)
		return n, err
	})
}
