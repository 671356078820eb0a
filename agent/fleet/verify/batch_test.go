package verify

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// TestRefusals changes one thing of a good batch and expects its own reason. The
// control of every row is the good batch that is accepted right after.
func TestRefusals(t *testing.T) {
	seen := map[Reason]string{}
	for _, c := range []struct {
		name   string
		reason Reason
		make   func(t *testing.T, v *Verifier, p *soft) []byte
	}{
		{"message changed under a good quote", WrongRoot, spoilBatch(func(b *evidence.Batch) { b.Msgs[0] = []byte("ten") })},
		{"message left out", WrongRoot, spoilBatch(func(b *evidence.Batch) { b.Msgs = b.Msgs[:1] })},
		{"messages reordered", WrongRoot, spoilBatch(func(b *evidence.Batch) { b.Msgs[0], b.Msgs[1] = b.Msgs[1], b.Msgs[0] })},
		{"header and messages swapped under a good quote", WrongQualifying, swapHeader},
		{"bit of the quote flipped", BadSignature, spoilBatch(func(b *evidence.Batch) { b.Quote.Attest[60] ^= 1 })},
		{"signature of another structure", BadSignature, spoilBatch(func(b *evidence.Batch) { b.Quote.Sig = []byte{0, 0x10} })},
		{"signature with a byte more", BadSignature, spoilBatch(func(b *evidence.Batch) { b.Quote.Sig = append(b.Quote.Sig, 0) })},
		{"signature over a SHA-1 digest", BadSignature, spoilBatch(func(b *evidence.Batch) { b.Quote.Sig[3] = byte(tpm2.TPMAlgSHA1) })},
		{"signed by another key", BadSignature, func(t *testing.T, _ *Verifier, p *soft) []byte {
			p.foreign = newKey(t)
			return p.batch("one")
		}},
		{"signed data that a TPM did not generate", BadMagic, spoilAttest(func(a *tpm2.TPMSAttest) { a.Magic = 0 })},
		{"signed garbage behind the magic", BadAttest, garbage},
		{"signed quote with a byte more", BadAttest, func(_ *testing.T, _ *Verifier, p *soft) []byte {
			p.mangle = func(b *evidence.Batch) {
				b.Quote.Attest = append(b.Quote.Attest, 0)
				b.Quote.Sig = p.signRaw(p.key, b.Quote.Attest)
			}
			return p.batch("one", "two")
		}},
		{"another statement of the TPM", NotAQuote, spoilAttest(func(a *tpm2.TPMSAttest) {
			a.Type = tpm2.TPMSTAttestCertify
			a.Attested = tpm2.NewTPMUAttest(tpm2.TPMSTAttestCertify, &tpm2.TPMSCertifyInfo{})
		})},
		{"key outside the endorsement hierarchy", WrongSigner, spoilAttest(func(a *tpm2.TPMSAttest) { a.QualifiedSigner.Buffer[5] ^= 1 })},
		{"SHA-1 bank", WrongBank, spoilSelection(func(s *tpm2.TPMSPCRSelection) { s.Hash = tpm2.TPMAlgSHA1 })},
		{"PCRs left out", WrongBank, spoilSelection(func(s *tpm2.TPMSPCRSelection) { s.PCRSelect = tpm2.PCClientCompatible.PCRs(0, 4) })},
		{"a lie about a PCR", WrongPCRs, spoilBatch(func(b *evidence.Batch) { b.Quote.PCRs[0][0] ^= 1 })},
		{"log cut short", LogMismatch, spoilBatch(func(b *evidence.Batch) { b.Log.Digests = b.Log.Digests[:0] })},
		{"log grown", LogMismatch, spoilBatch(func(b *evidence.Batch) { b.Log.Digests = append(b.Log.Digests, agentDigest(2)) })},
		{"log with an invented base", LogBaseUnknown, func(t *testing.T, _ *Verifier, p *soft) []byte {
			p.log.Base, p.log.Digests = [32]byte{9}, [][32]byte{agentDigest(2)}
			p.quoteLog()
			return p.batch("one", "two")
		}},
		{"no agent measured", NothingMeasured, func(t *testing.T, _ *Verifier, p *soft) []byte {
			p.log.Digests = nil
			p.quoteLog()
			return p.batch("one", "two")
		}},
		{"agent of no release", UnknownRelease, func(t *testing.T, _ *Verifier, p *soft) []byte {
			p.measure(99)
			return p.batch("one", "two")
		}},
		{"agent of no release before a good one", UnknownRelease, func(t *testing.T, _ *Verifier, p *soft) []byte {
			p.measure(99)
			p.measure(2)
			return p.batch("one", "two")
		}},
		{"kernel changed since enrolment", BootChanged, func(t *testing.T, _ *Verifier, p *soft) []byte {
			p.pcrs[2][0] ^= 1
			return p.batch("one", "two")
		}},
		{"configuration changed by one bit", SettingsMismatch, spoilBatch(func(b *evidence.Batch) { b.Log.Settings.Config[31] ^= 1 })},
		{"board file changed by one bit", SettingsMismatch, spoilBatch(func(b *evidence.Batch) { b.Log.Settings.Board[0] ^= 1 })},
		{"controller changed by one bit", SettingsMismatch, spoilBatch(func(b *evidence.Batch) { b.Log.Settings.Controller[9] ^= 1 })},
		{"settings left out", SettingsMismatch, spoilBatch(func(b *evidence.Batch) { b.Log.Settings = evidence.Settings{} })},
		{"PCR 13 is another, and the hint lies", WrongPCRs, func(t *testing.T, _ *Verifier, p *soft) []byte {
			p.pcrs[4][31] ^= 1
			return p.batch("one", "two")
		}},
		{"nonce never issued", NonceUnknown, withNonce(func(v *Verifier, p *soft) []byte { return flipTime(v.Nonce(p.id)) })},
		{"nonce of another printer", NonceUnknown, withNonce(func(v *Verifier, p *soft) []byte { return v.Nonce(evidence.PrinterID{7}) })},
		{"nonce cut short", NonceUnknown, withNonce(func(v *Verifier, p *soft) []byte { return v.Nonce(p.id)[:7] })},
		{"nonce too old", NonceStale, withNonce(func(v *Verifier, p *soft) []byte {
			return staleNonce(v, p.id, v.cfg.Now().Add(-DefaultMaxAge-time.Second))
		})},
		{"made for another recipient", WrongRecipient, func(t *testing.T, _ *Verifier, p *soft) []byte {
			p.chain = evidence.NewChain(p.id, evidence.RecipientID{9}, 3, 500)
			return p.batch("one")
		}},
		{"chain begun after the quote", ClockBackwards, func(t *testing.T, _ *Verifier, p *soft) []byte {
			p.chain = evidence.NewChain(p.id, us, 3, p.clock.Clock+1000)
			return p.batch("one")
		}},
		{"not a batch", BadEncoding, func(*testing.T, *Verifier, *soft) []byte { return []byte("hello") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newSoft(t)
			v, _ := newVerifier(t, p)
			good := newSoft(t)
			*good = *p
			good.chain = evidence.NewChain(p.id, us, 3, 500)
			good.log.Digests = append([][32]byte{}, p.log.Digests...)
			refuses(t, v, p.id, c.make(t, v, p), c.reason)
			accept(t, v, p.id, good.batch("one", "two"))
			seen[c.reason] = c.name
		})
	}
	if len(seen) < 18 {
		t.Errorf("only %d different reasons met", len(seen))
	}
}

func spoilBatch(f func(*evidence.Batch)) func(*testing.T, *Verifier, *soft) []byte {
	return func(_ *testing.T, _ *Verifier, p *soft) []byte {
		p.mangle = f
		return p.batch("one", "two")
	}
}

func spoilAttest(f func(*tpm2.TPMSAttest)) func(*testing.T, *Verifier, *soft) []byte {
	return func(_ *testing.T, _ *Verifier, p *soft) []byte {
		signer := bytes.Clone(p.signer)
		defer func() { copy(p.signer, signer) }()
		p.spoil = f
		return p.batch("one", "two")
	}
}

func spoilSelection(f func(*tpm2.TPMSPCRSelection)) func(*testing.T, *Verifier, *soft) []byte {
	return spoilAttest(func(a *tpm2.TPMSAttest) {
		info, err := a.Attested.Quote()
		if err == nil {
			f(&info.PCRSelect.PCRSelections[0])
		}
	})
}

// swapHeader sends consistent header and messages under the quote of others.
func swapHeader(t *testing.T, _ *Verifier, p *soft) []byte {
	other := evidence.NewChain(p.id, us, 3, 500)
	h, err := other.Next([][]byte{[]byte("lie")}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := h.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	p.mangle = func(b *evidence.Batch) { b.Header, b.Msgs = raw, [][]byte{[]byte("lie")} }
	return p.batch("one", "two")
}

func garbage(_ *testing.T, _ *Verifier, p *soft) []byte {
	p.mangle = func(b *evidence.Batch) {
		b.Quote.Attest = append(bytes.Clone(magic), 1, 2, 3)
		b.Quote.Sig = p.signRaw(p.key, b.Quote.Attest)
	}
	return p.batch("one", "two")
}

func withNonce(f func(*Verifier, *soft) []byte) func(*testing.T, *Verifier, *soft) []byte {
	return func(_ *testing.T, v *Verifier, p *soft) []byte {
		p.nonce = f(v, p)
		return p.batch("one", "two")
	}
}

func TestWhoSpeaks(t *testing.T) {
	a, b := newSoft(t), newSoft(t)
	v, _ := newVerifier(t, a, b)
	wire := a.batch("one")
	refuses(t, v, b.id, wire, PrinterSwapped)
	// A printer that puts another's name into its own batch, under either topic.
	stranger := newSoft(t)
	stranger.chain = evidence.NewChain(a.id, us, 3, 500)
	stranger.signer = a.signer
	lie := stranger.batch("one")
	refuses(t, v, a.id, lie, BadSignature)
	refuses(t, v, b.id, lie, PrinterSwapped)
	refuses(t, v, stranger.id, newSoftBatch(t, stranger), UnknownPrinter)
	accept(t, v, a.id, wire)
	v.Forget(a.id)
	refuses(t, v, a.id, a.batch("two"), UnknownPrinter)
}

func newSoftBatch(t *testing.T, s *soft) []byte {
	t.Helper()
	s.chain = evidence.NewChain(s.id, us, 3, 500)
	return s.batch("one")
}

func TestInOrder(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	for i := range 100 {
		got := accept(t, v, p.id, p.batch("one", "two"))
		if got.Release != 1 || got.Agent != agentDigest(1) || got.Header.Seq != uint64(i+1) || len(got.Msgs) != 2 ||
			got.Missing != nil || got.Late || got.NewChain != (i == 0) || got.Fresh {
			t.Fatalf("batch %d: %+v", i, got)
		}
	}
}

// TestLongLog: a batch holds four digests; the rest is known from before.
func TestLongLog(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	for n := byte(2); n < 40; n++ {
		p.measure(n)
		if got := accept(t, v, p.id, p.batch("x")); got.Release != uint64(n) {
			t.Fatalf("release %d, want %d", got.Release, n)
		}
	}
	// More agents than a batch holds, without a word in between: only a new
	// enrolment, which carries the whole log, can bring this printer back.
	for n := byte(1); n < 7; n++ {
		p.measure(n)
	}
	refuses(t, v, p.id, p.batch("x"), LogBaseUnknown)
	if err := v.Enrol(p.record()); err != nil {
		t.Fatal(err)
	}
	accept(t, v, p.id, p.batch("x"))
}

func TestFreshness(t *testing.T) {
	p := newSoft(t)
	v, c := newVerifier(t, p)
	if got := accept(t, v, p.id, p.batch("before any nonce")); got.Fresh {
		t.Error("fresh without a nonce")
	}
	first := v.Nonce(p.id)
	p.nonce = first
	c.now = c.now.Add(2 * time.Minute)
	if got := accept(t, v, p.id, p.batch("x")); !got.Fresh || got.Age != 2*time.Minute {
		t.Errorf("%v old: fresh %v", got.Age, got.Fresh)
	}
	c.now = c.now.Add(72 * time.Hour)
	if got := accept(t, v, p.id, p.batch("offline for three days")); got.Fresh || got.Age < 72*time.Hour {
		t.Errorf("%v old: fresh %v", got.Age, got.Fresh)
	}
	delayed := p.batch("delayed")
	c.now = c.now.Add(time.Minute)
	p.nonce = v.Nonce(p.id)
	accept(t, v, p.id, p.batch("x"))
	if got := accept(t, v, p.id, delayed); !got.Late || got.Fresh {
		t.Errorf("late, with the nonce of its time: %+v", got)
	}
	h, m := p.header("x")
	old := h
	old.Nonce = first
	refuses(t, v, p.id, p.wire(old, m), NonceStale)
	old.Nonce = nil
	refuses(t, v, p.id, p.wire(old, m), NonceStale)
	accept(t, v, p.id, p.wire(h, m))
	// A printer that lost power offline has no nonce and is believed all the same.
	p.nonce, p.clock = nil, tpm2.TPMSClockInfo{Clock: 5, ResetCount: 6}
	p.chain = evidence.NewChain(p.id, us, 4, 1)
	if got := accept(t, v, p.id, p.batch("x")); got.Fresh {
		t.Error("fresh without a nonce")
	}
	p.nonce = first
	refuses(t, v, p.id, p.batch("x"), NonceStale)
}

func FuzzBatch(f *testing.F) {
	t := &testing.T{}
	p := newSoft(t)
	f.Add(p.batch("one"))
	v, _ := newVerifier(t, p)
	f.Fuzz(func(t *testing.T, wire []byte) {
		if _, err := v.Batch(p.id, wire); err != nil && ReasonOf(err) == "" {
			t.Fatalf("refused without a reason: %v", err)
		}
	})
}
