package evidence

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Limits of enrolment messages.
const (
	// MaxClaim is the longest claim code in bytes.
	MaxClaim = 128
	maxCert  = 4096
	maxEKs   = 3
	maxChain = 4
	maxText  = 255
)

// EK is an endorsement key of the TPM, with its maker's certificate if it has one.
type EK struct {
	_ struct{} `cbor:",toarray"`
	// Cert is the certificate in DER; empty if the TPM has none.
	Cert []byte
	// Public is the key's TPMT_PUBLIC.
	Public []byte
}

// Certified is a TPM key with TPM2_Certify's statement by the attestation key.
type Certified struct {
	_ struct{} `cbor:",toarray"`
	// Public is the key's TPMT_PUBLIC.
	Public []byte
	// Attest is the TPMS_ATTEST of TPM2_Certify; its extra data is a [Purpose].
	Attest []byte
	// Sig is the TPMT_SIGNATURE over Attest by the attestation key.
	Sig []byte
}

// EnrolRequest is a printer's first message: all its public keys.
type EnrolRequest struct {
	_ struct{} `cbor:",toarray"`
	// V is Version.
	V uint64
	// Claim is the code that lets this printer in, or empty: the factory list or
	// an earlier enrolment does then.
	Claim string
	// EKs are the TPM's endorsement keys, one to three.
	EKs []EK
	// AK is the attestation key's TPMT_PUBLIC.
	AK []byte
	// TLS is the client key, certified.
	TLS Certified
	// Job is the key that jobs are sealed to, certified.
	Job Certified
	// CSR is a PKCS #10 request in DER, signed by the client key.
	CSR []byte
}

// EnrolChallenge asks the TPM to prove that AK and EK live in it.
type EnrolChallenge struct {
	_ struct{} `cbor:",toarray"`
	// V is Version.
	V uint64
	// Session names the enrolment under way.
	Session [16]byte
	// EK is the index in EnrolRequest.EKs of the key that the secret is sealed to.
	EK uint64
	// Blob and Secret are TPM2_MakeCredential's TPM2B_ID_OBJECT and
	// TPM2B_ENCRYPTED_SECRET without their sizes.
	Blob, Secret []byte
	// Nonce makes the quote that answers fresh.
	Nonce [32]byte
}

// EnrolResponse answers a challenge.
type EnrolResponse struct {
	_ struct{} `cbor:",toarray"`
	// V is Version.
	V uint64
	// Session is the challenge's.
	Session [16]byte
	// Quote is over [EnrolDigest].
	Quote Quote
	// Log is what was measured: all agents since the TPM was reset.
	Log Log
	// MAC is [EnrolMAC] under the secret that only the challenged TPM could open.
	MAC [32]byte
}

// EnrolResult is what an enrolled printer is told.
type EnrolResult struct {
	_ struct{} `cbor:",toarray"`
	// V is Version.
	V uint64
	// Printer is the printer's id.
	Printer PrinterID
	// Recipient is whom the printer may be granted to send to.
	Recipient RecipientID
	// Name is the recipient's name as shown in the grant.
	Name string
	// Certs is the client certificate in DER, leaf first.
	Certs [][]byte
	// CAs are the certificates in DER that the broker's certificate must chain to.
	CAs [][]byte
	// Broker is the broker's address, host:port.
	Broker string
	// Topic is where batches go.
	Topic string
	// Nonce is the verifier's first nonce.
	Nonce []byte
}

// Purpose is the extra data of TPM2_Certify: it says what a key is for, so that
// the statement for one key cannot be passed off for another.
func Purpose(use string) [32]byte { return sha256.Sum256([]byte("platen certify v1 " + use)) }

// The uses of certified keys.
const (
	UseTLS = "tls"
	UseJob = "job"
)

// EnrolDigest is the qualifying data of the quote in an EnrolResponse: it binds
// the frames of the request and of the challenge.
func EnrolDigest(request, challenge []byte) [32]byte {
	return transcript("platen enrol quote v1", request, challenge)
}

// EnrolMAC proves that the TPM opened the challenge's secret and that nobody
// changed what was said: it covers both frames and the quote.
func EnrolMAC(secret, request, challenge []byte, q Quote) [32]byte {
	t := transcript("platen enrol mac v1", request, challenge, q.Attest, q.Sig)
	m := hmac.New(sha256.New, secret)
	m.Write(t[:])
	return [32]byte(m.Sum(nil))
}

func transcript(label string, parts ...[]byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(label))
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

// Encode returns the frame of r.
func (r EnrolRequest) Encode() ([]byte, error) {
	r.EKs = append([]EK{}, r.EKs...)
	for i := range r.EKs {
		r.EKs[i].Cert = append([]byte{}, r.EKs[i].Cert...)
	}
	return encodeEnrol(magicRequest, r, r.check())
}

// Encode returns the frame of c.
func (c EnrolChallenge) Encode() ([]byte, error) { return encodeEnrol(magicChallenge, c, c.check()) }

// Encode returns the frame of r.
func (r EnrolResponse) Encode() ([]byte, error) {
	r.Log = r.Log.filled()
	return encodeEnrol(magicResponse, r, r.check())
}

// Encode returns the frame of r.
func (r EnrolResult) Encode() ([]byte, error) {
	r.Nonce = append([]byte{}, r.Nonce...)
	return encodeEnrol(magicResult, r, r.check())
}

func encodeEnrol(magic string, v any, bad error) ([]byte, error) {
	if bad != nil {
		return nil, bad
	}
	body, err := marshal(v)
	if err != nil {
		return nil, err
	}
	return frame(magic, body, 0)
}

// DecodeEnrolRequest reads the frame of an EnrolRequest and nothing else.
func DecodeEnrolRequest(wire []byte) (EnrolRequest, error) {
	return decodeEnrol[EnrolRequest](magicRequest, wire)
}

// DecodeEnrolChallenge reads the frame of an EnrolChallenge and nothing else.
func DecodeEnrolChallenge(wire []byte) (EnrolChallenge, error) {
	return decodeEnrol[EnrolChallenge](magicChallenge, wire)
}

// DecodeEnrolResponse reads the frame of an EnrolResponse and nothing else.
func DecodeEnrolResponse(wire []byte) (EnrolResponse, error) {
	return decodeEnrol[EnrolResponse](magicResponse, wire)
}

// DecodeEnrolResult reads the frame of an EnrolResult and nothing else.
func DecodeEnrolResult(wire []byte) (EnrolResult, error) {
	return decodeEnrol[EnrolResult](magicResult, wire)
}

func decodeEnrol[T interface{ check() error }](magic string, wire []byte) (T, error) {
	var v, zero T
	body, err := unframe(magic, wire)
	if err != nil {
		return zero, err
	}
	if frameHeader+len(body) != len(wire) {
		return zero, fmt.Errorf("%w: padded enrolment", ErrEncoding)
	}
	if err := unmarshal(body, &v); err != nil {
		return zero, err
	}
	if err := v.check(); err != nil {
		return zero, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return v, nil
}

func limit(ok bool, what string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrLimit, what)
}

func sized(b []byte, most int) bool { return len(b) > 0 && len(b) <= most }

func (c Certified) ok() bool {
	return sized(c.Public, maxTPM) && sized(c.Attest, maxTPM) && sized(c.Sig, maxTPM)
}

func (r EnrolRequest) check() error {
	ok := r.V == Version && len(r.Claim) <= MaxClaim && len(r.EKs) >= 1 && len(r.EKs) <= maxEKs &&
		sized(r.AK, maxTPM) && r.TLS.ok() && r.Job.ok() && sized(r.CSR, maxCert)
	for _, ek := range r.EKs {
		ok = ok && ek.Cert != nil && len(ek.Cert) <= maxCert && sized(ek.Public, maxTPM)
	}
	return limit(ok, "enrolment request")
}

func (c EnrolChallenge) check() error {
	return limit(c.V == Version && c.EK < maxEKs && sized(c.Blob, maxTPM) && sized(c.Secret, maxTPM), "enrolment challenge")
}

func (r EnrolResponse) check() error {
	if err := r.Quote.check(); err != nil {
		return err
	}
	if err := r.Log.check(MaxFullLog); err != nil {
		return err
	}
	return limit(r.V == Version, "enrolment response")
}

func (r EnrolResult) check() error {
	ok := r.V == Version && len(r.Certs) >= 1 && len(r.Certs) <= maxChain && len(r.CAs) >= 1 && len(r.CAs) <= maxChain &&
		len(r.Name) <= maxText && len(r.Broker) <= maxText && len(r.Topic) <= maxText &&
		r.Nonce != nil && len(r.Nonce) <= MaxNonce
	for _, c := range append(append([][]byte{}, r.Certs...), r.CAs...) {
		ok = ok && sized(c, maxCert)
	}
	return limit(ok, "enrolment result")
}
