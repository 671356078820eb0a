package intake

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"

	"filippo.io/age"
	"golang.org/x/sys/unix"
)

// Held is a sealed file in memory: ciphertext only, and nobody can change it any
// more, so that what was checked is what is printed.
type Held struct {
	file   *os.File
	Size   int64
	Digest [32]byte // SHA-256 of the ciphertext
	Header []byte   // the age header
}

// FileError is why a sealed file was refused: a code for programs and a sentence
// for people.
type FileError struct {
	Code string // "irregular", "writable", "too-big", "not-sealed", "not-sealed-here" or "altered"
	What string
}

// Error says what was wrong and what to do.
func (e *FileError) Error() string { return e.What }

// ErrorCode is the file's code behind "file-".
func (e *FileError) ErrorCode() string { return "file-" + e.Code }

// ErrNotSealed reports a file that is no sealed one.
var ErrNotSealed error = &FileError{"not-sealed", "not a sealed file: seal the model with age to the recipient that platen status prints"}

// ErrTooBig reports a file over the limit.
var ErrTooBig error = &FileError{"too-big", "the sealed file is larger than is held: raise max_job in the printer's configuration"}

// Regular returns the size of a file that a client passed. It refuses what is no
// regular file, reading which might never end, and a descriptor that can be written
// to, which must not get to a session.
func Regular(f *os.File) (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("looking at the file: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return 0, &FileError{"irregular", "not a regular file: give the path of a model"}
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return 0, fmt.Errorf("looking at the file: %w", err)
	}
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		return 0, &FileError{"writable", "the file is open for writing: open it for reading only"}
	}
	return fi.Size(), nil
}

// Hold copies r into a memory file of at most limit bytes, seals it against
// change and reads its header.
func Hold(r io.Reader, limit int64) (*Held, error) {
	f, err := NewFilling()
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(f, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = ErrTooBig
	} else if err != nil {
		err = fmt.Errorf("holding the sealed file in memory: %w", err)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f.Held()
}

// Filling is a memory file that a sealed file is being written to. The memory is the
// kernel's, not this process's heap (memfd_create(2)). One goroutine uses it at a time.
type Filling struct {
	file *os.File
	sum  hash.Hash
	n    int64
}

// NewFilling makes an empty one.
func NewFilling() (*Filling, error) {
	fd, err := unix.MemfdCreate("sealed-job", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("holding the sealed file in memory: %w", err)
	}
	return &Filling{file: os.NewFile(uintptr(fd), "sealed-job"), sum: sha256.New()}, nil
}

// Write appends to the file.
func (f *Filling) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	f.sum.Write(p[:n])
	f.n += int64(n)
	return n, err
}

// Len is how many bytes were written.
func (f *Filling) Len() int64 { return f.n }

// Digest is the SHA-256 of what was written.
func (f *Filling) Digest() (d [32]byte) {
	f.sum.Sum(d[:0])
	return d
}

// Reset forgets what was written and lets its memory go.
func (f *Filling) Reset() error {
	if err := f.file.Truncate(0); err != nil {
		return fmt.Errorf("emptying a memory file: %w", err)
	}
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("emptying a memory file: %w", err)
	}
	f.sum.Reset()
	f.n = 0
	return nil
}

// Held seals the file against change (F_SEAL_WRITE) and reads its header. The filling is
// of no more use after it; on an error its memory is gone.
func (f *Filling) Held() (*Held, error) {
	h := &Held{file: f.file, Size: f.n, Digest: f.Digest()}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	_, err := unix.FcntlInt(f.file.Fd(), unix.F_ADD_SEALS, seals)
	if err != nil {
		err = fmt.Errorf("sealing the memory file: %w", err)
	} else if h.Header, err = age.ExtractHeader(io.NewSectionReader(f.file, 0, min(f.n, 64<<10))); err != nil {
		err = ErrNotSealed
	}
	if err != nil {
		f.file.Close()
		return nil, err
	}
	return h, nil
}

// Close lets the memory of a filling go that was not made into a held file.
func (f *Filling) Close() error { return f.file.Close() }

// PlainSize is how many bytes the file is once it is opened: age splits its payload
// into chunks of 64 KiB with a tag of 16 bytes each, behind a nonce of 16 bytes.
func (h *Held) PlainSize() int64 {
	const nonce, tag, chunk = 16, 16, 64 << 10
	payload := h.Size - int64(len(h.Header)) - nonce
	if payload < tag {
		return 0
	}
	chunks := (payload + chunk + tag - 1) / (chunk + tag)
	return payload - chunks*tag
}

// File is the memory file, to be passed on. Its offset is the start.
func (h *Held) File() (*os.File, error) {
	if _, err := h.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("rewinding the sealed file: %w", err)
	}
	return h.file, nil
}

// Close lets the memory go.
func (h *Held) Close() error { return h.file.Close() }

// IsSealed reports whether r begins like an age file.
func IsSealed(r io.ReaderAt) bool {
	const magic = "age-encryption.org/v1\n"
	b := make([]byte, len(magic))
	_, err := r.ReadAt(b, 0)
	return err == nil && bytes.Equal(b, []byte(magic))
}
