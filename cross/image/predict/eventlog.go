package predict

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"platen/updater/approval"
)

// ErrLog reports bytes that are no event log.
var ErrLog = errors.New("not an event log of a TPM 2.0")

// Event is what a firmware has measured.
type Event struct {
	PCR    uint32
	Type   uint32   // TCG PC Client Platform Firmware Profile 1.05, section 10.4.1
	Digest [32]byte // SHA-256: what was extended
	Data   []byte   // what it says of it; nothing vouches for that
}

const (
	noAction   = 3 // is in the log only
	algSHA256  = 0x0b
	maxAlgs    = 16
	maxEvents  = 10000
	specIDText = "Spec ID Event03\x00"
)

// logReader takes numbers off a log; past its end they are zero and bad is set.
type logReader struct {
	b   []byte
	bad bool
}

func (r *logReader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *logReader) u32() uint32 {
	if v := r.bytes(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (r *logReader) u16() uint16 {
	if v := r.bytes(2); v != nil {
		return binary.LittleEndian.Uint16(v)
	}
	return 0
}

// ParseEventLog reads a log in the crypto-agile format, as Linux has it in
// /sys/kernel/security/tpm0/binary_bios_measurements (the profile's section 10.2). Events
// are in their order. A log without SHA-256 is an ErrLog.
func ParseEventLog(b []byte) ([]Event, error) {
	r := &logReader{b: b}
	r.u32() // the first event is in the form of TPM 1.2: PCR, type, SHA-1
	kind := r.u32()
	r.bytes(20)
	head := &logReader{b: r.bytes(r.u32())}
	if kind != noAction || string(head.bytes(16)) != specIDText {
		return nil, ErrLog
	}
	head.bytes(8) // platform class, version, errata, size of numbers
	sizes := map[uint16]uint32{}
	n := head.u32()
	if n > maxAlgs {
		return nil, ErrLog
	}
	for range n {
		alg := head.u16()
		sizes[alg] = uint32(head.u16())
	}
	if head.bad || r.bad || sizes[algSHA256] != 32 {
		return nil, fmt.Errorf("%w: its head", ErrLog)
	}
	var list []Event
	for len(r.b) > 0 && !allSet(r.b) {
		e, ok := r.event(sizes)
		if !ok || len(list) == maxEvents {
			return nil, fmt.Errorf("%w: event %d", ErrLog, len(list)+1)
		}
		list = append(list, e)
	}
	return list, nil
}

// allSet reports whether what is left is memory that was never written.
func allSet(b []byte) bool { return len(bytes.Trim(b, "\xff")) == 0 }

func (r *logReader) event(sizes map[uint16]uint32) (e Event, ok bool) {
	e.PCR, e.Type = r.u32(), r.u32()
	n := r.u32()
	if n > maxAlgs {
		return e, false
	}
	for range n {
		alg := r.u16()
		size, known := sizes[alg]
		d := r.bytes(size)
		if !known {
			return e, false
		}
		if alg == algSHA256 && len(d) == 32 {
			e.Digest, ok = [32]byte(d), true
		}
	}
	e.Data = r.bytes(r.u32())
	return e, ok && !r.bad
}

// ReplayLog is what a register holds after these events.
func ReplayLog(events []Event, pcr uint32) approval.Digest {
	var digests [][32]byte
	for _, e := range events {
		if e.PCR == pcr && e.Type != noAction {
			digests = append(digests, e.Digest)
		}
	}
	return Replay(digests...)
}
