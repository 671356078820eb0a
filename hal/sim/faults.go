package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Chance is a probability in parts per million.
type Chance uint32

// Always is the chance of what always happens.
const Always Chance = 1_000_000

// Faults is what goes wrong, and when. Chances are drawn from the seed of the
// Config; times are simulated, from power-on, and zero means never.
type Faults struct {
	Corrupt Chance // a line to the firmware has one bit flipped
	DropOK  Chance // an ok is lost
	DupOK   Chance // an ok arrives twice

	ResetAt          time.Duration // the controller restarts by itself
	ThermistorOpenAt time.Duration // the wire of the hot end's sensor breaks
	HeaterDeadAt     time.Duration // the hot end's heater stops heating
	UnplugAt         time.Duration // the cable is pulled
}

func (f Faults) check() error {
	for _, c := range []Chance{f.Corrupt, f.DropOK, f.DupOK} {
		if c > Always {
			return fmt.Errorf("simulated printer: chance of a fault is above one")
		}
	}
	for _, d := range []time.Duration{f.ResetAt, f.ThermistorOpenAt, f.HeaterDeadAt, f.UnplugAt} {
		if d < 0 {
			return fmt.Errorf("simulated printer: time of a fault is below zero")
		}
	}
	return nil
}

// ParseFaults reads a list such as "corrupt:0.01,drop-ok:0.002,reset@90s". Faults
// with a chance are corrupt, drop-ok and dup-ok; faults with a time, in seconds or
// as a Go duration, are reset, thermistor-open, heater-dead and unplug.
func ParseFaults(s string) (Faults, error) {
	var f Faults
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		if err := f.parse(item); err != nil {
			return Faults{}, fmt.Errorf("fault %q: %w", item, err)
		}
	}
	return f, nil
}

func (f *Faults) parse(item string) error {
	chances := map[string]*Chance{"corrupt": &f.Corrupt, "drop-ok": &f.DropOK, "dup-ok": &f.DupOK}
	times := map[string]*time.Duration{
		"reset": &f.ResetAt, "thermistor-open": &f.ThermistorOpenAt,
		"heater-dead": &f.HeaterDeadAt, "unplug": &f.UnplugAt,
	}
	if name, v, ok := strings.Cut(item, ":"); ok && chances[name] != nil {
		p, err := strconv.ParseFloat(v, 64)
		if err != nil || !(p >= 0 && p <= 1) {
			return fmt.Errorf("chance has to be a number from 0 to 1")
		}
		*chances[name] = Chance(p*float64(Always) + 0.5)
		return nil
	}
	if name, v, ok := strings.Cut(item, "@"); ok && times[name] != nil {
		d, err := time.ParseDuration(v)
		if err != nil {
			d, err = time.ParseDuration(v + "s")
		}
		if err != nil || d <= 0 {
			return fmt.Errorf("time has to be above zero, in seconds or like 1m30s")
		}
		*times[name] = d
		return nil
	}
	return fmt.Errorf("not known: use corrupt:P, drop-ok:P, dup-ok:P, reset@T, thermistor-open@T, heater-dead@T or unplug@T")
}
