// Package markup reads XML as 3MF files use it, straight through and strictly.
//
// A [Reader] walks from one tag to the next: [Reader.Next] says whether an element
// begins or ends, [Reader.Name] and [Reader.Attr] what it is. Text is passed over.
// What 3MF forbids is refused before it can do anything: a document type and with
// it every entity, encodings other than UTF-8, NUL (3MF core 1.4.0, 2.3 and
// annex). So is what is not well formed, and what is beyond the bounds: elements
// more than 64 deep, tags longer than 32 KiB or with more than 64 attributes, and a
// document longer than [Reader.Allow] has allowed.
//
// Everything is read through a buffer in the vault. Names and values lie there, and
// are good until the next call.
package markup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"unicode/utf8"

	"platen/slicer/vault"
)

// ErrFormat reports bytes that are not XML, or are XML that 3MF does not allow.
var ErrFormat = errors.New("not the XML of a 3MF file")

const (
	bufferSize = 1 << 16
	mostTag    = 1 << 15
	mostDepth  = 64
	mostAttrs  = 64
	mostSpaces = 64   // namespace declarations in force
	mostNames  = 4096 // bytes of the names of open elements
)

// Event is what Next has come to.
type Event uint8

// The events.
const (
	Start Event = iota + 1 // an element begins; it ends with an End unless it is Empty
	End                    // an element ends
	Done                   // the document has ended
)

// Space is a namespace: its place in the list that New was given, or one of these.
type Space int8

// Namespaces that are in no list.
const (
	NoSpace Space = -1 // none is declared
	Unknown Space = -2 // one that is not in the list
)

type attr struct {
	name, value []byte
	space       Space
}

// binding is a declaration of a namespace.
type binding struct {
	prefix []byte // in names
	space  Space
}

// Reader reads one document. It is design data.
type Reader struct {
	r     io.Reader
	buf   []byte
	i, n  int // unread bytes are buf[i:n]
	sound int // bytes of buf that are known to be UTF-8
	ended bool
	limit int64 // bytes of the document that may be read
	total int64 // that have been

	list   []string
	names  []byte // of open elements and of declared prefixes, one after the other
	opened [mostDepth + 1]int
	depth  int
	bound  [mostSpaces]binding
	nBound int
	marks  [mostDepth + 1]int // bindings when an element began
	closed bool               // the root element has ended

	name  []byte
	space Space
	empty bool
	attrs [mostAttrs]attr
	n2    int // attributes
}

// String says nothing of the document.
func (r *Reader) String() string { return "markup" }

// GoString says nothing of the document.
func (r *Reader) GoString() string { return "markup" }

// LogValue says nothing of the document.
func (r *Reader) LogValue() slog.Value { return slog.StringValue("markup") }

// New makes a reader that knows the namespaces of the given names. It takes 68 KiB
// of scratch memory of v.
func New(v *vault.Vault, spaces []string) (*Reader, error) {
	buf, err := vault.Scratch[byte](v, bufferSize+mostNames)
	if err != nil {
		return nil, err
	}
	return &Reader{buf: buf[:bufferSize], names: buf[bufferSize:][:0:mostNames], list: spaces}, nil
}

// Reset begins a document, of which limit bytes are allowed. A mark of UTF-8 at its
// beginning is passed over.
func (r *Reader) Reset(src io.Reader, limit int64) error {
	*r = Reader{r: src, buf: r.buf, names: r.names[:0], list: r.list, limit: limit}
	if err := r.need(3); err != nil {
		return err
	}
	if bytes.HasPrefix(r.buf[:r.n], []byte("\xef\xbb\xbf")) {
		r.i = 3
	}
	return nil
}

// Allow allows n bytes more. A reader that allows some with every element that it
// has a use for refuses a document that is mostly something else.
func (r *Reader) Allow(n int64) { r.limit += n }

// Name is the name of the element that began or ended, without its prefix, and its
// namespace.
func (r *Reader) Name() ([]byte, Space) { return r.name, r.space }

// Is reports whether the element has the given name in namespace s.
func (r *Reader) Is(s Space, name string) bool { return r.space == s && string(r.name) == name }

// Empty reports whether the element that began has ended already.
func (r *Reader) Empty() bool { return r.empty }

// Attrs is the number of attributes; declarations of namespaces are none.
func (r *Reader) Attrs() int { return r.n2 }

// Attr returns the name, namespace (NoSpace without a prefix) and value of attribute
// i. References in the value are not resolved; see Text.
func (r *Reader) Attr(i int) (name []byte, s Space, value []byte) {
	a := &r.attrs[i]
	return a.name, a.space, a.value
}

// Get returns the value of an attribute and whether there is one.
func (r *Reader) Get(s Space, name string) ([]byte, bool) {
	for i := range r.attrs[:r.n2] {
		if a := &r.attrs[i]; a.space == s && string(a.name) == name {
			return a.value, true
		}
	}
	return nil, false
}

// Prefix is the namespace that a prefix stands for, here.
func (r *Reader) Prefix(prefix []byte) Space {
	for i := r.nBound - 1; i >= 0; i-- {
		if bytes.Equal(r.bound[i].prefix, prefix) {
			return r.bound[i].space
		}
	}
	if string(prefix) == "xml" {
		return Unknown
	}
	return NoSpace
}

// need reads until n bytes are unread, or the document ends.
func (r *Reader) need(n int) error {
	for r.n-r.i < n && !r.ended {
		if err := r.fill(); err != nil {
			return err
		}
	}
	return nil
}

// fill reads some bytes and checks that they are text.
func (r *Reader) fill() error {
	if r.i > 0 {
		copy(r.buf, r.buf[r.i:r.n])
		r.n -= r.i
		r.sound -= r.i
		r.i = 0
	}
	if r.n == len(r.buf) {
		return fmt.Errorf("%w (a tag is too long)", ErrFormat)
	}
	got, err := r.r.Read(r.buf[r.n:])
	if bytes.IndexByte(r.buf[r.n:r.n+got], 0) >= 0 {
		return fmt.Errorf("%w (it is not in UTF-8)", ErrFormat)
	}
	r.n += got
	r.total += int64(got)
	switch {
	case errors.Is(err, io.EOF):
		r.ended = true
	case err != nil:
		return err
	}
	if r.total > r.limit {
		return fmt.Errorf("%w (it is mostly something else than a model)", ErrFormat)
	}
	return r.check()
}

// check holds what is new against UTF-8, up to a character that is not complete.
func (r *Reader) check() error {
	end := r.n
	for back := 1; !r.ended && back < utf8.UTFMax && end-back >= r.sound; back++ {
		if b := r.buf[end-back]; utf8.RuneStart(b) {
			if !utf8.FullRune(r.buf[end-back : end]) {
				end -= back
			}
			break
		}
	}
	if !utf8.Valid(r.buf[r.sound:end]) {
		return fmt.Errorf("%w (it is not in UTF-8)", ErrFormat)
	}
	r.sound = end
	return nil
}
