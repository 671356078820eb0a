package hwmon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"platen/hal"
	"platen/hal/sensor"
)

// tree writes files below a new root.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

var board = map[string]string{
	"class/hwmon/hwmon0/name":              "cpu_thermal\n",
	"class/hwmon/hwmon0/temp1_input":       "48312\n",
	"class/hwmon/hwmon1/device/name":       "emc2305\n", // an old driver
	"class/hwmon/hwmon1/device/fan2_input": "4120\n",
	"class/hwmon/hwmon1/device/fan2_fault": "0\n",
	"class/hwmon/hwmon2/name":              "ina219\n",
	"class/hwmon/hwmon2/label":             "heater supply\n",
	"class/hwmon/hwmon2/in1_input":         "24160\n",
}

func values(samples []hal.Sample) map[string]int64 {
	m := map[string]int64{}
	for _, s := range samples {
		m[s.Name] = s.Value
	}
	return m
}

func TestSamples(t *testing.T) {
	root := tree(t, board)
	s, err := Open(root, []Channel{
		{"cpu", "cpu_thermal", "temp1"}, {"fan", "emc2305", "fan2"}, {"supply", "label/heater supply", "in1"},
		{"other", "cpu_thermal", "temp2"}, {"none", "nct6775", "temp1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var buf [8]hal.Sample
	got, err := s.AppendSamples(t.Context(), buf[:0])
	lost, ok := errors.AsType[*sensor.Lost](err)
	if !ok || lost.Channels != 1<<3|1<<4 {
		t.Errorf("lost: %v", err)
	}
	if v := values(got); len(v) != 3 || v["cpu"] != 48312 || v["fan"] != 4120 || v["supply"] != 24160 {
		t.Errorf("samples: %v", v)
	}

	// A fault of the input and a chip that says nothing more are missing, at once and
	// for as long as they last.
	fault := filepath.Join(root, "class/hwmon/hwmon1/device/fan2_fault")
	supply := filepath.Join(root, "class/hwmon/hwmon2/in1_input")
	os.WriteFile(fault, []byte("1\n"), 0o600)
	os.Truncate(supply, 0)
	got, err = s.AppendSamples(t.Context(), buf[:0])
	if v := values(got); len(v) != 1 || !errors.Is(err, sensor.ErrMissing) {
		t.Errorf("with two inputs unplugged: %v, %v", v, err)
	}
	os.WriteFile(fault, []byte("0\n"), 0o600)
	if got, _ = s.AppendSamples(t.Context(), buf[:0]); !slices.ContainsFunc(got, func(x hal.Sample) bool { return x.Name == "fan" }) {
		t.Error("an input that is back stays missing")
	}
}

func TestNoAllocation(t *testing.T) {
	s, err := Open(tree(t, board), []Channel{{"cpu", "cpu_thermal", "temp1"}, {"fan", "emc2305", "fan2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	buf := make([]hal.Sample, 0, 4)
	if n := testing.AllocsPerRun(100, func() { buf, _ = s.AppendSamples(t.Context(), buf[:0]) }); n != 0 || len(buf) != 2 {
		t.Errorf("%v allocations, %d samples", n, len(buf))
	}
}

func TestInputs(t *testing.T) {
	for _, bad := range []string{"", "temp", "temp1_input", "../temp1", "power1", "tempx", "in-1"} {
		if _, err := Open("/", []Channel{{"x", "chip", bad}}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := Open("/", make([]Channel, sensor.MaxChannels+1)); err == nil {
		t.Error("too many channels are taken")
	}
}
