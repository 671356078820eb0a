package attest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// keyID names a key of the printer; label tells client keys apart.
type keyID struct{ name, label string }

var (
	attestationKey = keyID{name: "attestation key"}
	tlsKey         = keyID{name: "TLS key"}
	jobKey         = keyID{name: "job key"}
	contentKey     = keyID{name: "content key"}
	storageKey     = keyID{name: "storage key"} // salts the sessions that secrets travel in
)

// String is the key's name in errors.
func (k keyID) String() string { return k.name }

// key is a primary key. Its saved context stands for it between uses, because a
// TPM without a resource manager holds three objects at a time.
type key struct {
	hierarchy tpm2.TPMHandle
	template  tpm2.TPMTPublic
	context   *tpm2.TPMSContext // nil until first derived
	public    tpm2.TPMTPublic
	name      tpm2.TPM2BName
}

type keyring map[keyID]*key

// bareKeyring has the one key that is the same whatever the printer's identity: the TCG's
// storage root key.
func bareKeyring() keyring {
	return keyring{storageKey: {hierarchy: tpm2.TPMRHOwner, template: tpm2.ECCSRKTemplate}}
}

// identify describes the keys of an identity. policy is that of the keys that open jobs:
// with another policy they are other keys. Empty, they are used in any state.
func (ring keyring) identify(who identity, policy tpm2.TPM2BDigest) {
	ring[attestationKey] = &key{hierarchy: tpm2.TPMRHEndorsement, template: signingTemplate(who.unique("attestation key"), true)}
	ring[tlsKey] = &key{hierarchy: tpm2.TPMRHOwner, template: signingTemplate(who.unique("tls key"), false)}
	ring[jobKey] = &key{hierarchy: tpm2.TPMRHOwner, template: ecdhTemplate(who.unique("job key"))}
	ring[acmeKey] = &key{hierarchy: tpm2.TPMRHEndorsement, template: acmeTemplate(who.unique("acme attestation key"))}
	ring[contentKey] = &key{hierarchy: tpm2.TPMRHOwner, template: contentTemplate(who.unique("content key"))}
	if len(policy.Buffer) > 0 {
		for _, id := range [...]keyID{jobKey, contentKey} {
			ring[id].template.AuthPolicy = policy
			ring[id].template.ObjectAttributes.UserWithAuth = false // the policy, and nothing else
		}
	}
}

// signingTemplate is a P-256 key that signs with ECDSA and SHA-256; a restricted
// one signs only what the TPM itself made. unique makes it a key of its own.
func signingTemplate(unique [32]byte, restricted bool) tpm2.TPMTPublic {
	return eccTemplate(unique, tpm2.TPMAObject{SignEncrypt: true, Restricted: restricted},
		tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})})
}

// ecdhTemplate is a P-256 key for key agreement.
func ecdhTemplate(unique [32]byte) tpm2.TPMTPublic {
	return eccTemplate(unique, tpm2.TPMAObject{Decrypt: true}, tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgNull})
}

func eccTemplate(unique [32]byte, attrs tpm2.TPMAObject, scheme tpm2.TPMTECCScheme) tpm2.TPMTPublic {
	attrs.FixedTPM, attrs.FixedParent, attrs.SensitiveDataOrigin = true, true, true
	attrs.UserWithAuth, attrs.NoDA = true, true
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: attrs,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
			Scheme:    scheme, CurveID: tpm2.TPMECCNistP256,
			KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull},
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: unique[:]}, Y: tpm2.TPM2BECCParameter{Buffer: make([]byte, 32)}}),
	}
}

// PrinterID is the id of the printer whose attestation key has this TPMT_PUBLIC.
func PrinterID(ak tpm2.TPMTPublic) (evidence.PrinterID, error) {
	name, err := tpm2.ObjectName(&ak)
	if err != nil {
		return evidence.PrinterID{}, fmt.Errorf("name the attestation key: %w", err)
	}
	return sha256.Sum256(name.Buffer), nil
}

// use loads a key, hands it to fn and flushes it again.
func (o *owner) use(id keyID, fn func(tpm2.AuthHandle) error) (err error) {
	handle, err := o.load(id)
	if err != nil {
		return fmt.Errorf("load the %v: %w", id, err)
	}
	defer func() { err = errors.Join(err, o.flush(handle)) }()
	if err := fn(tpm2.AuthHandle{Handle: handle, Name: o.keys[id].name, Auth: tpm2.PasswordAuth(nil)}); err != nil {
		return fmt.Errorf("use the %v: %w", id, err)
	}
	return nil
}

func (o *owner) load(id keyID) (tpm2.TPMHandle, error) {
	k := o.keys[id]
	if k == nil {
		return 0, errors.New("the TPM has forgotten this printer: restart the agent")
	}
	if k.context != nil {
		rsp, err := tpm2.ContextLoad{Context: *k.context}.Execute(o.link)
		if err == nil {
			return tpm2.TPMHandle(rsp.LoadedHandle), nil
		}
		// A TPM reset makes contexts worthless; the key itself is derived again.
		k.context = nil
	}
	rsp, err := tpm2.CreatePrimary{PrimaryHandle: k.hierarchy, InPublic: tpm2.New2B(k.template)}.Execute(o.link)
	if err != nil {
		return 0, fmt.Errorf("derive it: %w", err)
	}
	public, err := rsp.OutPublic.Contents()
	if err != nil {
		return 0, errors.Join(err, o.flush(rsp.ObjectHandle))
	}
	saved, err := tpm2.ContextSave{SaveHandle: rsp.ObjectHandle}.Execute(o.link)
	if err != nil {
		return 0, errors.Join(fmt.Errorf("save it: %w", err), o.flush(rsp.ObjectHandle))
	}
	k.context, k.public, k.name = &saved.Context, *public, rsp.Name
	return rsp.ObjectHandle, nil
}

func (o *owner) flush(h tpm2.TPMHandle) error {
	if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(o.link); err != nil {
		return fmt.Errorf("flush a TPM object: %w", err)
	}
	return nil
}

// public derives a key if need be and returns its public area.
func (o *owner) public(id keyID) (tpm2.TPMTPublic, error) {
	err := o.use(id, func(tpm2.AuthHandle) error { return nil })
	return o.keys[id].public, err
}

// eccPublic returns the point of one of our P-256 keys.
func eccPublic(public tpm2.TPMTPublic) (*ecdsa.PublicKey, error) {
	pub, err := tpm2.Pub(public)
	if err != nil {
		return nil, fmt.Errorf("read a public key of the TPM: %w", err)
	}
	ec, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("read a public key of the TPM: not on an elliptic curve")
	}
	return ec, nil
}

// Signer is a P-256 key in the TPM that signs SHA-256 digests; a crypto.Signer. In
// a tls.Certificate, set SupportedSignatureAlgorithms to ECDSAWithP256AndSHA256.
type Signer struct {
	tpm    *TPM
	id     keyID
	public *ecdsa.PublicKey
}

func newSigner(t *TPM, o *owner, id keyID) (*Signer, error) {
	area, err := o.public(id)
	if err != nil {
		return nil, err
	}
	public, err := eccPublic(area)
	return &Signer{t, id, public}, err
}

// Public is the key's *ecdsa.PublicKey.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign signs a SHA-256 digest and returns an ASN.1 ECDSA signature. The TPM brings
// its own randomness: rand is not read. Any other hash is an error.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil || opts.HashFunc() != crypto.SHA256 || len(digest) != sha256.Size {
		return nil, errors.New("sign with the TLS key: only SHA-256 digests can be signed")
	}
	digest = bytes.Clone(digest)
	return call(context.Background(), s.tpm, func(o *owner) (der []byte, err error) {
		err = o.use(s.id, func(h tpm2.AuthHandle) error {
			der, err = o.sign(h, digest)
			return err
		})
		return der, err
	})
}

func (o *owner) sign(h tpm2.AuthHandle, digest []byte) ([]byte, error) {
	rsp, err := tpm2.Sign{
		KeyHandle:  h,
		Digest:     tpm2.TPM2BDigest{Buffer: digest},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(o.link)
	if err != nil {
		return nil, err
	}
	sig, err := rsp.Signature.Signature.ECDSA()
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(sig.SignatureR.Buffer), new(big.Int).SetBytes(sig.SignatureS.Buffer)})
}

// ECDH is a P-256 key in the TPM for key agreement; an ecdh.KeyExchanger, so
// crypto/hpke opens with it what was sealed to its public key.
type ECDH struct {
	tpm    *TPM
	public *ecdh.PublicKey
}

var _ ecdh.KeyExchanger = (*ECDH)(nil)

func newECDH(t *TPM, o *owner) (*ECDH, error) {
	area, err := o.public(jobKey)
	if err != nil {
		return nil, err
	}
	ec, err := eccPublic(area)
	if err != nil {
		return nil, err
	}
	public, err := ec.ECDH()
	if err != nil {
		return nil, fmt.Errorf("read the job key: %w", err)
	}
	return &ECDH{t, public}, nil
}

// PublicKey is the key that others seal to.
func (k *ECDH) PublicKey() *ecdh.PublicKey { return k.public }

// Curve is P-256.
func (k *ECDH) Curve() ecdh.Curve { return ecdh.P256() }

// ECDH agrees on a secret with peer: the 32-byte x-coordinate of the shared point,
// as ecdh.PrivateKey's. In a state that was not approved the error is a *SealedError.
func (k *ECDH) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	if peer == nil || peer.Curve() != ecdh.P256() {
		return nil, errors.New("agree with the job key: the other key is not on P-256")
	}
	point := peer.Bytes()[1:]
	return call(context.Background(), k.tpm, func(o *owner) (secret []byte, err error) {
		err = o.useSecret(jobKey, func(job tpm2.AuthHandle) error {
			secret, err = o.agree(job, point)
			return err
		})
		return secret, err
	})
}

func (o *owner) agree(job tpm2.AuthHandle, point []byte) ([]byte, error) {
	rsp, err := tpm2.ECDHZGen{KeyHandle: job, InPoint: tpm2.New2B(tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: point[:32]}, Y: tpm2.TPM2BECCParameter{Buffer: point[32:]}})}.Execute(o.link)
	if err != nil {
		return nil, err
	}
	shared, err := rsp.OutPoint.Contents()
	if err != nil {
		return nil, err
	}
	if len(shared.X.Buffer) > 32 {
		return nil, errors.New("the TPM returned a point that is too long")
	}
	secret := make([]byte, 32) // a TPM may leave out leading zeros
	copy(secret[32-len(shared.X.Buffer):], shared.X.Buffer)
	clear(shared.X.Buffer)
	return secret, nil
}

// certify has a restricted key state that the TPM holds another of our keys.
func (o *owner) certify(id, by keyID, qualifying [32]byte) (evidence.Certified, error) {
	var out evidence.Certified
	err := o.use(id, func(subject tpm2.AuthHandle) error {
		return o.use(by, func(ak tpm2.AuthHandle) error {
			rsp, err := tpm2.Certify{ObjectHandle: subject, SignHandle: ak,
				QualifyingData: tpm2.TPM2BData{Buffer: qualifying[:]}, InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}}.Execute(o.link)
			if err != nil {
				return err
			}
			out = evidence.Certified{Public: tpm2.Marshal(o.keys[id].public),
				Attest: rsp.CertifyInfo.Bytes(), Sig: tpm2.Marshal(rsp.Signature)}
			return nil
		})
	})
	return out, err
}
