// Package w1 samples thermometers on a 1-wire bus of Linux (DS18B20 and its like).
//
// Start at [Open]. Each reading makes the thermometer measure, which takes it up to
// 0.75 s: sample from a goroutine that has the time. A reading is believed if the
// kernel and our own check of its nine bytes find the checksum right, if the bytes are
// not all zero, which is what a shorted bus looks like and has a right checksum, and if
// it is not the 85 °C that a thermometer says that has lost its power in between.
// Sources: Documentation/w1/slaves/w1_therm.rst of Linux, the data sheet of the DS18B20
// (memory map, table "temperature/data relationship").
package w1

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"platen/hal"
	"platen/hal/sensor"
)

// Channel is one thermometer.
type Channel struct {
	Name string // of its samples
	ID   string // family and serial number, as in its folder's name: "28-0316a2790cff"
}

// Sensor samples thermometers. It implements hal.Sensor and belongs to one goroutine.
type Sensor struct {
	channels []Channel
	files    []*sensor.Attribute
	missing  []error
	last     []int64 // of what was believed
	known    []bool
}

// Open opens the thermometers below root, which is "/sys" on a board. Those that are not
// there are missing from then on; Open fails for an id that is none.
func Open(root string, channels []Channel) (*Sensor, error) {
	n := len(channels)
	if n > sensor.MaxChannels {
		return nil, fmt.Errorf("w1: %d channels are more than %d", n, sensor.MaxChannels)
	}
	s := &Sensor{channels: channels, files: make([]*sensor.Attribute, n), missing: make([]error, n), last: make([]int64, n), known: make([]bool, n)}
	for i, c := range channels {
		if len(c.ID) != 15 || c.ID[2] != '-' || strings.ContainsAny(c.ID, "/.") {
			s.Close()
			return nil, fmt.Errorf("w1: %q is no id such as 28-0316a2790cff", c.ID)
		}
		s.files[i], s.missing[i] = sensor.OpenAttribute(filepath.Join(root, "bus/w1/devices", c.ID, "w1_slave"))
	}
	return s, nil
}

// AppendSamples samples all thermometers in 1/1000 °C. It takes up to 0.75 s for each
// and cannot be interrupted while one measures.
func (s *Sensor) AppendSamples(ctx context.Context, dst []hal.Sample) ([]hal.Sample, error) {
	var lost *sensor.Lost
	for i := range s.channels {
		if err := ctx.Err(); err != nil {
			return dst, err
		}
		v, err := s.read(i)
		if err != nil {
			lost = lost.Note(i, err)
			continue
		}
		dst = append(dst, hal.Sample{Name: s.channels[i].Name, Value: v, At: time.Now()})
	}
	return dst, lost.Err()
}

// Why a reading is not believed.
var (
	errForm    = fmt.Errorf("w1: the answer has an unknown form: %w", sensor.ErrMissing)
	errCRC     = fmt.Errorf("w1: the checksum is wrong: %w", sensor.ErrMissing)
	errZero    = fmt.Errorf("w1: the bus says nothing but zeros: %w", sensor.ErrMissing)
	errPowerOn = fmt.Errorf("w1: the thermometer lost its power: %w", sensor.ErrMissing)
)

// powerOn is what a thermometer says that has not measured since it got its power, and
// near how far a believed one has to have been from it before.
const (
	powerOn = 85_000
	near    = 10_000
)

func (s *Sensor) read(i int) (int64, error) {
	if s.missing[i] != nil {
		return 0, s.missing[i]
	}
	text, err := s.files[i].Text()
	if err != nil {
		return 0, err
	}
	v, err := parse(text)
	if err != nil {
		return 0, err
	}
	if v == powerOn && !(s.known[i] && s.last[i] > powerOn-near && s.last[i] < powerOn+near) {
		return 0, errPowerOn
	}
	s.last[i], s.known[i] = v, true
	return v, nil
}

// parse reads the two lines of w1_slave:
//
//	72 01 4b 46 7f ff 0e 10 57 : crc=57 YES
//	72 01 4b 46 7f ff 0e 10 57 t=23125
func parse(text []byte) (int64, error) {
	first, second, ok := bytes.Cut(text, []byte("\n"))
	if !ok {
		return 0, errForm
	}
	var pad [9]byte
	if !scratchpad(first, &pad) {
		return 0, errForm
	}
	if pad == ([9]byte{}) {
		return 0, errZero
	}
	if !bytes.HasSuffix(first, []byte(" YES")) || crc(pad[:8]) != pad[8] {
		return 0, errCRC
	}
	_, value, ok := bytes.Cut(second, []byte("t="))
	v, number := sensor.ParseInt(value)
	if !ok || !number || v < -55_000 || v > 125_000 { // the range of the DS18B20
		return 0, errForm
	}
	return v, nil
}

// scratchpad reads nine bytes in hexadecimal.
func scratchpad(line []byte, pad *[9]byte) bool {
	if len(line) < 27 {
		return false
	}
	for i := range pad {
		hi, ok1 := nibble(line[3*i])
		lo, ok2 := nibble(line[3*i+1])
		if !ok1 || !ok2 || line[3*i+2] != ' ' {
			return false
		}
		pad[i] = hi<<4 | lo
	}
	return true
}

func nibble(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// crc is the checksum of the 1-wire bus: x⁸ + x⁵ + x⁴ + 1, low bit first.
func crc(b []byte) byte {
	var c byte
	for _, v := range b {
		c ^= v
		for range 8 {
			low := c & 1
			c >>= 1
			if low != 0 {
				c ^= 0x8c
			}
		}
	}
	return c
}

// Close closes what is open.
func (s *Sensor) Close() error {
	for _, a := range s.files {
		if a != nil {
			a.Close()
		}
	}
	return nil
}
