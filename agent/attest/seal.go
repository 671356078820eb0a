package attest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// MaxSeal is the size of the largest secret that is sealed, in bytes.
const MaxSeal = 64

// ErrSeal reports a sealed secret that this TPM does not open: it was changed, or sealed
// by another TPM, or the TPM was cleared since.
var ErrSeal = errors.New("sealed to another TPM, or changed")

// Seal makes a blob that this TPM alone opens, with [TPM.Unseal], in whatever state the
// machine is: a sealed data object below the storage key (TPM 2.0 part 3, TPM2_Create).
// On the wires to the TPM the secret is encrypted.
func (t *TPM) Seal(ctx context.Context, secret []byte) ([]byte, error) {
	if len(secret) == 0 || len(secret) > MaxSeal {
		return nil, fmt.Errorf("seal a secret: it has 1 to %d bytes", MaxSeal)
	}
	blob, err := call(ctx, t, func(o *owner) (blob []byte, err error) {
		err = o.use(storageKey, func(parent tpm2.AuthHandle) error {
			return o.secretly(tpm2.AESEncryption(128, tpm2.EncryptIn), func(secrecy []tpm2.AuthOption) error {
				parent.Auth = tpm2.HMAC(tpm2.TPMAlgSHA256, 16, secrecy...)
				blob, err = o.seal(parent, secret, nil)
				return err
			})
		})
		return blob, err
	})
	if err != nil {
		return nil, fmt.Errorf("seal a secret: %w", err)
	}
	return blob, nil
}

// seal makes the blob. policy, if it is not empty, is the only way to open it.
func (o *owner) seal(parent tpm2.AuthHandle, secret, policy []byte) ([]byte, error) {
	rsp, err := tpm2.Create{
		ParentHandle: parent,
		InSensitive:  tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret})}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: len(policy) == 0, NoDA: true},
			AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy}}),
	}.Execute(o.link)
	if err != nil {
		return nil, err
	}
	public, private := tpm2.Marshal(rsp.OutPublic), tpm2.Marshal(rsp.OutPrivate)
	return append(append(binary.BigEndian.AppendUint16(nil, uint16(len(public))), public...), private...), nil
}

// Unseal opens what Seal has made. It is ErrSeal if it does not open.
func (t *TPM) Unseal(ctx context.Context, blob []byte) ([]byte, error) {
	public, private, err := split(blob)
	if err != nil {
		return nil, err
	}
	secret, err := call(ctx, t, func(o *owner) ([]byte, error) { return o.unseal(public, private, nil) })
	if err != nil {
		return nil, fmt.Errorf("open a sealed secret: %w", err)
	}
	return secret, nil
}

func split(blob []byte) (public *tpm2.TPM2BPublic, private *tpm2.TPM2BPrivate, err error) {
	if len(blob) < 2 || len(blob) > 2048 {
		return nil, nil, ErrSeal
	}
	n := int(binary.BigEndian.Uint16(blob))
	if len(blob) < 2+n {
		return nil, nil, ErrSeal
	}
	if public, err = tpm2.Unmarshal[tpm2.TPM2BPublic](blob[2 : 2+n]); err == nil {
		private, err = tpm2.Unmarshal[tpm2.TPM2BPrivate](blob[2+n:])
	}
	if err != nil {
		return nil, nil, ErrSeal
	}
	return public, private, nil
}

// unseal opens the blob, by an approval of the present state if it asks for one.
func (o *owner) unseal(public *tpm2.TPM2BPublic, private *tpm2.TPM2BPrivate, k *known) (secret []byte, err error) {
	var loaded *tpm2.LoadResponse
	err = o.use(storageKey, func(parent tpm2.AuthHandle) error {
		loaded, err = tpm2.Load{ParentHandle: parent, InPrivate: *private, InPublic: *public}.Execute(o.link)
		return err
	})
	if errors.Is(err, tpm2.TPMRCIntegrity) || errors.Is(err, tpm2.TPMRCSize) || errors.Is(err, tpm2.TPMRCValue) {
		return nil, ErrSeal
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.flush(loaded.ObjectHandle)) }()
	err = o.secretly(tpm2.AESEncryption(128, tpm2.EncryptOut), func(secrecy []tpm2.AuthOption) error {
		auth := tpm2.HMAC(tpm2.TPMAlgSHA256, 16, secrecy...)
		if k != nil {
			auth = tpm2.Policy(tpm2.TPMAlgSHA256, 16, o.approver.satisfy(k), secrecy...)
		}
		rsp, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: auth}}.Execute(o.link)
		if err == nil {
			secret = rsp.OutData.Buffer
		}
		return err
	})
	return secret, err
}
