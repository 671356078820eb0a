package ingest

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
	"platen/cross/rig/rigtest"
)

// bench is a printer with a TPM and the ingest that it is enrolled at.
type bench struct {
	t      *testing.T
	tpm    *attest.TPM
	chain  *evidence.Chain
	in     *Ingest
	v      *verify.Verifier
	s      *store.Store
	dir    string
	events []store.Event
}

func newBench(t *testing.T) *bench {
	t.Helper()
	sw := rigtest.Swtpm(t)
	tpm, err := attest.New(t.Context(), attest.Config{Path: sw.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tpm.Close() }) // the software TPM is gone by now
	agent := sha256.Sum256([]byte("agent"))
	if err := tpm.ExtendAgent(t.Context(), agent); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, tpm: tpm, dir: t.TempDir()}
	if b.s, err = store.Open(b.dir, "", 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.s.Close() }) // a test may have closed it
	known := verify.ReleaseMap{agent: 1}
	if b.v, err = verify.New(verify.Config{Recipient: b.s.Fleet.Recipient, Releases: known}); err != nil {
		t.Fatal(err)
	}
	b.enrol(verify.Policy{Roots: pool(t, sw.CAs), Releases: known})
	b.in = New(b.v, b.s, func(e store.Event) { b.events = append(b.events, e) }, nil)
	if b.chain, err = tpm.NewChain(t.Context(), b.s.Fleet.Recipient); err != nil {
		t.Fatal(err)
	}
	return b
}

func pool(t *testing.T, files []string) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	for _, f := range files {
		pem, err := os.ReadFile(f)
		if err != nil || !p.AppendCertsFromPEM(pem) {
			t.Fatalf("%s: %v", f, err)
		}
	}
	return p
}

func (b *bench) enrol(policy verify.Policy) {
	b.t.Helper()
	req, err := b.tpm.EnrolRequest(b.t.Context(), "")
	if err != nil {
		b.t.Fatal(err)
	}
	ch, ses, err := verify.EnrolBegin(req, policy)
	if err != nil {
		b.t.Fatal(err)
	}
	rsp, err := b.tpm.Activate(b.t.Context(), req, ch)
	if err != nil {
		b.t.Fatal(err)
	}
	e, err := verify.EnrolFinish(ses, rsp)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.v.Enrol(e.Record); err != nil {
		b.t.Fatal(err)
	}
}

// frame makes the next frame of the chain.
func (b *bench) frame(msgs ...any) []byte {
	b.t.Helper()
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		b.t.Fatal(err)
	}
	var raw [][]byte
	for _, m := range msgs {
		enc, err := mode.Marshal(m)
		if err != nil {
			b.t.Fatal(err)
		}
		raw = append(raw, enc)
	}
	ctx := context.Background()
	h, err := b.chain.Next(raw, b.v.Nonce(b.tpm.ID()), 0)
	if err != nil {
		b.t.Fatal(err)
	}
	d, err := h.Digest()
	if err != nil {
		b.t.Fatal(err)
	}
	q, err := b.tpm.Quote(ctx, d)
	if err != nil {
		b.t.Fatal(err)
	}
	log, err := b.tpm.Log(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	hb, err := h.Bytes()
	if err != nil {
		b.t.Fatal(err)
	}
	f, err := evidence.Encode(evidence.Batch{Header: hb, Msgs: raw, Quote: q.Signed(), Log: log}, evidence.WireSize)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.chain.Commit(h); err != nil {
		b.t.Fatal(err)
	}
	return f
}

// take has a frame judged and returns the events that followed.
func (b *bench) take(f []byte) []store.Event {
	b.t.Helper()
	b.events = nil
	if err := b.in.Frame(b.tpm.ID(), f); err != nil {
		b.t.Fatal(err)
	}
	return b.events
}

// T-P6 at the fleet's end: what the catalogue does not have is refused although the
// TPM vouches for it.
func TestMessagesOutsideTheCatalogue(t *testing.T) {
	b := newBench(t)
	ev := b.take(b.frame(map[uint16]int64{0: 1_800_000_000, 1: 4}))
	if len(ev) != 1 || ev[0].Event != store.Batch || ev[0].Values["state"] != 4 {
		t.Fatalf("control: %+v", ev)
	}
	ev = b.take(b.frame(map[uint16]int64{0: 1_800_000_000, 99: 17}))
	if len(ev) != 2 || ev[1].Event != store.Refused || ev[1].Reason != string(NotInCatalogue) || len(ev[0].Values) != 0 {
		t.Errorf("a layer number: %+v", ev)
	}
}

// A batch that could not be stored is as if it had not come.
func TestStorageFails(t *testing.T) {
	b := newBench(t)
	b.take(b.frame())
	f := b.frame()
	// The folder of the event log becomes a file.
	if err := b.s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.dir, "events")
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.events = nil
	if err := b.in.Frame(b.tpm.ID(), f); err == nil || len(b.events) != 0 {
		t.Fatalf("a frame was taken that could not be stored: %v %+v", err, b.events)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if ev := b.take(f); len(ev) != 1 || ev[0].Event != store.Batch || ev[0].Seq != 2 {
		t.Errorf("the same frame later: %+v", ev)
	}
	if ev := b.take(f); len(ev) != 1 || ev[0].Reason != string(verify.Replayed) {
		t.Errorf("control: and once more: %+v", ev)
	}
}

func TestFloodIsDroppedAndNamedOnce(t *testing.T) {
	b := newBench(t)
	var reasons []string
	for range 10 * burst {
		for _, e := range b.take([]byte("noise")) {
			reasons = append(reasons, e.Reason)
		}
	}
	bad := 0
	for _, r := range reasons {
		if r == string(verify.BadEncoding) {
			bad++
		}
	}
	if bad < burst || bad > 3*burst || !slices.Contains(reasons, string(Flood)) {
		t.Errorf("of %d frames %d were judged, flood named %v", 10*burst, bad, slices.Contains(reasons, string(Flood)))
	}
}

func TestStrangersCostNothing(t *testing.T) {
	b := newBench(t)
	n := 0
	b.events = nil
	for i := range 1000 {
		id := evidence.PrinterID{1, byte(i), byte(i >> 8)}
		if err := b.in.Frame(id, []byte("noise")); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range b.events {
		if e.Reason == string(verify.UnknownPrinter) {
			n++
		}
	}
	if n < burst || n > 100 || len(b.in.bucket) > 2 {
		t.Errorf("%d events of 1000 strangers, memory for %d", n, len(b.in.bucket))
	}
	if b.in.Nonce(evidence.PrinterID{1}) != nil {
		t.Error("a stranger got a nonce")
	}
}
