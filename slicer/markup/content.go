package markup

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Content appends the text of the element that began to dst, references resolved, and
// passes over its end. It is ErrFormat if there are elements in it, or more text than
// dst has room for. The name of the element is lost by it.
func (r *Reader) Content(dst []byte) ([]byte, error) {
	if r.empty {
		return dst, nil
	}
	for depth := r.depth; ; {
		var err error
		if dst, err = r.copyText(dst); err != nil {
			return dst, err
		}
		switch b := r.buf[r.i:r.n]; {
		case bytes.HasPrefix(b, []byte("<![CDATA[")):
			dst, err = r.copyPlain(dst)
		case bytes.HasPrefix(b, []byte("<!--")), bytes.HasPrefix(b, []byte("<?")):
			err = r.passOver(b[1] == '?')
		case bytes.HasPrefix(b, []byte("</")):
			err = r.endTag()
		default:
			return dst, fmt.Errorf("%w (an element where text must be)", ErrFormat)
		}
		if err != nil || r.depth < depth {
			return dst, err
		}
	}
}

func (r *Reader) passOver(instruction bool) error {
	if instruction {
		return r.instruction()
	}
	return r.pass("-->", 4)
}

// copyText appends text up to the next tag, which is then at the front of the buffer
// for as far as it takes to tell what it is.
func (r *Reader) copyText(dst []byte) ([]byte, error) {
	for {
		if err := r.need(mostReference); err != nil {
			return dst, err
		}
		b := r.buf[r.i:r.n]
		at := bytes.IndexAny(b, "<&")
		if at < 0 {
			at = len(b)
		}
		if at > cap(dst)-len(dst) {
			return dst, errText
		}
		dst = append(dst, b[:at]...)
		r.i += at
		switch {
		case r.i == r.n && r.ended:
			return dst, fmt.Errorf("%w (it ends too early)", ErrFormat)
		case at == len(b):
		case b[at] == '<':
			return dst, r.need(mostReference)
		default:
			if err := r.need(mostReference); err != nil {
				return dst, err
			}
			is, n := reference(r.buf[r.i:min(r.n, r.i+mostReference)])
			if n == 0 {
				return dst, fmt.Errorf("%w (an unknown entity)", ErrFormat)
			}
			if utf8.UTFMax > cap(dst)-len(dst) {
				return dst, errText
			}
			dst = utf8.AppendRune(dst, is)
			r.i += n
		}
	}
}

// copyPlain appends a section of plain text.
func (r *Reader) copyPlain(dst []byte) ([]byte, error) {
	const head, tail = len("<![CDATA["), "]]>"
	end, err := r.find(tail, head)
	if err != nil {
		return dst, err
	}
	b := r.buf[r.i+head : r.i+end]
	if len(b) > cap(dst)-len(dst) {
		return dst, errText
	}
	r.i += end + len(tail)
	return append(dst, b...), nil
}

var errText = fmt.Errorf("%w (a text is too long)", ErrFormat)
