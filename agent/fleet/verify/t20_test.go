package verify

import (
	"bytes"
	"crypto/x509"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	b := evidence.Batch{Header: d.chain.Last(), Msgs: raw, Quote: q.Signed(), Log: log.Tail(evidence.MaxLog)}
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
