package image

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"platen/hal/flash/loader"
)

// perLine is how many bytes of data a record has that we write.
const perLine = 32

// Encode writes data, which begins where the application area of l does, in a format that
// Parse reads.
func Encode(w io.Writer, data []byte, f Format, l loader.Layout) error {
	switch f {
	case Binary:
		_, err := w.Write(data)
		return err
	case Hex:
		return encodeHex(w, data, uint32(l.Start()))
	}
	return errors.New("unknown image format")
}

func encodeHex(w io.Writer, data []byte, at uint32) error {
	out := bufio.NewWriter(w)
	upper := uint32(0)
	for len(data) > 0 {
		if at>>16 != upper {
			upper = at >> 16
			writeRecord(out, recLinear, 0, []byte{byte(upper >> 8), byte(upper)})
		}
		n := min(len(data), perLine, int(0x10000-at&0xffff))
		writeRecord(out, recData, uint16(at), data[:n])
		at, data = at+uint32(n), data[n:]
	}
	writeRecord(out, recEnd, 0, nil)
	return out.Flush()
}

// writeRecord writes one record; w keeps its errors until it is flushed.
func writeRecord(w *bufio.Writer, kind byte, offset uint16, data []byte) {
	sum := byte(len(data)) + byte(offset>>8) + byte(offset) + kind
	fmt.Fprintf(w, ":%02X%04X%02X", len(data), offset, kind)
	for _, b := range data {
		sum += b
		fmt.Fprintf(w, "%02X", b)
	}
	fmt.Fprintf(w, "%02X\n", -sum)
}
