package image

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"platen/hal/flash/loader"
)

// Record types of Intel HEX.
const (
	recData     = 0
	recEnd      = 1
	recSegment  = 2 // base in units of 16 bytes
	recStartSeg = 3 // where an 8086 starts; means nothing here
	recLinear   = 4 // upper half of the base
	recStartLin = 5 // where to start; the vector table says it
)

// maxLine is the longest record with its line end: 255 bytes of data.
const maxLine = 1 + 2*(5+255) + 2

// hexParser collects the data of one file.
type hexParser struct {
	l     loader.Layout
	data  []byte   // the whole application area
	given []uint64 // one bit for each byte of it
	size  int      // up to the last byte given
	base  uint32
	began bool
	ended bool
}

// parseHex reads Intel HEX. Nothing but complete records is accepted, save comments before
// the first: Prusa's files say there which printer they are for.
func parseHex(r *bufio.Reader, l loader.Layout) ([]byte, error) {
	p := hexParser{l: l, data: bytes.Repeat([]byte{0xff}, l.Size()), given: make([]uint64, (l.Size()+63)/64)}
	for n := 1; ; n++ {
		line, err := readLine(r)
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if err := p.record(line); err != nil {
			return nil, fmt.Errorf("line %d: %w: %w", n, err, ErrImage)
		}
	}
	if !p.ended {
		return nil, fmt.Errorf("its end record is missing: %w", ErrImage)
	}
	return p.data[:p.size], nil
}

// readLine returns a line without its end, LF or CR LF.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine {
		return nil, fmt.Errorf("it is longer than a record can be: %w", ErrImage)
	}
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
		if n > 1 && line[n-2] == '\r' {
			line = line[:n-2]
		}
		return line, nil
	}
	return line, err
}

func (p *hexParser) record(line []byte) error {
	if p.ended {
		if len(line) == 0 {
			return nil
		}
		return errors.New("something follows the end record")
	}
	if !p.began && (len(line) == 0 || line[0] == ';') {
		return nil
	}
	p.began = true
	if len(line) < 11 || line[0] != ':' {
		return errors.New("it is no record of Intel HEX")
	}
	var room [5 + 255]byte
	if len(line)-1 > 2*len(room) {
		return errors.New("it is no record of Intel HEX")
	}
	rec := room[:(len(line)-1)/2]
	if n, err := hex.Decode(rec, line[1:]); err != nil || n != int(rec[0])+5 {
		return errors.New("it is no record of Intel HEX")
	}
	var sum byte
	for _, b := range rec {
		sum += b
	}
	if sum != 0 {
		return errors.New("its checksum is wrong")
	}
	return p.take(rec[3], uint32(rec[1])<<8|uint32(rec[2]), rec[4:len(rec)-1])
}

func (p *hexParser) take(kind byte, offset uint32, data []byte) error {
	want := map[byte]int{recEnd: 0, recSegment: 2, recStartSeg: 4, recLinear: 2, recStartLin: 4}
	if n, ok := want[kind]; kind != recData && (!ok || n != len(data)) {
		return errors.New("its type is unknown or its length wrong")
	}
	switch kind {
	case recEnd:
		p.ended = true
	case recSegment:
		p.base = (uint32(data[0])<<8 | uint32(data[1])) << 4
	case recLinear:
		p.base = uint32(data[0])<<24 | uint32(data[1])<<16
	case recData:
		return p.put(offset, data)
	}
	return nil
}

// put places data. A record that runs over the end of its 64 KiB would wrap or not,
// depending on who reads it, and is refused.
func (p *hexParser) put(offset uint32, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if offset+uint32(len(data)) > 1<<16 {
		return errors.New("it runs over the end of a segment")
	}
	at := int64(p.base) + int64(offset) - int64(p.l.Start())
	end := at + int64(len(data))
	if at < 0 || end > int64(p.l.Size()) {
		return errors.New("it lies outside the application's part of the flash")
	}
	p.size = max(p.size, int(end))
	for i, b := range data {
		n := int(at) + i
		if p.given[n/64]>>(n%64)&1 != 0 {
			return errors.New("it gives a byte that was given before")
		}
		p.given[n/64] |= 1 << (n % 64)
		p.data[n] = b
	}
	return nil
}
