package ingest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

// soft is a printer whose attestation key is in software: there can be many of them.
type soft struct {
	t      testing.TB
	key    *ecdsa.PrivateKey
	record verify.Record
	pcrs   evidence.PCRs
	log    evidence.Log
	signer []byte
	chain  *evidence.Chain
	clock  uint64
}

// softAgent is what all of them run.
var softAgent = sha256.Sum256([]byte("agent"))

func newSoft(t testing.TB, to evidence.RecipientID) *soft {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	public := tpm2.TPMTPublic{Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, SignEncrypt: true, Restricted: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgNull}, CurveID: tpm2.TPMECCNistP256, KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull}}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: point[1:33]}, Y: tpm2.TPM2BECCParameter{Buffer: point[33:]}})}
	name, err := tpm2.ObjectName(&public)
	if err != nil {
		t.Fatal(err)
	}
	s := &soft{t: t, key: key, clock: 1000}
	id := evidence.PrinterID(sha256.Sum256(name.Buffer))
	// Part 1 of the specification, section 16: the name below the endorsement hierarchy.
	qualified := sha256.Sum256(append(binary.BigEndian.AppendUint32(nil, uint32(tpm2.TPMRHEndorsement)), name.Buffer...))
	s.signer = append(binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMAlgSHA256)), qualified[:]...)
	settings := evidence.Settings{Config: [32]byte{'c'}, Board: [32]byte{'b'}}.After([32]byte{})
	s.log = evidence.Log{Digests: [][32]byte{softAgent}, Settings: settings}
	s.pcrs[4], s.pcrs[5] = settings.Value(), s.log.Value()
	s.record = verify.Record{Printer: id, AK: tpm2.Marshal(public), Boot: s.pcrs, Agents: s.log.Digests, Settings: settings}
	s.chain = evidence.NewChain(id, to, 3, 500)
	return s
}

// frame is the printer's next one.
func (s *soft) frame(msgs ...[]byte) []byte {
	s.t.Helper()
	h, err := s.chain.Next(msgs, nil, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	raw, err := h.Bytes()
	if err != nil {
		s.t.Fatal(err)
	}
	s.clock += 10
	wire, err := evidence.Encode(evidence.Batch{Header: raw, Msgs: msgs, Quote: s.quote(sha256.Sum256(raw)).Signed(),
		Log: s.log}, evidence.WireSize)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.chain.Commit(h); err != nil {
		s.t.Fatal(err)
	}
	return wire
}

func (s *soft) quote(qualifying [32]byte) evidence.Quote {
	s.t.Helper()
	selection, digest := evidence.Selection(), s.pcrs.Digest()
	attest := tpm2.Marshal(tpm2.TPMSAttest{Magic: tpm2.TPMGeneratedValue, Type: tpm2.TPMSTAttestQuote,
		QualifiedSigner: tpm2.TPM2BName{Buffer: s.signer}, ExtraData: tpm2.TPM2BData{Buffer: qualifying[:]},
		ClockInfo: tpm2.TPMSClockInfo{Clock: s.clock, ResetCount: 5},
		Attested: tpm2.NewTPMUAttest(tpm2.TPMSTAttestQuote, &tpm2.TPMSQuoteInfo{
			PCRSelect: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
				{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(selection[:]...)}}},
			PCRDigest: tpm2.TPM2BDigest{Buffer: digest[:]}})})
	sum := sha256.Sum256(attest)
	r, sig, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		s.t.Fatal(err)
	}
	return evidence.Quote{Attest: attest, PCRs: s.pcrs, Sig: tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA,
		Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{Hash: tpm2.TPMAlgSHA256,
			SignatureR: tpm2.TPM2BECCParameter{Buffer: r.Bytes()}, SignatureS: tpm2.TPM2BECCParameter{Buffer: sig.Bytes()}})})}
}

// house is a fleet's folder with an ingest over it, and printers that are enrolled there.
type house struct {
	t        testing.TB
	dir      string
	s        *store.Store
	v        *verify.Verifier
	in       *Ingest
	printers []*soft
}

func newHouse(t testing.TB, printers int) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	h.open()
	for range printers {
		p := newSoft(t, h.s.Fleet.Recipient)
		h.printers = append(h.printers, p)
		if err := h.v.Enrol(p.record); err != nil {
			t.Fatal(err)
		}
	}
	for group := range slices.Chunk(h.printers, 1000) {
		states := map[evidence.PrinterID][]byte{}
		for _, p := range group {
			states[p.record.Printer] = []byte(h.state(p))
		}
		if err := h.s.SavePrinters(states); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// open opens the folder as a start of the fleet does; what another start left open stays so,
// as after a kill.
func (h *house) open() {
	h.t.Helper()
	var err error
	if h.s, err = store.Open(h.dir, "", 0); err != nil {
		h.t.Fatal(err)
	}
	s := h.s
	h.t.Cleanup(func() { _ = s.Close() })
	cold, err := s.Scratch()
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { cold.Close() }) // nothing in it is needed
	if h.v, err = verify.New(verify.Config{Recipient: h.s.Fleet.Recipient, Releases: verify.ReleaseMap{softAgent: 1}, Cold: cold}); err != nil {
		h.t.Fatal(err)
	}
	if err := h.s.Load(h.v); err != nil {
		h.t.Fatal(err)
	}
	h.in = New(h.v, h.s, nil, nil)
	h.in.Allow(1e12, 1e12)
}

// state is what is remembered of a printer.
func (h *house) state(p *soft) string {
	h.t.Helper()
	b, err := h.v.PrinterState(p.record.Printer)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

// begin has a frame judged, and what follows not written yet.
func (h *house) begin(p *soft, frame []byte) *write {
	h.t.Helper()
	w, err := h.in.begin(p.record.Printer, frame)
	if err != nil || w == nil {
		h.t.Fatal(w, err)
	}
	return w
}

// believed counts the batches of the log by printer and number.
func (h *house) believed() map[string]int {
	h.t.Helper()
	out := map[string]int{}
	for e, err := range store.Events(h.dir) {
		if err != nil {
			h.t.Fatal(err)
		}
		if e.Event == store.Batch {
			out[key(e.Printer, e.Seq)]++
		}
	}
	return out
}

// message says at this time that the printer prints.
func message(at time.Time) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0xa2, 0, 0x1a}, uint32(at.Unix())), 1, 4)
}
