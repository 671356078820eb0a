package logtail

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// printSize is how much of a file a fingerprint is over, at each end.
const printSize = 1 << 10

// prints are the fingerprints of what stands before an offset: of its first and of its
// last part.
func prints(f io.ReaderAt, offset int64) (head, tail string, err error) {
	if head, err = sum(f, 0, min(offset, printSize)); err != nil {
		return "", "", err
	}
	tail, err = sum(f, max(offset-printSize, 0), offset)
	return head, tail, err
}

func sum(f io.ReaderAt, from, to int64) (string, error) {
	b := make([]byte, to-from)
	if _, err := f.ReadAt(b, from); err != nil && !(errors.Is(err, io.EOF) && len(b) == 0) {
		return "", err
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8]), nil
}

// before reports whether what stands before the offset in a file is what stood there.
func (p *place) before(f *os.File) bool {
	head, tail, err := prints(f, p.Offset)
	return err == nil && head == p.Head && tail == p.Tail
}

// is reports whether a file is the one of the place, or, if same is not asked for, a copy
// of it.
func (p *place) is(f *os.File, same bool) bool {
	n, err := inode(f)
	return err == nil && (n == p.Inode || !same && p.Offset > 0) && p.before(f)
}

func inode(f *os.File) (uint64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("look at a log: %w", err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.New("look at a log: it has no inode")
	}
	return uint64(st.Ino), nil
}

// open opens the file at which reading goes on. It is none, without an error, as long as
// there is no file at all.
func (t *Tail) open() error {
	f, err := os.Open(t.cfg.Path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("open a log: %w", err)
	}
	if !t.place.Started {
		return t.begin(f)
	}
	if f != nil && t.place.is(f, true) {
		t.file = f
		return nil
	}
	if f != nil {
		f.Close()
	}
	if old := t.rotated(); old != nil {
		t.file, t.gone = old, grace // nobody writes to it any more
		return nil
	}
	if f == nil {
		return nil // it may come back under its name
	}
	if t.place.Inode != 0 {
		t.place.Counts.Lost++
	}
	return t.restart()
}

// begin begins with a file that was never followed: at its end, what it says of the past
// is of no use. If there is none yet, the one that comes is read as a whole.
func (t *Tail) begin(f *os.File) error {
	t.place.Started = true
	if f == nil {
		return nil
	}
	end, err := wholeLines(f)
	if err != nil {
		f.Close()
		return fmt.Errorf("find the end of a log: %w", err)
	}
	t.file, t.place.Offset = f, end
	return t.mark(false)
}

// wholeLines is the offset behind the last whole line of a file, which is not looked for
// further than the longest line from its end.
func wholeLines(f *os.File) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	from := max(end-maxLine, 0)
	b := make([]byte, end-from)
	if _, err := f.ReadAt(b, from); ignoreEOF(err) != nil {
		return 0, err
	}
	if i := strings.LastIndexByte(string(b), '\n'); i >= 0 {
		return from + int64(i) + 1, nil
	}
	return from, nil
}

// restart reads the file of the name from its beginning.
func (t *Tail) restart() error {
	t.close()
	f, err := os.Open(t.cfg.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open a log: %w", err)
	}
	t.file, t.gone = f, 0
	t.place.Offset, t.place.Skip = 0, false
	return t.mark(false)
}

// moved goes on to the next file if the one that is read was renamed, or was truncated. It
// reports whether there is more to read now.
func (t *Tail) moved() (bool, error) {
	fi, err := t.file.Stat()
	if err != nil {
		return false, fmt.Errorf("look at a log: %w", err)
	}
	if fi.Size() < t.place.Offset+int64(len(t.buf)) || !t.place.before(t.file) { // truncated
		t.buf = t.buf[:0]
		if old := t.rotated(); old != nil { // copied before
			t.file.Close()
			t.file, t.gone = old, grace
			return true, nil
		}
		t.place.Counts.Lost++
		return true, t.restart()
	}
	now, err := os.Stat(t.cfg.Path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("look at a log: %w", err)
	}
	if err == nil && os.SameFile(fi, now) {
		t.gone = 0
		return false, nil
	}
	if t.gone++; err != nil || t.gone <= grace { // its writer may not know yet
		return false, nil
	}
	return true, t.next(fi)
}

// next leaves a file that was renamed for the one that was begun after it. What has no end
// of a line there is a line.
func (t *Tail) next(left os.FileInfo) error {
	if len(t.buf) > 0 {
		t.line(t.buf)
		t.drop(len(t.buf))
		if err := t.mark(false); err != nil {
			return err
		}
	}
	for _, path := range t.siblings(left) {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if t.place.Offset > 0 && t.place.before(f) { // a copy of what was read
			f.Close()
			continue
		}
		t.file.Close()
		t.file, t.gone = f, grace
		t.place.Offset, t.place.Skip = 0, false
		return t.mark(false)
	}
	return t.restart()
}

// rotated finds the file of the place among those beside it, or else a copy of it; nil if
// neither is there.
func (t *Tail) rotated() *os.File {
	for _, same := range []bool{true, false} {
		for _, path := range t.siblings(nil) {
			f, err := os.Open(path)
			if err != nil {
				continue
			}
			if t.place.is(f, same) {
				return f
			}
			f.Close()
		}
	}
	return nil
}

// siblings are the files beside the log whose names begin with its name, the oldest first:
// all, or those that are newer than one of them.
func (t *Tail) siblings(than os.FileInfo) []string {
	base := filepath.Base(t.cfg.Path)
	entries, err := os.ReadDir(filepath.Dir(t.cfg.Path))
	if err != nil {
		return nil
	}
	var all []os.FileInfo
	for _, e := range entries {
		fi, err := e.Info()
		if err == nil && fi.Mode().IsRegular() && strings.HasPrefix(e.Name(), base) && e.Name() != base {
			all = append(all, fi)
		}
	}
	slices.SortFunc(all, older)
	if than != nil {
		from := slices.IndexFunc(all, func(fi os.FileInfo) bool { return os.SameFile(fi, than) })
		if from < 0 {
			from = slices.IndexFunc(all, func(fi os.FileInfo) bool { return fi.ModTime().After(than.ModTime()) }) - 1
		}
		if from < -1 {
			return nil // all are older than one that is gone
		}
		all = all[from+1:]
	}
	var out []string
	for _, fi := range all {
		out = append(out, filepath.Join(filepath.Dir(t.cfg.Path), fi.Name()))
	}
	return out
}

// older orders files by when they were last written to, and those of one moment by their
// names: a number rises with each rotation, a date with time.
func older(a, b os.FileInfo) int {
	if c := a.ModTime().Compare(b.ModTime()); c != 0 {
		return c
	}
	na, oka := number(a.Name())
	nb, okb := number(b.Name())
	if oka && okb {
		return cmp.Compare(nb, na)
	}
	return cmp.Compare(a.Name(), b.Name())
}

// number is the one to three digits behind the last dot of a name.
func number(name string) (int, bool) {
	digits := name[strings.LastIndexByte(name, '.')+1:]
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= 0 && len(digits) <= 3
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
