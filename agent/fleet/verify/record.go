package verify

import (
	"bytes"
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
	"maps"
	"slices"
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
	if cfg.Hot == 0 {
		cfg.Hot = DefaultHot
	}
	v := &Verifier{cfg: cfg, known: newKnown(cfg.Cold, cfg.Hot)}
	if _, err := rand.Read(v.nonceKey[:]); err != nil {
		return nil, fmt.Errorf("make the nonce key: %w", err)
	}
	return v, nil
}

// Enrol takes a printer's record. A printer that enrols anew keeps its chain, so
// that enrolling does not open a door for replays.
func (v *Verifier) Enrol(r Record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("enrol %v: %w", r.Printer, err)
	}
	p, err := prepare(raw, chain{})
	if err != nil {
		return fmt.Errorf("enrol %v: %w", r.Printer, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch old, err := v.known.get(r.Printer); {
	case err == nil:
		p.chain, p.turn = old.chain.clone(), old.turn
	case ReasonOf(err) == UnknownPrinter:
		p.chain.runsWith(r.Settings)
	default:
		return fmt.Errorf("enrol %v: %w", r.Printer, err)
	}
	known := v.cfg.Configurations // what ran in this boot before, enrolment has judged
	listed := known != nil && known.Known(r.Printer, r.Settings.Config)
	p.chain.trust(evidence.Log{Digests: r.Agents, Settings: r.Settings}, r.Reset, listed)
	return v.known.put(p)
}

// prepare derives from a record what each batch is checked against.
func prepare(record json.RawMessage, c chain) (*printer, error) {
	var r Record
	if err := json.Unmarshal(record, &r); err != nil {
		return nil, err
	}
	public, err := parsePublic(r.AK)
	if err != nil {
		return nil, err
	}
	id, signer, err := names(public)
	if err != nil {
		return nil, err
	}
	if id != r.Printer {
		return nil, fmt.Errorf("the id of printer %v is not that of its attestation key", r.Printer)
	}
	if c.Ran == nil { // a state from when these stood among the others
		for _, value := range c.Values {
			c.Ran = append(c.Ran, ranWith{Reset: c.Reset, Value: value})
		}
	}
	p := &printer{id: id, record: record, boot: r.Boot, signer: signer, chain: c}
	p.ak, err = p256(r.AK)
	return p, err
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
	v.known.forget(id)
}

// Known reports whether a printer is enrolled.
func (v *Verifier) Known(id evidence.PrinterID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.known.index[id]
	return ok
}

// Record returns a printer's record, and false if it is not enrolled or cannot be read from
// the Cold.
func (v *Verifier) Record(id evidence.PrinterID) (Record, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var r Record
	p, err := v.known.peek(id)
	if err == nil {
		err = json.Unmarshal(p.record, &r)
	}
	return r, err == nil
}

// Spoke reports whether anything was ever believed of a printer.
func (v *Verifier) Spoke(id evidence.PrinterID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.known.index[id].spoke
}

// Saw reports whether the value base of a printer's SettingsPCR was believed, since its TPM was
// reset this often; where configurations are listed, by that list.
func (v *Verifier) Saw(id evidence.PrinterID, base [32]byte, reset uint32) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	p, err := v.known.peek(id)
	return err == nil && p.chain.saw(base, reset, v.cfg.Configurations != nil)
}

// Printers lists the ids of all printers in their order.
func (v *Verifier) Printers() []evidence.PrinterID {
	v.mu.Lock()
	defer v.mu.Unlock()
	ids := slices.Collect(maps.Keys(v.known.index))
	slices.SortFunc(ids, func(a, b evidence.PrinterID) int { return bytes.Compare(a[:], b[:]) })
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
	Version  int       `json:"version"`
	NonceKey []byte    `json:"nonce_key"`
	Printers []*atRest `json:"printers"`
}

// atRest is a printer's state at rest.
type atRest struct {
	Record json.RawMessage `json:"record"`
	Chain  chain           `json:"chain"`
}

const stateVersion = 1

// State returns everything that the verifier has to remember, for Restore. It holds
// the key of the nonces: store it where only the fleet reads.
func (v *Verifier) State() ([]byte, error) {
	ids := v.Printers()
	v.mu.Lock()
	defer v.mu.Unlock()
	s := state{Version: stateVersion, NonceKey: v.nonceKey[:], Printers: []*atRest{}}
	for _, id := range ids {
		switch p, err := v.known.peek(id); {
		case err == nil:
			s.Printers = append(s.Printers, &atRest{p.record, p.chain})
		case ReasonOf(err) != UnknownPrinter: // else it was forgotten meanwhile
			return nil, fmt.Errorf("save the verifier: %w", err)
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
	p, err := v.known.peek(id)
	if err != nil {
		return nil, fmt.Errorf("save printer %v: %w", id, err)
	}
	b, err := json.Marshal(atRest{p.record, p.chain})
	if err != nil {
		return nil, fmt.Errorf("save printer %v: %w", id, err)
	}
	return b, nil
}

// Restore puts a verifier into the state that State returned. On an error nothing
// has changed, unless it is the Cold's: then no printer is known.
func (v *Verifier) Restore(b []byte) error {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("restore the verifier: %w", err)
	}
	if s.Version != stateVersion || len(s.NonceKey) != len(v.nonceKey) {
		return fmt.Errorf("restore the verifier: not a state of version %d", stateVersion)
	}
	var printers []*printer
	for _, at := range s.Printers {
		if at == nil {
			return errors.New("restore the verifier: a printer is null")
		}
		p, err := prepare(at.Record, at.Chain)
		if err != nil {
			return fmt.Errorf("restore a printer: %w", err)
		}
		printers = append(printers, p)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.nonceKey = [32]byte(s.NonceKey)
	v.known = newKnown(v.cfg.Cold, v.cfg.Hot)
	for _, p := range printers {
		if err := v.known.put(p); err != nil {
			v.known = newKnown(v.cfg.Cold, v.cfg.Hot)
			return fmt.Errorf("restore the verifier: %w", err)
		}
	}
	return nil
}

// RestorePrinter puts one printer into the state that PrinterState returned.
func (v *Verifier) RestorePrinter(b []byte) error {
	var at atRest
	if err := json.Unmarshal(b, &at); err != nil {
		return fmt.Errorf("restore a printer: %w", err)
	}
	p, err := prepare(at.Record, at.Chain)
	if err != nil {
		return fmt.Errorf("restore a printer: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.known.put(p)
}
