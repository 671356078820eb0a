// Package cutdisk is a disk from which the power can be taken: a virtual machine uses it over NBD
// on a unix socket ([Disk.Serve]), and every write and flush of it is kept in a log. [Disk.State]
// makes of the log what a power cut at any of its points may leave behind: everything that was
// flushed, and of what was not flushed all, nothing, or a random part, torn at sectors. The log
// itself ([Disk.LogPath]) is every byte that was ever written, also what was overwritten later.
//
// A disk begins as an image file, which stays as it is; the next boot begins with what State made.
package cutdisk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// sector is what a disk writes whole or not at all, in bytes.
const sector = 512

// Disk is a disk that keeps what is done to it. Its methods may be called at any time.
type Disk struct {
	image string
	size  int64

	mu     sync.Mutex
	now    *os.File // what a read sees
	log    *os.File // the data of all writes, one after the other
	end    int64    // of log
	events []event
}

// event is a write or a flush.
type event struct {
	off, at int64 // on the disk, and where its data is in the log
	n       int   // bytes; 0 is a flush
	fua     bool  // durable when it is done
}

// Open makes a disk whose contents are the file image, a multiple of 512 bytes long. What it needs is kept in
// the new folder dir.
func Open(image, dir string) (*Disk, error) {
	st, err := os.Stat(image)
	if err != nil {
		return nil, fmt.Errorf("open a disk: %w", err)
	}
	if st.Size() == 0 || st.Size()%sector != 0 {
		return nil, fmt.Errorf("open a disk: %s has %d bytes, no multiple of %d", image, st.Size(), sector)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open a disk: %w", err)
	}
	d := &Disk{image: image, size: st.Size()}
	if d.now, err = copied(image, filepath.Join(dir, "now")); err != nil {
		return nil, fmt.Errorf("open a disk: %w", err)
	}
	if d.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, errors.Join(fmt.Errorf("open a disk: %w", err), d.now.Close())
	}
	return d, nil
}

// Close closes the disk's files; they stay, and so do State's.
func (d *Disk) Close() error { return errors.Join(d.now.Close(), d.log.Close()) }

// LogPath is the file with the data of all writes, one after the other.
func (d *Disk) LogPath() string { return d.log.Name() }

// Size is the disk's in bytes.
func (d *Disk) Size() int64 { return d.size }

// Events is how many writes and flushes there were; Written is the bytes of all writes.
func (d *Disk) Events() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.events)
}

// Written is how many bytes all writes had.
func (d *Disk) Written() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.end
}

// read fills p with what is at off.
func (d *Disk) read(p []byte, off int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.now.ReadAt(p, off)
	return err
}

// write does and logs a write.
func (d *Disk) write(p []byte, off int64, fua bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.now.WriteAt(p, off); err != nil {
		return err
	}
	if _, err := d.log.WriteAt(p, d.end); err != nil {
		return err
	}
	d.events = append(d.events, event{off: off, at: d.end, n: len(p), fua: fua})
	d.end += int64(len(p))
	return nil
}

// flush logs a flush.
func (d *Disk) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, event{})
}

// Loss is what happens to writes that were not flushed when the power goes.
type Loss int

const (
	// LoseNone keeps all of them.
	LoseNone Loss = iota
	// LoseAll keeps none of them.
	LoseAll
	// LoseSome keeps each with the chance of one half.
	LoseSome
	// LoseSectors keeps each sector of each with the chance of one half.
	LoseSectors
)

// State writes to the new file path what a power cut after the first n events leaves. rng decides
// what is lost, in the way that loss says.
func (d *Disk) State(path string, n int, loss Loss, rng *rand.Rand) error {
	d.mu.Lock()
	events := d.events[:n:n]
	d.mu.Unlock()
	f, err := copied(d.image, path)
	if err != nil {
		return fmt.Errorf("cut the power of a disk: %w", err)
	}
	if err := errors.Join(d.replay(f, events, loss, rng), f.Close()); err != nil {
		return fmt.Errorf("cut the power of a disk: %w", err)
	}
	return nil
}

// replay does to f what of events survives.
func (d *Disk) replay(f *os.File, events []event, loss Loss, rng *rand.Rand) error {
	flushed := 0
	for i, e := range events {
		if e.n == 0 {
			flushed = i
		}
	}
	var buf []byte
	for i, e := range events {
		whole := i < flushed || e.fua || loss == LoseNone || loss == LoseSome && rng.IntN(2) == 0
		if e.n == 0 || !whole && loss != LoseSectors {
			continue
		}
		if cap(buf) < e.n {
			buf = make([]byte, e.n)
		}
		buf = buf[:e.n]
		if _, err := d.log.ReadAt(buf, e.at); err != nil {
			return err
		}
		step := sector
		if whole {
			step = e.n
		}
		for at := 0; at < e.n; at += step {
			if !whole && rng.IntN(2) == 0 {
				continue
			}
			if _, err := f.WriteAt(buf[at:min(at+step, e.n)], e.off+int64(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copied makes a copy of a file, with its holes, and leaves it open.
func copied(from, to string) (_ *os.File, err error) {
	src, err := os.Open(from)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			dst.Close()
		}
	}()
	st, err := src.Stat()
	if err == nil {
		err = dst.Truncate(st.Size())
	}
	for at := int64(0); err == nil; {
		begin, serr := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if errors.Is(serr, unix.ENXIO) {
			return dst, nil
		}
		if serr != nil {
			return nil, serr
		}
		if at, err = unix.Seek(int(src.Fd()), begin, unix.SEEK_HOLE); err == nil {
			err = copyPart(dst, src, begin, at)
		}
	}
	return nil, err
}

// copyPart copies the bytes from begin to end but for blocks of zeros.
func copyPart(dst, src *os.File, begin, end int64) error {
	buf, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := begin; at < end; {
		p := buf[:min(int64(len(buf)), end-at)]
		if _, err := io.ReadFull(io.NewSectionReader(src, at, int64(len(p))), p); err != nil {
			return err
		}
		if !bytes.Equal(p, zero[:len(p)]) {
			if _, err := dst.WriteAt(p, at); err != nil {
				return err
			}
		}
		at += int64(len(p))
	}
	return nil
}
