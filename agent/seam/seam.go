// Package seam is the wire between the agent and a session process: plain
// messages on a SOCK_SEQPACKET pair, one message a packet, nothing else.
//
// It is the wall of Platen. Downward go commands, and with a job the descriptor
// of the file to read; upward go codes, temperatures and counts. No message has a
// field for bytes or free text that travels upward, so that design data has no
// way to ride along. A message is a fixed-size little-endian record behind a
// header of version, kind and length; [Parse] refuses everything that is not
// exactly such a record. The package is pure: it neither opens nor reads
// anything.
package seam

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
)

// Version is the version of the wire; both ends must have the same one.
const Version = 6

// MaxMessage is the size of the largest message in bytes.
const MaxMessage = 512

// ErrMessage reports a packet that is not a message of this version.
var ErrMessage = errors.New("not a seam message")

// Kind tells messages apart. Those below 64 go down to the session, the others up.
type Kind uint8

// The messages.
const (
	KindStart  Kind = 1 // Start, with the job's descriptor attached
	KindPause  Kind = 2
	KindResume Kind = 3
	KindCancel Kind = 4
	KindHalt   Kind = 5
	KindQuit   Kind = 6
	KindKey    Kind = 7 // Key, before the Start that it is for

	KindProfile Kind = 8 // Profile, before the Start that it is for
	KindSkip    Kind = 9 // Skip

	KindTest Kind = 10 // Test

	KindReady   Kind = 64 // Ready
	KindStatus  Kind = 65 // Status
	KindReceipt Kind = 66 // Receipt
	KindLayer   Kind = 67 // Layer
	KindTested  Kind = 68 // Tested
	KindDuty    Kind = 69 // Duty
)

// Message is one of the message types of this package.
type Message interface {
	kind() Kind
	append(dst []byte) []byte
	parse(src []byte) bool
}

// Format says what the bytes of a job are once they are in clear.
type Format uint8

// The formats.
const (
	FormatAny Format = iota + 1 // a model or a pre-sliced file: its bytes say which
)

// Start begins a job. The descriptor of the file travels beside it as ancillary
// data. If Sealed, the file is an age file and FileKey opens it.
type Start struct {
	Job     [16]byte // random, for receipts
	Format  Format
	Sealed  bool
	Plate   uint8    // of a package with several plates of G-code; 0 is the only one
	Size    uint64   // bytes of the file
	FileKey [16]byte // zero unless Sealed
	From    uint32   // layer at which a broken print of the same job goes on; 0 is the beginning
	Parked  bool     // it was paused there: the nozzle stands where the board's macro parks it
}

// LogValue keeps the key out of logs.
func (Start) LogValue() slog.Value { return slog.StringValue("start") }

// String keeps the key out of formatted text.
func (Start) String() string { return "start" }

// GoString keeps the key out of formatted text.
func (Start) GoString() string { return "start" }

// MostKeys bounds the content keys of a job.
const MostKeys = 64

// Key is the content key of one group of encrypted parts of a 3MF file, for the job that
// is started next (3MF Secure Content 1.0.3).
type Key struct {
	Group uint8 // below MostKeys
	Key   [32]byte
}

// LogValue keeps the key out of logs.
func (Key) LogValue() slog.Value { return slog.StringValue("key") }

// String keeps the key out of formatted text.
func (Key) String() string { return "key" }

// GoString keeps the key out of formatted text.
func (Key) GoString() string { return "key" }

// Command is a message down that carries nothing but its kind.
type Command struct{ Kind Kind }

// Phase is where a session is in its life.
type Phase uint8

// The phases of a session.
const (
	PhaseConnecting Phase = iota + 1 // opening the controller
	PhaseIdle                        // ready for a job
	PhaseLoading                     // reading and indexing
	PhasePrinting
	PhasePaused
	PhaseDone
	PhaseFault
	PhaseTesting // a self-test: no job is there
)

// String names the phase in lower case.
func (p Phase) String() string {
	names := [...]string{"none", "connecting", "idle", "loading", "printing", "paused", "done", "fault", "self-test"}
	if int(p) < len(names) {
		return names[p]
	}
	return "unknown"
}

// Ready says that the session has its machine and has given up what it does not
// need. Confined counts what holds; see package confine. An agent that comes while a job
// runs is told which one.
type Ready struct {
	Dialect    uint8 // 1 Marlin, 2 Repetier, 3 RepRapFirmware, 4 grbl
	Tools      uint8
	Confined   uint16   // bit set of confine.Measure
	VaultBytes uint64   // budget of locked memory
	Job        [16]byte // that runs, zero for none
	Firmware   uint64   // what the controller said that it is, digested; 0 for nothing
}

// Heater is one heater in a Status, in 1/1000 °C.
type Heater struct {
	ID             uint8
	Actual, Target int32
}

// MaxHeaters bounds the heaters in a Status.
const MaxHeaters = 8

// Status is the machine data of one moment. Progress is the share of the print
// that is done, in steps of 25 %: nothing finer crosses the seam upward, because
// nothing finer may leave.
type Status struct {
	Phase    Phase
	Fault    uint8 // hal.Fault
	Progress uint8 // 0, 25, 50, 75 or 100
	NHeaters uint8
	Heaters  [MaxHeaters]Heater
	Resends  uint32
	LinkErrs uint32
	Beat     uint8  // changes with each round of the supervision of the machine
	Trip     uint8  // watch.Reason: why the supervision stopped the machine or held the program
	Missing  uint16 // bit n is sensor n of the board file, which cannot be read
	Ambient  int32  // of the air in the box in 1/1000 °C; NoAmbient if it is not known
	Filament uint8  // 0 not known, 1 there, 2 none
	Door     uint8  // 0 not known, 1 closed, 2 open
}

// NoAmbient is the Ambient of a box that has no sensor for it, or whose sensor is missing.
const NoAmbient = -1 << 31

// Skip leaves out one of the objects of the model that is printed, from the next layer
// on that is not planned yet.
type Skip struct {
	Object uint16 // from 1: parts of the file in their order, copy by copy
}

func (Start) kind() Kind     { return KindStart }
func (Skip) kind() Kind      { return KindSkip }
func (Key) kind() Kind       { return KindKey }
func (c Command) kind() Kind { return c.Kind }
func (Ready) kind() Kind     { return KindReady }
func (Status) kind() Kind    { return KindStatus }

var le = binary.LittleEndian

// Append appends the packet of m to dst.
func Append(dst []byte, m Message) []byte {
	start := len(dst)
	dst = append(dst, Version, byte(m.kind()), 0, 0)
	dst = m.append(dst)
	le.PutUint16(dst[start+2:], uint16(len(dst)-start-4))
	return dst
}

// Parse reads one packet. Every field is checked: unknown codes, counts beyond
// their bound, and bytes left over are ErrMessage.
func Parse(p []byte) (Message, error) {
	if len(p) < 4 || len(p) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes", ErrMessage, len(p))
	}
	if p[0] != Version {
		return nil, fmt.Errorf("%w: version %d, this end speaks %d: agent and session are of different releases", ErrMessage, p[0], Version)
	}
	if int(le.Uint16(p[2:])) != len(p)-4 {
		return nil, fmt.Errorf("%w: length field", ErrMessage)
	}
	body := p[4:]
	var m Message
	switch k := Kind(p[1]); k {
	case KindStart:
		m = &Start{}
	case KindKey:
		m = &Key{}
	case KindProfile:
		m = &Profile{}
	case KindSkip:
		m = &Skip{}
	case KindPause, KindResume, KindCancel, KindHalt, KindQuit:
		m = &Command{Kind: k}
	case KindReady:
		m = &Ready{}
	case KindStatus:
		m = &Status{}
	case KindReceipt:
		m = &Receipt{}
	case KindLayer:
		m = &Layer{}
	case KindTest:
		m = &Test{}
	case KindTested:
		m = &Tested{}
	case KindDuty:
		m = &Duty{}
	default:
		return nil, fmt.Errorf("%w: kind %d", ErrMessage, p[1])
	}
	if !m.parse(body) {
		return nil, fmt.Errorf("%w: body of kind %d", ErrMessage, p[1])
	}
	return m, nil
}

func (s Start) append(dst []byte) []byte {
	dst = append(dst, s.Job[:]...)
	dst = append(dst, byte(s.Format), boolByte(s.Sealed), s.Plate)
	dst = le.AppendUint64(dst, s.Size)
	dst = append(dst, s.FileKey[:]...)
	return append(le.AppendUint32(dst, s.From), boolByte(s.Parked))
}

func (s *Start) parse(b []byte) bool {
	if len(b) != 48 || b[17] > 1 || b[47] > 1 || Format(b[16]) != FormatAny {
		return false
	}
	copy(s.Job[:], b)
	s.Format, s.Sealed, s.Plate, s.Size = Format(b[16]), b[17] == 1, b[18], le.Uint64(b[19:])
	copy(s.FileKey[:], b[27:])
	s.From, s.Parked = le.Uint32(b[43:]), b[47] == 1
	return (s.Sealed || s.FileKey == [16]byte{}) && s.From < MostLayers
}

func (k Key) append(dst []byte) []byte { return append(append(dst, k.Group), k.Key[:]...) }

func (k *Key) parse(b []byte) bool {
	if len(b) != 33 || b[0] >= MostKeys {
		return false
	}
	k.Group = b[0]
	copy(k.Key[:], b[1:])
	return true
}

func (s Skip) append(dst []byte) []byte { return le.AppendUint16(dst, s.Object) }

func (s *Skip) parse(b []byte) bool {
	if len(b) != 2 {
		return false
	}
	s.Object = le.Uint16(b)
	return s.Object > 0
}

func (Command) append(dst []byte) []byte { return dst }
func (*Command) parse(b []byte) bool     { return len(b) == 0 }

func (r Ready) append(dst []byte) []byte {
	dst = append(dst, r.Dialect, r.Tools)
	dst = le.AppendUint16(dst, r.Confined)
	dst = append(le.AppendUint64(dst, r.VaultBytes), r.Job[:]...)
	return le.AppendUint64(dst, r.Firmware)
}

func (r *Ready) parse(b []byte) bool {
	if len(b) != 36 {
		return false
	}
	copy(r.Job[:], b[12:28])
	r.Dialect, r.Tools, r.Confined, r.VaultBytes, r.Firmware = b[0], b[1], le.Uint16(b[2:]), le.Uint64(b[4:]), le.Uint64(b[28:])
	return true
}

func (s Status) append(dst []byte) []byte {
	dst = append(dst, byte(s.Phase), s.Fault, s.Progress, s.NHeaters)
	for _, h := range s.Heaters {
		dst = append(dst, h.ID)
		dst = le.AppendUint32(dst, uint32(h.Actual))
		dst = le.AppendUint32(dst, uint32(h.Target))
	}
	dst = le.AppendUint32(dst, s.Resends)
	dst = le.AppendUint32(dst, s.LinkErrs)
	dst = append(dst, s.Beat, s.Trip)
	dst = le.AppendUint16(dst, s.Missing)
	return append(le.AppendUint32(dst, uint32(s.Ambient)), s.Filament, s.Door)
}

func (s *Status) parse(b []byte) bool {
	if len(b) != 4+9*MaxHeaters+18 {
		return false
	}
	s.Phase, s.Fault, s.Progress, s.NHeaters = Phase(b[0]), b[1], b[2], b[3]
	if s.Phase < PhaseConnecting || s.Phase > PhaseTesting || s.Progress > 100 || s.Progress%25 != 0 || s.NHeaters > MaxHeaters {
		return false
	}
	b = b[4:]
	for i := range s.Heaters {
		h := b[9*i:]
		s.Heaters[i] = Heater{ID: h[0], Actual: int32(le.Uint32(h[1:])), Target: int32(le.Uint32(h[5:]))}
		if i >= int(s.NHeaters) && s.Heaters[i] != (Heater{}) {
			return false
		}
	}
	b = b[9*MaxHeaters:]
	s.Resends, s.LinkErrs = le.Uint32(b), le.Uint32(b[4:])
	s.Beat, s.Trip, s.Missing = b[8], b[9], le.Uint16(b[10:])
	s.Ambient, s.Filament, s.Door = int32(le.Uint32(b[12:])), b[16], b[17]
	return s.Filament <= 2 && s.Door <= 2
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}
