package spool

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"platen/updater/slot"
)

const (
	magic       = "PlSpool1"
	headerSize  = len(magic) + 8
	nonceSize   = 12
	tagSize     = 16
	fixed       = 1 + 8 + 8 // kind, number and time
	kindMessage = 1
	kindDone    = 2
)

func segmentName(at int) string { return fmt.Sprintf("seg-%d", at) }

// Open opens the spool in fsys. label names the recipient: a spool does not open under
// another. One whose key never opens again ([ErrKey]) is given up, and a new one begins; after
// any other error all is as it was. Close it after use: that closes fsys too, if it can be closed.
func Open(ctx context.Context, fsys slot.FS, sealer Sealer, label string, log *slog.Logger) (*Spool, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := InMemory(memory)
	s.fs, s.label, s.log = fsys, label, log
	key, err := loadKey(ctx, fsys, sealer)
	if errors.Is(err, ErrKey) {
		log.Warn("the spool's key is of no use: a new spool begins", "error", err)
	} else if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	if key == nil {
		if key, err = newKey(ctx, fsys, sealer); err != nil {
			return nil, fmt.Errorf("open the spool: %w", err)
		}
	}
	defer clear(key)
	s.id = idOf(key)
	block, err := aes.NewCipher(key)
	if err == nil {
		s.aead, err = cipher.NewGCM(block)
	}
	if err == nil {
		err = s.read()
	}
	if err != nil {
		s.fs = nil // what was not read whole is not written to
		return nil, errors.Join(fmt.Errorf("open the spool: %w", err), s.Close())
	}
	s.dir, _ = fsys.(io.Closer)
	return s, nil
}

// InMemory makes a spool that keeps the newest most messages, on no disk.
func InMemory(most int) *Spool {
	return &Spool{id: rand.Text(), most: most, limit: maxSegment, head: 1, done: 1, next: 1}
}

// read walks the segments.
func (s *Spool) read() error {
	var parts []segment
	for at := range segments {
		f, err := s.fs.Open(segmentName(at), slot.Read)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		head := make([]byte, headerSize)
		_, err = f.ReadAt(head, 0)
		if err = errors.Join(err, f.Close()); err == nil && string(head[:len(magic)]) == magic {
			parts = append(parts, segment{at: at, number: binary.BigEndian.Uint64(head[len(magic):])})
		}
	}
	slices.SortFunc(parts, func(a, b segment) int { return int(min(max(int64(a.number-b.number), -1), 1)) })
	for i, g := range parts {
		if i > 0 && g.number == parts[i-1].number || g.at != int(g.number%segments) {
			continue // somebody's copy
		}
		if err := s.readSegment(g); err != nil {
			return err
		}
	}
	s.head, s.noted = s.done, s.done
	if len(s.segs) == 0 {
		return nil
	}
	first := s.next
	for _, g := range s.segs {
		if g.first <= g.last {
			first = min(first, g.first)
		}
	}
	if s.head < first { // what is missing in front was lost
		s.dropped = first - s.head
	}
	f, err := s.fs.Open(s.segs[len(s.segs)-1].name(), slot.Edit)
	s.file = f
	return err
}

func (g segment) name() string { return segmentName(g.at) }

// readSegment takes in what a segment says.
func (s *Spool) readSegment(g segment) error {
	g.first, g.last = s.next, 0
	good, tag, err := s.records(g, func(kind byte, n uint64, at int64, _ []byte) bool {
		switch kind {
		case kindMessage:
			if g.last == 0 {
				g.first, g.began = n, at
			}
			g.last = n
			s.next = max(s.next, n+1)
		case kindDone:
			s.done = max(s.done, n)
			s.next = max(s.next, n, uint64(at))
		}
		return true
	})
	if err != nil {
		return err
	}
	s.segs = append(s.segs, g)
	s.size, s.tag = good, tag
	return nil
}

// records calls each with the records of a segment until it returns false, and returns
// where the last good one ends, and its tag.
func (s *Spool) records(g segment, each func(kind byte, n uint64, at int64, msg []byte) bool) (int64, []byte, error) {
	b, err := slot.ReadAll(s.fs, g.name(), maxSegment+maxMessage)
	if err != nil {
		return 0, nil, err
	}
	at, tag := headerSize, []byte(nil)
	for at+2 <= len(b) {
		n := int(binary.BigEndian.Uint16(b[at:]))
		if n < fixed+tagSize || at+2+nonceSize+n > len(b) {
			break
		}
		nonce, sealed := b[at+2:at+2+nonceSize], b[at+2+nonceSize:at+2+nonceSize+n]
		last := append([]byte(nil), sealed[n-tagSize:]...)
		plain, err := s.aead.Open(sealed[:0], nonce, sealed, s.place(g.number, tag))
		if err != nil {
			break
		}
		at += 2 + nonceSize + n
		tag = last
		if !each(plain[0], binary.BigEndian.Uint64(plain[1:]), int64(binary.BigEndian.Uint64(plain[9:])), plain[fixed:]) {
			break
		}
	}
	return int64(at), tag, nil
}

// place is what a record is bound to.
func (s *Spool) place(number uint64, tag []byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte(s.label+"\x00"), number), tag...)
}

// write adds a record to the segment under way.
func (s *Spool) write(kind byte, n uint64, at int64, msg []byte) error {
	if s.fs == nil {
		return errNoDisk
	}
	if len(msg) > maxMessage-256 {
		return errors.New("the message is too long")
	}
	if s.file == nil || s.size >= s.limit || kind == kindMessage && s.segs[len(s.segs)-1].stale(at) {
		if err := s.turn(); err != nil {
			return err
		}
	}
	g := &s.segs[len(s.segs)-1]
	plain := make([]byte, fixed, fixed+len(msg))
	plain[0] = kind
	binary.BigEndian.PutUint64(plain[1:], n)
	binary.BigEndian.PutUint64(plain[9:], uint64(at))
	plain = append(plain, msg...)
	record := binary.BigEndian.AppendUint16(nil, uint16(len(plain)+tagSize))
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails
	record = s.aead.Seal(append(record, nonce...), nonce, plain, s.place(g.number, s.tag))
	if _, err := s.file.WriteAt(record, s.size); err != nil {
		return err
	}
	s.size += int64(len(record))
	s.tag = append(s.tag[:0:0], record[len(record)-tagSize:]...)
	s.failing, s.dirty = false, true
	if kind == kindMessage {
		if g.last < g.first {
			g.first, g.began = n, at
		}
		g.last = n
		return s.sync(time.Now())
	}
	return nil // a message that comes twice costs less than a write
}

// stale reports whether a message of the time at belongs into another segment than g, since
// messages go by the segment when they are too old.
func (g segment) stale(at int64) bool {
	return g.last >= g.first && at-g.began >= int64(maxSpan/time.Second)
}

// errNoDisk is of a spool that has none: no reason to complain.
var errNoDisk = errors.New("no disk")

// sync makes what was written durable, if the last time is long enough ago.
func (s *Spool) sync(now time.Time) error {
	if !s.dirty || now.Sub(s.synced) < syncEvery {
		return nil
	}
	s.synced = now
	err := s.file.Sync()
	s.dirty = err != nil
	return err
}

// turn begins the next segment, where the oldest is.
func (s *Spool) turn() error {
	var g segment
	if n := len(s.segs); n > 0 {
		g.number = s.segs[n-1].number + 1
	}
	if s.file != nil {
		if err := s.file.Sync(); err != nil {
			return err
		}
	}
	g.at = int(g.number % segments)
	g.first = s.next
	if len(s.segs) > 0 && s.segs[0].at == g.at {
		s.lose(s.segs[0].first, s.segs[0].last)
		s.segs = s.segs[1:]
	}
	f, err := s.fs.Open(g.name(), slot.Create)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(binary.BigEndian.AppendUint64([]byte(magic), g.number), 0); err == nil {
		err = errors.Join(f.Sync(), s.fs.SyncDir("."))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.closeFile()
	s.segs = append(s.segs, g)
	s.file, s.size, s.tag, s.synced, s.dirty = f, int64(headerSize), nil, time.Time{}, false
	// A number that was used up does not come again, whatever becomes of the segments before.
	return s.write(kindDone, s.done, int64(s.next), nil)
}

// fill reads the oldest messages from the disk, if memory holds too few of them.
func (s *Spool) fill() {
	if len(s.near) >= window/2 || s.fs == nil {
		return
	}
	for _, g := range s.segs {
		if g.last < g.first || g.last < s.nearEnd() {
			continue
		}
		_, _, err := s.records(g, func(kind byte, n uint64, _ int64, msg []byte) bool {
			if kind == kindMessage && n >= s.nearEnd() {
				s.near = append(s.near, entry{n, append([]byte(nil), msg...)})
			}
			return len(s.near) < window
		})
		if err != nil {
			s.complain(err)
			return
		}
		if len(s.near) >= window {
			return
		}
	}
}

// Clear drops all messages, and the key they were encrypted under. Numbers go on. The spool
// keeps nothing on the disk any more.
func (s *Spool) Clear() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeFile()
	s.near, s.segs, s.aead, s.head, s.done = nil, nil, nil, s.next, s.next
	if s.fs == nil {
		return nil
	}
	fsys := s.fs
	s.fs = nil
	return wipe(fsys)
}

func (s *Spool) closeFile() {
	if s.file != nil {
		_ = s.file.Close() // what matters of it is synced, or was said
	}
	s.file = nil
}

// Close makes everything durable and lets go of the files and their folder.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	s.noteDone()
	if s.file != nil && s.dirty {
		err = s.file.Sync()
	}
	s.closeFile()
	s.segs, s.fs = nil, nil
	if s.dir != nil {
		err = errors.Join(err, s.dir.Close())
		s.dir = nil
	}
	return err
}
