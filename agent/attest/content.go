package attest

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"

	"github.com/google/go-tpm/tpm2"
)

// contentBytes is the length of the content key's modulus.
const contentBytes = 256

// ErrContent reports what is not encrypted to the printer's content key, or not as it
// is said to be.
var ErrContent = errors.New("a content key does not open with this printer's key: encrypt the file again, to the key that platen recipient --3mf prints")

// Content is the RSA-2048 key in the TPM to which the content keys of encrypted 3MF
// packages are encrypted (3MF Secure Content 1.0.3). It is derived when it is first
// used: that takes a TPM some seconds, and most printers never need it.
type Content struct{ tpm *TPM }

// ContentKey is the key for encrypted 3MF packages; see [Content].
func (t *TPM) ContentKey() *Content { return &Content{t} }

// Public is what others encrypt to.
func (c *Content) Public(ctx context.Context) (*rsa.PublicKey, error) {
	area, err := call(ctx, c.tpm, func(o *owner) (tpm2.TPMTPublic, error) { return o.public(contentKey) })
	if err != nil {
		return nil, err
	}
	pub, err := tpm2.Pub(area)
	if err != nil {
		return nil, fmt.Errorf("read the content key: %w", err)
	}
	key, ok := pub.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("read the content key: it is not an RSA key")
	}
	return key, nil
}

// Decrypt opens an RSAES-OAEP ciphertext with an empty label (RFC 8017, 7.1.2). digest
// makes the hash of the label and mask that of the mask generation; they may differ,
// which a TPM's own OAEP cannot do: the TPM does the RSA operation alone. The result
// leaves the TPM encrypted. A ciphertext that does not open is ErrContent; in a state that
// was not approved the error is a *SealedError.
func (c *Content) Decrypt(ctx context.Context, digest, mask func() hash.Hash, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) != contentBytes {
		return nil, ErrContent
	}
	block, err := call(ctx, c.tpm, func(o *owner) (block []byte, err error) {
		err = o.useSecret(contentKey, func(key tpm2.AuthHandle) error {
			block, err = o.rsa(key, ciphertext)
			return err
		})
		return block, err
	})
	if err != nil {
		return nil, err
	}
	defer clear(block)
	return oaep(block, digest(), mask())
}

// rsa is the bare operation; its result is as long as the modulus. A number beyond the
// modulus does not get to the TPM: libtpms fails for good when it is given one.
func (o *owner) rsa(key tpm2.AuthHandle, ciphertext []byte) ([]byte, error) {
	modulus, err := o.keys[contentKey].public.Unique.RSA()
	if err != nil {
		return nil, err
	}
	if bytes.Compare(ciphertext, modulus.Buffer) >= 0 {
		return nil, ErrContent
	}
	rsp, err := tpm2.RSADecrypt{
		KeyHandle: key, CipherText: tpm2.TPM2BPublicKeyRSA{Buffer: ciphertext},
		InScheme: tpm2.TPMTRSADecrypt{Scheme: tpm2.TPMAlgNull}, Label: tpm2.TPM2BData{},
	}.Execute(o.link)
	if err != nil {
		return nil, err
	}
	if len(rsp.Message.Buffer) > contentBytes {
		return nil, errors.New("the TPM returned a number that is too long")
	}
	block := make([]byte, contentBytes) // a TPM may leave out leading zeros
	copy(block[contentBytes-len(rsp.Message.Buffer):], rsp.Message.Buffer)
	clear(rsp.Message.Buffer)
	return block, nil
}

// oaep takes the padding from a block (RFC 8017, 7.1.2, step 3). Where the padding is
// wrong cannot be told from the time it takes.
func oaep(block []byte, digest, mask hash.Hash) ([]byte, error) {
	size := digest.Size()
	if len(block) < 2*size+2 {
		return nil, ErrContent
	}
	seed, db := block[1:1+size], block[1+size:]
	mgf1(seed, db, mask)
	mgf1(db, seed, mask)
	label := digest.Sum(nil)
	good := subtle.ConstantTimeByteEq(block[0], 0) & subtle.ConstantTimeCompare(db[:size], label)
	looking, at, invalid := 1, 0, 0
	rest := db[size:]
	for i, b := range rest {
		zero, one := subtle.ConstantTimeByteEq(b, 0), subtle.ConstantTimeByteEq(b, 1)
		at = subtle.ConstantTimeSelect(looking&one, i, at)
		looking = subtle.ConstantTimeSelect(one, 0, looking)
		invalid = subtle.ConstantTimeSelect(looking&^zero, 1, invalid)
	}
	if good&^invalid&^looking != 1 {
		return nil, ErrContent
	}
	return append([]byte(nil), rest[at+1:]...), nil
}

// mgf1 applies the mask that seed makes to out (RFC 8017, B.2.1).
func mgf1(out, seed []byte, h hash.Hash) {
	var counter [4]byte
	var digest []byte
	for len(out) > 0 {
		h.Reset()
		h.Write(seed)
		h.Write(counter[:])
		digest = h.Sum(digest[:0])
		out = out[subtle.XORBytes(out, out, digest):]
		for i := len(counter) - 1; i >= 0; i-- {
			if counter[i]++; counter[i] != 0 {
				break
			}
		}
	}
}

// contentTemplate is an RSA-2048 key that decrypts.
func contentTemplate(who [32]byte) tpm2.TPMTPublic {
	unique := make([]byte, contentBytes)
	copy(unique, who[:])
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{Decrypt: true, FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
			Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
			Scheme:    tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull}, KeyBits: 8 * contentBytes,
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: unique}),
	}
}
