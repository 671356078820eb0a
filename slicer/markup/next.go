package markup

import (
	"bytes"
	"fmt"
)

// Next goes on to the next tag.
func (r *Reader) Next() (Event, error) {
	for {
		if err := r.text(); err != nil {
			return 0, err
		}
		if r.i == r.n {
			if !r.closed {
				return 0, fmt.Errorf("%w (it ends too early)", ErrFormat)
			}
			return Done, nil
		}
		if err := r.need(9); err != nil { // <![CDATA[
			return 0, err
		}
		if r.n-r.i < 3 {
			return 0, ErrFormat
		}
		switch b := r.buf[r.i+1]; b {
		case '?':
			if err := r.instruction(); err != nil {
				return 0, err
			}
		case '!':
			if err := r.declaration(); err != nil {
				return 0, err
			}
		case '/':
			return End, r.endTag()
		default:
			return Start, r.startTag()
		}
	}
}

// Skip passes over the element that began, with all that is in it.
func (r *Reader) Skip() error {
	if r.empty {
		return nil
	}
	for depth := r.depth; r.depth >= depth; {
		if _, err := r.Next(); err != nil {
			return err
		}
	}
	return nil
}

// text passes over text up to the next tag, and checks references in it.
func (r *Reader) text() error {
	for {
		if r.i == r.n {
			if r.ended {
				return nil
			}
			if err := r.fill(); err != nil {
				return err
			}
			continue
		}
		b := r.buf[r.i:r.n]
		at := bytes.IndexByte(b, '<')
		if at < 0 {
			at = len(b)
		}
		if r.depth == 0 {
			if len(bytes.TrimLeft(b[:at], " \t\r\n")) > 0 {
				return fmt.Errorf("%w (text outside of all elements)", ErrFormat)
			}
		} else if amp := bytes.IndexByte(b[:at], '&'); amp >= 0 {
			r.i += amp
			if err := r.reference(); err != nil {
				return err
			}
			continue
		}
		r.i += at
		if r.i < r.n {
			return nil
		}
	}
}

// mostReference is the longest reference there is, "&#x10FFFF;" with some zeros.
const mostReference = 16

// reference passes over a reference in text.
func (r *Reader) reference() error {
	if err := r.need(mostReference); err != nil {
		return err
	}
	n := referenceLength(r.buf[r.i:min(r.n, r.i+mostReference)])
	if n == 0 {
		return fmt.Errorf("%w (an unknown entity)", ErrFormat)
	}
	r.i += n
	return nil
}

// instruction passes over <?…?>. The one that says what encoding the document has
// must say UTF-8.
func (r *Reader) instruction() error {
	end, err := r.find("?>", 2)
	if err != nil {
		return err
	}
	body := r.buf[r.i+2 : r.i+end]
	if len(body) >= 3 && string(body[:3]) == "xml" && (len(body) == 3 || isSpace(body[3])) {
		if at := bytes.Index(body, []byte("encoding")); at >= 0 {
			value := bytes.TrimLeft(body[at+len("encoding"):], "= \t\r\n\"'")
			if len(value) < 5 || !bytes.EqualFold(value[:5], []byte("utf-8")) {
				return fmt.Errorf("%w (it is not in UTF-8)", ErrFormat)
			}
		}
	}
	r.i += end + 2
	return nil
}

// declaration passes over comments and sections of plain text. A document type is
// refused.
func (r *Reader) declaration() error {
	switch b := r.buf[r.i:r.n]; {
	case bytes.HasPrefix(b, []byte("<!--")):
		return r.pass("-->", 4)
	case bytes.HasPrefix(b, []byte("<![CDATA[")) && r.depth > 0:
		return r.pass("]]>", 9)
	case bytes.HasPrefix(b, []byte("<!DOCTYPE")):
		return fmt.Errorf("%w (a document type is not allowed)", ErrFormat)
	}
	return ErrFormat
}

// find returns how far away the given end is, which lies within one tag.
func (r *Reader) find(end string, from int) (int, error) {
	for {
		if r.n-r.i > from {
			if at := bytes.Index(r.buf[r.i+from:r.n], []byte(end)); at >= 0 {
				return from + at, nil
			}
		}
		if r.ended || r.n-r.i > mostTag {
			return 0, errTag
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
}

// pass passes over everything up to and including the given end, of three bytes.
func (r *Reader) pass(end string, from int) error {
	r.i += from
	for {
		if at := bytes.Index(r.buf[r.i:r.n], []byte(end)); at >= 0 {
			r.i += at + len(end)
			return nil
		}
		if r.ended {
			return fmt.Errorf("%w (it ends too early)", ErrFormat)
		}
		r.i = max(r.i, r.n-len(end)+1)
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// endTag reads </name>.
func (r *Reader) endTag() error {
	end, err := r.find(">", 2)
	if err != nil {
		return err
	}
	tag := bytes.TrimRight(r.buf[r.i+2:r.i+end], " \t\r\n")
	r.i += end + 1
	if r.depth == 0 || !bytes.Equal(tag, r.names[r.opened[r.depth-1]:r.nameEnd()]) {
		return fmt.Errorf("%w (an element ends that did not begin)", ErrFormat)
	}
	prefix, local := split(tag)
	r.name, r.space, r.empty, r.n2 = local, r.Prefix(prefix), false, 0
	r.close()
	return nil
}

// nameEnd is where the name of the innermost open element ends in names: where the
// prefixes that it declared begin.
func (r *Reader) nameEnd() int {
	if at := r.marks[r.depth-1]; at < r.nBound {
		return len(r.names) - r.prefixBytes(at)
	}
	return len(r.names)
}

// prefixBytes is what the prefixes from binding i on take.
func (r *Reader) prefixBytes(i int) int {
	n := 0
	for _, b := range r.bound[i:r.nBound] {
		n += len(b.prefix)
	}
	return n
}

func (r *Reader) close() {
	r.depth--
	r.names = r.names[:r.opened[r.depth]]
	r.nBound = r.marks[r.depth]
	r.closed = r.depth == 0
}

// split parts a name at its colon.
func split(name []byte) (prefix, local []byte) {
	if at := bytes.IndexByte(name, ':'); at >= 0 {
		return name[:at], name[at+1:]
	}
	return nil, name
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }
