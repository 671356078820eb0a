// Package newc reads and writes archives as the kernel unpacks them into its first file
// system: cpio in the "new ASCII" format (Linux, Documentation/driver-api/early-userspace/
// buffer-format.rst). The root of an image is one, and so is what lies in its config
// partition.
//
// The writer gives every entry owner 0, time 0 and a number by its place, so that the same
// entries make the same bytes. The reader takes folders and plain files only, and bounds
// what it takes: it reads what somebody else may have written.
package newc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// Entry is a file or folder of an archive. Folders come before what is in them: the kernel
// passes over a file whose folder is not there.
type Entry struct {
	Name         string // slash-separated, relative, without "." and ".."
	Mode         uint32 // as in stat(2): Dir or Regular with the permissions, or Char
	Data         []byte // of a regular file
	Major, Minor uint32 // of a Char
}

// Types of entries, as in stat(2).
const (
	Dir     = 0o040000
	Regular = 0o100000
	Char    = 0o020000
	kind    = 0o170000
)

const (
	magic   = "070701"
	header  = 6 + 13*8
	trailer = "TRAILER!!!"
	maxName = 256
)

// ErrArchive reports bytes that are no archive of this format, or more than was allowed.
var ErrArchive = errors.New("not a cpio archive in newc format (cpio -o -H newc), or more than fits")

// Write writes an archive.
func Write(w io.Writer, entries []Entry) error {
	for i, e := range entries {
		if err := check(e); err != nil {
			return err
		}
		if err := put(w, uint32(i+1), e); err != nil {
			return fmt.Errorf("write an archive: %w", err)
		}
	}
	if err := put(w, 0, Entry{Name: trailer}); err != nil {
		return fmt.Errorf("end an archive: %w", err)
	}
	return nil
}

func check(e Entry) error {
	if e.Name == "" || path.Clean(e.Name) != e.Name || path.IsAbs(e.Name) || e.Name == "." || strings.HasPrefix(e.Name, "..") ||
		len(e.Name) > maxName || strings.ContainsRune(e.Name, 0) || e.Name == trailer {
		return fmt.Errorf("%q is not a name for an archive", e.Name)
	}
	if k := e.Mode & kind; k != Dir && k != Regular && k != Char || k != Regular && len(e.Data) > 0 {
		return fmt.Errorf("%s: neither folder, file nor device", e.Name)
	}
	return nil
}

func put(w io.Writer, number uint32, e Entry) error {
	links := uint32(1)
	if e.Mode&kind == Dir {
		links = 2
	}
	var b bytes.Buffer
	b.WriteString(magic)
	for _, v := range []uint32{number, e.Mode, 0, 0, links, 0, uint32(len(e.Data)), 0, 0, e.Major, e.Minor, uint32(len(e.Name) + 1), 0} {
		fmt.Fprintf(&b, "%08X", v)
	}
	b.WriteString(e.Name)
	b.WriteByte(0)
	pad(&b, b.Len())
	b.Write(e.Data)
	pad(&b, len(e.Data))
	_, err := w.Write(b.Bytes())
	return err
}

func pad(b *bytes.Buffer, n int) { b.Write(make([]byte, -n&3)) }

// Read reads an archive of folders and plain files that is at most limit bytes, and may be
// followed by anything.
func Read(r io.Reader, limit int) ([]Entry, error) {
	s := source{r: r, left: limit}
	var list []Entry
	for {
		e, err := s.entry()
		if err != nil {
			return nil, err
		}
		if e.Name == trailer {
			return list, nil
		}
		if e.Name == "." {
			continue
		}
		e.Name = strings.TrimPrefix(e.Name, "./") // as find . | cpio writes it
		if check(e) != nil || e.Mode&kind == Char {
			return nil, ErrArchive
		}
		list = append(list, e)
	}
}

type source struct {
	r    io.Reader
	left int
	at   int
}

func (s *source) take(n int) ([]byte, error) {
	if n < 0 || n > s.left {
		return nil, ErrArchive
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(s.r, b); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, ErrArchive
	} else if err != nil {
		return nil, fmt.Errorf("read an archive: %w", err)
	}
	s.left -= n
	s.at += n
	return b, nil
}

func (s *source) entry() (e Entry, err error) {
	h, err := s.take(header)
	if err != nil {
		return e, err
	}
	if string(h[:6]) != magic {
		return e, ErrArchive
	}
	var v [13]uint32
	for i := range v {
		n, err := strconv.ParseUint(string(h[6+8*i:14+8*i]), 16, 32)
		if err != nil {
			return e, ErrArchive
		}
		v[i] = uint32(n)
	}
	if v[11] == 0 || v[11] > maxName+3 || v[6] > 1<<30 {
		return e, ErrArchive
	}
	name, err := s.take(int(v[11]))
	if err != nil {
		return e, err
	}
	if name[len(name)-1] != 0 {
		return e, ErrArchive
	}
	if _, err = s.take(-s.at & 3); err != nil {
		return e, err
	}
	e = Entry{Name: string(name[:len(name)-1]), Mode: v[1]}
	if e.Data, err = s.take(int(v[6])); err == nil {
		_, err = s.take(-s.at & 3)
	}
	return e, err
}
