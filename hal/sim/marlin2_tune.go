package sim

import (
	"math"
	"strconv"
	"time"
)

// Relay tuning of a hot end (M303; PID_autotune in Marlin/src/module/temperature.cpp).
const (
	tuneOvershoot = 30.0 // K, MAX_OVERSHOOT_PID_AUTOTUNE
	tuneAtLeast   = 5 * time.Second
	tuneReport    = 2 * time.Second
	tuneTimeout   = 20 * time.Minute
	tuneFailed    = "PID Autotune failed!"
)

// tuning swings a heater around a temperature and takes its controller from how it
// swings: the method of Ziegler and Nichols.
type tuning struct {
	h          *heater
	target     float64
	power      float64 // of 255
	bias, span int     // of the power, both ways
	heating    bool
	on, off    time.Duration // when the power was raised last, and lowered
	rose, fell time.Duration // how long that took
	low, high  float64
	cycles     int
}

// tune is M303.
func (m *marlin2) tune(c *command) {
	e, _ := c.value('E')
	target, ok := c.value('S')
	if !ok {
		target = 150
	}
	cycles := 5
	if v, ok := c.value('C'); ok {
		cycles = int(max(3, min(v, 100)))
	}
	switch {
	case e < 0 || int(e) >= m.therm.tools: // the bed has no such controller in this build
		m.print("PID Autotune failed! Bad heater id\n")
		return
	case target > m.therm.tool(int(e)).maxSet:
		m.print(tuneFailed + " Temperature too high\n")
		return
	}
	m.print("PID Autotune start\n")
	fan := m.therm.fan
	m.therm.off()
	m.therm.fan = fan
	t := &tuning{h: m.therm.tool(int(e)), target: target, power: 254, bias: 127, span: 127, heating: true, low: 10000, on: m.now, off: m.now}
	m.tuned = t
	u, _ := c.value('U')
	m.tuneLoop(t, cycles, u != 0)
	m.tuned = nil
	t.h.power = 0
}

func (m *marlin2) tuneLoop(t *tuning, cycles int, use bool) {
	report, cycle := m.now+tuneReport, m.now
	m.therm.waiting = true
	var found [3]float64
	for m.up() && m.therm.waiting {
		if t.swing(m.now) {
			cycle = m.now
			m.print(t.say())
			if t.cycles > 2 {
				found = t.result()
				m.print(" Ku: " + two(found[0]/0.6) + " Tu: " + two(2*found[0]/max(found[1], 1e-6)) + "\n Classic PID \n Kp: " +
					two(found[0]) + " Ki: " + two(found[1]) + " Kd: " + two(found[2]) + "\n")
			}
			t.cycles++
		}
		switch r := t.h.reading(); {
		case r > t.target+tuneOvershoot:
			m.print(tuneFailed + " Temperature too high\n")
			return
		case m.now > cycle+tuneTimeout:
			m.print(tuneFailed + " timeout\n")
			return
		case t.cycles > cycles:
			m.tuneDone(t.h, found, use)
			return
		}
		if m.now >= report {
			report = m.now + tuneReport
			m.print(m.temperatures() + "\n")
		}
		m.hold(report)
	}
}

// swing changes the power when the temperature has passed the target. It returns
// true when a cycle has ended.
func (t *tuning) swing(now time.Duration) bool {
	r := t.h.reading()
	t.low, t.high = min(t.low, r), max(t.high, r)
	switch {
	case t.heating && r > t.target && now > t.on+tuneAtLeast:
		t.heating, t.off, t.rose, t.high = false, now, now-t.on, t.target
		t.power = float64(t.bias - t.span)
	case !t.heating && r < t.target && now > t.off+tuneAtLeast:
		t.heating, t.on, t.fell = true, now, now-t.off
		if t.cycles > 0 {
			t.bias += int(float64(t.span) * float64(t.rose-t.fell) / float64(t.rose+t.fell))
			t.bias = max(20, min(t.bias, 235))
			t.span = t.bias
			if t.bias > 127 {
				t.span = 254 - t.bias
			}
		}
		t.power = float64(t.bias + t.span)
		return true
	}
	return false
}

// say reports a cycle, and begins the next one.
func (t *tuning) say() string {
	s := ""
	if t.cycles == 0 {
		t.low = t.target
	} else {
		s = " bias: " + strconv.Itoa(t.bias) + " d: " + strconv.Itoa(t.span) + " min: " + two(t.low) + " max: " + two(t.high)
		if t.cycles <= 2 {
			s += "\n"
			t.low = t.target
		}
	}
	return s
}

// result is P, I and D from the last cycle.
func (t *tuning) result() [3]float64 {
	ku := 4 * float64(t.span) / (math.Pi * max(t.high-t.low, 0.01) / 2)
	tu := (t.rose + t.fell).Seconds()
	t.low = t.target
	return [3]float64{0.6 * ku, 0.6 * ku * 2 / tu, 0.6 * ku * tu / 8}
}

func (m *marlin2) tuneDone(h *heater, found [3]float64, use bool) {
	m.print("PID Autotune finished! Put the last Kp, Ki and Kd constants from below into Configuration.h\n" +
		"#define DEFAULT_Kp " + two(found[0]) + "\n#define DEFAULT_Ki " + two(found[1]) + "\n#define DEFAULT_Kd " + two(found[2]) + "\n")
	if use {
		h.kp, h.ki, h.kd = found[0], found[1], found[2]
	}
}
