// Package marker keeps the one thing of a running print that survives a power loss: which
// job it was and the layer it had reached, sealed.
//
// Requirements: a stolen disk tells nothing, not even how high a print was; nobody without
// this printer's TPM makes a marker; a power cut while one is written leaves it or the one
// before. Non-requirements: that an older marker is refused is the caller's business, who
// counts ([Marker].Count) where a disk cannot be set back. Layout: one file of [Size] bytes:
// a version, a nonce of 12 random bytes, and a [Marker] of fixed size under AES-256-GCM (NIST
// SP 800-38D) with a key that only the TPM can make. It is replaced by rename, and removed
// when its print has ended. Failures: a file that does not open is as good as none.
//
// Wear: a print writes at most one marker a layer and one in [Every], 1800 an hour, each of
// which costs a journalling file system about ten blocks of 4 KiB: 72 MB an hour at the very
// worst, 5 MB where a layer takes half a minute. A card of 8 GB that stands 1000 cycles, a
// tenth of which are left after its own overhead, lasts 10,000 hours at the worst. The TPM's
// counter rises five times for a copy of a ticket, and never for a print in clear.
package marker

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"platen/agent/durable"
	"platen/agent/seam"
)

// Every is how often a marker is written at most, unless it must not be late.
const Every = 2 * time.Second

// Marker is where a print would go on.
type Marker struct {
	Job   [16]byte  // as the session knows it; of a ticket, the ticket's
	Tag   [32]byte  // digest of all that the print is made of: see the caller
	Layer uint32    // from 0
	Mark  seam.Mark // what that layer means
	Boot  uint64    // of the TPM, in which it was written
	Count uint64    // of the ledger, when the copy was counted or last confirmed; 0 without a ticket
}

// String says nothing of the marker: how high a print is belongs to its design.
func (Marker) String() string { return "marker" }

// GoString says nothing of the marker.
func (Marker) GoString() string { return "marker" }

// LogValue says nothing of the marker.
func (Marker) LogValue() slog.Value { return slog.StringValue("marker") }

const (
	version   = 1
	nonceSize = 12
	tagSize   = 16
	bodySize  = 16 + 32 + 4 + 1 + 8 + 8
	// Size is that of the file in bytes, whatever it says.
	Size = 1 + nonceSize + bodySize + tagSize
)

// File is the place of the marker on the disk. One goroutine uses it at a time.
type File struct {
	path string
	aead cipher.AEAD
}

// Open makes a File of the path and a key that only the TPM can make.
func Open(path string, key [32]byte) (*File, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("opening the marker: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("opening the marker: %w", err)
	}
	return &File{path, aead}, nil
}

// Read returns the marker; ok is false if there is none, or none that this printer sealed.
func (f *File) Read() (m Marker, ok bool, err error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("reading the marker: %w", err)
	}
	if len(b) != Size || b[0] != version {
		return m, false, nil
	}
	body, err := f.aead.Open(nil, b[1:1+nonceSize], b[1+nonceSize:], b[:1])
	if err != nil {
		return m, false, nil
	}
	m.parse(body)
	return m, m.Layer < seam.MostLayers && m.Mark >= seam.MarkLayer && m.Mark <= seam.MarkNone, nil
}

// Write replaces the marker, durably.
func (f *File) Write(m Marker) error {
	b := make([]byte, 1+nonceSize, Size)
	b[0] = version
	rand.Read(b[1:])
	b = f.aead.Seal(b, b[1:], m.append(nil), b[:1])
	if err := durable.Replace(f.path, b); err != nil {
		return fmt.Errorf("writing the marker: %w", err)
	}
	return nil
}

// Remove takes the marker away, if there is one, and what a power cut left of another.
func (f *File) Remove() error {
	if err := durable.Remove(f.path); err != nil {
		return fmt.Errorf("removing the marker: %w", err)
	}
	return nil
}

var le = binary.LittleEndian

func (m *Marker) append(b []byte) []byte {
	b = append(append(b, m.Job[:]...), m.Tag[:]...)
	b = append(le.AppendUint32(b, m.Layer), byte(m.Mark))
	return le.AppendUint64(le.AppendUint64(b, m.Boot), m.Count)
}

func (m *Marker) parse(b []byte) {
	copy(m.Job[:], b)
	copy(m.Tag[:], b[16:])
	m.Layer, m.Mark, m.Boot, m.Count = le.Uint32(b[48:]), seam.Mark(b[52]), le.Uint64(b[53:]), le.Uint64(b[61:])
}
