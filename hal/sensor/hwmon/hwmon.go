// Package hwmon samples the hardware monitoring chips of Linux: temperatures, fans and
// voltages under /sys/class/hwmon.
//
// Start at [Open]. A channel is a chip and an input of it; since the numbers of chips
// change from boot to boot, a chip is found by the name its driver gives it. Sources:
// Documentation/hwmon/sysfs-interface.rst of Linux.
package hwmon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"platen/hal"
	"platen/hal/sensor"
)

// Channel is one input of one chip.
type Channel struct {
	Name  string // of its samples
	Chip  string // what the chip's file name says, such as "lm75"; or "label/NAME" by its label
	Input string // "temp1" in 1/1000 °C, "fan2" in revolutions a minute, "in0" in mV
}

// Sensor samples channels. It implements hal.Sensor and belongs to one goroutine.
type Sensor struct {
	channels []Channel
	inputs   []input
	missing  []error // why channel n was not opened
}

type input struct {
	value, fault *sensor.Attribute // fault is nil if the driver has none
}

// Open opens the channels below root, which is "/sys" on a board. Channels that are not
// there are missing from then on; Open fails only for a channel that makes no sense.
func Open(root string, channels []Channel) (*Sensor, error) {
	if len(channels) > sensor.MaxChannels {
		return nil, fmt.Errorf("hwmon: %d channels are more than %d", len(channels), sensor.MaxChannels)
	}
	s := &Sensor{channels: channels, inputs: make([]input, len(channels)), missing: make([]error, len(channels))}
	for i, c := range channels {
		if !known(c.Input) {
			s.Close()
			return nil, fmt.Errorf("hwmon: %q is no input such as temp1, fan1 or in0", c.Input)
		}
		s.missing[i] = s.open(root, i, c)
	}
	return s, nil
}

// known reports whether name is an input of a kind that is read here.
func known(name string) bool {
	for _, kind := range [...]string{"temp", "fan", "in"} {
		if n, ok := strings.CutPrefix(name, kind); ok {
			v, ok := sensor.ParseInt([]byte(n))
			return ok && v >= 0 && v < 1000
		}
	}
	return false
}

func (s *Sensor) open(root string, i int, c Channel) error {
	dir, err := find(root, c.Chip)
	if err != nil {
		return err
	}
	if s.inputs[i].value, err = sensor.OpenAttribute(filepath.Join(dir, c.Input+"_input")); err != nil {
		return err
	}
	s.inputs[i].fault, _ = sensor.OpenAttribute(filepath.Join(dir, c.Input+"_fault")) // most have none
	return nil
}

// find returns the folder of a chip. Old drivers keep their files in device/.
func find(root, chip string) (string, error) {
	file, want := "name", chip
	if label, ok := strings.CutPrefix(chip, "label/"); ok {
		file, want = "label", label
	}
	dirs, err := filepath.Glob(filepath.Join(root, "class/hwmon/hwmon*"))
	if err != nil {
		return "", err
	}
	for _, d := range dirs {
		for _, dir := range [...]string{d, filepath.Join(d, "device")} {
			if text, err := os.ReadFile(filepath.Join(dir, file)); err == nil && strings.TrimSpace(string(text)) == want {
				return dir, nil
			}
		}
	}
	return "", fmt.Errorf("hwmon: no chip %s: %w", chip, sensor.ErrMissing)
}

// errFault is a channel whose chip says that its sensor is broken.
var errFault = fmt.Errorf("hwmon: the chip reports a fault of the input: %w", sensor.ErrMissing)

// AppendSamples samples all channels: 1/1000 °C, revolutions a minute, mV.
func (s *Sensor) AppendSamples(_ context.Context, dst []hal.Sample) ([]hal.Sample, error) {
	var lost *sensor.Lost
	for i := range s.inputs {
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
	in := &s.inputs[i]
	if in.fault != nil {
		if bad, err := in.fault.Int(); err != nil || bad != 0 {
			return 0, errFault
		}
	}
	return in.value.Int()
}

// Close closes what is open.
func (s *Sensor) Close() error {
	for _, in := range s.inputs {
		for _, a := range [...]*sensor.Attribute{in.value, in.fault} {
			if a != nil {
				a.Close()
			}
		}
	}
	return nil
}
