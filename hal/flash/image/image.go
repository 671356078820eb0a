// Package image reads firmware images for a controller: raw binaries and Intel HEX.
// Start at [Parse].
//
// An image is checked before a byte of it goes anywhere: every record of a HEX file,
// that nothing lies outside the application's part of the flash, that nothing is given
// twice, and that it begins where the application begins. Firmware images are published
// files and not design data; still, errors give lines and addresses and no contents.
package image

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"platen/hal/flash/loader"
)

// Format is how an image is written down.
type Format uint8

// The formats.
const (
	Binary Format = iota + 1 // the bytes, from the application's start on
	Hex                      // Intel HEX, revision A of 1988
)

// ErrImage reports an image that is damaged or not for this board.
var ErrImage = errors.New("the firmware image cannot be used")

// Image is a checked image: the contents of the application area from its start on.
// What a HEX file leaves out is blank.
type Image struct{ data []byte }

// Size is the number of bytes up to the last one given.
func (m *Image) Size() int { return len(m.data) }

// Digest is the SHA-256 of these bytes.
func (m *Image) Digest() [32]byte { return sha256.Sum256(m.data) }

// Bytes returns the bytes; they must not be changed.
func (m *Image) Bytes() []byte { return m.data }

// Page fills dst with page n of the image under a layout, blank behind its end.
func (m *Image) Page(l loader.Layout, n int, dst []byte) {
	at, _ := l.Page(n)
	c := 0
	if at < len(m.data) {
		c = copy(dst, m.data[at:])
	}
	for i := c; i < len(dst); i++ {
		dst[i] = 0xff
	}
}

// Parse reads an image of a format for a layout. Errors wrap ErrImage, or are what r
// returns.
func Parse(r io.Reader, f Format, l loader.Layout) (*Image, error) {
	var (
		data []byte
		err  error
	)
	switch f {
	case Binary:
		data, err = parseBinary(r, l)
	case Hex:
		// A byte of data takes 13 characters if it stands alone in its record.
		data, err = parseHex(bufio.NewReaderSize(io.LimitReader(r, 16*int64(l.Size())+64<<10), 1024), l)
	default:
		return nil, fmt.Errorf("unknown image format: %w", ErrImage)
	}
	if err != nil {
		return nil, err
	}
	if len(data) < 4 || loader.Blank(data[:4]) || binary.LittleEndian.Uint32(data) == 0 {
		return nil, fmt.Errorf("it does not begin at %#x, where the application begins: %w", l.Start(), ErrImage)
	}
	return &Image{data}, nil
}

func parseBinary(r io.Reader, l loader.Layout) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(l.Size())+1))
	if err != nil {
		return nil, fmt.Errorf("read the firmware image: %w", err)
	}
	if len(data) > l.Size() {
		return nil, fmt.Errorf("it is larger than the %d bytes there is room for: %w", l.Size(), ErrImage)
	}
	return data, nil
}

// CheckVectors reports whether the image is one for a Cortex-M that runs at the layout's
// start: its stack lies in RAM, and its reset vector within the image. An image that
// was built for another place in the flash is caught by it.
func (m *Image) CheckVectors(l loader.Layout) error {
	if len(m.data) < 8 {
		return fmt.Errorf("it has no vector table: %w", ErrImage)
	}
	sp, pc := binary.LittleEndian.Uint32(m.data), binary.LittleEndian.Uint32(m.data[4:])
	if sp < 0x10000000 || sp >= 0x40000000 || sp%4 != 0 { // CCM, DTCM and SRAM of every STM32 and RP2040
		return fmt.Errorf("its stack does not lie in RAM: %w", ErrImage)
	}
	start := uint64(l.Start())
	if pc%2 != 1 || uint64(pc) < start || uint64(pc) >= start+uint64(len(m.data)) {
		return fmt.Errorf("it was built for another address than %#x: %w", l.Start(), ErrImage)
	}
	return nil
}
