package evidence

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// What the event log says of itself and of each agent: numbers of the TCG PC Client
// Platform Firmware Profile 1.05, sections 10.2.1 (crypto-agile log), 10.4.1 (event
// types) and 10.4.5.1 (the event that begins a log).
const (
	evNoAction  = 3
	evIPL       = 0x0d // what was loaded, by a name; its digest is that of the thing itself
	algSHA256   = 0x0b
	agentEvent  = "platen agent\x00"
	specIDEvent = "Spec ID Event03\x00" + "\x00\x00\x00\x00" + // of no platform class
		"\x00\x02\x00\x02" + // version 2.0, errata 0, numbers of 64 bits
		"\x01\x00\x00\x00" + "\x0b\x00\x20\x00" + // one algorithm: SHA-256, 32 bytes
		"\x00" // nothing of the vendor's
)

// EventLog is a whole log of AgentPCR in the crypto-agile format of the TCG, which stock
// tools read: tpm2_eventlog of tpm2-tools replays it to the value of the PCR. A log that
// stands on another base than zero is not whole, and an ErrLimit.
func (l Log) EventLog() ([]byte, error) {
	if l.Base != [32]byte{} || len(l.Digests) > MaxFullLog {
		return nil, fmt.Errorf("%w: not a whole log", ErrLimit)
	}
	b := eventLogHead()
	for _, d := range l.Digests {
		b = appendAgent(b, d)
	}
	return b, nil
}

// eventLogHead is the event that begins a log: it has the form of TPM 1.2.
func eventLogHead() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0)
	b = binary.LittleEndian.AppendUint32(b, evNoAction)
	b = append(b, make([]byte, 20)...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(specIDEvent)))
	return append(b, specIDEvent...)
}

// eventData is the place of an event's data, behind PCR, type, count, algorithm, digest and length
const eventData = 4 + 4 + 4 + 2 + 32 + 4

func appendEvent(b []byte, pcr uint32, digest [32]byte, data []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, pcr)
	b = binary.LittleEndian.AppendUint32(b, evIPL)
	b = binary.LittleEndian.AppendUint32(b, 1) // digest
	b = binary.LittleEndian.AppendUint16(b, algSHA256)
	b = append(b, digest[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

func appendAgent(b []byte, digest [32]byte) []byte {
	return appendEvent(b, AgentPCR, digest, []byte(agentEvent))
}

// ParseEventLog reads what [Log.EventLog] made, and nothing else.
func ParseEventLog(b []byte) (Log, error) {
	head := eventLogHead()
	size := len(appendAgent(nil, [32]byte{}))
	if !bytes.HasPrefix(b, head) || (len(b)-len(head))%size != 0 || (len(b)-len(head))/size > MaxFullLog {
		return Log{}, fmt.Errorf("%w: not a log of agents", ErrEncoding)
	}
	l := Log{}.filled()
	for rest := b[len(head):]; len(rest) > 0; rest = rest[size:] {
		d := [32]byte(rest[eventData-4-32 : eventData-4])
		if !bytes.Equal(appendAgent(nil, d), rest[:size]) {
			return Log{}, fmt.Errorf("%w: not an event of an agent", ErrEncoding)
		}
		l.Digests = append(l.Digests, d)
	}
	return l, nil
}
