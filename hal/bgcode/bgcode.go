// Package bgcode reads Prusa's binary G-code (.bgcode): a file of blocks, each with a
// checksum, that hold metadata, pictures and packed G-code.
//
// Start at [NewReader], which turns such a file into the G-code text it stands for,
// block by block, for whatever reads G-code files. A block is checked before a byte of
// it is handed out. Metadata and pictures are passed over: what a program may do is
// said by its commands, and those are judged elsewhere.
//
// The format is that of doc/specifications.md of libbgcode, version 1. G-code may be
// stored as it is or by deflate (with the frame of zlib, RFC 1950) or heatshrink, and
// beneath that as text or by MeatPack, with or without comments.
//
// Memory is that of the caller (see [Memory]) but for the window of deflate. Whatever
// the file says of sizes, nothing is allocated by it.
package bgcode

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

// Memory is how many bytes [NewReader] needs to be given: the largest block of G-code
// it takes, packed. PrusaSlicer packs 64 KiB at a time.
const Memory = 256 << 10

// Bounds of what a block may say of itself.
const (
	maxText = 1 << 20  // G-code of one block, unpacked
	maxSkip = 16 << 20 // a picture, or metadata
)

// ErrFormat reports a file that is not binary G-code as the specification has it, or
// that was damaged or cut off. The text says which block and what is wrong with it.
var ErrFormat = errors.New("not a sound binary G-code file")

// magic is what every file begins with.
const magic = "GCDE"

// Is reports whether a file that begins with head, of which four bytes are needed, is
// binary G-code.
func Is(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }

// Kinds of block (specifications.md, "Block header").
const (
	fileMetadata = iota
	gcodeBlock
	slicerMetadata
	printerMetadata
	printMetadata
	thumbnail
	kinds
)

// Ways of compression (ibid.).
const (
	stored = iota
	deflated
	heatshrink11
	heatshrink12
)

// Encodings of G-code (specifications.md, "GCode").
const (
	plainText = iota
	meatPack
	meatPackComments
)

// block is the header of a block and the first of its parameters.
type block struct {
	kind, compression, encoding uint16
	text, size                  uint32 // unpacked and as stored
}

// Reader is the G-code text of a binary file. It must be read by one goroutine.
type Reader struct {
	src     io.Reader
	mem     []byte
	crc     hash.Hash32
	checked bool // blocks have a checksum
	opened  bool
	n       int // block being read, from 1
	found   bool
	text    io.Reader // of the present block; nil between blocks
	packed  bytes.Reader
	shrink  heatshrink
	meat    meat
	inflate io.ReadCloser
	err     error
}

// NewReader reads the file src. mem is working memory of at least [Memory] bytes, which
// holds pieces of the file until the last Read; it fails with an error if it is less.
func NewReader(src io.Reader, mem []byte) (*Reader, error) {
	if len(mem) < Memory {
		return nil, fmt.Errorf("read binary G-code: %d bytes of memory, %d are needed", len(mem), Memory)
	}
	return &Reader{src: src, mem: mem[:Memory], crc: crc32.NewIEEE()}, nil
}

// String hides the text.
func (r *Reader) String() string { return "binary G-code" }

// Read reads G-code text. It ends with io.EOF behind the last block, with [ErrFormat],
// or with the error of the source.
func (r *Reader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.text == nil {
			r.err = r.next()
			continue
		}
		n, err := r.text.Read(p)
		switch {
		case err == io.EOF:
			r.text = nil
		case err != nil:
			r.err = r.wrong(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}

// wrong says in which block err came up.
func (r *Reader) wrong(err error) error {
	return fmt.Errorf("%w: block %d: %v", ErrFormat, r.n, err)
}

// next opens the next block of G-code; io.EOF is the end of the file.
func (r *Reader) next() error {
	if !r.opened {
		if err := r.open(); err != nil {
			return err
		}
	}
	for {
		r.n++
		b, err := r.header()
		if err != nil {
			return err
		}
		if b.kind != gcodeBlock {
			if err := r.skip(b); err != nil {
				return err
			}
			continue
		}
		r.found = true
		return r.unpack(b)
	}
}

// open reads the header of the file.
func (r *Reader) open() error {
	var h [10]byte
	if _, err := io.ReadFull(r.src, h[:]); err != nil {
		return r.cut(err)
	}
	switch version, check := binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint16(h[8:]); {
	case !Is(h[:]):
		return fmt.Errorf("%w: it does not begin with %s", ErrFormat, magic)
	case version != 1:
		return fmt.Errorf("%w: version %d is not known: export it as text", ErrFormat, version)
	case check > 1:
		return fmt.Errorf("%w: checksums of kind %d are not known: export it as text", ErrFormat, check)
	default:
		r.checked = check == 1
	}
	r.opened = true
	return nil
}

// cut turns the end of the source into what it means here.
func (r *Reader) cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return r.wrong(errors.New("the file ends within it: copy it again"))
	}
	return fmt.Errorf("read binary G-code: %w", err)
}

// header reads the header of a block and the encoding that follows it.
func (r *Reader) header() (block, error) {
	var h [14]byte
	r.crc.Reset()
	if n, err := io.ReadFull(r.src, h[:8]); n == 0 && err == io.EOF {
		if !r.found {
			return block{}, r.wrong(errors.New("the file holds no G-code"))
		}
		return block{}, io.EOF
	} else if err != nil {
		return block{}, r.cut(err)
	}
	b := block{kind: binary.LittleEndian.Uint16(h[:]), compression: binary.LittleEndian.Uint16(h[2:]), text: binary.LittleEndian.Uint32(h[4:])}
	rest := h[8:10]
	if b.size = b.text; b.compression != stored {
		rest = h[8:14]
	}
	if _, err := io.ReadFull(r.src, rest); err != nil {
		return block{}, r.cut(err)
	}
	if b.compression != stored {
		b.size = binary.LittleEndian.Uint32(rest)
	}
	b.encoding = binary.LittleEndian.Uint16(rest[len(rest)-2:])
	r.crc.Write(h[:8+len(rest)])
	return b, r.judge(b)
}

// judge refuses a block whose header makes no sense before anything of it is read.
func (r *Reader) judge(b block) error {
	switch {
	case b.kind >= kinds:
		return r.wrong(fmt.Errorf("kind %d is not known: export the file as text", b.kind))
	case b.compression > heatshrink12:
		return r.wrong(fmt.Errorf("compression %d is not known: export the file as text", b.compression))
	case b.kind != gcodeBlock && max(b.text, b.size) > maxSkip:
		return r.wrong(errors.New("it is too large: export the file without pictures"))
	case b.kind != gcodeBlock:
		return nil
	case b.encoding > meatPackComments:
		return r.wrong(fmt.Errorf("encoding %d is not known: export the file as text", b.encoding))
	case b.size > Memory || b.text > maxText:
		return r.wrong(errors.New("it is too large: export the file as text"))
	}
	return nil
}

// skip passes over a block and checks it all the same. A picture has two more
// parameters than the others.
func (r *Reader) skip(b block) error {
	n := int64(b.size)
	if b.kind == thumbnail {
		n += 4
	}
	for n > 0 {
		p := r.mem[:min(n, Memory)]
		if _, err := io.ReadFull(r.src, p); err != nil {
			return r.cut(err)
		}
		r.crc.Write(p)
		n -= int64(len(p))
	}
	return r.check()
}

// check reads the checksum at the end of a block and compares.
func (r *Reader) check() error {
	if !r.checked {
		return nil
	}
	var sum [4]byte
	if _, err := io.ReadFull(r.src, sum[:]); err != nil {
		return r.cut(err)
	}
	if binary.LittleEndian.Uint32(sum[:]) != r.crc.Sum32() {
		return r.wrong(errors.New("its checksum is wrong, so it was damaged: copy it again"))
	}
	return nil
}

// unpack reads a block of G-code, checks it and makes its text ready to be read.
func (r *Reader) unpack(b block) error {
	data := r.mem[:b.size]
	if _, err := io.ReadFull(r.src, data); err != nil {
		return r.cut(err)
	}
	r.crc.Write(data)
	if err := r.check(); err != nil {
		return err
	}
	r.packed.Reset(data)
	in := io.Reader(&r.packed)
	switch b.compression {
	case deflated:
		if err := r.openDeflate(); err != nil {
			return r.wrong(err)
		}
		in = r.inflate
	case heatshrink11, heatshrink12:
		r.shrink.reset(&r.packed, 11+uint(b.compression-heatshrink11), int(b.text))
		in = &r.shrink
	}
	in = &exactly{in, int64(b.text)}
	if b.encoding != plainText {
		r.meat.reset(in)
		in = &r.meat
	}
	r.text = in
	return nil
}

func (r *Reader) openDeflate() (err error) {
	if r.inflate == nil {
		r.inflate, err = zlib.NewReader(&r.packed)
		return err
	}
	return r.inflate.(zlib.Resetter).Reset(&r.packed, nil)
}

// exactly passes on n bytes, and fails if there are fewer or more.
type exactly struct {
	r io.Reader
	n int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.n == 0 {
		var one [1]byte
		if n, err := io.ReadFull(e.r, one[:]); n > 0 || err != io.EOF {
			return 0, errors.Join(errors.New("it unpacks to more than it says"), err)
		}
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.n)])
	e.n -= int64(n)
	if err == io.EOF && e.n > 0 {
		return n, errors.New("it unpacks to less than it says")
	}
	if err == io.EOF {
		err = nil // looked at again when all is asked for
	}
	return n, err
}
