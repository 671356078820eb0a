package telemetry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"platen/agent/evidence"
)

// chainFile keeps a chain's place over a restart of the agent: the last committed
// header, and the frame that was not acknowledged. The layout is the serial of the
// grant and the first message of the spool that the chain does not speak for, in eight
// bytes each, and three times a length in two and that many bytes: the header, the frame and
// the id of the spool. Before it stand its length and its CRC-32, in four bytes each.
//
// It is written in place and never synced: after a power cut it is of no use, since the TPM
// counts another boot, and an agent that is killed while it writes leaves the old place, the
// new one, or what its CRC tells from both, after which a new chain begins.
type chainFile struct{ path string }

func newChainFile(dir string, r evidence.RecipientID) chainFile {
	if dir == "" {
		return chainFile{}
	}
	return chainFile{filepath.Join(dir, "chain-"+r.String())}
}

// resume returns the chain to go on with, and the frame to send first: those of
// the file if they are of the boot and printer that fresh is for, else fresh. A
// frame made under another grant is not sent, and its chain not continued. upto is the
// first message of the spool with this id that the chain does not speak for.
func (f chainFile) resume(serial uint64, spool string, fresh *evidence.Chain) (chain *evidence.Chain, frame []byte, upto uint64) {
	if f.path == "" {
		return fresh, nil, 0
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return fresh, nil, 0
	}
	of, upto, kept, ok := split(whole(b))
	last, frame := kept[0], kept[1]
	if !ok || frame != nil && of != serial {
		return fresh, nil, 0
	}
	chain, err = evidence.Resume(last)
	if err != nil {
		return fresh, nil, 0
	}
	was, err := chain.Next(nil, nil, 0)
	if err != nil {
		return fresh, nil, 0
	}
	is, err := fresh.Next(nil, nil, 0)
	if err != nil || was.Printer != is.Printer || was.Recipient != is.Recipient || was.Boot != is.Boot {
		return fresh, nil, 0
	}
	if of != serial || string(kept[2]) != spool { // its messages have nothing to do with these
		upto = 0
	}
	return chain, frame, upto
}

func (f chainFile) save(serial, upto uint64, last, frame []byte, spool string) error {
	if f.path == "" {
		return nil
	}
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, chainHead), serial), upto)
	for _, part := range [][]byte{last, frame, []byte(spool)} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(part)))
		b = append(b, part...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-chainHead))
	binary.BigEndian.PutUint32(b[4:], crc32.ChecksumIEEE(b[chainHead:]))
	if err := f.write(b); err != nil {
		return fmt.Errorf("keep the chain's place: %w", err)
	}
	return nil
}

func (f chainFile) write(b []byte) error {
	to, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = to.WriteAt(b, 0)
	return errors.Join(err, to.Close())
}

// chainHead is the size of length and CRC.
const chainHead = 8

// whole is what a file holds, nil if it was cut off while it was written.
func whole(b []byte) []byte {
	if len(b) < chainHead {
		return nil
	}
	n, sum := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if b = b[chainHead:]; uint64(n) > uint64(len(b)) || crc32.ChecksumIEEE(b[:n]) != sum {
		return nil
	}
	return b[:n]
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

// split takes a chain file apart: kept is the header, the frame, nil if there is none, and
// the id of the spool.
func split(b []byte) (serial, upto uint64, kept [3][]byte, ok bool) {
	if len(b) < 16 {
		return 0, 0, kept, false
	}
	serial, upto, b = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), b[16:]
	for i := range kept {
		if len(b) < 2 {
			return 0, 0, kept, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return 0, 0, kept, false
		}
		if n > 0 {
			kept[i] = b[2 : 2+n]
		}
		b = b[2+n:]
	}
	return serial, upto, kept, len(b) == 0 && len(kept[0]) > 0
}
