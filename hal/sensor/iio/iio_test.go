package iio

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"platen/hal"
	"platen/hal/sensor"
	"platen/hal/unit"
)

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, "bus/iio/devices", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// ntc is a usual 100 kΩ thermistor with a 4.7 kΩ resistor to 3.3 V.
func ntc() *Thermistor { return &Thermistor{Supply: 3300, Pullup: 4700, R25: 100_000, Beta: 3950} }

func TestSamples(t *testing.T) {
	root := tree(t, map[string]string{
		"iio:device0/name":              "other\n",
		"iio:device1/name":              "ads1015\n",
		"iio:device1/in_voltage0_raw":   "1580\n",
		"iio:device1/in_voltage0_scale": "2.000000000\n",
		"iio:device1/in_voltage1_raw":   "100\n",
		"iio:device1/in_voltage_scale":  "0.5\n",
		"iio:device1/in_voltage_offset": "-20\n",
		"iio:device1/in_voltage2_raw":   "1670\n",
		"iio:device1/in_voltage2_scale": "2\n",
		"iio:device2/name":              "scaleless\n",
		"iio:device2/in_voltage0_raw":   "1\n",
	})
	s, err := Open(root, []Channel{
		{"hot", "ads1015", "voltage0", ntc()}, {"own offset", "ads1015", "voltage1", nil}, {"open", "ads1015", "voltage2", ntc()},
		{"no scale", "scaleless", "voltage0", nil}, {"no device", "none", "voltage0", nil}, {"no input", "ads1015", "voltage7", nil},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	buf := make([]hal.Sample, 0, 8)
	got, err := s.AppendSamples(t.Context(), buf)
	lost, ok := errors.AsType[*sensor.Lost](err)
	if !ok || lost.Channels != 1<<2|1<<3|1<<4|1<<5 {
		t.Errorf("lost: %v", err)
	}
	// 1580 steps of 2 mV less the offset of all voltages are 3120 mV: 81.5 kΩ.
	r := 4700 * 3120.0 / 180
	hot := (1/(1/298.15+math.Log(r/100_000)/3950) - 273.15) * 1000
	if len(got) != 2 || math.Abs(float64(got[0].Value)-hot) > 1 || got[1].Value != 40 {
		t.Errorf("samples %v, want %.0f and 40", got, hot)
	}
	raw := filepath.Join(root, "bus/iio/devices/iio:device1/in_voltage2_raw")
	os.WriteFile(raw, []byte("200\n"), 0o600)
	if got, _ = s.AppendSamples(t.Context(), buf); len(got) != 3 {
		t.Errorf("a thermistor that is back stays missing: %v", got)
	}
	os.WriteFile(raw, []byte("21\n"), 0o600)
	if got, err = s.AppendSamples(t.Context(), buf); len(got) != 2 || !errors.Is(err, sensor.ErrMissing) {
		t.Errorf("a short is a temperature: %v", got)
	}
}

func TestNoAllocation(t *testing.T) {
	s, err := Open(tree(t, map[string]string{"iio:device0/name": "adc", "iio:device0/in_voltage0_raw": "900", "iio:device0/in_voltage_scale": "1"}),
		[]Channel{{"t", "adc", "voltage0", ntc()}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	buf := make([]hal.Sample, 0, 4)
	if n := testing.AllocsPerRun(100, func() { buf, _ = s.AppendSamples(t.Context(), buf[:0]) }); n != 0 || len(buf) != 1 {
		t.Errorf("%v allocations, %d samples", n, len(buf))
	}
}

// table is what a 10-bit converter reads of the thermistor that most hot ends have, R25
// 100 kΩ, beta 4092 K, at 4.7 kΩ (Marlin/src/module/thermistor/thermistor_1.h).
var table = []struct{ deg, steps float64 }{{25, 977}, {60, 857}, {100, 591}, {150, 268}, {200, 109}, {250, 48}}

// steinhart solves for the coefficients that go through three points.
func steinhart(deg, steps [3]float64) *Thermistor {
	var l, y [3]float64
	for i := range l {
		l[i], y[i] = math.Log(4700*steps[i]/(1024-steps[i])), 1/(deg[i]+273.15)
	}
	g2, g3 := (y[1]-y[0])/(l[1]-l[0]), (y[2]-y[0])/(l[2]-l[0])
	c := (g3 - g2) / (l[2] - l[1]) / (l[0] + l[1] + l[2])
	b := g2 - c*(l[0]*l[0]+l[0]*l[1]+l[1]*l[1])
	a := y[0] - l[0]*(b+l[0]*l[0]*c)
	return &Thermistor{Supply: 3300, Pullup: 4700, A: Coefficient(a), B: Coefficient(b), C: Coefficient(c)}
}

// TestThermistorTable: three points of the table give the others by Steinhart and Hart;
// a beta alone is off by degrees where it is hot, as it is.
func TestThermistorTable(t *testing.T) {
	sh := steinhart([3]float64{25, 150, 250}, [3]float64{977, 268, 48})
	beta := &Thermistor{Supply: 3300, Pullup: 4700, R25: 100_000, Beta: 4092}
	for _, c := range table {
		mv := 3300 * c.steps / 1024
		if got, err := sh.temperature(mv); err != nil || math.Abs(got.Degrees()-c.deg) > 2.5 {
			t.Errorf("Steinhart-Hart at %.0f °C: %v, %v", c.deg, got, err)
		}
		if got, err := beta.temperature(mv); err != nil || math.Abs(got.Degrees()-c.deg) > 12 {
			t.Errorf("beta at %.0f °C: %v, %v", c.deg, got, err)
		}
	}
}

// TestThermistorIsMonotonic: less resistance is always hotter, and what the wires cannot
// mean is missing.
func TestThermistorIsMonotonic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := ntc()
		n.Beta = Kelvin(rapid.IntRange(3000, 4800).Draw(t, "beta"))
		n.Pullup = Ohm(rapid.IntRange(1000, 10_000).Draw(t, "pullup"))
		last := unit.Celsius(math.MinInt32)
		for mv := 3260.0; mv > 40; mv -= 20 {
			c, err := n.temperature(mv)
			if err != nil {
				continue // colder than anything, or hotter
			}
			if c <= last {
				t.Fatalf("%v at %.0f mV after %v", c, mv, last)
			}
			last = c
		}
	})
	for _, mv := range []float64{0, -5, 3300, 3299, 5000, math.NaN(), math.Inf(1)} {
		if c, err := ntc().temperature(mv); !errors.Is(err, sensor.ErrMissing) {
			t.Errorf("%s mV: %v", strconv.FormatFloat(mv, 'g', -1, 64), c)
		}
	}
}

func TestBadChannels(t *testing.T) {
	for name, c := range map[string]Channel{
		"path":       {"x", "adc", "../voltage0", nil},
		"no input":   {"x", "adc", "", nil},
		"no pullup":  {"x", "adc", "voltage0", &Thermistor{Supply: 3300, R25: 100_000, Beta: 3950}},
		"no formula": {"x", "adc", "voltage0", &Thermistor{Supply: 3300, Pullup: 4700}},
		"both":       {"x", "adc", "voltage0", &Thermistor{Supply: 3300, Pullup: 4700, R25: 100_000, Beta: 3950, A: 1}},
		"odd beta":   {"x", "adc", "voltage0", &Thermistor{Supply: 3300, Pullup: 4700, R25: 100_000, Beta: 39}},
	} {
		if _, err := Open("/", []Channel{c}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := Open(t.TempDir(), []Channel{{"x", "adc", "voltage0", ntc()}}); err != nil {
		t.Errorf("control: %v", err)
	}
}
