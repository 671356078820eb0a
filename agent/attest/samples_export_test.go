package attest

import (
	"context"
	"crypto/rsa"
	"errors"
	"hash"

	"github.com/google/go-tpm/tpm2"
)

// DecryptWith is Content.Decrypt with a key that is loaded from outside.
func DecryptWith(ctx context.Context, t *TPM, priv *rsa.PrivateKey, digest, mask func() hash.Hash, ciphertext []byte) ([]byte, error) {
	block, err := call(ctx, t, func(o *owner) (block []byte, err error) {
		public := tpm2.TPMTPublic{Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{Decrypt: true, UserWithAuth: true, NoDA: true},
			Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048, Exponent: uint32(priv.E)}),
			Unique:           tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: priv.N.Bytes()})}
		rsp, err := tpm2.LoadExternal{
			InPrivate: tpm2.New2B(tpm2.TPMTSensitive{SensitiveType: tpm2.TPMAlgRSA,
				Sensitive: tpm2.NewTPMUSensitiveComposite(tpm2.TPMAlgRSA, &tpm2.TPM2BPrivateKeyRSA{Buffer: priv.Primes[0].Bytes()})}),
			InPublic: tpm2.New2B(public), Hierarchy: tpm2.TPMRHNull,
		}.Execute(o.link)
		if err != nil {
			return nil, err
		}
		block, err = o.rsa(tpm2.AuthHandle{Handle: rsp.ObjectHandle, Name: rsp.Name, Auth: tpm2.PasswordAuth(nil)}, ciphertext)
		return block, errors.Join(err, o.flush(rsp.ObjectHandle))
	})
	if err != nil {
		return nil, err
	}
	return oaep(block, digest(), mask())
}
