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

	"golang.org/x/sys/unix"

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
var ErrCipher = errors.New("the kernel encrypts or decrypts otherwise than AES-256-XTS does: install another kernel")

// Config says what to open and by what.
type Config struct {
	Device    string              // the partition
	TPM       string              // as in attest.Config
	Approver  *ecdsa.PublicKey    // who approves boots; nil: the TPM opens it in any state
	Approvals []approval.Approval // that came with what has booted
	Template  []byte              // an empty file system, see [ParseTemplate]

	// Map makes the encrypted device and returns where it is.
	Map func(dm.Crypt) (path string, err error)
	// Unmap takes away again what Map has made, by its name.
	Unmap func(name string) error

	open func(path string) (device, error) // what Map has made; nil: as a file
}

// device is an encrypted one, in clear.
type device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
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
	path, err = cfg.mapped(disk, f, false)
	return path, false, err
}

// mapped has the kernel make the device, which goes away again if the kernel's cipher is not what it has to be.
func (cfg Config) mapped(disk dm.Crypt, raw *os.File, fresh bool) (string, error) {
	path, err := cfg.Map(disk)
	if err != nil {
		return "", err
	}
	if err := cfg.try(path, disk, raw, fresh); err != nil {
		return "", fmt.Errorf("try the kernel's cipher on the state: %w", errors.Join(err, cfg.Unmap(disk.Name)))
	}
	return path, nil
}

// at opens the encrypted device at path.
func (cfg Config) at(path string) (device, error) {
	if cfg.open != nil {
		return cfg.open(path)
	}
	return os.OpenFile(path, os.O_RDWR, 0)
}

// tried is how many bytes the kernel's cipher is tried on.
const tried = 8 * dm.Sector

// try holds some of what the kernel decrypts, and of a fresh state what it encrypts, against ciphers of our
// own: kernels of images do not try their ciphers as they start, which takes longer than all else.
func (cfg Config) try(path string, disk dm.Crypt, raw *os.File, fresh bool) (err error) {
	x, err := newXTS(disk.Key)
	if err != nil {
		return err
	}
	f, err := cfg.at(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	got, want := make([]byte, tried), make([]byte, tried)
	defer clear(got)
	defer clear(want)
	if _, err := f.ReadAt(got, 0); err != nil {
		return err
	}
	if _, err := (xtsReader{x, raw}).ReadAt(want, 0); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return ErrCipher
	}
	if !fresh {
		return nil
	}
	return tryEncrypt(x, f, raw, disk.Size-tried)
}

// tryEncrypt writes a pattern of [tried] bytes at off, which a file system comes over or does not use, and holds
// what is then in the partition against what has to be.
func tryEncrypt(x xts, f device, raw *os.File, off int64) error {
	pattern, got := make([]byte, tried), make([]byte, tried)
	for i := range pattern {
		pattern[i] = byte(i ^ i>>8)
	}
	if _, err := f.WriteAt(pattern, off); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// What the kernel may have read of the partition before is not what is there now.
	if err := unix.Fadvise(int(raw.Fd()), DataOffset+off, tried, unix.FADV_DONTNEED); err != nil {
		return err
	}
	if _, err := raw.ReadAt(got, DataOffset+off); err != nil {
		return err
	}
	for i := 0; i < tried; i += dm.Sector {
		x.sector(pattern[i:i+dm.Sector], uint64(off+int64(i))/dm.Sector, x.data.Encrypt)
	}
	if !bytes.Equal(got, pattern) {
		return ErrCipher
	}
	return nil
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
	if path, err = cfg.mapped(disk, f, true); err != nil {
		return "", err
	}
	if err := cfg.fill(path, t); err != nil {
		return "", fmt.Errorf("format the state: %w", errors.Join(err, cfg.Unmap(disk.Name)))
	}
	if err := writeHeader(f, blob); err != nil {
		return "", fmt.Errorf("write the state's header: %w", errors.Join(err, cfg.Unmap(disk.Name)))
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

// fill writes the empty file system.
func (cfg Config) fill(path string, t Template) (err error) {
	f, err := cfg.at(path)
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
