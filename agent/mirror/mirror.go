// Package mirror keeps for the owner what left the printer: every frame that was sent
// to a recipient, as it was on the wire.
//
// Start at [Open] and [Mirror.Add], which is called before a frame leaves: without it
// the frame does not leave. [Mirror.Export] writes the frames one after the other, each
// of evidence.WireSize bytes, which platen mirror show reads.
//
// Requirements: what was sent is in the mirror, each frame once, in its order; the disk
// taken is bounded, and the newest frames are kept; a disk that is full makes the mirror
// shorter before it makes the printer silent. Non-requirements: it is not signed; each frame holds a
// quote of the TPM.
//
// Layout: m-0 to m-7, a ring of segments: magic and a number of 8 bytes each, and records of 2
// bytes of length, 4 of CRC-32C and the frame without the zeros at its end. Failures: a
// record that a power cut has torn is written over by the next. A frame is synced
// within [syncEvery] of the one before it.
package mirror

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/evidence"
	"platen/updater/slot"
)

const (
	segments   = 8
	maxSegment = 1 << 20 // bytes
	syncEvery  = 10 * time.Second
	magic      = "PlMirro1"
	headerSize = len(magic) + 8
	recordHead = 2 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Mirror is that of one recipient. Its methods may be called from any goroutine.
type Mirror struct {
	fs slot.FS

	mu     sync.Mutex
	limit  int64     // of a segment, in bytes: maxSegment
	segs   []segment // oldest first; the last is written to
	file   slot.File
	size   int64
	last   []byte // the newest frame, without its zeros
	synced time.Time
	dirty  bool
}

type segment struct {
	at     int
	number uint64
}

func (s segment) name() string { return fmt.Sprintf("m-%d", s.at) }

// Open opens the mirror in fsys. Close it after use.
func Open(fsys slot.FS) (*Mirror, error) {
	m := &Mirror{fs: fsys, limit: maxSegment}
	for at := range segments {
		s := segment{at: at}
		b, err := m.head(s)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open the owner's mirror: %w", err)
		}
		if len(b) == headerSize && string(b[:len(magic)]) == magic {
			s.number = binary.BigEndian.Uint64(b[len(magic):])
			m.segs = append(m.segs, s)
		}
	}
	slices.SortFunc(m.segs, func(a, b segment) int { return int(min(max(int64(a.number-b.number), -1), 1)) })
	if len(m.segs) == 0 {
		return m, nil
	}
	var err error
	if m.size, err = m.walk(m.segs[len(m.segs)-1], func(f []byte) error { m.last = append(m.last[:0], f...); return nil }); err == nil {
		m.file, err = m.fs.Open(m.segs[len(m.segs)-1].name(), slot.Edit)
	}
	if err != nil {
		return nil, fmt.Errorf("open the owner's mirror: %w", err)
	}
	return m, nil
}

// head reads the first bytes of a segment.
func (m *Mirror) head(s segment) ([]byte, error) {
	f, err := m.fs.Open(s.name(), slot.Read)
	if err != nil {
		return nil, err
	}
	b := make([]byte, headerSize)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], errors.Join(err, f.Close())
}

// walk calls each with the frames of a segment, without their zeros, and returns where the
// last whole one ends.
func (m *Mirror) walk(s segment, each func(frame []byte) error) (int64, error) {
	b, err := slot.ReadAll(m.fs, s.name(), 2*maxSegment)
	if err != nil {
		return 0, err
	}
	at := headerSize
	for at+recordHead <= len(b) {
		n := int(binary.BigEndian.Uint16(b[at:]))
		end := at + recordHead + n
		if n == 0 || n > evidence.WireSize || end > len(b) || crc32.Checksum(b[at+recordHead:end], castagnoli) != binary.BigEndian.Uint32(b[at+2:]) {
			break
		}
		if err := each(b[at+recordHead : end]); err != nil {
			return 0, err
		}
		at = end
	}
	return int64(at), nil
}

// Add keeps a frame, of at most evidence.WireSize bytes, unless it is the newest anyway.
func (m *Mirror) Add(frame []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	bare := frame
	for len(bare) > 0 && bare[len(bare)-1] == 0 {
		bare = bare[:len(bare)-1]
	}
	if len(bare) == 0 || len(frame) > evidence.WireSize {
		return errors.New("not a frame that is sent")
	}
	if slices.Equal(bare, m.last) {
		return nil
	}
	record := binary.BigEndian.AppendUint16(nil, uint16(len(bare)))
	record = binary.BigEndian.AppendUint32(record, crc32.Checksum(bare, castagnoli))
	record = append(record, bare...)
	err := m.write(record)
	for full(err) && len(m.segs) > 1 { // the oldest makes room
		if err := m.cut(m.segs[0]); err != nil {
			return err
		}
		m.segs = m.segs[1:]
		err = m.write(record)
	}
	if err == nil {
		m.last = slices.Clone(bare)
	}
	return err
}

// full reports whether there is no room: any other trouble is no reason to give up what
// the owner was to be shown.
func full(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

func (m *Mirror) write(record []byte) error {
	if m.file == nil || m.size >= m.limit {
		if err := m.turn(); err != nil {
			return err
		}
	}
	if _, err := m.file.WriteAt(record, m.size); err != nil {
		return err
	}
	m.dirty = true
	if now := time.Now(); now.Sub(m.synced) >= syncEvery {
		if err := m.file.Sync(); err != nil {
			return err
		}
		m.synced, m.dirty = now, false
	}
	m.size += int64(len(record))
	return nil
}

// turn begins the next segment, where the oldest is.
func (m *Mirror) turn() error {
	var s segment
	if n := len(m.segs); n > 0 {
		s.number = m.segs[n-1].number + 1
	}
	s.at = int(s.number % segments)
	if m.file != nil {
		if err := m.file.Sync(); err != nil {
			return err
		}
	}
	if len(m.segs) > 0 && m.segs[0].at == s.at {
		m.segs = m.segs[1:]
	}
	f, err := m.fs.Open(s.name(), slot.Create)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(binary.BigEndian.AppendUint64([]byte(magic), s.number), 0); err == nil {
		err = errors.Join(f.Sync(), m.fs.SyncDir("."))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	m.closeFile()
	m.file, m.size, m.synced, m.dirty = f, int64(headerSize), time.Time{}, false
	m.segs = append(m.segs, s)
	return nil
}

// cut gives the room of a segment back.
func (m *Mirror) cut(s segment) error {
	f, err := m.fs.Open(s.name(), slot.Create)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Export writes all frames to w, oldest first, each as it was on the wire. However slow w
// is, frames are added meanwhile; if they overtake it, that is an error.
func (m *Mirror) Export(w io.Writer) error {
	m.mu.Lock()
	segs := slices.Clone(m.segs)
	m.mu.Unlock()
	wire := make([]byte, evidence.WireSize)
	for _, s := range segs {
		frames, err := m.frames(s)
		for _, f := range frames {
			clear(wire[copy(wire, f):])
			if err == nil {
				_, err = w.Write(wire)
			}
		}
		if err != nil {
			return fmt.Errorf("export the owner's mirror: %w", err)
		}
	}
	return nil
}

// frames is what a segment holds, without the zeros.
func (m *Mirror) frames(s segment) (all [][]byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.segs, s) {
		return nil, errors.New("it was overwritten meanwhile: export it again, to a faster disk")
	}
	_, err = m.walk(s, func(f []byte) error { all = append(all, f); return nil })
	return all, err
}

func (m *Mirror) closeFile() {
	if m.file != nil {
		_ = m.file.Close() // all of it is synced
	}
	m.file = nil
}

// Close makes everything durable and lets go of the files.
func (m *Mirror) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if m.file != nil && m.dirty {
		err = m.file.Sync()
	}
	m.closeFile()
	m.segs = nil
	return err
}
