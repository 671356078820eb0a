// Package volume is the partition that a printer with an image of ours keeps its state on:
// encrypted, with a key that only its own TPM hands out. Start at [Open].
//
// # Layout
//
// Two copies of the header, 4096 bytes each, at 0 and 4096; what is encrypted begins at
// 1 MiB: AES-256-XTS as dm-crypt has it (plain64, sectors of 512 bytes numbered from there).
// Of a header: the magic "PLTNVOL1", the length of the sealed key (uint16, big-endian), the
// sealed key (see attest.SealState), zeros, and in the last 32 bytes the SHA-256 of all
// before them.
//
// # Requirements
//
//   - The key is in the TPM's blob and in the kernel, nowhere else.
//   - A partition of zeros is a new printer's: it is formatted, once the TPM has opened what it
//     sealed, under the approvals of what has booted. Power may be cut at any
//     moment of that: the header is written last, and without it the next start begins
//     again, with another key. A copy that is missing or damaged is written again once the
//     other one has opened.
//   - What was formatted once is never formatted again by itself: a header that is damaged
//     in both copies, and a key that the TPM does not hand out, are errors. Flashing the
//     image makes a new partition.
package volume

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"platen/agent/attest"
	"platen/agent/pid1/dm"
	"platen/updater/approval"
)

const (
	magic      = "PLTNVOL1"
	copySize   = 4096
	copies     = 2
	headLength = copies * copySize
	sumAt      = copySize - sha256.Size

	// DataOffset is where in the partition the encrypted bytes begin.
	DataOffset = 1 << 20
)

// ErrHeader reports a header that is damaged in both copies.
var ErrHeader = errors.New("the state's header is damaged in both copies: flash the image again; what the state held is lost")

// ErrCipher reports a kernel whose cipher is not what it is called.
var ErrCipher = errors.New("the kernel decrypts otherwise than AES-256-XTS does: install another kernel")

// Config says what to open and by what.
type Config struct {
	Device    string              // the partition
	TPM       string              // as in attest.Config
	Approver  *ecdsa.PublicKey    // who approves boots; nil: the TPM opens it in any state
	Approvals []approval.Approval // that came with what has booted
	Template  []byte              // an empty file system, see [ParseTemplate]

	// Map makes the encrypted device and returns where it is.
	Map func(dm.Crypt) (path string, err error)
}

// Open opens the partition, which it formats if it is a new one, and returns where the
// device in clear is. fresh says that it was formatted.
func Open(cfg Config) (path string, fresh bool, err error) {
	f, err := os.OpenFile(cfg.Device, os.O_RDWR, 0)
	if err != nil {
		return "", false, fmt.Errorf("open the state: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size <= DataOffset {
		return "", false, fmt.Errorf("the state's partition has %d bytes: %w", size, errors.Join(err, io.ErrUnexpectedEOF))
	}
	blob, err := readHeader(f)
	if err != nil {
		return "", false, err
	}
	disk := dm.Crypt{Name: "platen-state", Device: cfg.Device, Offset: DataOffset, Size: (size - DataOffset) / dm.Sector * dm.Sector}
	if blob == nil {
		path, err = format(cfg, disk, f)
		return path, true, err
	}
	if disk.Key, err = attest.UnsealState(cfg.TPM, blob, cfg.Approver, cfg.Approvals); err != nil {
		return "", false, err
	}
	defer clear(disk.Key)
	mend(f, blob)
	path, err = cfg.mapped(disk, f)
	return path, false, err
}

// mapped has the kernel make the device, and holds some of what it decrypts against ciphers of our
// own: kernels of images do not try their ciphers as they start, which takes longer than all else.
func (cfg Config) mapped(disk dm.Crypt, raw io.ReaderAt) (string, error) {
	path, err := cfg.Map(disk)
	if err != nil {
		return "", err
	}
	x, err := newXTS(disk.Key)
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open the state: %w", err)
	}
	got, want := make([]byte, 8*dm.Sector), make([]byte, 8*dm.Sector)
	defer clear(got)
	defer clear(want)
	_, err = f.ReadAt(got, 0)
	if err == nil {
		_, err = xtsReader{x, raw}.ReadAt(want, 0)
	}
	if err = errors.Join(err, f.Close()); err == nil && !bytes.Equal(got, want) {
		err = ErrCipher
	}
	if err != nil {
		return "", fmt.Errorf("try the kernel's cipher on the state: %w", err)
	}
	return path, nil
}

// format makes a key, writes the empty file system, and then the header.
func format(cfg Config, disk dm.Crypt, f *os.File) (path string, err error) {
	t, err := ParseTemplate(cfg.Template)
	if err != nil {
		return "", err
	}
	if t.Size > disk.Size {
		return "", fmt.Errorf("the file system has %d bytes and the partition has room for %d: build the image anew", t.Size, disk.Size)
	}
	disk.Key = make([]byte, dm.KeySize)
	if _, err := rand.Read(disk.Key); err != nil {
		return "", fmt.Errorf("make the state's key: %w", err)
	}
	defer clear(disk.Key)
	blob, err := seal(cfg, disk.Key)
	if err != nil {
		return "", err
	}
	if path, err = cfg.mapped(disk, f); err != nil {
		return "", err
	}
	if err := t.writeTo(path); err != nil {
		return "", fmt.Errorf("format the state: %w", err)
	}
	if err := writeHeader(f, blob); err != nil {
		return "", fmt.Errorf("write the state's header: %w", err)
	}
	return path, nil
}

// seal seals the key, and proves that what has booted now will open it again.
func seal(cfg Config, key []byte) ([]byte, error) {
	blob, err := attest.SealState(cfg.TPM, key, cfg.Approver)
	if err != nil {
		return nil, err
	}
	got, err := attest.UnsealState(cfg.TPM, blob, cfg.Approver, cfg.Approvals)
	defer clear(got)
	if err == nil && !bytes.Equal(got, key) {
		err = errors.New("the TPM gave another key back")
	}
	if err != nil {
		return nil, fmt.Errorf("nothing was formatted, the state would not open again: %w", err)
	}
	return blob, nil
}

func (t Template) writeTo(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := t.Apply(f); err != nil {
		return err
	}
	return f.Sync()
}

// durable is a partition as far as its header is written.
type durable interface {
	io.WriterAt
	Sync() error
}

// writeHeader writes both copies, one after the other.
func writeHeader(f durable, blob []byte) error {
	b, err := encode(blob)
	if err != nil {
		return err
	}
	for i := range int64(copies) {
		if err := writeCopy(f, b, i); err != nil {
			return err
		}
	}
	return nil
}

func writeCopy(f durable, b []byte, i int64) error {
	if _, err := f.WriteAt(b, i*copySize); err != nil {
		return err
	}
	return f.Sync()
}

// mend writes the copies again that are not the header of blob, which was just opened: power
// was cut between the two, or one is damaged. A copy that cannot be written stays as it is, the
// other one is there.
func mend(f interface {
	io.ReaderAt
	durable
}, blob []byte) {
	b, err := encode(blob)
	if err != nil {
		return
	}
	got := make([]byte, copySize)
	for i := range int64(copies) {
		if _, err := f.ReadAt(got, i*copySize); err != nil || !bytes.Equal(got, b) {
			_ = writeCopy(f, b, i)
		}
	}
}

func encode(blob []byte) ([]byte, error) {
	b := make([]byte, copySize)
	n := copy(b, magic)
	if len(blob) == 0 || n+2+len(blob) > sumAt {
		return nil, fmt.Errorf("a sealed key of %d bytes does not fit", len(blob))
	}
	binary.BigEndian.PutUint16(b[n:], uint16(len(blob)))
	copy(b[n+2:], blob)
	sum := sha256.Sum256(b[:sumAt])
	copy(b[sumAt:], sum[:])
	return b, nil
}

// readHeader returns the sealed key; nil: the partition is new, or power was cut before it
// had a header.
func readHeader(r io.ReaderAt) ([]byte, error) {
	b := make([]byte, headLength)
	var errs error
	for i := range copies {
		p := b[i*copySize : (i+1)*copySize]
		if _, err := r.ReadAt(p, int64(i)*copySize); err != nil {
			errs = errors.Join(errs, err)
		} else if blob := decode(p); blob != nil {
			return blob, nil
		}
	}
	if errs != nil {
		return nil, fmt.Errorf("read the state's header: %w", errs)
	}
	// The second copy is written once the first one is durable: only zeros there mean that
	// there never was a header.
	if len(bytes.TrimLeft(b[copySize:], "\x00")) == 0 {
		return nil, nil
	}
	return nil, ErrHeader
}

func decode(b []byte) []byte {
	sum := sha256.Sum256(b[:sumAt])
	n := int(binary.BigEndian.Uint16(b[len(magic):]))
	at := len(magic) + 2
	if string(b[:len(magic)]) != magic || !bytes.Equal(sum[:], b[sumAt:]) || n == 0 || at+n > sumAt {
		return nil
	}
	return b[at : at+n]
}
