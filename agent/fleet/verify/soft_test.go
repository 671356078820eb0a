package verify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// soft is an attestation key in software. It signs what a TPM never would, so that
// each refusal can be met alone: a batch made with it is good but for one thing.
type soft struct {
	t       *testing.T
	key     *ecdsa.PrivateKey
	public  tpm2.TPMTPublic
	id      evidence.PrinterID
	signer  []byte
	pcrs    evidence.PCRs
	log     evidence.Log
	clock   tpm2.TPMSClockInfo
	chain   *evidence.Chain
	boots   uint64
	nonce   []byte
	spoil   func(*tpm2.TPMSAttest) // before signing
	mangle  func(*evidence.Batch)  // after signing
	foreign *ecdsa.PrivateKey      // signs instead
}

var us = evidence.RecipientID{1, 2, 3}

func agentDigest(n byte) [32]byte { return sha256.Sum256([]byte{'a', n}) }

// released knows agents 1 to 40.
func released() ReleaseMap {
	m := ReleaseMap{}
	for n := range byte(40) {
		m[agentDigest(n+1)] = uint64(n + 1)
	}
	return m
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// point is a key's public point, uncompressed.
func point(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// eccPublic is the public area of a point, given uncompressed.
func eccPublic(point []byte, attrs tpm2.TPMAObject) tpm2.TPMTPublic {
	attrs.FixedTPM, attrs.FixedParent, attrs.SensitiveDataOrigin, attrs.UserWithAuth = true, true, true, true
	return tpm2.TPMTPublic{Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: attrs,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
			Scheme:    tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgNull}, CurveID: tpm2.TPMECCNistP256,
			KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull}}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: point[1:33]},
			Y: tpm2.TPM2BECCParameter{Buffer: point[33:]}})}
}

func newSoft(t *testing.T) *soft {
	t.Helper()
	s := &soft{t: t, key: newKey(t), clock: tpm2.TPMSClockInfo{Clock: 1000, ResetCount: 5}}
	s.public = eccPublic(point(t, s.key), tpm2.TPMAObject{SignEncrypt: true, Restricted: true})
	var err error
	if s.id, s.signer, err = names(&s.public); err != nil {
		t.Fatal(err)
	}
	s.pcrs = evidence.PCRs{{1}, {2}, {3}, {4}}
	s.measure(1)
	s.runWith(evidence.Settings{Config: [32]byte{'c'}, Board: [32]byte{'b'}, Controller: [32]byte{'f'}})
	s.boots = 3
	s.chain = evidence.NewChain(s.id, us, s.boots, 500)
	return s
}

// measure runs agent n.
func (s *soft) measure(n byte) {
	s.log.Digests = append(s.log.Digests, agentDigest(n))
	s.quoteLog()
}

// quoteLog has the PCRs hold what the log says.
func (s *soft) quoteLog() {
	s.pcrs[4], s.pcrs[5] = s.log.Settings.Value(), s.log.Value()
}

// runWith measures other settings.
func (s *soft) runWith(n evidence.Settings) {
	s.log.Settings = n.After(s.log.Settings.Value())
	s.quoteLog()
}

func (s *soft) record() Record {
	return Record{Printer: s.id, AK: tpm2.Marshal(s.public), Boot: s.pcrs, Agents: s.log.Digests, Settings: s.log.Settings,
		Reset: s.clock.ResetCount}
}

func (s *soft) sign(att tpm2.TPMSAttest) evidence.Quote {
	s.t.Helper()
	raw := tpm2.Marshal(att)
	key := s.key
	if s.foreign != nil {
		key = s.foreign
	}
	return evidence.Quote{Attest: raw, Sig: s.signRaw(key, raw), PCRs: s.pcrs}
}

func (s *soft) signRaw(key *ecdsa.PrivateKey, raw []byte) []byte {
	s.t.Helper()
	digest := sha256.Sum256(raw)
	r, ss, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		s.t.Fatal(err)
	}
	return tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA,
		Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{Hash: tpm2.TPMAlgSHA256,
			SignatureR: tpm2.TPM2BECCParameter{Buffer: r.Bytes()}, SignatureS: tpm2.TPM2BECCParameter{Buffer: ss.Bytes()}})})
}

func (s *soft) quote(qualifying [32]byte) evidence.Quote {
	s.t.Helper()
	pcrs := evidence.Selection()
	digest := s.pcrs.Digest()
	att := tpm2.TPMSAttest{Magic: tpm2.TPMGeneratedValue, Type: tpm2.TPMSTAttestQuote,
		QualifiedSigner: tpm2.TPM2BName{Buffer: s.signer}, ExtraData: tpm2.TPM2BData{Buffer: qualifying[:]}, ClockInfo: s.clock,
		Attested: tpm2.NewTPMUAttest(tpm2.TPMSTAttestQuote, &tpm2.TPMSQuoteInfo{
			PCRSelect: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
				{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs[:]...)}}},
			PCRDigest: tpm2.TPM2BDigest{Buffer: digest[:]}})}
	if s.spoil != nil {
		s.spoil(&att)
	}
	return s.sign(att)
}

// header is the next header of the chain; the chain moves.
func (s *soft) header(msgs ...string) (evidence.Header, [][]byte) {
	s.t.Helper()
	raw := make([][]byte, len(msgs))
	for i, m := range msgs {
		raw[i] = []byte(m)
	}
	h, err := s.chain.Next(raw, s.nonce, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.chain.Commit(h); err != nil {
		s.t.Fatal(err)
	}
	s.clock.Clock += 10
	return h, raw
}

// wire quotes a header and packs the batch.
func (s *soft) wire(h evidence.Header, msgs [][]byte) []byte {
	s.t.Helper()
	raw, err := h.Bytes()
	if err != nil {
		s.t.Fatal(err)
	}
	b := evidence.Batch{Header: raw, Msgs: msgs, Quote: s.quote(sha256.Sum256(raw)).Signed(), Log: s.log.Tail(evidence.MaxLog)}
	if s.mangle != nil {
		s.mangle(&b)
	}
	wire, err := evidence.Encode(b, 2*evidence.WireSize)
	if err != nil {
		s.t.Fatal(err)
	}
	return wire
}

func (s *soft) batch(msgs ...string) []byte {
	s.t.Helper()
	h, raw := s.header(msgs...)
	return s.wire(h, raw)
}

// clockwork is a clock that tests move.
type clockwork struct{ now time.Time }

func newVerifier(t *testing.T, printers ...*soft) (*Verifier, *clockwork) {
	t.Helper()
	c := &clockwork{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	// All but the printer that was heard last are cold.
	v, err := New(Config{Recipient: us, Releases: released(), Now: func() time.Time { return c.now }, Cold: &cellar{}, Hot: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range printers {
		if err := v.Enrol(p.record()); err != nil {
			t.Fatal(err)
		}
	}
	return v, c
}

func accept(t *testing.T, v *Verifier, from evidence.PrinterID, wire []byte) Verdict {
	t.Helper()
	got, err := v.Batch(from, wire)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// refuses checks that a batch is refused for one reason and leaves no trace.
func refuses(t *testing.T, v *Verifier, from evidence.PrinterID, wire []byte, want Reason) {
	t.Helper()
	before, err := v.State()
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Batch(from, wire)
	if ReasonOf(err) != want {
		t.Errorf("refused for %q (%v), want %q; verdict %+v", ReasonOf(err), err, want, got)
	}
	after, err := v.State()
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("a refusal changed the verifier's state")
	}
}

func staleNonce(v *Verifier, id evidence.PrinterID, at time.Time) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.nonce(id, at.UnixMilli())
}

func flipTime(nonce []byte) []byte {
	out := append([]byte{}, nonce...)
	binary.BigEndian.PutUint64(out, binary.BigEndian.Uint64(out)+1)
	return out
}

// chainOf is what a verifier remembers of a printer's batches.
func chainOf(t *testing.T, v *Verifier, id evidence.PrinterID) *chain {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	p, err := v.known.get(id)
	if err != nil {
		t.Fatal(err)
	}
	return &p.chain
}
