// Package unit holds the quantities Platen measures in, each as a type of its
// own, so that a temperature cannot be passed where a length is meant.
//
// All of them are integers. A [Length] is 1/65536 mm, finer than 16 nm; geometry
// stays within ±[MaxCoordinate] (512 mm), so that the product of two differences
// fits 53 bits and is exact in an int64 and in a float64 alike. Floating point
// enters and leaves Platen only through the From… and float methods here, at the
// edges where files, firmware and people write decimals.
package unit

import (
	"errors"
	"math"
	"strconv"
)

// ErrRange reports a decimal that is not a number, is infinite or does not fit
// the unit it was meant for.
var ErrRange = errors.New("value out of range")

// Length is a distance in 1/65536 mm (about 15.3 nm). As a coordinate it is kept
// within ±[MaxCoordinate]; as a length it reaches ±32,767 mm.
type Length int32

const (
	// Millimetre is one millimetre as a [Length].
	Millimetre Length = 1 << 16
	// MaxCoordinate is the largest magnitude of a coordinate, 512 mm less one unit.
	MaxCoordinate Length = 512*Millimetre - 1
)

// Micrometres returns n µm, rounded to the nearest unit. It saturates at the
// ends of the type.
func Micrometres(n int64) Length {
	return saturate(roundDiv(n*int64(Millimetre), 1000))
}

// FromMM converts a decimal number of millimetres, rounded to the nearest unit.
// NaN, infinities and values that do not fit are [ErrRange].
func FromMM(mm float64) (Length, error) {
	v := math.Round(mm * float64(Millimetre))
	if !(v >= math.MinInt32 && v <= math.MaxInt32) {
		return 0, ErrRange
	}
	return Length(v), nil
}

// MM returns the length in millimetres; the conversion is exact.
func (l Length) MM() float64 { return float64(l) / float64(Millimetre) }

// Micrometres returns the length rounded to whole µm.
func (l Length) Micrometres() int64 { return roundDiv(int64(l)*1000, int64(Millimetre)) }

// AppendMM appends the length in millimetres with at most digits (0 to 6)
// decimals, rounded half away from zero and without trailing zeros: the form
// motion firmware reads. It does not allocate when dst has room.
func (l Length) AppendMM(dst []byte, digits int) []byte {
	scale := pow10[digits]
	return appendFixed(dst, roundDiv(int64(l)*scale, int64(Millimetre)), digits)
}

// String formats the length as "12.345mm".
func (l Length) String() string { return string(append(l.AppendMM(nil, 4), "mm"...)) }

// Speed is a velocity in µm/s; it reaches ±2,147 mm/s.
type Speed int32

// MillimetrePerSecond is one millimetre a second as a [Speed].
const MillimetrePerSecond Speed = 1000

// FromMMPerMin converts a G-code feed rate (the F word: mm/min) to a Speed.
func FromMMPerMin(f float64) (Speed, error) {
	v := math.Round(f * 1000 / 60)
	if !(v >= math.MinInt32 && v <= math.MaxInt32) {
		return 0, ErrRange
	}
	return Speed(v), nil
}

// MMPerSecond returns the speed in mm/s.
func (s Speed) MMPerSecond() float64 { return float64(s) / float64(MillimetrePerSecond) }

// AppendMMPerMin appends the speed as a G-code feed rate in whole mm/min, at
// least 1 for any positive speed. It does not allocate when dst has room.
func (s Speed) AppendMMPerMin(dst []byte) []byte {
	v := roundDiv(int64(s)*60, 1000)
	if v == 0 && s > 0 {
		v = 1
	}
	return strconv.AppendInt(dst, v, 10)
}

// String formats the speed as "60mm/s".
func (s Speed) String() string { return string(append(appendFixed(nil, int64(s), 3), "mm/s"...)) }

// Accel is an acceleration in mm/s².
type Accel int32

// String formats the acceleration as "1500mm/s²".
func (a Accel) String() string { return strconv.Itoa(int(a)) + "mm/s²" }

// Celsius is a temperature in 1/1000 °C.
type Celsius int32

// Degree is one degree Celsius as a [Celsius].
const Degree Celsius = 1000

// FromDegrees converts a decimal number of °C, rounded to the nearest 1/1000.
func FromDegrees(deg float64) (Celsius, error) {
	v := math.Round(deg * float64(Degree))
	if !(v >= math.MinInt32 && v <= math.MaxInt32) {
		return 0, ErrRange
	}
	return Celsius(v), nil
}

// Degrees returns the temperature in °C.
func (c Celsius) Degrees() float64 { return float64(c) / float64(Degree) }

// Rounded returns the temperature in whole °C, the finest step that leaves a
// printer.
func (c Celsius) Rounded() int32 { return int32(roundDiv(int64(c), int64(Degree))) }

// AppendDegrees appends the temperature in °C with up to digits (0 to 3)
// decimals. It does not allocate when dst has room.
func (c Celsius) AppendDegrees(dst []byte, digits int) []byte {
	return appendFixed(dst, roundDiv(int64(c)*pow10[digits], int64(Degree)), digits)
}

// String formats the temperature as "215°C".
func (c Celsius) String() string { return string(append(c.AppendDegrees(nil, 3), "°C"...)) }

// Duty is the share of full power of a fan or heater, 0 (off) to 255 (full): the
// resolution of the S word of M106.
type Duty uint8

// FullDuty is full power.
const FullDuty Duty = 255

// Percent returns the duty in whole percent.
func (d Duty) Percent() int { return (int(d)*100 + 127) / 255 }

// String formats the duty as "40%".
func (d Duty) String() string { return strconv.Itoa(d.Percent()) + "%" }

// Volume is a volume in µm³; 1 cm³ is 1e12, so that it reaches 9 million cm³.
type Volume int64

// CubicMillimetre is one mm³ as a [Volume].
const CubicMillimetre Volume = 1e9

// MM3 returns the volume in mm³.
func (v Volume) MM3() float64 { return float64(v) / float64(CubicMillimetre) }

var pow10 = [...]int64{1, 10, 100, 1000, 10_000, 100_000, 1_000_000}

// roundDiv divides, rounding half away from zero; d is positive.
func roundDiv(n, d int64) int64 {
	if n < 0 {
		return -((-n + d/2) / d)
	}
	return (n + d/2) / d
}

func saturate(v int64) Length {
	return Length(max(math.MinInt32, min(math.MaxInt32, v)))
}

// appendFixed appends v/10^digits in decimal without trailing zeros.
func appendFixed(dst []byte, v int64, digits int) []byte {
	if v < 0 {
		dst = append(dst, '-')
		v = -v
	}
	u := uint64(v)
	for digits > 0 && u%10 == 0 {
		u /= 10
		digits--
	}
	var text [24]byte // from its end on
	at := len(text)
	for n := 0; n <= digits || u > 0; n++ {
		if n == digits && n > 0 {
			at--
			text[at] = '.'
		}
		at--
		text[at] = byte('0' + u%10)
		u /= 10
	}
	return append(dst, text[at:]...)
}
