// Package stick reads sealed jobs from USB sticks in user space: no stick is ever
// mounted, so that the file-system code of the kernel never sees what a stranger wrote
// on it.
//
// Start at [Find], which says what sticks are plugged in, and [Open], which walks the
// folders of one and finds its jobs: tickets (NAME.ticket) and the sealed files of the
// same name beside them (NAME.age). A ticket's envelope is handed out by [Stick.Envelope]
// and a sealed file by [Stick.Sealed], each once the caller asks; bundles of releases
// (NAME.tuf) by [Stick.Bundle]. No other file is ever opened. The order is the caller's: a ticket is verified first, and then the bytes of
// the sealed file are held in memory and held against it, so that a stick that answers
// otherwise the second time gains nothing.
//
// File systems are FAT12, FAT16 and FAT32 (Microsoft, FAT: General Overview of On-Disk
// Format, 1.03; "FAT" with a section below) and exFAT (Microsoft, exFAT file system
// specification, 1.00; "exFAT"), in partitions of an MBR or a GPT (UEFI 2.10, section 5)
// or without a table. Logical partitions and other file systems are passed over. What
// contradicts itself is refused with an [Error]: nothing is repaired and nothing guessed.
// The partition scanner of the kernel has seen the first sectors of a stick before
// anybody is asked; that is all of the kernel that does.
//
// No more is held than 2 MiB, whatever a stick says of itself: where folders and
// files lie, the table of a GPT, and a window into each table of a volume. Names are design
// data: no more than a digest of one is kept.
package stick

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
)

// Bounds of what is looked at on one stick. What lies beyond the bounds of the walk is
// left out ([Stick.More]).
const (
	mostVolumes = 4
	mostSlots   = 1 << 16 // entries of folders, of 32 bytes each, in all
	mostFolder  = 2 << 20 // bytes of a folder (FAT, 6: 65,536 entries)
	mostFolders = 512
	mostDepth   = 4       // of a folder; the root is 0
	mostFiles   = 256     // tickets and sealed files
	mostRuns    = 1 << 13 // contiguous pieces of folders and of files that are opened, in a volume
)

// Error is why a stick, or a file on it, is not read: a code for programs and a sentence
// for people. It names no file.
type Error struct {
	// Code is "none" for a stick without a file system that is read here, "table",
	// "volume", "folder", "name", "chain", "crossed" and "size" for damage of the
	// partition table, the file system's header, a folder, a name, a file's chain of
	// clusters, a cluster with two owners and a size that cannot be; "limit" for what is
	// larger than is read, "read" for a stick that cannot be read, "mounted", "denied",
	// and "absent" for a ticket without its sealed file.
	Code string
	What string
}

// Error says what is wrong and what to do.
func (e *Error) Error() string { return e.What }

// ErrorCode is the code behind "usb-".
func (e *Error) ErrorCode() string { return "usb-" + e.Code }

var errUnreadable = &Error{"read", "the stick cannot be read: plug it in again, or use another one"}

// damaged is an Error that ends with what helps against damage.
func damaged(code, format string, a ...any) error {
	return &Error{code, fmt.Sprintf(format, a...) + ": format the stick, and copy the jobs again"}
}

// medium is a stick, or a part of it. Its reads end with ctx.
type medium struct {
	ctx        context.Context
	r          io.ReaderAt
	base, size int64 // in bytes
}

// part is the n bytes from off, which must lie within m.
func (m medium) part(off, n int64) medium { return medium{m.ctx, m.r, m.base + off, n} }

// read fills p from off.
func (m medium) read(p []byte, off int64) error {
	if err := m.ctx.Err(); err != nil {
		return &Error{"read", "the stick is too slow, or was not waited for: use another one"}
	}
	if off < 0 || off > m.size-int64(len(p)) {
		return damaged("size", "the stick is smaller than what is on it")
	}
	if n, _ := m.r.ReadAt(p, m.base+off); n != len(p) {
		return errUnreadable
	}
	return nil
}

// Stick is a stick that was looked through. It is used by one goroutine.
type Stick struct {
	// More says that the stick holds more than is looked through, so that jobs may be
	// missing: put them into the root folder of a stick without much else.
	More bool

	jobs    []Job
	files   []file
	folders []folder
	seen    int // entries of folders
}

// Job is a ticket, and the sealed file of the same name beside it.
type Job struct {
	Size int64 // of the sealed file in bytes, as its folder says

	ticket, sealed *file // sealed is nil if there is none
}

// kind is what a file's name says of it.
type kind uint8

const (
	other kind = iota
	ticket
	sealed
	bundle
)

// file is one of the files that matter.
type file struct {
	entry
	v      *volume
	in     int      // number of its folder
	stem   [16]byte // digest of its name without what tells the kind
	kind   kind
	double bool     // a folder has two of this name
	where  []extent // nil until it is opened
}

// folder is a folder that is to be walked.
type folder struct {
	entry
	v      *volume
	parent uint32 // first cluster of the folder above
	root   bool   // the folder above is the root
	depth  int
}

// entry is what a folder says of a file or a folder in it.
type entry struct {
	folder     bool
	contiguous bool   // its clusters follow each other, and no chain says so (exFAT, 7.6.2.2)
	first      uint32 // cluster, 0 for none
	size       int64  // in bytes; 0 if only the chain says it (folders of FAT, root folders)
	valid      int64  // bytes that were written (exFAT, 7.6.5)
}

// Open looks a stick of size bytes through, whose blocks have sector bytes. Reads end
// with ctx, those of what Envelope and Sealed return too. It returns an [Error].
func Open(ctx context.Context, r io.ReaderAt, size, sector int64) (*Stick, error) {
	vols, err := volumes(medium{ctx, r, 0, size}, sector)
	if err != nil {
		return nil, err
	}
	s := &Stick{}
	for _, v := range vols {
		s.folders = append(s.folders, folder{v: v, entry: v.root})
	}
	for i := 0; i < len(s.folders); i++ {
		if err := s.walk(i); err != nil {
			return nil, err
		}
	}
	s.pair()
	return s, nil
}

// walk goes through a folder. Folders in it come later, so that what lies high is found
// before what lies deep.
func (s *Stick) walk(i int) error {
	f := s.folders[i]
	if f.size > mostFolder {
		s.More = true
		return nil
	}
	where, err := f.v.folder(f.entry)
	if err != nil {
		return err
	}
	found := func(name []uint16, e entry) { s.found(i, name, e) }
	if f.v.exfat {
		return s.walkExFAT(f, where, found)
	}
	return s.walkFAT(f, where, found)
}

// slots calls f with each entry of a folder, 32 bytes that are good until the next, until
// it is done. It reports whether the folder was cut off, as there is too much on the stick.
func (s *Stick) slots(v *volume, where []extent, f func(slot []byte) (done bool, err error)) (cut bool, err error) {
	buf := make([]byte, 512)
	for _, x := range where {
		for off := x.off; off < x.off+x.n; off += int64(len(buf)) {
			if err := v.m.read(buf, off); err != nil {
				return false, err
			}
			for at := 0; at < len(buf); at += 32 {
				if s.seen++; s.seen > mostSlots {
					s.More = true
					return true, nil
				}
				if done, err := f(buf[at : at+32]); done || err != nil {
					return false, err
				}
			}
		}
	}
	return false, nil
}

// found keeps what matters of what is in folder number i.
func (s *Stick) found(i int, name []uint16, e entry) {
	up := s.folders[i]
	if e.folder {
		switch {
		case len(name) == 0 || name[0] == '.':
		case up.depth == mostDepth || len(s.folders) == mostFolders:
			s.More = true
		default:
			s.folders = append(s.folders, folder{entry: e, v: up.v, parent: up.first, root: up.depth == 0, depth: up.depth + 1})
		}
		return
	}
	k, stem := stemOf(name)
	if k == other {
		return
	}
	if len(s.files) == mostFiles {
		s.More = true
		return
	}
	n := file{entry: e, v: up.v, in: i, stem: stem, kind: k}
	for j := range s.files {
		if o := &s.files[j]; o.in == i && o.kind == k && o.stem == stem {
			o.double, n.double = true, true
		}
	}
	s.files = append(s.files, n)
}

// pair finds the sealed file of each ticket.
func (s *Stick) pair() {
	for i := range s.files {
		t := &s.files[i]
		if t.kind != ticket {
			continue
		}
		j := Job{ticket: t}
		at := slices.IndexFunc(s.files, func(f file) bool {
			return f.kind == sealed && f.in == t.in && f.stem == t.stem
		})
		if at >= 0 {
			j.sealed = &s.files[at]
			j.Size = j.sealed.size
		}
		s.jobs = append(s.jobs, j)
	}
}

// Jobs are the tickets on the stick, at most 256, in the order in which they were found.
func (s *Stick) Jobs() []Job { return s.jobs }

// Envelope reads the ticket of a job, of at most limit bytes.
func (s *Stick) Envelope(j Job, limit int) ([]byte, error) {
	if j.ticket.size > int64(limit) {
		return nil, &Error{"size", "the ticket on the stick is larger than a ticket is: copy it again"}
	}
	r, err := j.ticket.reader()
	if err != nil {
		return nil, err
	}
	b := make([]byte, j.ticket.size)
	_, err = io.ReadFull(r, b)
	return b, err
}

// Sealed is the sealed file of a job. It reads exactly size bytes, which is what the
// job's ticket says, and nothing if the stick says otherwise.
func (s *Stick) Sealed(j Job, size int64) (io.Reader, error) {
	if j.sealed == nil {
		return nil, &Error{"absent", "the stick has no sealed file for the ticket: copy NAME.age beside NAME.ticket"}
	}
	if j.sealed.size != size {
		return nil, &Error{"size", "the sealed file on the stick is not as long as its ticket says: copy it again"}
	}
	return j.sealed.reader()
}

// reader finds out where a file lies, once, and reads that.
func (f *file) reader() (io.Reader, error) {
	if f.double {
		return nil, damaged("name", "two files in one folder have the same name")
	}
	if f.where == nil {
		var err error
		if f.where, err = f.v.file(f.entry); err != nil {
			return nil, err
		}
	}
	return &reader{f.v.m, slices.Clone(f.where), f.size}, nil
}

// reader reads a file.
type reader struct {
	m     medium
	where []extent
	left  int64
}

// Read reads on in the file.
func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	x := &r.where[0]
	n := min(int64(len(p)), x.n, r.left)
	if err := r.m.read(p[:n], x.off); err != nil {
		return 0, err
	}
	x.off, x.n, r.left = x.off+n, x.n-n, r.left-n
	if x.n == 0 {
		r.where = r.where[1:]
	}
	return int(n), nil
}

// stemOf is what a name says of a file, and the digest of the rest of it. Letters of
// ASCII are the same in both cases; names that begin with a dot are for other programs.
func stemOf(name []uint16) (kind, [16]byte) {
	lower := make([]byte, 0, 2*len(name))
	for _, u := range name {
		if u >= 'A' && u <= 'Z' {
			u += 'a' - 'A'
		}
		lower = append(lower, byte(u), byte(u>>8))
	}
	for _, x := range []struct {
		end  string
		kind kind
	}{{".age", sealed}, {".ticket", ticket}, {".tuf", bundle}} {
		n := len(lower) - 2*len(x.end)
		if n <= 0 || name[0] == '.' {
			continue
		}
		same := true
		for i := range len(x.end) {
			same = same && lower[n+2*i] == x.end[i] && lower[n+2*i+1] == 0
		}
		if same {
			sum := sha256.Sum256(lower[:n])
			return x.kind, [16]byte(sum[:16])
		}
	}
	return other, [16]byte{}
}
