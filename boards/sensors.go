package boards

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"platen/hal/motion"
	"platen/hal/sensor"
	"platen/hal/sensor/gpio"
	"platen/hal/sensor/iio"
	"platen/hal/unit"
	"platen/hal/watch"
)

// Sensor is one sensor of the box that is not the controller's.
type Sensor struct {
	Name string // what people call it: a to z, 0 to 9, - and _
	Kind string // "hwmon", "iio", "w1" or "gpio": the room of hal/sensor that reads it
	Role Role
	At   string // chip, device or id, by its kind
	Read string // input of the chip or device; nothing for w1 and gpio

	Thermistor *iio.Thermistor // of an iio input that is a temperature
	Pin        gpio.Config     // of a gpio; its use follows from Role
	Pulses     int             // a revolution, of a tachometer
	Fan        watch.Fan       // of Role fan
}

// Role is what a sensor is for.
type Role string

// The roles.
const (
	RoleAmbient     Role = "ambient"     // temperature of the room or the case: cold sensors are compared with it
	RoleTemperature Role = "temperature" // any other, for people to see
	RoleFan         Role = "fan"         // tachometer of a fan
	RoleFilament    Role = "filament"    // a switch: active is filament
	RoleDoor        Role = "door"        // a switch: active is shut
	RoleRun         Role = "run"         // a pin that lets the controller run while a session lives: on its reset line, with a resistor that resets it
	RolePower       Role = "power"       // a pin that enables the heaters' supply while a job is loaded and its session lives
)

// fileSensor is a sensor as it is written.
type fileSensor struct {
	Name string `toml:"name" doc:"what people call it"`
	Kind string `toml:"kind" of:"hwmon iio w1 gpio" doc:"what reads it"`
	Role Role   `toml:"role" of:"ambient temperature fan filament door run power" doc:"what it is for"`
	At   string `toml:"at" doc:"chip, device or id, by its kind"`
	Read string `toml:"read" doc:"input of a hwmon chip or an iio device"`

	Pin      uint32   `toml:"pin"`
	Active   string   `toml:"active" of:"low high"`
	Pull     string   `toml:"pull" of:"up down none"`
	Debounce duration `toml:"debounce"`
	Pulses   int      `toml:"pulses" doc:"of a tachometer, in a revolution"`

	Fan       uint8   `toml:"fan"`
	Cools     string  `toml:"cools" of:"hot_end"`
	LeastDuty percent `toml:"least_duty"`
	LeastRPM  int32   `toml:"least_rpm"`
	Action    string  `toml:"action" of:"ignore pause halt"`

	Supply millivolt `toml:"supply"`
	Pullup ohm       `toml:"pullup"`
	R25    ohm       `toml:"r25"`
	Beta   kelvin    `toml:"beta"`
	A      float64   `toml:"a"`
	B      float64   `toml:"b"`
	C      float64   `toml:"c"`
}

// sensors are the sensors of the box.
func (f *file) sensors(b *Board) ([]Sensor, error) {
	var all []Sensor
	if len(f.Sensors) > MaxSensors {
		return nil, fmt.Errorf("%d sensors are more than %d", len(f.Sensors), MaxSensors)
	}
	once := map[Role]bool{}
	fans := 0
	for i := range f.Sensors {
		fs := &f.Sensors[i]
		s, err := fs.sensor()
		if err == nil {
			err = s.check(b, all)
		}
		if err != nil {
			return nil, fmt.Errorf("sensor %q: %w", fs.Name, err)
		}
		if s.Role == RoleFan {
			fans++
		} else if s.Role != RoleTemperature && once[s.Role] {
			return nil, fmt.Errorf("sensor %q: there is another of role %s", s.Name, s.Role)
		}
		once[s.Role] = true
		all = append(all, s)
	}
	if fans > watch.MaxFans {
		return nil, fmt.Errorf("%d fans with a tachometer are more than %d", fans, watch.MaxFans)
	}
	return all, nil
}

// MaxSensors bounds the sensors of a board: the seam has a bit for each.
const MaxSensors = 16

func (f *fileSensor) sensor() (Sensor, error) {
	s := Sensor{Name: f.Name, Kind: f.Kind, Role: f.Role, At: f.At, Read: f.Read, Pulses: f.Pulses}
	if f.Kind == "iio" && (f.Role == RoleAmbient || f.Role == RoleTemperature) {
		s.Thermistor = &iio.Thermistor{
			Supply: iio.Millivolt(f.Supply), Pullup: iio.Ohm(f.Pullup), R25: iio.Ohm(f.R25), Beta: iio.Kelvin(f.Beta),
			A: iio.Coefficient(f.A), B: iio.Coefficient(f.B), C: iio.Coefficient(f.C),
		}
	}
	if f.Kind == "gpio" {
		if err := f.pin(&s); err != nil {
			return s, err
		}
	}
	if f.Role == RoleFan {
		a, ok := action(f.Action, watch.Halt)
		if !ok {
			return s, fmt.Errorf("action %q is not ignore, pause or halt", f.Action)
		}
		s.Fan = watch.Fan{Index: f.Fan, LeastDuty: unit.Duty(f.LeastDuty), LeastRPM: f.LeastRPM, Action: a}
		switch {
		case f.Cools == "hot_end":
			s.Fan.Cools, s.Fan.Of = true, motion.HotEnd
		case f.Cools != "":
			return s, fmt.Errorf("cools %q is not hot_end", f.Cools)
		}
	}
	return s, nil
}

// pin fills in what a gpio is requested with.
func (f *fileSensor) pin(s *Sensor) error {
	s.Pin = gpio.Config{Chip: f.At, Offset: f.Pin, ActiveLow: f.Active == "low", Debounce: time.Duration(f.Debounce)}
	i := slices.Index([]string{"", "up", "down", "none"}, f.Pull)
	if i < 0 || f.Active != "" && f.Active != "low" && f.Active != "high" {
		return errors.New("pull is up, down or none, and active is high or low")
	}
	s.Pin.Pull = [...]gpio.Pull{gpio.PullAsIs, gpio.PullUp, gpio.PullDown, gpio.PullNone}[i]
	switch f.Role {
	case RoleFan:
		s.Pin.Edges = gpio.Rising
	case RolePower, RoleRun:
		s.Pin.Output = true
	default:
		s.Pin.Edges = gpio.BothEdges
	}
	return s.Pin.Check()
}

// kinds says which kinds a role may have.
var kinds = map[Role][]string{
	RoleAmbient: {"hwmon", "iio", "w1"}, RoleTemperature: {"hwmon", "iio", "w1"}, RoleFan: {"hwmon", "gpio"},
	RoleFilament: {"gpio"}, RoleDoor: {"gpio"}, RolePower: {"gpio"}, RoleRun: {"gpio"},
}

func (s *Sensor) check(b *Board, before []Sensor) error {
	may, ok := kinds[s.Role]
	switch {
	case s.Name == "" || len(s.Name) > 24 || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
		return errors.New("name is 1 to 24 of a to z, 0 to 9, - and _")
	case slices.ContainsFunc(before, func(o Sensor) bool { return o.Name == s.Name }):
		return errors.New("name is another's already")
	case !ok:
		return fmt.Errorf("role %q is none of ambient, temperature, fan, filament, door, power and run", s.Role)
	case !slices.Contains(may, s.Kind):
		return fmt.Errorf("kind of a %s is one of %s", s.Role, strings.Join(may, ", "))
	case s.At == "":
		return errors.New("at is missing: the chip, the device or the id")
	case (s.Kind == "hwmon" || s.Kind == "iio") != (s.Read != ""):
		return errors.New("read names the input of a hwmon chip or an iio device, and of nothing else")
	case s.Thermistor != nil:
		return s.Thermistor.Check()
	}
	if s.Role != RoleFan {
		return nil
	}
	switch f := s.Fan; {
	case s.Kind == "gpio" && (s.Pulses < 1 || s.Pulses > 16):
		return errors.New("pulses is 1 to 16 a revolution")
	case f.LeastRPM < 60:
		return errors.New("least_rpm is 60 or more: slower is standing still")
	case !f.Cools && int(f.Index) >= b.Limits.Fans:
		return errors.New("fan is none of tool.fans")
	}
	return nil
}

// The types below read values of sensors with their units.
type (
	ohm       iio.Ohm
	millivolt iio.Millivolt
	kelvin    iio.Kelvin
)

func whole(text []byte, suffix string, most int64) (int64, error) {
	digits, ok := strings.CutSuffix(string(text), suffix)
	v, number := sensor.ParseInt([]byte(digits))
	if !ok || !number || v <= 0 || v > most {
		return 0, fmt.Errorf("%q is not a whole number of 1 to %d with the unit %s", text, most, suffix)
	}
	return v, nil
}

// UnmarshalText reads "4700ohm".
func (o *ohm) UnmarshalText(text []byte) error {
	v, err := whole(text, "ohm", 10_000_000)
	*o = ohm(v)
	return err
}

// UnmarshalText reads "3300mV".
func (m *millivolt) UnmarshalText(text []byte) error {
	v, err := whole(text, "mV", 50_000)
	*m = millivolt(v)
	return err
}

// UnmarshalText reads "3950K".
func (k *kelvin) UnmarshalText(text []byte) error {
	v, err := whole(text, "K", 10_000)
	*k = kelvin(v)
	return err
}
