package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// ChallengeTime is how long an enrolment's challenge is good for.
const ChallengeTime = 2 * time.Minute

// Policy says which TPMs are let in and which agents may run on them.
type Policy struct {
	// Roots are the TPM makers' authorities; nil trusts no certificate.
	Roots *x509.CertPool
	// EKs is the factory list: SHA-256 digests of endorsement keys in PKIX form, see
	// [EKHash]. A TPM on it needs no certificate.
	EKs map[[32]byte]bool
	// Releases knows the agents.
	Releases Releases
	// Configurations knows the configuration files that printers may run with; nil takes any.
	Configurations Configurations
	// Saw says what a printer that is enrolled ran with before in this boot: [Verifier.Saw].
	// Without it, one that is judged by Configurations has to enrol with what it ran first.
	Saw func(id evidence.PrinterID, base [32]byte, reset uint32) bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (p Policy) now() time.Time {
	if p.Now == nil {
		return time.Now()
	}
	return p.Now()
}

// Session is an enrolment under way, between challenge and answer. It is good for
// one answer and not safe for concurrent use.
type Session struct {
	// ID is the session's, as challenge and answer carry it.
	ID [16]byte
	// Claim is the claim code of the request. Whether it lets the printer in is the
	// caller's to decide before the challenge is sent; use it up when it is enrolled.
	Claim string
	// Printer is the id that the request is for. Nothing is proved yet.
	Printer evidence.PrinterID

	policy             Policy
	request, challenge []byte
	record             Record
	csr                *x509.CertificateRequest
	ak                 *ecdsa.PublicKey
	signer             []byte
	secret             []byte
	deadline           time.Time
	used               bool
}

// Enrolled is what an enrolment established.
type Enrolled struct {
	// Record is for [Verifier.Enrol].
	Record Record
	// CSR is the printer's certificate request, whose key is the TLS key in its TPM
	// and whose common name is the printer's id.
	CSR *x509.CertificateRequest
	// Release is the number of the release that the printer runs.
	Release uint64
}

// EnrolBegin judges a request in its frame and returns the frame of the challenge.
// The error of what is not believed is a *Refusal.
func EnrolBegin(request []byte, policy Policy) (challenge []byte, s *Session, err error) {
	req, err := evidence.DecodeEnrolRequest(request)
	if err != nil {
		return nil, nil, refuse(BadEnrolment, err)
	}
	s = &Session{Claim: req.Claim, policy: policy, request: bytes.Clone(request), deadline: policy.now().Add(ChallengeTime)}
	if err := s.keys(req); err != nil {
		return nil, nil, err
	}
	index, ek, tpm, err := policy.trusted(req.EKs)
	if err != nil {
		return nil, nil, err
	}
	hash, err := EKHash(ek)
	if err != nil {
		return nil, nil, refuse(BadKey, err)
	}
	s.record.EK, s.record.TPM = hash[:], tpm
	if challenge, err = s.makeChallenge(index, ek, req.AK); err != nil {
		return nil, nil, err
	}
	return challenge, s, nil
}

// keys checks the attestation key and what it certifies.
func (s *Session) keys(req evidence.EnrolRequest) error {
	public, err := parsePublic(req.AK)
	if err != nil {
		return refuse(BadKey, err)
	}
	if err := checkAttributes(public, role{sign: true, restricted: true}); err != nil {
		return refuse(BadKey, fmt.Errorf("attestation key: %w", err))
	}
	if s.ak, err = p256(req.AK); err != nil {
		return refuse(BadKey, fmt.Errorf("attestation key: %w", err))
	}
	if s.Printer, s.signer, err = names(public); err != nil {
		return refuse(BadKey, err)
	}
	if err := s.certified(req.TLS, evidence.UseTLS, role{sign: true}); err != nil {
		return err
	}
	if err := s.certified(req.Job, evidence.UseJob, role{decrypt: true}); err != nil {
		return err
	}
	s.record = Record{Printer: s.Printer, AK: req.AK, TLS: req.TLS.Public, Job: req.Job.Public}
	return s.request509(req)
}

// request509 checks that the certificate request is the TLS key's and names this
// printer and nothing else.
func (s *Session) request509(req evidence.EnrolRequest) error {
	csr, err := x509.ParseCertificateRequest(req.CSR)
	if err != nil {
		return refuse(BadRequest, errors.New("malformed"))
	}
	if err := csr.CheckSignature(); err != nil {
		return refuse(BadRequest, errors.New("its signature is wrong"))
	}
	tls, err := p256(req.TLS.Public)
	if err != nil {
		return refuse(BadKey, err)
	}
	if !tls.Equal(csr.PublicKey) {
		return refuse(BadRequest, errors.New("it is for another key"))
	}
	if csr.Subject.CommonName != s.Printer.String() || len(csr.Subject.Names) != 1 || len(csr.Extensions) != 0 {
		return refuse(BadRequest, errors.New("it asks for more than the printer's id"))
	}
	s.csr = csr
	return nil
}

// role is what a key may be used for.
type role struct{ sign, decrypt, restricted bool }

// checkAttributes checks that a key was made in its TPM, cannot leave it, and does
// what its role is and no more.
func checkAttributes(p *tpm2.TPMTPublic, r role) error {
	a := p.ObjectAttributes
	switch {
	case p.Type != tpm2.TPMAlgECC || p.NameAlg != tpm2.TPMAlgSHA256:
		return errors.New("not an elliptic-curve key named with SHA-256")
	case !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin || a.EncryptedDuplication:
		return errors.New("it may have come from elsewhere or may leave its TPM")
	case a.SignEncrypt != r.sign || a.Decrypt != r.decrypt || a.Restricted != r.restricted:
		return errors.New("it may be used for something else")
	}
	return nil
}

// certified checks that the attestation key vouches for a key and for its use.
func (s *Session) certified(c evidence.Certified, use string, r role) error {
	public, err := parsePublic(c.Public)
	if err != nil {
		return refuse(BadKey, err)
	}
	if err := checkAttributes(public, r); err != nil {
		return refuse(BadKey, fmt.Errorf("%s key: %w", use, err))
	}
	if _, err := p256(c.Public); err != nil {
		return refuse(BadKey, fmt.Errorf("%s key: %w", use, err))
	}
	att, err := statement(s.ak, s.signer, c.Attest, c.Sig)
	if err != nil {
		return refuse(NotCertified, fmt.Errorf("%s key: %w", use, err))
	}
	name, err := tpm2.ObjectName(public)
	if err != nil {
		return refuse(BadKey, err)
	}
	purpose := evidence.Purpose(use)
	if att.kind != tpm2.TPMSTAttestCertify || !bytes.Equal(att.name, name.Buffer) || !bytes.Equal(att.extra, purpose[:]) {
		return refuse(NotCertified, fmt.Errorf("%s key: the statement is about something else", use))
	}
	return nil
}

// EKHash is how a factory list names a TPM: the SHA-256 digest of the endorsement
// key, given as TPMT_PUBLIC, in PKIX form.
func EKHash(public []byte) ([32]byte, error) {
	_, key, err := ekKey(public)
	if err != nil {
		return [32]byte{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return [32]byte{}, errors.New("the endorsement key has no PKIX form")
	}
	return sha256.Sum256(der), nil
}

func ekKey(public []byte) (*tpm2.TPMTPublic, crypto.PublicKey, error) {
	area, err := parsePublic(public)
	if err != nil {
		return nil, nil, err
	}
	a := area.ObjectAttributes
	if !a.FixedTPM || !a.FixedParent || !a.Restricted || !a.Decrypt || a.SignEncrypt || !a.SensitiveDataOrigin {
		return nil, nil, errors.New("not an endorsement key")
	}
	key, err := tpm2.Pub(*area)
	if err != nil {
		return nil, nil, errors.New("the endorsement key is of no known kind")
	}
	return area, key, nil
}

// trusted returns the first endorsement key that is on the factory list or whose
// certificate a trusted maker signed.
func (p Policy) trusted(eks []evidence.EK) (int, []byte, TPMName, error) {
	reason := error(errors.New("no key on the factory list"))
	for i, ek := range eks {
		_, key, err := ekKey(ek.Public)
		if err != nil {
			return 0, nil, TPMName{}, refuse(BadKey, err)
		}
		hash, err := EKHash(ek.Public)
		if err != nil {
			return 0, nil, TPMName{}, refuse(BadKey, err)
		}
		if p.EKs[hash] {
			return i, ek.Public, TPMName{}, nil
		}
		if len(ek.Cert) == 0 || p.Roots == nil {
			continue
		}
		name, err := p.checkCert(ek.Cert, key)
		if err == nil {
			return i, ek.Public, *name, nil
		}
		reason = err
	}
	return 0, nil, TPMName{}, refuse(UntrustedTPM, reason)
}

// makeChallenge seals a secret so that only a TPM that holds both keys opens it.
func (s *Session) makeChallenge(index int, ek, ak []byte) ([]byte, error) {
	s.secret = make([]byte, 32)
	ch := evidence.EnrolChallenge{V: evidence.Version, EK: uint64(index)}
	for _, b := range [][]byte{s.secret, s.ID[:], ch.Nonce[:]} {
		if _, err := rand.Read(b); err != nil {
			return nil, fmt.Errorf("make a challenge: %w", err)
		}
	}
	ch.Session = s.ID
	area, _, err := ekKey(ek)
	if err != nil {
		return nil, refuse(BadKey, err)
	}
	kem, err := tpm2.ImportEncapsulationKey(area)
	if err != nil {
		return nil, refuse(BadKey, errors.New("nothing can be sealed to the endorsement key"))
	}
	public, err := parsePublic(ak)
	if err != nil {
		return nil, refuse(BadKey, err)
	}
	name, err := tpm2.ObjectName(public)
	if err != nil {
		return nil, refuse(BadKey, err)
	}
	if ch.Blob, ch.Secret, err = tpm2.CreateCredential(rand.Reader, kem, name.Buffer, s.secret); err != nil {
		return nil, refuse(BadKey, errors.New("nothing can be sealed to the endorsement key"))
	}
	if s.challenge, err = ch.Encode(); err != nil {
		return nil, fmt.Errorf("make a challenge: %w", err)
	}
	return s.challenge, nil
}

// EnrolFinish judges the answer to a session's challenge. It may be called once.
// The error of what is not believed is a *Refusal.
func EnrolFinish(s *Session, response []byte) (Enrolled, error) {
	rsp, err := evidence.DecodeEnrolResponse(response)
	if err != nil {
		return Enrolled{}, refuse(BadEnrolment, err)
	}
	if rsp.Session != s.ID {
		return Enrolled{}, refuse(WrongSession, nil)
	}
	now := s.policy.now()
	if s.used || now.After(s.deadline) {
		return Enrolled{}, refuse(ChallengeExpired, nil)
	}
	s.used = true
	mac := evidence.EnrolMAC(s.secret, s.request, s.challenge, rsp.Quote)
	if !hmac.Equal(mac[:], rsp.MAC[:]) {
		return Enrolled{}, refuse(NotActivated, nil)
	}
	att, err := quotedValues(s.ak, s.signer, rsp.Quote, evidence.EnrolDigest(s.request, s.challenge))
	if err != nil {
		return Enrolled{}, err
	}
	if rsp.Log.Base != [32]byte{} {
		return Enrolled{}, refuse(LogBaseUnknown, nil)
	}
	runs, err := enrolledState(s.Printer, s.policy, rsp, att.clock.ResetCount)
	if err != nil {
		return Enrolled{}, err
	}
	r := s.record
	r.Boot, r.Agents, r.Settings = rsp.Quote.PCRs, rsp.Log.Digests, rsp.Log.Settings
	r.Reset, r.Enrolled = att.clock.ResetCount, now.UTC()
	return Enrolled{Record: r, CSR: s.csr, Release: runs.Number}, nil
}
