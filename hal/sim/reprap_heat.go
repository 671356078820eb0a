package sim

import (
	"math"
	"strconv"
	"time"
)

// Fault detection of a heater (LocalHeater.cpp, Heater.h).
const (
	rrfBadReadings = 3                // consecutive ones that are taken
	rrfClose       = 2.5              // TemperatureCloseEnough
	rrfExcursion   = 15.0             // DefaultMaxTempExcursion
	rrfFaultTime   = 5 * time.Second  // DefaultMaxHeatingFaultTime
	rrfDeadTime    = 10 * time.Second // twice the dead time of the heater's model
	rrfRise        = 0.4              // of the expected rate
	rrfAmbient     = 45.0             // MaxAmbientTemperature
	rrfUnread      = 2000.0           // BadErrorTemperature
)

// rrfGuard watches a heater.
type rrfGuard struct {
	failed  bool
	bad     int
	since   time.Duration // heating began
	at      time.Duration
	temp    float64
	counted time.Duration // how long it has been wrong
	target  float64
	reached bool
}

// sample is LocalHeater::Spin for every heater.
func (r *reprap) sample() {
	for i, h := range r.therm.all {
		g := &r.guards[i]
		if g.target != h.target {
			*g = rrfGuard{failed: g.failed, since: r.now, at: r.now, temp: h.reading(), target: h.target}
		}
		if h.target == 0 || g.failed {
			continue
		}
		if why := r.watch(h, g); why != "" {
			r.fault(i, why)
		}
	}
}

// watch reports what is wrong with a heater, or nothing.
func (r *reprap) watch(h *heater, g *rrfGuard) string {
	temp := h.reading()
	if unread(temp) {
		if g.bad++; g.bad > rrfBadReadings {
			if temp < 0 {
				return "failed to read sensor: sensor open circuit"
			}
			return "failed to read sensor: sensor short circuit"
		}
		return ""
	}
	g.bad = 0
	off := h.target - temp
	switch {
	case off <= rrfClose && off >= -rrfClose:
		g.reached = true
		g.counted = 0
	case g.reached && math.Abs(off) > rrfExcursion && temp > rrfAmbient:
		if g.counted += rrfSample; g.counted > rrfFaultTime {
			return "exceeded allowed temperature excursion: target " + decimals(h.target, 1) + "°C actual " + decimals(temp, 1) + "°C"
		}
	case !g.reached && off > 0:
		return r.rising(h, g, temp)
	}
	return ""
}

// rising checks that a heater that is far from its target gets warmer, as fast as its
// power lets expect.
func (r *reprap) rising(h *heater, g *rrfGuard, temp float64) string {
	if r.now-g.since < rrfDeadTime {
		g.at, g.temp = r.now, temp
		return ""
	}
	expected := max(0.1, h.gain*h.power/fullPower-(temp-r.therm.ambient)/h.tau)
	interval := (r.now - g.at).Seconds()
	if interval < 3/expected {
		return ""
	}
	if temp-g.temp >= expected*interval*rrfRise {
		g.at, g.temp, g.counted = r.now, temp, max(0, g.counted-rrfSample)
		return ""
	}
	if g.counted += rrfSample; g.counted <= rrfFaultTime {
		return ""
	}
	return "temperature rising too slowly: expected " + decimals(expected, 2) + "°C/sec measured " +
		decimals((temp-g.temp)/interval, 2) + "°C/sec"
}

// unread is what no sensor says that works (Thermistor.cpp).
func unread(temp float64) bool { return temp < -5 || temp > 390 }

// fault switches a heater off for good and says so (Event::GetTextDescription). What
// moves goes on.
func (r *reprap) fault(i int, why string) {
	r.guards[i].failed = true
	h := r.therm.all[i]
	h.set(0, r.now)
	h.power = 0
	r.guards[i].target = 0
	r.cancel = true
	r.print("Error: Heater " + strconv.Itoa(r.heaterNumber(i)) + " fault: " + why + "\n")
}

// heaterNumber is the usual numbering: the bed is 0, hot ends follow.
func (r *reprap) heaterNumber(i int) int {
	switch {
	case i < r.therm.tools:
		return i + 1
	case i == r.therm.tools:
		return 0
	}
	return i
}

// commandHeat runs the commands that set temperatures.
func (r *reprap) commandHeat(c *rrfCommand) answer {
	i := r.tool
	switch c.num {
	case 562:
		for i := range r.guards {
			r.guards[i] = rrfGuard{}
		}
		return answer{}
	case 116:
		r.await(-1)
		return answer{}
	case 140, 190:
		i = r.therm.tools
	case 141, 191:
		if i = r.therm.tools + 1; i >= len(r.therm.all) {
			if v, _ := c.value('S'); v <= 0 {
				return answer{}
			}
			return failed("No chamber heater has been configured for slot 0")
		}
	}
	wait := c.num == 109 || c.num == 190 || c.num == 191
	if wait {
		r.synchronize()
	}
	if t, ok := c.value('T'); ok && i < r.therm.tools {
		i = int(t)
	}
	if i < 0 || i >= len(r.therm.all) || (c.num == 104 || c.num == 109) && i >= r.therm.tools {
		return failed("Invalid tool number")
	}
	v, ok := c.value('S')
	if !ok {
		v, ok = c.value('R')
	}
	if !ok || !r.up() {
		return answer{}
	}
	if r.guards[i].failed && v > 0 {
		return failed("Heater " + strconv.Itoa(r.heaterNumber(i)) + " not switched on due to temperature fault")
	}
	r.therm.all[i].set(v, r.now)
	if wait && v > 0 {
		r.await(i)
	}
	return answer{}
}

// await is the waiting of M109, M190 and M116: until the heater, or every heater, is
// within 2.5 K of its target.
func (r *reprap) await(i int) {
	r.cancel = false
	r.reports = true
	for r.up() && (i < 0 && r.heating() || i >= 0 && r.far(i)) && !r.cancel {
		r.hold(r.sampleAt)
	}
}

// far reports whether a heater that is on is not at its target.
func (r *reprap) far(i int) bool {
	h := r.therm.all[i]
	return h.target > 0 && math.Abs(h.target-h.reading()) > rrfClose
}

func (r *reprap) heating() bool {
	for i := range r.therm.all {
		if r.far(i) {
			return true
		}
	}
	return false
}

// temperatures is the report of M105, without its ok.
func (r *reprap) temperatures() string {
	s := ""
	tool := func(name string, h *heater) {
		if s != "" {
			s += " "
		}
		t := h.reading()
		if unread(t) {
			t = rrfUnread
		}
		s += name + ":" + decimals(t, 1) + " /" + decimals(h.target, 1)
	}
	if r.tool >= 0 {
		tool("T", r.therm.all[r.tool])
	}
	for i, h := range r.therm.all[:r.therm.tools] {
		tool("T"+strconv.Itoa(i), h)
	}
	tool("B", r.therm.bed())
	if c := r.therm.chamber(); c != nil {
		tool("C", c)
	}
	return s
}
