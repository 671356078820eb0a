package telemetry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"platen/agent/durable"
	"platen/agent/evidence"
)

// chainFile keeps a chain's place over a restart of the agent: the last committed
// header, and the frame that was not acknowledged. The layout is the serial of the
// grant in eight bytes, a length in two and the header, a length and the frame.
type chainFile struct{ path string }

func newChainFile(dir string, r evidence.RecipientID) chainFile {
	if dir == "" {
		return chainFile{}
	}
	return chainFile{filepath.Join(dir, "chain-"+r.String())}
}

// resume returns the chain to go on with, and the frame to send first: those of
// the file if they are of the boot and printer that fresh is for, else fresh. A
// frame made under another grant is not sent, and its chain not continued.
func (f chainFile) resume(serial uint64, fresh *evidence.Chain) (*evidence.Chain, []byte) {
	if f.path == "" {
		return fresh, nil
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return fresh, nil
	}
	of, last, frame, ok := split(b)
	if !ok || frame != nil && of != serial {
		return fresh, nil
	}
	chain, err := evidence.Resume(last)
	if err != nil {
		return fresh, nil
	}
	was, err := chain.Next(nil, nil, 0)
	if err != nil {
		return fresh, nil
	}
	is, err := fresh.Next(nil, nil, 0)
	if err != nil || was.Printer != is.Printer || was.Recipient != is.Recipient || was.Boot != is.Boot {
		return fresh, nil
	}
	return chain, frame
}

func (f chainFile) save(serial uint64, last, frame []byte) error {
	if f.path == "" {
		return nil
	}
	b := binary.BigEndian.AppendUint64(nil, serial)
	for _, part := range [][]byte{last, frame} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(part)))
		b = append(b, part...)
	}
	if err := durable.Replace(f.path, b); err != nil {
		return fmt.Errorf("keep the chain's place: %w", err)
	}
	return nil
}

func (f chainFile) remove() error {
	if f.path == "" {
		return nil
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget the chain's place: %w", err)
	}
	return nil
}

func split(b []byte) (serial uint64, last, frame []byte, ok bool) {
	if len(b) < 8 {
		return 0, nil, nil, false
	}
	serial, b = binary.BigEndian.Uint64(b), b[8:]
	for _, part := range []*[]byte{&last, &frame} {
		if len(b) < 2 {
			return 0, nil, nil, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return 0, nil, nil, false
		}
		*part, b = b[2:2+n], b[2+n:]
	}
	if len(frame) == 0 {
		frame = nil
	}
	return serial, last, frame, len(b) == 0 && len(last) > 0
}
