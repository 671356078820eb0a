package verify

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

func TestEnrolRealTPM(t *testing.T) {
	d := newDevice(t)
	start := time.Now()
	got, err := d.enrol(d.policy())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("enrolled in %v", time.Since(start))
	if got.Record.Printer != d.tpm.ID() || got.Release != 1 || got.CSR.Subject.CommonName != d.tpm.ID().String() {
		t.Errorf("enrolled %+v", got)
	}
	tls, err := got.Record.TLSKey()
	if err != nil || !tls.Equal(d.tpm.TLSKey().Public()) {
		t.Errorf("another TLS key, %v", err)
	}
	job, err := got.Record.JobKey()
	if err != nil || !job.Equal(d.tpm.JobKey().PublicKey()) {
		t.Errorf("another job key, %v", err)
	}
	if other, err := d.enrol(d.policy()); err != nil || other.Record.Printer != got.Record.Printer {
		t.Errorf("a second enrolment: %v", err)
	}
	// Without a maker's root nothing is trusted, but for what the factory lists.
	if _, err := d.enrol(Policy{Releases: released()}); ReasonOf(err) != UntrustedTPM {
		t.Errorf("without roots: %v", err)
	}
	listed := Policy{Releases: released(), EKs: map[[32]byte]bool{[32]byte(got.Record.EK): true}}
	if _, err := d.enrol(listed); err != nil {
		t.Errorf("on the factory list: %v", err)
	}
	expired := d.policy()
	expired.Now = func() time.Time { return time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC) }
	if _, err := d.enrol(expired); ReasonOf(err) != UntrustedTPM {
		t.Errorf("before the certificate is valid: %v", err)
	}
	unknown := d.policy()
	unknown.Releases = ReleaseMap{}
	if _, err := d.enrol(unknown); ReasonOf(err) != UnknownRelease {
		t.Errorf("an agent of no release: %v", err)
	}
}

// TestEnrolEveryEK activates with each endorsement key that the TPM has.
func TestEnrolEveryEK(t *testing.T) {
	d := newDevice(t)
	req, err := evidence.DecodeEnrolRequest(d.request(""))
	if err != nil {
		t.Fatal(err)
	}
	if len(req.EKs) != 2 {
		t.Fatalf("%d endorsement keys, want RSA-2048 and P-384", len(req.EKs))
	}
	for _, ek := range req.EKs {
		hash, err := EKHash(ek.Public)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.enrol(Policy{Releases: released(), EKs: map[[32]byte]bool{hash: true}})
		if err != nil || !bytes.Equal(got.Record.EK, hash[:]) {
			t.Errorf("by another key than was listed, %v", err)
		}
	}
}

func edit(t *testing.T, request []byte, f func(*evidence.EnrolRequest)) []byte {
	t.Helper()
	req, err := evidence.DecodeEnrolRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	f(&req)
	out, err := req.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEnrolRefusesRequests spoils one part of a real TPM's request at a time.
func TestEnrolRefusesRequests(t *testing.T) {
	d, other := newDevice(t), newDevice(t)
	good := d.request("")
	theirs, err := evidence.DecodeEnrolRequest(other.request(""))
	if err != nil {
		t.Fatal(err)
	}
	fake := newSoft(t)
	csr := func(tmpl *x509.CertificateRequest, key any) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	me := pkix.Name{CommonName: d.tpm.ID().String()}
	for _, c := range []struct {
		name   string
		reason Reason
		edit   func(*evidence.EnrolRequest)
	}{
		{"not the attestation key that certified", NotCertified, func(r *evidence.EnrolRequest) { r.AK = theirs.AK }},
		{"attestation key in software", NotCertified, func(r *evidence.EnrolRequest) { r.AK = tpm2.Marshal(fake.public) }},
		{"attestation key that signs anything", BadKey, func(r *evidence.EnrolRequest) { r.AK = r.TLS.Public }},
		{"garbage for a key", BadKey, func(r *evidence.EnrolRequest) { r.AK = []byte{1, 2, 3} }},
		{"TLS key of another printer", NotCertified, func(r *evidence.EnrolRequest) { r.TLS = theirs.TLS }},
		{"TLS key that was not certified", NotCertified, func(r *evidence.EnrolRequest) { r.TLS.Public = theirs.TLS.Public }},
		{"TLS key in the place of the job key", BadKey, func(r *evidence.EnrolRequest) { r.Job = r.TLS }},
		{"statement about another key", NotCertified, func(r *evidence.EnrolRequest) { r.Job.Attest, r.Job.Sig = r.TLS.Attest, r.TLS.Sig }},
		{"request of another key", BadRequest, func(r *evidence.EnrolRequest) { r.CSR = csr(&x509.CertificateRequest{Subject: me}, fake.key) }},
		{"request for another name", BadRequest, func(r *evidence.EnrolRequest) {
			r.CSR = csr(&x509.CertificateRequest{Subject: pkix.Name{CommonName: "admin"}}, d.tpm.TLSKey())
		}},
		{"request for one name more", BadRequest, func(r *evidence.EnrolRequest) {
			r.CSR = csr(&x509.CertificateRequest{Subject: me, DNSNames: []string{"broker"}}, d.tpm.TLSKey())
		}},
		{"certificate of another key by the same maker", UntrustedTPM, func(r *evidence.EnrolRequest) {
			r.EKs = []evidence.EK{{Cert: r.EKs[1].Cert, Public: r.EKs[0].Public}}
		}},
		{"certificate of another TPM", UntrustedTPM, func(r *evidence.EnrolRequest) {
			r.EKs = []evidence.EK{{Cert: theirs.EKs[0].Cert, Public: r.EKs[0].Public}}
		}},
		{"endorsement key of an untrusted maker", UntrustedTPM, func(r *evidence.EnrolRequest) { r.EKs = theirs.EKs }},
		{"endorsement key without certificate", UntrustedTPM, func(r *evidence.EnrolRequest) { r.EKs = []evidence.EK{{Public: r.EKs[0].Public}} }},
		{"a signing key for an endorsement key", BadKey, func(r *evidence.EnrolRequest) { r.EKs = []evidence.EK{{Public: r.TLS.Public}} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := EnrolBegin(edit(t, good, c.edit), d.policy()); ReasonOf(err) != c.reason {
				t.Errorf("refused for %q (%v), want %q", ReasonOf(err), err, c.reason)
			}
		})
	}
	if _, _, err := EnrolBegin([]byte("hello"), d.policy()); ReasonOf(err) != BadEnrolment {
		t.Errorf("garbage: %v", err)
	}
	if _, _, err := EnrolBegin(edit(t, good, func(*evidence.EnrolRequest) {}), d.policy()); err != nil {
		t.Errorf("control: %v", err)
	}
}

// TestAKNotBoundToEK: a good TPM's endorsement key vouches for no key but its own.
func TestAKNotBoundToEK(t *testing.T) {
	victim, liar := newDevice(t), newDevice(t)
	stolen, err := evidence.DecodeEnrolRequest(victim.request(""))
	if err != nil {
		t.Fatal(err)
	}
	// The liar's keys, all in order, under the victim's endorsement key.
	req := edit(t, liar.request(""), func(r *evidence.EnrolRequest) { r.EKs = stolen.EKs })
	ch, s, err := EnrolBegin(req, victim.policy())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := liar.tpm.Activate(t.Context(), req, ch); err == nil {
		t.Error("a TPM opened a challenge that was sealed to another's key")
	}
	if _, err := victim.tpm.Activate(t.Context(), req, ch); err == nil {
		t.Error("a TPM opened a challenge for another's attestation key")
	}
	// The liar answers without the secret.
	q, err := liar.tpm.Quote(t.Context(), evidence.EnrolDigest(req, ch))
	if err != nil {
		t.Fatal(err)
	}
	log, err := liar.tpm.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rsp, err := evidence.EnrolResponse{V: evidence.Version, Session: s.ID, Quote: q, Log: log,
		MAC: evidence.EnrolMAC(make([]byte, 32), req, ch, q)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := EnrolFinish(s, rsp); ReasonOf(err) != NotActivated {
		t.Errorf("answered without the secret: %v", err)
	}
	if _, err := victim.enrol(victim.policy()); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestEnrolAnswers(t *testing.T) {
	d := newDevice(t)
	now := time.Now()
	p := d.policy()
	p.Now = func() time.Time { return now }
	begin := func() ([]byte, []byte, *Session) {
		t.Helper()
		req := d.request("")
		ch, s, err := EnrolBegin(req, p)
		if err != nil {
			t.Fatal(err)
		}
		return req, ch, s
	}
	answer := func(req, ch []byte) []byte {
		t.Helper()
		rsp, err := d.tpm.Activate(t.Context(), req, ch)
		if err != nil {
			t.Fatal(err)
		}
		return rsp
	}
	if err := d.tpm.ExtendAgent(t.Context(), agentDigest(2)); err != nil {
		t.Fatal(err)
	}
	req, ch, s := begin()
	rsp := answer(req, ch)
	_, _, s2 := begin()
	if _, err := EnrolFinish(s2, rsp); ReasonOf(err) != WrongSession {
		t.Errorf("the answer to another challenge: %v", err)
	}
	forged, err := evidence.DecodeEnrolResponse(rsp)
	if err != nil {
		t.Fatal(err)
	}
	forged.Session = s2.ID
	wire, err := forged.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := EnrolFinish(s2, wire); ReasonOf(err) != NotActivated {
		t.Errorf("the answer to another challenge, renamed: %v", err)
	}
	again := *s // the session is good for one answer, and this test gives several
	hidden, err := evidence.DecodeEnrolResponse(rsp)
	if err != nil {
		t.Fatal(err)
	}
	hidden.Log = hidden.Log.Tail(1) // replays, and hides what ran before
	wire, err = hidden.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := EnrolFinish(&again, wire); ReasonOf(err) != LogBaseUnknown {
		t.Errorf("a log without its beginning: %v", err)
	}
	if _, err := EnrolFinish(s, rsp[:len(rsp)-1]); ReasonOf(err) != BadEnrolment {
		t.Errorf("cut short: %v", err)
	}
	if _, err := EnrolFinish(s, rsp); err != nil {
		t.Errorf("control: %v", err)
	}
	if _, err := EnrolFinish(s, rsp); ReasonOf(err) != ChallengeExpired {
		t.Errorf("the same answer twice: %v", err)
	}
	req, ch, s = begin()
	rsp = answer(req, ch)
	now = now.Add(ChallengeTime + time.Second)
	if _, err := EnrolFinish(s, rsp); ReasonOf(err) != ChallengeExpired {
		t.Errorf("too late: %v", err)
	}
}
