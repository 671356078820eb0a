package markup

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// inName marks the bytes that names are made of; letters beyond ASCII are among
// them, whatever they are.
var inName = func() (t [256]bool) {
	for b := range t {
		t[b] = 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' ||
			b == ':' || b == '_' || b == '-' || b == '.' || b >= 0x80
	}
	return t
}()

// startTag reads <name attribute="value" …> or the same with /> at its end.
func (r *Reader) startTag() error {
	if err := r.need(mostTag); err != nil {
		return err
	}
	b := r.buf[r.i+1 : min(r.n, r.i+mostTag)]
	at := nameLength(b)
	if at == 0 || r.closed || r.depth == mostDepth {
		return fmt.Errorf("%w (an element where none may be)", ErrFormat)
	}
	name := b[:at]
	prefix, local := split(name)
	if prefix != nil && (len(local) == 0 || bytes.IndexByte(local, ':') >= 0) {
		return fmt.Errorf("%w (a name with a colon)", ErrFormat)
	}
	r.opened[r.depth], r.marks[r.depth] = len(r.names), r.nBound
	if len(r.names)+len(name) > mostNames {
		return fmt.Errorf("%w (names are too long)", ErrFormat)
	}
	r.names = append(r.names, name...)
	r.depth++
	n, err := r.readAttrs(b[at:])
	if err != nil {
		return err
	}
	r.i += 1 + at + n
	r.name, r.space = local, r.Prefix(prefix)
	if len(prefix) > 0 && r.space == NoSpace {
		return fmt.Errorf("%w (an undeclared prefix)", ErrFormat)
	}
	if r.empty {
		r.close()
	}
	return nil
}

var errTag = fmt.Errorf("%w (a tag without end, or a very long one)", ErrFormat)

func nameLength(b []byte) int {
	n := 0
	for n < len(b) && inName[b[n]] {
		n++
	}
	if n > 0 && ('0' <= b[0] && b[0] <= '9' || b[0] == '-' || b[0] == '.' || b[0] == ':') {
		return 0
	}
	return n
}

// readAttrs reads what follows the name in a tag, and returns how long that is.
func (r *Reader) readAttrs(b []byte) (int, error) {
	r.n2 = 0
	prefixed := false
	for at := 0; ; {
		begin := at
		for at < len(b) && isSpace(b[at]) {
			at++
		}
		if at+1 >= len(b) && (at == len(b) || b[at] != '>') {
			return 0, errTag
		}
		if r.empty = b[at] == '/' && b[at+1] == '>'; r.empty || b[at] == '>' {
			if r.empty {
				at++
			}
			if prefixed {
				return at + 1, r.resolve()
			}
			return at + 1, nil
		}
		name, value, n := oneAttr(b[at:])
		if n == 0 || at == begin { // values and names must be apart
			return 0, fmt.Errorf("%w (an attribute is damaged)", ErrFormat)
		}
		at += n
		if len(name) >= 5 && string(name[:5]) == "xmlns" && (len(name) == 5 || name[5] == ':') {
			if err := r.bind(name[5:], value); err != nil {
				return 0, err
			}
			continue
		}
		if err := r.addAttr(name, value); err != nil {
			return 0, err
		}
		prefixed = prefixed || len(name) > 2 && bytes.IndexByte(name, ':') >= 0
	}
}

func (r *Reader) addAttr(name, value []byte) error {
	if r.n2 == mostAttrs {
		return fmt.Errorf("%w (too many attributes)", ErrFormat)
	}
	for i := range r.attrs[:r.n2] {
		if bytes.Equal(r.attrs[i].name, name) {
			return fmt.Errorf("%w (an attribute is there twice)", ErrFormat)
		}
	}
	r.attrs[r.n2] = attr{name, value, NoSpace}
	r.n2++
	return nil
}

// oneAttr reads name="value" and returns how long that is, or 0.
func oneAttr(b []byte) (name, value []byte, n int) {
	at := nameLength(b)
	name = b[:at]
	for at < len(b) && isSpace(b[at]) {
		at++
	}
	if len(name) == 0 || at == len(b) || b[at] != '=' {
		return nil, nil, 0
	}
	at++
	for at < len(b) && isSpace(b[at]) {
		at++
	}
	if at == len(b) || b[at] != '"' && b[at] != '\'' {
		return nil, nil, 0
	}
	quote := b[at]
	at++
	references := false
	for end, c := range b[at:] {
		switch c {
		case quote:
			value = b[at : at+end]
			if references && !sound(value) {
				return nil, nil, 0
			}
			return name, value, at + end + 1
		case '<':
			return nil, nil, 0
		case '&':
			references = true
		}
	}
	return nil, nil, 0
}

// bind notes a declaration; prefix is what follows xmlns.
func (r *Reader) bind(prefix, uri []byte) error {
	prefix = bytes.TrimPrefix(prefix, []byte(":"))
	if r.nBound == mostSpaces || len(r.names)+len(prefix) > mostNames {
		return fmt.Errorf("%w (too many namespaces)", ErrFormat)
	}
	for _, b := range r.bound[r.marks[r.depth-1]:r.nBound] {
		if bytes.Equal(b.prefix, prefix) {
			return fmt.Errorf("%w (an attribute is there twice)", ErrFormat)
		}
	}
	s := Unknown
	if len(uri) == 0 {
		s = NoSpace
	}
	for i, known := range r.list {
		if string(uri) == known {
			s = Space(i)
		}
	}
	at := len(r.names)
	r.names = append(r.names, prefix...)
	r.bound[r.nBound] = binding{prefix: r.names[at:], space: s}
	r.nBound++
	return nil
}

// resolve replaces the prefixes of attributes, which any declaration of the tag may
// stand behind.
func (r *Reader) resolve() error {
	for i := range r.attrs[:r.n2] {
		a := &r.attrs[i]
		prefix, local := split(a.name)
		if prefix == nil {
			continue
		}
		if a.space = r.Prefix(prefix); a.space == NoSpace {
			return fmt.Errorf("%w (an undeclared prefix)", ErrFormat)
		}
		a.name = local
	}
	for i := range r.attrs[:r.n2] {
		for k := range i {
			if a, b := &r.attrs[i], &r.attrs[k]; a.space >= 0 && a.space == b.space && bytes.Equal(a.name, b.name) {
				return fmt.Errorf("%w (an attribute is there twice)", ErrFormat)
			}
		}
	}
	return nil
}

// sound reports whether every reference in a value is one that XML itself knows.
func sound(value []byte) bool {
	for {
		at := bytes.IndexByte(value, '&')
		if at < 0 {
			return true
		}
		n := referenceLength(value[at:])
		if n == 0 {
			return false
		}
		value = value[at+n:]
	}
}

// entities are the five that need no declaration.
var entities = [...]struct {
	name string
	is   rune
}{{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}}

// referenceLength is the length of the reference at the beginning of b, or 0.
func referenceLength(b []byte) int {
	_, n := reference(b)
	return n
}

// reference returns what a reference stands for, and its length.
func reference(b []byte) (is rune, n int) {
	end := bytes.IndexByte(b[:min(len(b), mostReference)], ';')
	if end < 2 {
		return 0, 0
	}
	body := b[1:end]
	if body[0] != '#' {
		for _, e := range entities {
			if string(body) == e.name {
				return e.is, end + 1
			}
		}
		return 0, 0
	}
	body = body[1:]
	base := rune(10)
	if len(body) > 0 && body[0] == 'x' {
		base, body = 16, body[1:]
	}
	if len(body) == 0 || len(body) > 10 {
		return 0, 0
	}
	for _, b := range body {
		d := digit(b)
		if d >= base || is > utf8.MaxRune {
			return 0, 0
		}
		is = is*base + d
	}
	if is > utf8.MaxRune || !utf8.ValidRune(is) || is < 0x20 && is != '\t' && is != '\n' && is != '\r' {
		return 0, 0
	}
	return is, end + 1
}

func digit(b byte) rune {
	switch {
	case '0' <= b && b <= '9':
		return rune(b - '0')
	case 'a' <= b && b <= 'f':
		return rune(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return rune(b-'A') + 10
	}
	return 16
}

// Text appends a value to dst with its references resolved. It appends nothing and
// reports false if dst has no room for it.
func Text(dst, value []byte) ([]byte, bool) {
	if len(value) > cap(dst)-len(dst) {
		return dst, false
	}
	for i := 0; i < len(value); {
		if value[i] == '&' {
			is, n := reference(value[i:])
			dst = utf8.AppendRune(dst, is)
			i += n
			continue
		}
		dst = append(dst, value[i])
		i++
	}
	return dst, true
}
