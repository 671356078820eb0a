package evidence

import (
	"crypto/sha256"
	"fmt"
	"math"
)

// Selection is the PCRs of the SHA-256 bank that every quote covers, in the order
// of their values in [PCRs]: firmware (0), boot manager (4), kernel (8, 9),
// what the agent runs with (13) and the agent (14).
func Selection() [6]uint { return [6]uint{0, 4, 8, 9, SettingsPCR, AgentPCR} }

// BootPCRs is how many of [Selection], from the first, are measured before an agent runs.
const BootPCRs = 4

// AgentPCR is the PCR into which each agent is measured before it runs.
const AgentPCR = 14

// PCRs are the values of the PCRs of [Selection], in its order.
type PCRs [6][32]byte

// Digest is the SHA-256 digest over the values, as a quote carries it.
func (p PCRs) Digest() [32]byte {
	h := sha256.New()
	for i := range p {
		h.Write(p[i][:])
	}
	return [32]byte(h.Sum(nil))
}

// Agent is the value of AgentPCR.
func (p PCRs) Agent() [32]byte { return p[len(p)-1] }

// Quote is what the TPM signed, with the PCR values it signed a digest of.
type Quote struct {
	_ struct{} `cbor:",toarray"`
	// Attest is a TPMS_ATTEST in the TPM's own bytes.
	Attest []byte
	// Sig is a TPMT_SIGNATURE over Attest in the TPM's own bytes.
	Sig []byte
	// PCRs are the values that Attest holds a digest of.
	PCRs PCRs
}

// Settings is the value of SettingsPCR.
func (p PCRs) Settings() [32]byte { return p[len(p)-2] }

// Log is the agents measured into AgentPCR since the TPM was reset, oldest first, and what
// the last of them measured of what it runs with.
type Log struct {
	_ struct{} `cbor:",toarray"`
	// Base is the PCR's value before the first digest: zero for a whole log.
	Base [32]byte
	// Digests are the SHA-256 digests that were extended, oldest first.
	Digests [][32]byte
	// Settings are what was last measured into SettingsPCR.
	Settings Settings
}

// Extend is what a PCR of the SHA-256 bank holds after digest is extended into it.
func Extend(pcr, digest [32]byte) [32]byte {
	var b [64]byte
	copy(b[:32], pcr[:])
	copy(b[32:], digest[:])
	return sha256.Sum256(b[:])
}

// Value is what AgentPCR holds after the log.
func (l Log) Value() [32]byte {
	v := l.Base
	for _, d := range l.Digests {
		v = Extend(v, d)
	}
	return v
}

// Tail is a log of at most the last n digests, with the base they stand on.
func (l Log) Tail(n int) Log {
	cut := max(0, len(l.Digests)-n)
	return Log{
		Base:    Log{Base: l.Base, Digests: l.Digests[:cut]}.Value(),
		Digests: l.Digests[cut:], Settings: l.Settings,
	}
}

// Batch is a header, the messages it speaks for, and the quote that binds them.
type Batch struct {
	_ struct{} `cbor:",toarray"`
	// Header is the canonical bytes of a [Header].
	Header []byte
	// Msgs are the messages, each already encoded.
	Msgs [][]byte
	// Quote is over the digest of Header.
	Quote Signed
	// Log is what was measured, at most MaxLog digests: see [Log.Tail].
	Log Log
}

// Encode returns b in a frame padded with zeros to size bytes. A batch that does
// not fit is ErrTooLarge; see [Room].
func Encode(b Batch, size int) ([]byte, error) {
	b = b.filled()
	if err := b.check(); err != nil {
		return nil, err
	}
	body, err := marshal(b)
	if err != nil {
		return nil, err
	}
	if size < frameHeader {
		return nil, fmt.Errorf("%w: %d bytes for a frame of %d", ErrTooLarge, frameHeader+len(body), size)
	}
	return frame(magicBatch, body, size)
}

// Decode reads a frame that [Encode] made, and refuses anything else. It does not
// look at the messages against the header's root: that is the verifier's.
func Decode(wire []byte) (Batch, error) {
	var b Batch
	body, err := unframe(magicBatch, wire)
	if err != nil {
		return b, err
	}
	if err := unmarshal(body, &b); err != nil {
		return Batch{}, err
	}
	if err := b.check(); err != nil {
		return Batch{}, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	if _, err := ParseHeader(b.Header); err != nil {
		return Batch{}, err
	}
	return b, nil
}

// filled gives b empty lists where it has none, which is their canonical form.
func (b Batch) filled() Batch {
	if b.Msgs == nil {
		b.Msgs = [][]byte{}
	}
	b.Log = b.Log.filled()
	return b
}

func (l Log) filled() Log {
	if l.Digests == nil {
		l.Digests = [][32]byte{}
	}
	if l.Settings.Base == nil {
		l.Settings.Base = []byte{}
	}
	return l
}

func (l Log) check(most int) error {
	if l.Digests == nil || len(l.Digests) > most {
		return fmt.Errorf("%w: log", ErrLimit)
	}
	return l.Settings.check()
}

func (b Batch) check() error {
	if len(b.Header) == 0 || len(b.Header) > maxTPM || b.Msgs == nil {
		return fmt.Errorf("%w: header", ErrLimit)
	}
	if err := b.Quote.check(); err != nil {
		return err
	}
	if err := b.Log.check(MaxLog); err != nil {
		return err
	}
	return checkMsgs(b.Msgs)
}

func (q Quote) check() error {
	if len(q.Attest) == 0 || len(q.Attest) > maxTPM || len(q.Sig) == 0 || len(q.Sig) > maxTPM {
		return fmt.Errorf("%w: quote", ErrLimit)
	}
	return nil
}

func checkMsgs(msgs [][]byte) error {
	if len(msgs) > MaxMsgs {
		return fmt.Errorf("%w: more than %d messages", ErrLimit, MaxMsgs)
	}
	for _, m := range msgs {
		if len(m) == 0 || len(m) > MaxMsg {
			return fmt.Errorf("%w: a message has 1 to %d bytes", ErrLimit, MaxMsg)
		}
	}
	return nil
}

// MsgOverhead is what a message costs in a batch beyond its own bytes, at most.
const MsgOverhead = 3

// Sizes in bytes of what a TPM 2.0 returns for a P-256 quote over one bank: a
// TPMS_ATTEST (part 2 of the library specification, section 10.12.12) with SHA-256
// names and digests, and a TPMT_SIGNATURE of two 32-byte numbers.
const (
	attestSize = 145
	sigSize    = 72
)

// Room is how many bytes of messages, each counted with MsgOverhead, surely fit a
// frame of size bytes beside nonceLen bytes of nonce and a log of logLen digests.
func Room(size, nonceLen, logLen int) int {
	h := Header{V: Version, Boot: math.MaxUint64, Start: math.MaxUint64, Seq: math.MaxUint64,
		First: math.MaxUint64 - MaxMsgs, Count: MaxMsgs, Nonce: make([]byte, nonceLen), Dropped: math.MaxUint64}
	raw, err := h.Bytes()
	if err != nil {
		return 0
	}
	b := Batch{Header: raw, Quote: Signed{Attest: make([]byte, attestSize), Sig: make([]byte, sigSize)},
		Log: Log{Digests: make([][32]byte, logLen), Settings: Settings{Base: make([]byte, 32)}}}.filled()
	body, err := marshal(b)
	if err != nil {
		return 0
	}
	return max(0, size-frameHeader-len(body)-2) // two more for the count of messages
}
