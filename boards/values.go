package boards

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"platen/hal/unit"
)

// The types below read one value with its unit; each implements
// encoding.TextUnmarshaler, so that the TOML reader reports where a bad one stands.
type (
	length   unit.Length
	speed    unit.Speed
	accel    unit.Accel
	celsius  unit.Celsius
	percent  unit.Duty
	baud     int
	duration time.Duration
)

func number(text []byte, suffix string) (float64, error) {
	digits, ok := strings.CutSuffix(string(text), suffix)
	if !ok {
		return 0, fmt.Errorf("%q has no unit: write it as %q", text, "1"+suffix)
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number with the unit %s", text, suffix)
	}
	return v, nil
}

// UnmarshalText reads "0.4mm".
func (l *length) UnmarshalText(text []byte) error {
	v, err := number(text, "mm")
	if err != nil {
		return err
	}
	u, err := unit.FromMM(v)
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	*l = length(u)
	return nil
}

// UnmarshalText reads "200mm/s".
func (s *speed) UnmarshalText(text []byte) error {
	v, err := number(text, "mm/s")
	if err != nil {
		return err
	}
	u, err := unit.FromMMPerMin(v * 60)
	if err != nil || u <= 0 {
		return fmt.Errorf("%q is not a speed above zero", text)
	}
	*s = speed(u)
	return nil
}

// UnmarshalText reads "1250mm/s2".
func (a *accel) UnmarshalText(text []byte) error {
	v, err := number(text, "mm/s2")
	if err != nil {
		return err
	}
	if !(v >= 1 && v <= 1e6) {
		return fmt.Errorf("%q is not an acceleration of 1 to 1,000,000 mm/s²", text)
	}
	*a = accel(v)
	return nil
}

// UnmarshalText reads "260C".
func (c *celsius) UnmarshalText(text []byte) error {
	v, err := number(text, "C")
	if err != nil {
		return err
	}
	u, err := unit.FromDegrees(v)
	if err != nil || u < 0 || u > 500*unit.Degree {
		return fmt.Errorf("%q is not a temperature of 0 to 500 °C", text)
	}
	*c = celsius(u)
	return nil
}

// UnmarshalText reads "100%".
func (p *percent) UnmarshalText(text []byte) error {
	v, err := number(text, "%")
	if err != nil {
		return err
	}
	if !(v >= 0 && v <= 100) {
		return fmt.Errorf("%q is not a share of 0 to 100 %%", text)
	}
	*p = percent(v*255/100 + 0.5)
	return nil
}

// UnmarshalText reads "250000baud".
func (b *baud) UnmarshalText(text []byte) error {
	v, err := number(text, "baud")
	if err != nil {
		return err
	}
	if !(v >= 300 && v <= 4_000_000) || v != float64(int(v)) {
		return fmt.Errorf("%q is not a rate of 300 to 4,000,000 baud", text)
	}
	*b = baud(v)
	return nil
}

// UnmarshalText reads "90s", "2m" or "1h".
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is not a duration such as 90s", text)
	}
	*d = duration(v)
	return nil
}
