package slot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Mode says how a file is opened.
type Mode uint8

// The modes.
const (
	Read    Mode = iota // must exist
	Edit                // must exist; written in place
	Create              // made, or cut to nothing
	Program             // like Create, and executable
)

// FS is every effect that the rooms of updater have on a disk, so that a test can
// record them and cut the power after each. Names are slash-separated, relative,
// and never leave the folder the FS stands for. A missing file is fs.ErrNotExist.
type FS interface {
	// Open opens a file; its folder must exist.
	Open(name string, mode Mode) (File, error)
	// Rename puts from in the place of to. Durable after SyncDir of the folder.
	Rename(from, to string) error
	// SyncDir makes creations and renames in the folder durable.
	SyncDir(dir string) error
	// Lock keeps other processes out of Log.Update until unlock is called.
	Lock() (unlock func(), err error)
}

// File is an open file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes what was written durable; what is read afterwards comes from the
	// medium and not from memory, as far as the system can be told so.
	Sync() error
	// Size is the length in bytes.
	Size() (int64, error)
}

// Dir is the FS of a folder.
type Dir struct{ root *os.Root }

// OpenDir returns the FS of the folder at path, which it creates together with the
// subfolders named. Only the owner may write in them.
func OpenDir(path string, subfolders ...string) (*Dir, error) {
	if err := makeFolder(path); err != nil {
		return nil, fmt.Errorf("make folder for updates: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open folder for updates: %w", err)
	}
	d := &Dir{root}
	for _, sub := range subfolders {
		if err := root.Mkdir(sub, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			root.Close()
			return nil, fmt.Errorf("make folder for updates: %w", err)
		}
	}
	if err := d.SyncDir("."); err != nil {
		root.Close()
		return nil, fmt.Errorf("make folder for updates: %w", err)
	}
	return d, nil
}

// makeFolder is os.MkdirAll that survives a power cut.
func makeFolder(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	err = os.Mkdir(path, 0o755)
	if errors.Is(err, os.ErrNotExist) {
		if err = makeFolder(filepath.Dir(path)); err == nil {
			err = os.Mkdir(path, 0o755)
		}
	}
	if errors.Is(err, os.ErrExist) {
		return nil // if it is no folder, opening it fails
	}
	if err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// Path is the folder it was opened with.
func (d *Dir) Path() string { return d.root.Name() }

// Close lets go of the folder.
func (d *Dir) Close() error { return d.root.Close() }

// Open opens a file of the folder. Only the owner may write what it makes.
func (d *Dir) Open(name string, mode Mode) (File, error) {
	flag, perm := os.O_RDONLY, os.FileMode(0o644)
	switch mode {
	case Edit:
		flag = os.O_RDWR
	case Program:
		perm = 0o755
		fallthrough
	case Create:
		flag = os.O_RDWR | os.O_CREATE | os.O_TRUNC
	}
	f, err := d.root.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return newFile(f, mode), nil
}

// Rename puts from in the place of to.
func (d *Dir) Rename(from, to string) error { return d.root.Rename(from, to) }

// SyncDir makes the entries of a folder durable.
func (d *Dir) SyncDir(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Lock takes the advisory lock of the folder and waits for it if it has to.
func (d *Dir) Lock() (func(), error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

type osFile struct {
	*os.File
	direct *direct
}

func newFile(f *os.File, mode Mode) osFile { return osFile{f, &direct{write: mode != Read}} }

// ReadAt reads, from the medium if it is much.
func (f osFile) ReadAt(p []byte, off int64) (int, error) {
	if d := f.direct.of(f.File, p, off); d != nil {
		if n, err := d.ReadAt(p, off); !errors.Is(err, unix.EINVAL) {
			return n, err
		}
	}
	return f.File.ReadAt(p, off)
}

// WriteAt writes, to the medium if it is much.
func (f osFile) WriteAt(p []byte, off int64) (int, error) {
	if d := f.direct.of(f.File, p, off); d != nil {
		if n, err := d.WriteAt(p, off); !errors.Is(err, unix.EINVAL) {
			return n, err
		}
	}
	return f.File.WriteAt(p, off)
}

func (f osFile) Close() error { return errors.Join(f.direct.close(), f.File.Close()) }

// OpenDevice opens a block device, or a file that stands for one, which keeps its size.
// The mode is Read or Edit; a device that is mounted is not opened to be edited.
func OpenDevice(path string, mode Mode) (File, error) {
	flag := os.O_RDONLY
	if mode != Read {
		flag = os.O_RDWR | os.O_EXCL // of a block device: nobody else has it
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	return newFile(f, mode), nil
}

// Size is a file's length, or what a block device holds.
func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if st.Mode()&os.ModeDevice != 0 {
		return f.Seek(0, io.SeekEnd)
	}
	return st.Size(), nil
}

// Sync makes the contents and the length durable; when they were written does not matter.
func (f osFile) Sync() error {
	err := unix.Fdatasync(int(f.Fd()))
	for err == unix.EINTR {
		err = unix.Fdatasync(int(f.Fd()))
	}
	if err != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	// A hint; file systems without a page cache refuse it.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	return nil
}

// startSync makes durable what was written to f before, and then does what follows from that,
// beside what goes on if f is a real file. wait, which has to be called, returns what failed.
//
// A file of a test's disk is made durable before startSync returns, so that what such a disk
// records is always the same: what is cut there has writes or their sync, never both at once.
// That they go on beside each other is in what is cut and killed of real files alone: package
// cross/proveupdate.
func startSync(f File, then func() error) (wait func() error) {
	done := make(chan error, 1)
	both := func() {
		err := f.Sync()
		if err == nil {
			err = then()
		}
		done <- err
	}
	if _, ok := f.(osFile); ok {
		go both()
	} else {
		both()
	}
	return sync.OnceValue(func() error { return <-done })
}

// Replace puts a file of contents p in the place of name, in one step as far as a
// power cut can see: written under name+".new", made durable, renamed, and the
// rename made durable.
func Replace(fsys FS, name string, p []byte) error {
	tmp := name + ".new"
	f, err := fsys.Open(tmp, Create)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return Commit(fsys, tmp, name)
}

// Commit renames from, whose contents are durable, to to and makes that durable.
func Commit(fsys FS, from, to string) error {
	if err := fsys.Rename(from, to); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(to))
}

// Overwrite writes p into an open file in place, waits for the medium, and closes the
// file. A power cut in the middle of it leaves some of p: for formats that survive that.
func Overwrite(f File, p []byte, off int64) error {
	_, err := f.WriteAt(p, off)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ReadAll reads a whole file of at most limit bytes.
func ReadAll(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name, Read)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	p := make([]byte, size)
	if n, err := f.ReadAt(p, 0); err != nil && (err != io.EOF || int64(n) != size) {
		return nil, err
	}
	return p, nil
}
