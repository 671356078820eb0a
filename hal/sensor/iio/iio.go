// Package iio samples converters of Linux (Industrial I/O), and thermistors that hang
// on them.
//
// Start at [Open]. A channel is a device, found by the name its driver gives it, and an
// input of it, such as "voltage0"; its value in mV is (raw + offset) times scale, where
// scale and offset may be the channel's own or those of its kind. With a [Thermistor]
// a channel is a temperature. Sources: Documentation/ABI/testing/sysfs-bus-iio of Linux.
package iio

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"platen/hal"
	"platen/hal/sensor"
	"platen/hal/unit"
)

// Channel is one input of a converter.
type Channel struct {
	Name       string      // of its samples
	Device     string      // what the device's file name says, such as "ads1015"
	Input      string      // such as "voltage0"
	Thermistor *Thermistor // nil: the sample is the voltage in mV
}

// Sensor samples channels. It implements hal.Sensor and belongs to one goroutine.
type Sensor struct {
	channels []Channel
	raw      []*sensor.Attribute
	scale    []float64 // mV a step
	offset   []float64 // steps
	missing  []error
}

// Open opens the channels below root, which is "/sys" on a board. Channels that are not
// there are missing from then on; Open fails for what makes no sense. Scale and offset
// are read once: nobody changes the range of a converter while it is in use.
func Open(root string, channels []Channel) (*Sensor, error) {
	n := len(channels)
	if n > sensor.MaxChannels {
		return nil, fmt.Errorf("iio: %d channels are more than %d", n, sensor.MaxChannels)
	}
	s := &Sensor{channels: channels, raw: make([]*sensor.Attribute, n), scale: make([]float64, n), offset: make([]float64, n), missing: make([]error, n)}
	for i, c := range channels {
		if c.Input == "" || strings.ContainsAny(c.Input, "/.") {
			s.Close()
			return nil, fmt.Errorf("iio: %q is no input such as voltage0", c.Input)
		}
		if c.Thermistor != nil {
			if err := c.Thermistor.Check(); err != nil {
				s.Close()
				return nil, err
			}
		}
		s.missing[i] = s.open(root, i, c)
	}
	return s, nil
}

func (s *Sensor) open(root string, i int, c Channel) error {
	dir, err := find(root, c.Device)
	if err != nil {
		return err
	}
	kind := strings.TrimRight(c.Input, "0123456789-")
	ok := false
	if s.scale[i], ok = number(dir, "in_"+c.Input+"_scale", "in_"+kind+"_scale"); !ok || !(s.scale[i] > 0) {
		return fmt.Errorf("iio: %s of %s has no scale: %w", c.Input, c.Device, sensor.ErrMissing)
	}
	s.offset[i], _ = number(dir, "in_"+c.Input+"_offset", "in_"+kind+"_offset") // most have none
	s.raw[i], err = sensor.OpenAttribute(filepath.Join(dir, "in_"+c.Input+"_raw"))
	return err
}

// number is what the first of the files that is there says.
func number(dir string, names ...string) (float64, bool) {
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
		return v, err == nil && !math.IsInf(v, 0) && !math.IsNaN(v)
	}
	return 0, false
}

func find(root, device string) (string, error) {
	dirs, err := filepath.Glob(filepath.Join(root, "bus/iio/devices/iio:device*"))
	if err != nil {
		return "", err
	}
	for _, d := range dirs {
		if text, err := os.ReadFile(filepath.Join(d, "name")); err == nil && strings.TrimSpace(string(text)) == device {
			return d, nil
		}
	}
	return "", fmt.Errorf("iio: no device %s: %w", device, sensor.ErrMissing)
}

// AppendSamples samples all channels: mV, or 1/1000 °C of a thermistor.
func (s *Sensor) AppendSamples(_ context.Context, dst []hal.Sample) ([]hal.Sample, error) {
	var lost *sensor.Lost
	for i := range s.channels {
		v, err := s.read(i)
		if err != nil {
			lost = lost.Note(i, err)
			continue
		}
		dst = append(dst, hal.Sample{Name: s.channels[i].Name, Value: v, At: time.Now()})
	}
	return dst, lost.Err()
}

func (s *Sensor) read(i int) (int64, error) {
	if s.missing[i] != nil {
		return 0, s.missing[i]
	}
	raw, err := s.raw[i].Int()
	if err != nil {
		return 0, err
	}
	mv := (float64(raw) + s.offset[i]) * s.scale[i]
	if t := s.channels[i].Thermistor; t != nil {
		c, err := t.temperature(mv)
		return int64(c), err
	}
	return int64(math.Round(mv)), nil
}

// Close closes what is open.
func (s *Sensor) Close() error {
	for _, a := range s.raw {
		if a != nil {
			a.Close()
		}
	}
	return nil
}

// Ohm is a resistance, Millivolt a voltage, Kelvin the constant B of a thermistor, and
// Coefficient one of those of Steinhart and Hart.
type (
	Ohm         int64
	Millivolt   int32
	Kelvin      int32
	Coefficient float64
)

// Thermistor is one with a negative coefficient between the input and ground, and a
// resistor from the input to a supply. It is described by R25 and Beta, or by the three
// coefficients of Steinhart and Hart: 1/T = A + B ln R + C (ln R)³.
type Thermistor struct {
	Supply  Millivolt
	Pullup  Ohm
	R25     Ohm // at 25 °C
	Beta    Kelvin
	A, B, C Coefficient // instead of R25 and Beta
}

// zeroCelsius is 0 °C in kelvin.
const zeroCelsius = 273.15

// Check says whether t can be a thermistor.
func (t *Thermistor) Check() error {
	beta := t.R25 > 0 && t.Beta > 0
	sh := t.A != 0 || t.B != 0 || t.C != 0
	switch {
	case t.Supply <= 0 || t.Pullup <= 0:
		return fmt.Errorf("thermistor: supply and pullup must be above zero")
	case beta == sh:
		return fmt.Errorf("thermistor: give r25 and beta, or a, b and c, and not both")
	case beta && (t.Beta < 1000 || t.Beta > 10000 || t.R25 > 10_000_000):
		return fmt.Errorf("thermistor: a beta of %d K or %d ohm at 25 °C is none that is sold", t.Beta, t.R25)
	}
	return nil
}

// What the wires say.
var (
	errOpen  = fmt.Errorf("iio: the thermistor is not connected: %w", sensor.ErrMissing)
	errShort = fmt.Errorf("iio: the thermistor is shorted: %w", sensor.ErrMissing)
)

// temperature turns a voltage at the input into a temperature. Within 1 % of either end
// nothing can be told.
func (t *Thermistor) temperature(mv float64) (unit.Celsius, error) {
	share := mv / float64(t.Supply)
	switch {
	case !(share < 0.99):
		return 0, errOpen
	case share < 0.01:
		return 0, errShort
	}
	r := float64(t.Pullup) * share / (1 - share)
	inverse := 1/(25+zeroCelsius) + math.Log(r/float64(t.R25))/float64(t.Beta)
	if t.A != 0 || t.B != 0 || t.C != 0 {
		l := math.Log(r)
		inverse = float64(t.A) + float64(t.B)*l + float64(t.C)*l*l*l
	}
	c, err := unit.FromDegrees(1/inverse - zeroCelsius)
	if err != nil || c < -100*unit.Degree || c > 1000*unit.Degree {
		return 0, fmt.Errorf("iio: the thermistor's temperature makes no sense: %w", sensor.ErrMissing)
	}
	return c, nil
}
