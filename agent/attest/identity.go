package attest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// identityIndex is the NV index of the printer's identity, beside that of boots.
const identityIndex tpm2.TPMHandle = evidence.IdentityIndex

// identity is a random number that is in the template of each of the printer's keys. With
// another one they are other keys, and whoever does not know it cannot have them made.
type identity [32]byte

// unique is what tells the template of a key from all others.
func (who identity) unique(use string) [32]byte {
	return sha256.Sum256(append(who[:], "platen "+use+" v1"...))
}

// identityPublic is the index: written once, and then not again until it is undefined,
// which takes the owner's authorization.
func identityPublic() tpm2.TPMSNVPublic {
	return tpm2.TPMSNVPublic{NVIndex: tpm2.TPMIRHNVIndex(identityIndex), NameAlg: tpm2.TPMAlgSHA256, DataSize: sha256.Size,
		Attributes: tpm2.TPMANV{NT: tpm2.TPMNTOrdinary, AuthRead: true, AuthWrite: true, OwnerRead: true,
			WriteAll: true, WriteDefine: true, NoDA: true}}
}

// identity is that of this printer; a TPM that has none is given one.
func (o *owner) identity() (identity, error) {
	who, err := o.tryIdentity()
	if err != nil {
		return who, fmt.Errorf("the printer's identity in NV index %#x: %w", uint32(identityIndex), err)
	}
	return who, nil
}

func (o *owner) tryIdentity() (who identity, err error) {
	index, is, err := o.nvIndex(identityPublic())
	if err != nil {
		return who, err
	}
	if !is.Written { // new, or power failed between the two
		if _, err := rand.Read(who[:]); err != nil {
			return who, err
		}
		if err := o.writeSecret(index, who[:]); err != nil {
			return who, err
		}
		if index, is, err = o.nvIndex(identityPublic()); err != nil { // writing changes its name
			return who, err
		}
	}
	if !is.WriteLocked {
		if _, err := (tpm2.NVWriteLock{AuthHandle: index, NVIndex: index}).Execute(o.link); err != nil {
			return who, err
		}
		if index, _, err = o.nvIndex(identityPublic()); err != nil { // and so does locking
			return who, err
		}
	}
	err = o.secretly(tpm2.AESEncryption(128, tpm2.EncryptOut), func(secrecy []tpm2.AuthOption) error {
		index.Auth = tpm2.HMAC(tpm2.TPMAlgSHA256, 16, secrecy...)
		rsp, err := tpm2.NVRead{AuthHandle: index, NVIndex: index, Size: sha256.Size}.Execute(o.link)
		if err != nil {
			return err
		}
		if len(rsp.Data.Buffer) != len(who) {
			return errors.New("it is cut short")
		}
		copy(who[:], rsp.Data.Buffer)
		return nil
	})
	return who, err
}

func (o *owner) writeSecret(index tpm2.AuthHandle, data []byte) error {
	return o.secretly(tpm2.AESEncryption(128, tpm2.EncryptIn), func(secrecy []tpm2.AuthOption) error {
		index.Auth = tpm2.HMAC(tpm2.TPMAlgSHA256, 16, secrecy...)
		_, err := tpm2.NVWrite{AuthHandle: index, NVIndex: index, Data: tpm2.TPM2BMaxNVBuffer{Buffer: data}}.Execute(o.link)
		return err
	})
}

// secretly hands fn what makes a session hide the first parameter of a command, or of its
// response, from the wires between TPM and processor: it is salted by the storage key,
// which takes one of the three places for objects while fn runs.
func (o *owner) secretly(way tpm2.AuthOption, fn func([]tpm2.AuthOption) error) error {
	return o.use(storageKey, func(salt tpm2.AuthHandle) error {
		return fn([]tpm2.AuthOption{tpm2.Salted(salt.Handle, o.keys[storageKey].public), way})
	})
}

// Holds lists the NV indices that [TPM.Forget] removes, in that order.
func (t *TPM) Holds(ctx context.Context, keep bool) ([]uint64, error) {
	return call(ctx, t, func(o *owner) ([]uint64, error) {
		var list []uint64
		for _, at := range forgotten(keep) {
			_, err := tpm2.NVReadPublic{NVIndex: at}.Execute(o.link)
			if err == nil {
				list = append(list, uint64(at))
			} else if !errors.Is(err, tpm2.TPMRCHandle) {
				return nil, fmt.Errorf("find NV index %#x: %w", uint32(at), err)
			}
		}
		return list, nil
	})
}

// forgotten are the indices that go with the printer's owner. The identity is the last:
// until then it can be done again. A printer that keeps it keeps what it counted, too.
func forgotten(keep bool) []tpm2.TPMHandle {
	if keep {
		return []tpm2.TPMHandle{headIndex}
	}
	return []tpm2.TPMHandle{ticketIndex, headIndex, bootIndex, identityIndex}
}

// Forget makes the printer another one to everybody: its identity and its counters, of
// boots, tickets and heads of the audit log, are removed from the TPM, and with the
// identity all keys are gone for good. The TPM is of no use afterwards but to be closed;
// the next [New] makes a new identity. Indices of others, and the floor of releases, which
// must not fall, stay. With keep all but the counter of the audit log's heads stays.
func (t *TPM) Forget(ctx context.Context, keep bool) error {
	_, err := call(ctx, t, func(o *owner) (struct{}, error) { return struct{}{}, o.forget(keep) })
	if err != nil {
		return fmt.Errorf("make the TPM forget the printer: %w", err)
	}
	return nil
}

func (o *owner) forget(keep bool) error {
	for _, at := range forgotten(keep) {
		rsp, err := tpm2.NVReadPublic{NVIndex: at}.Execute(o.link)
		if errors.Is(err, tpm2.TPMRCHandle) {
			continue
		}
		if err != nil {
			return fmt.Errorf("find NV index %#x: %w", uint32(at), err)
		}
		_, err = tpm2.NVUndefineSpace{AuthHandle: tpm2.TPMRHOwner, NVIndex: tpm2.NamedHandle{Handle: at, Name: rsp.NVName}}.Execute(o.link)
		if err != nil {
			return fmt.Errorf("undefine NV index %#x: %w", uint32(at), err)
		}
	}
	if !keep {
		o.keys = bareKeyring()
	}
	return nil
}
