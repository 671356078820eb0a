package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// SettingsPCR is the PCR into which an agent measures what it runs with, before it acts on
// any of it.
const SettingsPCR = 13

// Settings are what an agent runs with beside its own image. Each time they change within
// a boot, all of them are measured into SettingsPCR as one event: see [Settings.Event].
type Settings struct {
	_ struct{} `cbor:",toarray"`
	// Base is the PCR's value before this event; empty if that is zero.
	Base []byte
	// Config is the SHA-256 digest of the agent's configuration file.
	Config [32]byte
	// Board is the SHA-256 digest of the board file.
	Board [32]byte
	// Controller is the SHA-256 digest of the image in the motion controller that was read
	// back from it and confirmed; zero if none was installed by us; a digest of no image if it
	// has said since that it is another firmware.
	Controller [32]byte
}

// None reports whether nothing was measured.
func (s Settings) None() bool {
	return len(s.Base) == 0 && s.Config == [32]byte{} && s.Board == [32]byte{} && s.Controller == [32]byte{}
}

// Same reports whether two agents ran with the same, whatever ran before.
func (s Settings) Same(o Settings) bool {
	return s.Config == o.Config && s.Board == o.Board && s.Controller == o.Controller
}

// After is s as the event that follows one that left value in the PCR.
func (s Settings) After(value [32]byte) Settings {
	s.Base = []byte{}
	if value != [32]byte{} {
		s.Base = bytes.Clone(value[:])
	}
	return s
}

// Event is the event's data in a log of the TCG's format: text, so that stock tools show it.
func (s Settings) Event() []byte {
	return fmt.Appendf(nil, "platen settings config=%x board=%x controller=%x\x00", s.Config, s.Board, s.Controller)
}

// Value is what the PCR holds after the event, whose digest is that of its data; zero
// without one.
func (s Settings) Value() [32]byte {
	var base [32]byte
	if s.None() {
		return base
	}
	copy(base[:], s.Base)
	return Extend(base, sha256.Sum256(s.Event()))
}

func (s Settings) check() error {
	if s.Base == nil || len(s.Base) != 0 && (len(s.Base) != 32 || [32]byte(s.Base) == [32]byte{}) {
		return fmt.Errorf("%w: settings", ErrLimit)
	}
	return nil
}

// SettingsLog is the whole log of SettingsPCR since the TPM was reset, oldest first.
type SettingsLog []Settings

// Value is what the PCR holds after the log.
func (l SettingsLog) Value() [32]byte {
	if len(l) == 0 {
		return [32]byte{}
	}
	return l[len(l)-1].Value()
}

// Last is the event that says what runs now, with nothing in it if there is none.
func (l SettingsLog) Last() Settings {
	if len(l) == 0 {
		return Settings{Base: []byte{}}
	}
	return l[len(l)-1]
}

// With is a log with one more event. l stays what it is.
func (l SettingsLog) With(s Settings) SettingsLog {
	return append(l[:len(l):len(l)], s.After(l.Value()))
}

// EventLog is the log in the crypto-agile format of the TCG, as [Log.EventLog] is.
func (l SettingsLog) EventLog() ([]byte, error) {
	if len(l) > MaxFullLog {
		return nil, fmt.Errorf("%w: not a whole log", ErrLimit)
	}
	b := eventLogHead()
	for _, s := range l {
		data := s.Event()
		b = appendEvent(b, SettingsPCR, sha256.Sum256(data), data)
	}
	return b, nil
}

// ParseSettingsLog reads what [SettingsLog.EventLog] made, and nothing else.
func ParseSettingsLog(b []byte) (SettingsLog, error) {
	head := eventLogHead()
	size := len(appendEvent(nil, SettingsPCR, [32]byte{}, Settings{}.Event()))
	if !bytes.HasPrefix(b, head) || (len(b)-len(head))%size != 0 || (len(b)-len(head))/size > MaxFullLog {
		return nil, fmt.Errorf("%w: not a log of settings", ErrEncoding)
	}
	l := SettingsLog{}
	for rest := b[len(head):]; len(rest) > 0; rest = rest[size:] {
		s, ok := parseSettings(rest[eventData:size])
		if !ok || !bytes.Equal(appendEvent(nil, SettingsPCR, sha256.Sum256(s.Event()), s.Event()), rest[:size]) {
			return nil, fmt.Errorf("%w: not an event of settings", ErrEncoding)
		}
		l = l.With(s)
	}
	return l, nil
}

// parseSettings reads an event's data; whoever calls it compares with what that encodes to.
func parseSettings(data []byte) (s Settings, ok bool) {
	for _, part := range []struct {
		name string
		into *[32]byte
	}{{"config=", &s.Config}, {"board=", &s.Board}, {"controller=", &s.Controller}} {
		_, rest, found := bytes.Cut(data, []byte(part.name))
		if !found || len(rest) < 64 {
			return s, false
		}
		if _, err := hex.Decode(part.into[:], rest[:64]); err != nil {
			return s, false
		}
		data = rest[64:]
	}
	return s, true
}

// Hints are the beginnings of PCR values, in the order of [Selection]. They name what
// differs when values are not those that were expected, and prove nothing.
type Hints [len(PCRs{})][4]byte

// Hints are the beginnings of p.
func (p PCRs) Hints() (h Hints) {
	for i := range p {
		h[i] = [4]byte(p[i][:4])
	}
	return h
}

// Signed is a quote as a batch carries it: whoever verifies it knows the values that the
// printer's state has to have, so that only their beginnings travel.
type Signed struct {
	_ struct{} `cbor:",toarray"`
	// Attest and Sig are those of a [Quote].
	Attest, Sig []byte
	// PCRs are the beginnings of the values that were quoted.
	PCRs Hints
}

// Signed is q as a batch carries it.
func (q Quote) Signed() Signed { return Signed{Attest: q.Attest, Sig: q.Sig, PCRs: q.PCRs.Hints()} }

func (q Signed) check() error { return Quote{Attest: q.Attest, Sig: q.Sig}.check() }
