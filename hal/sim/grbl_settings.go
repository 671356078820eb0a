package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// grblSetting is one line of $$.
type grblSetting struct {
	n        int
	value    float64
	decimals int
}

// grblDefaults are DEFAULTS_GENERIC of grbl 1.1h.
var grblDefaults = []grblSetting{
	{0, 10, 0}, {1, 25, 0}, {2, 0, 0}, {3, 0, 0}, {4, 0, 0}, {5, 0, 0}, {6, 0, 0}, {10, 1, 0}, {11, 0.010, 3}, {12, 0.002, 3}, {13, 0, 0},
	{20, 0, 0}, {21, 0, 0}, {22, 0, 0}, {23, 0, 0}, {24, 25, 3}, {25, 500, 3}, {26, 250, 0}, {27, 1, 3}, {30, 1000, 0}, {31, 0, 0}, {32, 0, 0},
	{100, 250, 3}, {101, 250, 3}, {102, 250, 3}, {110, 500, 3}, {111, 500, 3}, {112, 500, 3}, {120, 10, 3}, {121, 10, 3}, {122, 10, 3}, {130, 200, 3}, {131, 200, 3}, {132, 200, 3},
}

// grblHALDefaults are those of grblHAL's simulator.
var grblHALDefaults = []grblSetting{
	{0, 5, 1}, {1, 25, 0}, {2, 0, 0}, {3, 0, 0}, {4, 7, 0}, {5, 0, 0}, {6, 0, 0}, {9, 1, 0}, {10, 511, 0}, {11, 0.010, 3}, {12, 0.002, 3}, {13, 0, 0}, {14, 0, 0}, {15, 0, 0}, {17, 0, 0}, {18, 0, 0}, {19, 0, 0},
	{20, 0, 0}, {21, 0, 0}, {22, 0, 0}, {23, 0, 0}, {24, 25, 1}, {25, 500, 1}, {26, 250, 0}, {27, 1, 3}, {28, 0.1, 3}, {29, 0, 1}, {30, 1000, 3}, {31, 0, 3}, {32, 0, 0}, {33, 5000, 1}, {34, 0, 1}, {35, 0, 1}, {36, 100, 1}, {37, 0, 0}, {39, 1, 0},
	{40, 0, 0}, {41, 0, 0}, {42, 2, 0}, {43, 1, 0}, {44, 4, 0}, {45, 3, 0}, {46, 0, 0}, {56, 5, 1}, {57, 100, 1}, {58, -5, 1}, {59, 500, 1}, {60, 0, 0}, {61, 0, 0}, {62, 0, 0}, {63, 3, 0}, {64, 0, 0}, {65, 0, 0},
	{100, 250, 5}, {101, 250, 5}, {102, 250, 5}, {110, 500, 3}, {111, 500, 3}, {112, 500, 3}, {120, 10, 3}, {121, 10, 3}, {122, 10, 3}, {130, 200, 3}, {131, 200, 3}, {132, 200, 3},
	{341, 0, 0}, {342, 30, 1}, {343, 25, 1}, {344, 200, 1}, {345, 200, 1}, {346, 1, 0}, {384, 0, 0}, {392, 4, 1}, {393, 1, 1}, {394, 0, 1}, {398, 100, 0}, {481, 0, 0}, {485, 0, 0}, {486, 0, 0}, {539, 0, 1}, {673, 0, 1}, {676, 15, 0}, {680, 0, 0},
}

// grblSettings are the settings of a new machine: the defaults, with the travel of
// the printer.
func grblSettings(cfg *Config, hal bool) []grblSetting {
	s := slices.Clone(grblDefaults)
	if hal {
		s = slices.Clone(grblHALDefaults)
	}
	for i := range s {
		if n := s[i].n; n >= 130 && n <= 132 {
			s[i].value = cfg.Volume[n-130].MM()
		}
	}
	changed, _ := parseSettings(cfg.Settings) // New has checked it
	for _, c := range changed {
		if i := slices.IndexFunc(s, func(s grblSetting) bool { return s.n == c.n }); i >= 0 {
			s[i].value = c.value
		}
	}
	return s
}

// parseSettings reads a list such as "22=1,110=6000".
func parseSettings(list string) ([]grblSetting, error) {
	var all []grblSetting
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimPrefix(strings.TrimSpace(item), "$"); item == "" {
			continue
		}
		name, value, _ := strings.Cut(item, "=")
		n, err := strconv.Atoi(name)
		v, verr := strconv.ParseFloat(value, 64)
		if err != nil || verr != nil || !(v >= 0 && v < 1e6) {
			return nil, fmt.Errorf("simulated printer: setting %q: use numbers such as 22=1", item)
		}
		all = append(all, grblSetting{n: n, value: v})
	}
	return all, nil
}

func (g *grbl) find(n int) int {
	return slices.IndexFunc(g.settings, func(s grblSetting) bool { return s.n == n })
}

func (g *grbl) setting(n int) float64 {
	if i := g.find(n); i >= 0 {
		return g.settings[i].value
	}
	return 0
}

func (g *grbl) on(n int) bool            { return g.setting(n) != 0 }
func (g *grbl) bit(n int, bit uint) bool { return int(g.setting(n))>>bit&1 == 1 }

// storeSetting is settings_store_global_setting.
func (g *grbl) storeSetting(n int, v float64) int {
	i := g.find(n)
	switch {
	case v < 0:
		return 4
	case i < 0 && g.hal:
		return 53
	case i < 0:
		return 3
	case n == 0 && v < 3 && !g.hal:
		return 6
	case n == 20 && v != 0 && !g.on(22):
		return 10
	}
	s := &g.settings[i]
	if s.decimals == 0 {
		v = float64(int(v))
	}
	s.value = v
	if n == 22 && v == 0 {
		g.settings[g.find(20)].value = 0
	}
	at, t := g.place(), g.travel()
	g.limits()
	if n >= 130 && n <= 132 { // where it stands is called the same as before
		i := n - 130
		at[i] += v - t[i]
	}
	if !g.plan.active() {
		g.plan.setPosition(at, 0)
	}
	return 0
}

func (g *grbl) reportSettings() {
	for _, s := range g.settings {
		g.print("$" + strconv.Itoa(s.n) + "=" + strconv.FormatFloat(s.value, 'f', s.decimals, 64) + "\r\n")
	}
}
