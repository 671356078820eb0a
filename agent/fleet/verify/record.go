package verify

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// Record is what enrolment established of a printer. It marshals to JSON.
type Record struct {
	// Printer is the printer's id.
	Printer evidence.PrinterID `json:"printer"`
	// AK, TLS and Job are the TPMT_PUBLICs of the printer's keys.
	AK  []byte `json:"ak"`
	TLS []byte `json:"tls"`
	Job []byte `json:"job"`
	// EK is the SHA-256 digest of the endorsement key in PKIX form.
	EK []byte `json:"ek"`
	// TPM is how the maker's certificate names it; zero for one of the factory list.
	TPM TPMName `json:"tpm,omitzero"`
	// Boot is the PCRs at enrolment; the first evidence.BootPCRs of them stay what they are.
	Boot evidence.PCRs `json:"boot"`
	// Agents is the log of PCR 14 at enrolment.
	Agents [][32]byte `json:"agents"`
	// Settings is what the agent ran with at enrolment.
	Settings evidence.Settings `json:"settings,omitzero"`
	// Reset is how often the TPM had been reset at enrolment.
	Reset uint32 `json:"reset,omitempty"`
	// Enrolled is when.
	Enrolled time.Time `json:"enrolled"`
}

// TLSKey is the key of the printer's client certificate.
func (r Record) TLSKey() (*ecdsa.PublicKey, error) { return p256(r.TLS) }

// JobKey is the key that jobs for the printer are sealed to.
func (r Record) JobKey() (*ecdh.PublicKey, error) {
	key, err := p256(r.Job)
	if err != nil {
		return nil, err
	}
	return key.ECDH()
}

// JobPolicy is the policy that the TPM demands for every use of the job key, as
// approval.KeyPolicy makes it of an approver; nil: it is used in any state of the system.
func (r Record) JobPolicy() ([]byte, error) {
	public, err := parsePublic(r.Job)
	if err != nil {
		return nil, err
	}
	if public.ObjectAttributes.UserWithAuth || len(public.AuthPolicy.Buffer) == 0 {
		return nil, nil
	}
	return public.AuthPolicy.Buffer, nil
}

// p256 reads the point of a TPMT_PUBLIC on P-256.
func p256(area []byte) (*ecdsa.PublicKey, error) {
	public, err := parsePublic(area)
	if err != nil {
		return nil, err
	}
	key, err := tpm2.Pub(*public)
	if err != nil {
		return nil, errors.New("no public key in the TPM's structure")
	}
	ec, ok := key.(*ecdsa.PublicKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, errors.New("not a key on P-256")
	}
	if _, err := ec.ECDH(); err != nil {
		return nil, errors.New("not a point on P-256")
	}
	return ec, nil
}

// New makes a verifier that knows no printer.
func New(cfg Config) (*Verifier, error) {
	if cfg.Releases == nil {
		return nil, errors.New("a verifier needs the known releases")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Fresh == 0 {
		cfg.Fresh = DefaultFresh
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = DefaultMaxAge
	}
	v := &Verifier{cfg: cfg, printers: map[evidence.PrinterID]*printer{}}
	if _, err := rand.Read(v.nonceKey[:]); err != nil {
		return nil, fmt.Errorf("make the nonce key: %w", err)
	}
	return v, nil
}

// Enrol takes a printer's record. A printer that enrols anew keeps its chain, so
// that enrolling does not open a door for replays.
func (v *Verifier) Enrol(r Record) error {
	p := &printer{Record: r}
	if err := p.prepare(); err != nil {
		return fmt.Errorf("enrol %v: %w", r.Printer, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if old, ok := v.printers[r.Printer]; ok {
		p.Chain, p.turn = old.Chain, old.turn
	} else {
		p.Chain.runsWith(r.Settings)
	}
	p.Chain.trust(evidence.Log{Digests: r.Agents, Settings: r.Settings}, r.Reset)
	v.printers[r.Printer] = p
	return nil
}

// prepare derives from the record what each batch is checked against.
func (p *printer) prepare() error {
	public, err := parsePublic(p.Record.AK)
	if err != nil {
		return err
	}
	id, signer, err := names(public)
	if err != nil {
		return err
	}
	if id != p.Record.Printer {
		return errors.New("the id is not that of the attestation key")
	}
	p.signer = signer
	if p.Chain.Ran == nil { // a state from when these stood among the others
		for _, value := range p.Chain.Values {
			p.Chain.Ran = append(p.Chain.Ran, ranWith{p.Chain.Reset, value})
		}
	}
	p.ak, err = p256(p.Record.AK)
	return err
}

// names returns the printer id of an attestation key and its qualified name as a
// primary key of the endorsement hierarchy: part 1 of the specification, section 16.
func names(public *tpm2.TPMTPublic) (evidence.PrinterID, []byte, error) {
	name, err := tpm2.ObjectName(public)
	if err != nil || public.NameAlg != tpm2.TPMAlgSHA256 {
		return evidence.PrinterID{}, nil, errors.New("the attestation key has no SHA-256 name")
	}
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(tpm2.TPMRHEndorsement)))
	h.Write(name.Buffer)
	qualified := h.Sum(binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMAlgSHA256)))
	return sha256.Sum256(name.Buffer), qualified, nil
}

// Forget removes a printer; what it sends afterwards is UnknownPrinter.
func (v *Verifier) Forget(id evidence.PrinterID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.printers, id)
}

// Record returns a printer's record.
func (v *Verifier) Record(id evidence.PrinterID) (Record, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p, ok := v.printers[id]
	if !ok {
		return Record{}, false
	}
	return p.Record, true
}

// Spoke reports whether anything was ever believed of a printer.
func (v *Verifier) Spoke(id evidence.PrinterID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	p, ok := v.printers[id]
	return ok && p.Chain.Seq > 0
}

// Saw reports whether the value base of a printer's SettingsPCR was believed, since its TPM was
// reset this often.
func (v *Verifier) Saw(id evidence.PrinterID, base [32]byte, reset uint32) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	p, ok := v.printers[id]
	return ok && p.Chain.saw(base, reset)
}

// Printers lists the ids of all printers in the order of their text form.
func (v *Verifier) Printers() []evidence.PrinterID {
	v.mu.Lock()
	defer v.mu.Unlock()
	ids := make([]evidence.PrinterID, 0, len(v.printers))
	for id := range v.printers {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i].String() < ids[j].String() })
	return ids
}

// NonceSize is the size of a nonce in bytes: when it was issued in Unix
// milliseconds, and 16 bytes of HMAC over that and the printer's id. The verifier
// need not remember the nonces that it issued.
const NonceSize = 24

// Nonce issues a nonce to a printer. A printer puts the latest into each batch.
func (v *Verifier) Nonce(id evidence.PrinterID) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.nonce(id, v.cfg.Now().UnixMilli())
}

func (v *Verifier) nonce(id evidence.PrinterID, at int64) []byte {
	n := binary.BigEndian.AppendUint64(make([]byte, 0, NonceSize), uint64(at))
	m := hmac.New(sha256.New, v.nonceKey[:])
	m.Write([]byte("platen nonce v1"))
	m.Write(n)
	m.Write(id[:])
	return append(n, m.Sum(nil)[:NonceSize-8]...)
}

// issued returns when a nonce was issued to a printer, false if it was not.
func (v *Verifier) issued(id evidence.PrinterID, nonce []byte) (int64, bool) {
	if len(nonce) != NonceSize {
		return 0, false
	}
	at := int64(binary.BigEndian.Uint64(nonce))
	return at, hmac.Equal(nonce, v.nonce(id, at))
}

// state is a Verifier at rest.
type state struct {
	Version  int        `json:"version"`
	NonceKey []byte     `json:"nonce_key"`
	Printers []*printer `json:"printers"`
}

const stateVersion = 1

// State returns everything that the verifier has to remember, for Restore. It holds
// the key of the nonces: store it where only the fleet reads.
func (v *Verifier) State() ([]byte, error) {
	ids := v.Printers()
	v.mu.Lock()
	defer v.mu.Unlock()
	s := state{Version: stateVersion, NonceKey: v.nonceKey[:], Printers: []*printer{}}
	for _, id := range ids {
		if p, ok := v.printers[id]; ok {
			s.Printers = append(s.Printers, p)
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("save the verifier: %w", err)
	}
	return b, nil
}

// PrinterState returns what the verifier has to remember of one printer, for
// RestorePrinter: a caller with many printers stores them one by one.
func (v *Verifier) PrinterState(id evidence.PrinterID) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p, ok := v.printers[id]
	if !ok {
		return nil, fmt.Errorf("save printer %v: %w", id, refuse(UnknownPrinter, nil))
	}
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("save printer %v: %w", id, err)
	}
	return b, nil
}

// Restore puts a verifier into the state that State returned. On an error nothing
// has changed.
func (v *Verifier) Restore(b []byte) error {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("restore the verifier: %w", err)
	}
	if s.Version != stateVersion || len(s.NonceKey) != len(v.nonceKey) {
		return fmt.Errorf("restore the verifier: not a state of version %d", stateVersion)
	}
	printers := map[evidence.PrinterID]*printer{}
	for _, p := range s.Printers {
		if p == nil {
			return errors.New("restore the verifier: a printer is null")
		}
		if err := p.prepare(); err != nil {
			return fmt.Errorf("restore printer %v: %w", p.Record.Printer, err)
		}
		printers[p.Record.Printer] = p
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.nonceKey = [32]byte(s.NonceKey)
	v.printers = printers
	return nil
}

// RestorePrinter puts one printer into the state that PrinterState returned.
func (v *Verifier) RestorePrinter(b []byte) error {
	var p printer
	if err := json.Unmarshal(b, &p); err != nil {
		return fmt.Errorf("restore a printer: %w", err)
	}
	if err := p.prepare(); err != nil {
		return fmt.Errorf("restore printer %v: %w", p.Record.Printer, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.printers[p.Record.Printer] = &p
	return nil
}
