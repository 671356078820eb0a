package host

import (
	"os"
	"path/filepath"
	"testing"

	"platen/agent/catalog"
)

func TestHostSays(t *testing.T) {
	got, err := Source{Path: t.TempDir()}.AppendSamples(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[catalog.ID]int64{}
	for _, s := range got {
		seen[s.ID()] = s.Value()
	}
	for _, id := range []catalog.ID{catalog.HostCPU, catalog.HostMemory, catalog.HostDisk, catalog.HostUptime, catalog.HostNetReceived, catalog.HostNetSent, catalog.HostNetErrors} {
		if _, ok := seen[id]; !ok {
			it, _ := catalog.Lookup(id)
			t.Errorf("%s is missing", it.Name)
		}
	}
	if seen[catalog.HostMemory] == 0 || seen[catalog.HostUptime] == 0 {
		t.Errorf("no memory in use or no uptime: %v", seen)
	}
}

func TestHostReportsWhatItCannotRead(t *testing.T) {
	got, err := Source{Path: "/nonexistent"}.AppendSamples(t.Context(), nil)
	if err == nil || len(got) < 3 {
		t.Errorf("%d samples, error %v; want the others and an error", len(got), err)
	}
}

func TestThrottled(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64 // -1: not known
	}{
		"a board that does not tell": {nil, -1},
		"a fan that runs":            {map[string]string{"class/thermal/cooling_device0/type": "pwm-fan\n", "class/thermal/cooling_device0/cur_state": "3\n"}, -1},
		"cool":                       {map[string]string{"class/thermal/cooling_device0/type": "cpufreq-cpu0\n", "class/thermal/cooling_device0/cur_state": "0\n"}, 0},
		"hot":                        {map[string]string{"class/thermal/cooling_device1/type": "thermal-cpufreq-0\n", "class/thermal/cooling_device1/cur_state": "2\n"}, 1},
		"a weak supply":              {map[string]string{"class/hwmon/hwmon1/name": "rpi_volt\n", "class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"}, 1},
		"throttled earlier":          {map[string]string{"devices/platform/soc/soc:firmware/get_throttled": "50000\n"}, 0},
		"throttled now":              {map[string]string{"devices/platform/soc/soc:firmware/get_throttled": "50005\n"}, 1},
		"no number":                  {map[string]string{"devices/platform/soc/soc:firmware/get_throttled": "yes\n"}, -1},
	} {
		sys := t.TempDir()
		for path, text := range c.files {
			path = filepath.Join(sys, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		samples, err := Source{Path: sys, Sys: sys}.AppendSamples(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := int64(-1)
		for _, s := range samples {
			if s.ID() == catalog.HostThrottled {
				got = s.Value()
			}
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// BenchmarkSample is what reading the board costs, at most once a second: 0.5 % of a core
// are 5 ms.
func BenchmarkSample(b *testing.B) {
	s := Source{Path: b.TempDir()}
	var dst []catalog.Sample
	for b.Loop() {
		var err error
		if dst, err = s.AppendSamples(b.Context(), dst[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
