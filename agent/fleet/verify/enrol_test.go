package verify

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-tpm/tpm2"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// device is a printer with a real TPM.
type device struct {
	t     *testing.T
	swtpm *rig.Swtpm
	dir   string
	tpm   *attest.TPM
	chain *evidence.Chain
}

func newDevice(t *testing.T) *device {
	t.Helper()
	d := &device{t: t, swtpm: rigtest.Swtpm(t), dir: t.TempDir()}
	d.boot(1)
	return d
}

// boot starts an agent of release n.
func (d *device) boot(n byte) {
	d.t.Helper()
	var err error
	if d.tpm, err = attest.New(d.t.Context(), attest.Config{Path: d.swtpm.Path(), StateDir: d.dir}); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { d.tpm.Close() })
	if err := d.tpm.ExtendAgent(d.t.Context(), agentDigest(n)); err != nil {
		d.t.Fatal(err)
	}
	if d.chain, err = d.tpm.NewChain(d.t.Context(), us); err != nil {
		d.t.Fatal(err)
	}
}

// halt ends the agent.
func (d *device) halt() {
	d.t.Helper()
	if err := d.tpm.Close(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) request(claim string) []byte {
	d.t.Helper()
	req, err := d.tpm.EnrolRequest(d.t.Context(), claim)
	if err != nil {
		d.t.Fatal(err)
	}
	return req
}

// batch makes the next batch as an agent does; mangle may spoil it.
func (d *device) batch(mangle func(*evidence.Batch), msgs ...string) []byte {
	d.t.Helper()
	raw := make([][]byte, len(msgs))
	for i, m := range msgs {
		raw[i] = []byte(m)
	}
	h, err := d.chain.Next(raw, nil, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	digest, err := h.Digest()
	if err != nil {
		d.t.Fatal(err)
	}
	q, err := d.tpm.Quote(d.t.Context(), digest)
	if err != nil {
		d.t.Fatal(err)
	}
	log, err := d.tpm.Log(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.chain.Commit(h); err != nil {
		d.t.Fatal(err)
	}
	b := evidence.Batch{Header: d.chain.Last(), Msgs: raw, Quote: q, Log: log.Tail(evidence.MaxLog)}
	if mangle != nil {
		mangle(&b)
	}
	wire, err := evidence.Encode(b, evidence.WireSize)
	if err != nil {
		d.t.Fatal(err)
	}
	return wire
}

func (d *device) policy() Policy {
	d.t.Helper()
	pool := x509.NewCertPool()
	for _, path := range d.swtpm.CAs {
		pem, err := os.ReadFile(path)
		if err != nil {
			d.t.Fatal(err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			d.t.Fatalf("no certificate in %s", path)
		}
	}
	return Policy{Roots: pool, Releases: released()}
}

// enrol goes through the whole enrolment.
func (d *device) enrol(p Policy) (Enrolled, error) {
	d.t.Helper()
	req := d.request("claim")
	ch, s, err := EnrolBegin(req, p)
	if err != nil {
		return Enrolled{}, err
	}
	rsp, err := d.tpm.Activate(d.t.Context(), req, ch)
	if err != nil {
		d.t.Fatal(err)
	}
	return EnrolFinish(s, rsp)
}

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

// TestT20 plays the attacks of threat T20 against a real TPM's evidence. Each is
// refused for a reason of its own, and the honest batch beside it is believed.
func TestT20(t *testing.T) {
	d := newDevice(t)
	enrolled, err := d.enrol(d.policy())
	if err != nil {
		t.Fatal(err)
	}
	v, _ := newVerifier(t)
	if err := v.Enrol(enrolled.Record); err != nil {
		t.Fatal(err)
	}
	id := d.tpm.ID()
	first := d.batch(nil, "one", "two")
	accept(t, v, id, first)

	refuses(t, v, id, first, Replayed)
	refuses(t, v, evidence.PrinterID{1}, first, PrinterSwapped)
	honest := d.batch(nil, "three")
	b, err := evidence.Decode(honest)
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(want Reason, f func(*evidence.Batch)) {
		t.Helper()
		bad := b
		bad.Msgs = [][]byte{bytes.Clone(b.Msgs[0])}
		bad.Quote.Attest = bytes.Clone(b.Quote.Attest)
		f(&bad)
		wire, err := evidence.Encode(bad, evidence.WireSize)
		if err != nil {
			t.Fatal(err)
		}
		refuses(t, v, id, wire, want)
	}
	spoil(WrongRoot, func(b *evidence.Batch) { b.Msgs[0][0] ^= 1 })
	spoil(LogMismatch, func(b *evidence.Batch) { b.Log.Digests = nil })
	spoil(WrongPCRs, func(b *evidence.Batch) { b.Quote.PCRs[0][0] ^= 1 })
	spoil(BadSignature, func(b *evidence.Batch) { b.Quote.Attest[len(b.Quote.Attest)-1] ^= 1 })
	old, err := evidence.Decode(first)
	if err != nil {
		t.Fatal(err)
	}
	spoil(WrongQualifying, func(b *evidence.Batch) { b.Quote = old.Quote })
	accept(t, v, id, honest)

	d.batch(nil, "dropped by the network")
	if got := accept(t, v, id, d.batch(nil, "four")); !cmp.Equal(got.Missing, []Range{{3, 3}}) {
		t.Errorf("a dropped batch went unnoticed: %+v", got)
	}
	d.resetGames(v, id, first)
}

// resetGames restarts, resets, and runs what was never released.
func (d *device) resetGames(v *Verifier, id evidence.PrinterID, first []byte) {
	t := d.t
	t.Helper()
	d.halt()
	d.boot(2)
	if got := accept(t, v, id, d.batch(nil, "updated")); got.Release != 2 || !got.NewChain {
		t.Errorf("after an update: %+v", got)
	}
	lastChain := d.chain
	d.halt()
	if err := d.swtpm.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.boot(1)
	newChain := d.chain
	d.chain = lastChain // the TPM was reset and the printer goes on as if not
	refuses(t, v, id, d.batch(nil, "as if nothing had happened"), ResetMismatch)
	d.chain = newChain
	if got := accept(t, v, id, d.batch(nil, "booted")); got.Release != 1 || !got.NewChain {
		t.Errorf("after a reset: %+v", got)
	}
	refuses(t, v, id, first, BootBackwards)
	if err := d.tpm.ExtendAgent(t.Context(), agentDigest(200)); err != nil {
		t.Fatal(err)
	}
	refuses(t, v, id, d.batch(nil, "unreleased"), UnknownRelease)
	if err := d.tpm.ExtendAgent(t.Context(), agentDigest(1)); err != nil {
		t.Fatal(err)
	}
	refuses(t, v, id, d.batch(nil, "unreleased, then released"), UnknownRelease)
	refuses(t, v, id, d.batch(func(b *evidence.Batch) { b.Log.Digests = b.Log.Digests[:1] }, "hidden"), LogMismatch)
}
