package attest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"platen/agent/evidence"
)

// ekKind is a kind of endorsement key as the TCG EK Credential Profile 2.5 names
// it: where its certificate and, by custom, the key itself are kept.
type ekKind struct {
	certIndex  tpm2.TPMHandle // section 2.2.1.4 and 2.2.1.5
	persistent tpm2.TPMHandle
	template   tpm2.TPMTPublic
	policy     bool // used under PolicySecret of the endorsement hierarchy
}

// ekKinds are tried in this order; elliptic curves first, because an RSA key may
// take a TPM seconds to derive.
func ekKinds() []ekKind {
	return []ekKind{
		{certIndex: 0x01c00016, persistent: 0x81010016, template: ekP384Template()},
		{certIndex: 0x01c0000a, persistent: 0x81010002, template: tpm2.ECCEKTemplate, policy: true},
		{certIndex: 0x01c00002, persistent: 0x81010001, template: tpm2.RSAEKTemplate, policy: true},
	}
}

// ekP384Template is template H-3 of the profile, annex B.4.5: ECC NIST P-384.
func ekP384Template() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA384,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			UserWithAuth: true, AdminWithPolicy: true, Restricted: true, Decrypt: true},
		AuthPolicy: tpm2.TPM2BDigest{Buffer: []byte{ // PolicyB for SHA-384, annex B.6.3
			0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a,
			0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca,
			0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12}},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgAES,
				KeyBits: tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(256)),
				Mode:    tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB)},
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgNull}, CurveID: tpm2.TPMECCNistP384,
			KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull}}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
	}
}

// endorsementKeys lists the endorsement keys that the TPM's maker certified. A TPM
// without any certificate names its P-384 or else P-256 key, for a factory list.
func (o *owner) endorsementKeys() ([]evidence.EK, error) {
	var eks []evidence.EK
	for _, kind := range ekKinds() {
		cert, err := o.readCert(kind.certIndex)
		if err != nil {
			return nil, err
		}
		if cert == nil {
			continue
		}
		public, err := o.ekPublic(kind)
		if err != nil {
			return nil, err
		}
		if certifies(cert, public) {
			eks = append(eks, evidence.EK{Cert: cert, Public: tpm2.Marshal(public)})
		}
	}
	if len(eks) > 0 {
		return eks, nil
	}
	var errs []error
	for _, kind := range ekKinds()[:2] {
		public, err := o.ekPublic(kind)
		if err == nil {
			return []evidence.EK{{Cert: []byte{}, Public: tpm2.Marshal(public)}}, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// certifies reports whether a certificate is for this public key. Some TPMs carry
// a certificate of a key made by another template; it is of no use then.
func certifies(der []byte, public tpm2.TPMTPublic) bool {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	key, err := tpm2.Pub(public)
	if err != nil {
		return false
	}
	same, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && same.Equal(key)
}

// readCert reads a certificate from NV, nil if there is none there.
func (o *owner) readCert(index tpm2.TPMHandle) ([]byte, error) {
	rsp, err := tpm2.NVReadPublic{NVIndex: index}.Execute(o.link)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the certificate in NV index %#x: %w", uint32(index), err)
	}
	public, err := rsp.NVPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("find the certificate in NV index %#x: %w", uint32(index), err)
	}
	handle := tpm2.AuthHandle{Handle: index, Name: rsp.NVName, Auth: tpm2.PasswordAuth(nil)}
	var der []byte
	for len(der) < int(public.DataSize) {
		const chunk = 512 // every TPM takes that much at once
		n := min(chunk, int(public.DataSize)-len(der))
		rsp, err := tpm2.NVRead{AuthHandle: handle, NVIndex: handle, Size: uint16(n), Offset: uint16(len(der))}.Execute(o.link)
		if err != nil {
			return nil, fmt.Errorf("read the certificate in NV index %#x: %w", uint32(index), err)
		}
		if len(rsp.Data.Buffer) != n {
			return nil, fmt.Errorf("read the certificate in NV index %#x: cut short", uint32(index))
		}
		der = append(der, rsp.Data.Buffer...)
	}
	return trimDER(der), nil
}

// trimDER cuts what makers pad a certificate with in NV.
func trimDER(b []byte) []byte {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(b, &outer)
	if err != nil {
		return b
	}
	return b[:len(b)-len(rest)]
}

func (o *owner) ekPublic(kind ekKind) (tpm2.TPMTPublic, error) {
	var public tpm2.TPMTPublic
	err := o.useEK(kind, func(_ tpm2.AuthHandle, area tpm2.TPMTPublic) error { public = area; return nil })
	return public, err
}

// useEK hands fn an endorsement key: the persistent one if its template is the
// profile's, or one derived for the occasion.
func (o *owner) useEK(kind ekKind, fn func(tpm2.AuthHandle, tpm2.TPMTPublic) error) (err error) {
	handle := tpm2.AuthHandle{Handle: kind.persistent}
	public, name, ok := o.persistentEK(kind)
	if !ok {
		rsp, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(kind.template)}.Execute(o.link)
		if err != nil {
			return fmt.Errorf("derive an endorsement key: %w", err)
		}
		handle.Handle = rsp.ObjectHandle
		defer func() { err = errors.Join(err, o.flush(rsp.ObjectHandle)) }()
		area, err := rsp.OutPublic.Contents()
		if err != nil {
			return fmt.Errorf("derive an endorsement key: %w", err)
		}
		public, name = *area, rsp.Name
	}
	handle.Name, handle.Auth = name, tpm2.PasswordAuth(nil)
	if kind.policy {
		handle.Auth = tpm2.Policy(tpm2.TPMAlgSHA256, 16, endorsementPolicy)
	}
	return fn(handle, public)
}

func (o *owner) persistentEK(kind ekKind) (tpm2.TPMTPublic, tpm2.TPM2BName, bool) {
	rsp, err := tpm2.ReadPublic{ObjectHandle: kind.persistent}.Execute(o.link)
	if err != nil {
		return tpm2.TPMTPublic{}, tpm2.TPM2BName{}, false
	}
	public, err := rsp.OutPublic.Contents()
	if err != nil {
		return tpm2.TPMTPublic{}, tpm2.TPM2BName{}, false
	}
	like := *public
	like.Unique = kind.template.Unique
	ok := bytes.Equal(tpm2.Marshal(like), tpm2.Marshal(kind.template))
	return *public, rsp.Name, ok
}

// endorsementPolicy satisfies the policy of the profile's low-range templates.
var endorsementPolicy tpm2.PolicyCallback = func(tpm transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicySecret{
		AuthHandle:    tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		PolicySession: session, NonceTPM: nonce,
	}.Execute(tpm)
	return err
}

// activate opens the secret of an enrolment's challenge with the endorsement key
// that it was sealed to. A challenge for another TPM or another attestation key is
// refused by the TPM.
func (o *owner) activate(public, blob, secret []byte) (opened []byte, err error) {
	for _, kind := range ekKinds() {
		area, err := o.ekPublic(kind)
		if err != nil || !bytes.Equal(tpm2.Marshal(area), public) {
			continue
		}
		err = o.useEK(kind, func(ek tpm2.AuthHandle, _ tpm2.TPMTPublic) error {
			return o.use(attestationKey, func(ak tpm2.AuthHandle) error {
				return o.secretly(tpm2.AESEncryption(128, tpm2.EncryptOut), func(secrecy []tpm2.AuthOption) error {
					ak.Auth = tpm2.HMAC(tpm2.TPMAlgSHA256, 16, secrecy...)
					rsp, err := tpm2.ActivateCredential{ActivateHandle: ak, KeyHandle: ek,
						CredentialBlob: tpm2.TPM2BIDObject{Buffer: blob},
						Secret:         tpm2.TPM2BEncryptedSecret{Buffer: secret}}.Execute(o.link)
					if err != nil {
						return err
					}
					opened = rsp.CertInfo.Buffer
					return nil
				})
			})
		})
		return opened, err
	}
	return nil, errors.New("the challenge is for no endorsement key of this TPM")
}

// EndorsementKeys lists the TPM's certified endorsement keys, for a factory list.
func (t *TPM) EndorsementKeys(ctx context.Context) ([]evidence.EK, error) {
	return call(ctx, t, (*owner).endorsementKeys)
}
