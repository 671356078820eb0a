package sim

import (
	"math"
	"strconv"
	"time"

	"platen/hal/unit"
)

// Settings of Marlin's default configuration (Configuration.h, Configuration_adv.h).
const (
	tempTick      = 164 * time.Millisecond // one round of the converter, PID_dT
	bedEvery      = 5 * time.Second        // BED_CHECK_INTERVAL
	pidRange      = 10.0                   // PID_FUNCTIONAL_RANGE
	pidP          = 22.20
	pidI          = 1.08
	pidD          = 114.0
	fullPower     = 255.0
	extrudeMin    = 170.0 // EXTRUDE_MINTEMP
	extrudeLong   = 200.0 // mm, EXTRUDE_MAXLENGTH
	overshoot     = 15.0  // HOTEND_OVERSHOOT
	bedOvershoot  = 10.0
	residency     = 10 * time.Second // TEMP_RESIDENCY_TIME
	window        = 1.0              // TEMP_WINDOW
	waitHyst      = 3.0              // TEMP_HYSTERESIS
	watchIncrease = 2.0
)

type sensorFault uint8

const (
	sensorFine sensorFault = iota
	sensorOpen
	sensorShort
)

// heater is a body with a heater and a thermistor: it gains heat at a rate that its
// power sets and loses it in proportion to how much warmer it is than the room.
type heater struct {
	id       string // as the firmware calls it
	suffix   string // of its messages
	temp     float64
	target   float64
	power    float64 // 0 to fullPower
	gain     float64 // K/s at full power, no losses
	decay    float64 // of the distance to the final temperature, per tick
	tau      float64 // s
	minTemp  float64
	maxTemp  float64
	maxSet   float64
	broken   sensorFault
	dead     bool // heats no more
	held     bool // temp does not change
	watchFor time.Duration
	runFor   time.Duration
	runHyst  float64

	watchAt   time.Duration // has to be warmer by then; 0 is not watched
	watchTemp float64
	stable    bool // has been at its target
	runTarget float64
	runAt     time.Duration

	fresh    bool // the controller's integral is to start anew
	integral float64
	lastTemp float64
	slope    float64
}

// thermal is everything that is warm, and the firmware's control of it.
type thermal struct {
	now     time.Duration
	next    time.Duration
	ambient float64
	hotend  heater
	bed     heater
	bedAt   time.Duration
	fan     unit.Duty
	waiting bool // M109 or M190 waits; M108 ends it
	cold    bool // M302: cold extrusion is allowed
	minExt  float64
}

func newThermal(ambient float64) thermal {
	t := thermal{ambient: ambient, next: tempTick, now: 0}
	t.hotend = heater{
		id: "E0", temp: ambient, gain: 5.1, tau: 66, minTemp: 5, maxTemp: 275, maxSet: 275 - overshoot,
		watchFor: 40 * time.Second, runFor: 40 * time.Second, runHyst: 4,
	}
	t.bed = heater{
		id: "bed", suffix: " BED", temp: ambient, gain: 0.78, tau: 270, minTemp: 5, maxTemp: 150, maxSet: 150 - bedOvershoot,
		watchFor: 60 * time.Second, runFor: 20 * time.Second, runHyst: 2,
	}
	for _, h := range []*heater{&t.hotend, &t.bed} {
		h.decay = math.Exp(-tempTick.Seconds() / h.tau)
	}
	return t
}

// restart forgets what the firmware wanted.
func (t *thermal) restart(now time.Duration) {
	t.off()
	t.now, t.next, t.bedAt = now, now+tempTick, now+bedEvery
	t.waiting, t.cold, t.minExt = false, false, extrudeMin
}

// off is disable_all_heaters, and the fan.
func (t *thermal) off() {
	for _, h := range []*heater{&t.hotend, &t.bed} {
		h.set(0, t.now)
		h.power = 0
	}
	t.fan = 0
}

// reading is what the thermistor says.
func (h *heater) reading() float64 {
	switch h.broken {
	case sensorOpen:
		return -15
	case sensorShort:
		return 400
	}
	return h.temp
}

// set gives the heater a target and starts to watch whether it gets there.
func (h *heater) set(target float64, now time.Duration) {
	h.target = max(0, min(target, h.maxSet))
	h.stable, h.runAt = false, 0
	h.watch(now)
}

func (h *heater) watch(now time.Duration) {
	h.watchAt = 0
	if h.target > 0 && h.reading() < h.target-(watchIncrease+waitHyst+1) {
		h.watchTemp = h.reading() + watchIncrease
		h.watchAt = now + h.watchFor
	}
}

// tick is one round of the converter: physics first, then control.
func (t *thermal) tick() {
	t.now = t.next
	t.next += tempTick
	t.hotend.warm(t.ambient)
	t.bed.warm(t.ambient)
	t.hotend.pid()
	if t.now >= t.bedAt {
		t.bedAt = t.now + bedEvery
		t.bed.power = 0
		if r := t.bed.reading(); r < t.bed.target && r > t.bed.minTemp {
			t.bed.power = fullPower
		}
	} else if t.bed.target == 0 {
		t.bed.power = 0
	}
}

func (h *heater) warm(ambient float64) {
	if h.held {
		return
	}
	power := h.power / fullPower
	if h.dead {
		power = 0
	}
	final := ambient + h.gain*h.tau*power
	h.temp = final + (h.temp-final)*h.decay
}

// pid is get_pid_output of Marlin/src/module/temperature.cpp.
func (h *heater) pid() {
	temp := h.reading()
	diff := h.target - temp
	const keep = 0.95 // PID_K1
	h.slope = keep*h.slope + (1-keep)*(pidD/tempTick.Seconds())*(h.lastTemp-temp)
	h.lastTemp = temp
	switch {
	case h.target == 0 || diff < -pidRange:
		h.power, h.fresh = 0, true
	case diff > pidRange:
		h.power, h.fresh = fullPower, true
	default:
		if h.fresh {
			h.integral, h.fresh = 0, false
		}
		const ki = pidI * 0.164
		h.integral = max(0, min(h.integral+diff, fullPower/ki))
		h.power = max(0, min(pidP*diff+ki*h.integral+h.slope, fullPower))
	}
}

// manageHeaters acts on sensors and heaters that fail, and on what the emergency
// parser has found.
func (m *mcu) manageHeaters() {
	e := &m.parser
	switch {
	case e.killed:
		m.kill("M112 Shutdown")
		return
	case e.quick:
		e.quick = false
		m.quickStop()
	case e.cancel:
		e.cancel = false
		m.therm.waiting = false
	}
	for _, h := range []*heater{&m.therm.hotend, &m.therm.bed} {
		if serial, last := h.failing(m.now); serial != "" {
			m.therm.off()
			m.print("Error:" + serial + ", system stopped! Heater_ID: " + h.id + "\n\n")
			m.kill(last)
			return
		}
	}
}

// failing is why the heater has to be stopped: the text for the host and the one
// for the display, empty if all is well.
func (h *heater) failing(now time.Duration) (serial, display string) {
	r := h.reading()
	switch {
	case r > h.maxTemp:
		return "MAXTEMP triggered", "Err: MAXTEMP" + h.suffix
	case r < h.minTemp && h.target > 0:
		return "MINTEMP triggered", "Err: MINTEMP" + h.suffix
	}
	if h.watchAt > 0 && now >= h.watchAt {
		if r < h.watchTemp {
			if h.id == "bed" {
				return "Heating failed", "Heating Failed Bed"
			}
			return "Heating failed", "Heating Failed"
		}
		h.watch(now)
	}
	return h.runaway(r, now)
}

// runaway is the state machine of thermal runaway protection: once at its target, a
// heater may not stay away from it.
func (h *heater) runaway(r float64, now time.Duration) (serial, display string) {
	switch {
	case h.target == 0:
		h.stable = false
	case !h.stable || h.runTarget != h.target:
		h.stable = r >= h.target
		h.runTarget = h.target
		h.runAt = now + h.runFor
	case r >= h.target-h.runHyst:
		h.runAt = now + h.runFor
	case now >= h.runAt:
		if h.id == "bed" {
			return "Thermal Runaway", "BED THERMAL RUNAWAY"
		}
		return "Thermal Runaway", "THERMAL RUNAWAY"
	}
	return "", ""
}

// await is the loop of M109 and M190: a report a second until the heater has kept
// its temperature for a while.
func (m *mcu) await(h *heater, cooling bool) {
	t := &m.therm
	t.waiting = true
	if !cooling && h.reading() > h.target {
		return // only heating is waited for
	}
	var since time.Duration // when the window was entered; 0 is not yet
	report := m.now
	for first := true; m.up() && t.waiting && (since == 0 || m.now < since+residency); first = false {
		if m.now >= report {
			report = m.now + time.Second
			m.print(m.temperatures() + " W:" + left(since, m.now) + "\n")
		}
		m.idle(report)
		off := math.Abs(h.target - h.reading())
		switch {
		case since == 0 && off < window:
			since = m.now
			if first {
				since += residency / 3
			}
		case since != 0 && off > waitHyst:
			since = m.now
		}
	}
}

func left(since, now time.Duration) string {
	if since == 0 {
		return "?"
	}
	return strconv.Itoa(int((since + residency - now) / time.Second))
}

// temperatures is the report of M105, with the space it begins with.
func (m *mcu) temperatures() string {
	h, b := &m.therm.hotend, &m.therm.bed
	s := make([]byte, 0, 64)
	s = fixed(append(s, " T:"...), h.reading())
	s = fixed(append(s, " /"...), h.target)
	s = fixed(append(s, " B:"...), b.reading())
	s = fixed(append(s, " /"...), b.target)
	s = strconv.AppendInt(append(s, " @:"...), int64(h.power)/2, 10)
	s = strconv.AppendInt(append(s, " B@:"...), int64(b.power)/2, 10)
	return string(s)
}

// fixed appends v with two decimals, never as -0.00.
func fixed(s []byte, v float64) []byte {
	if v > -0.005 && v < 0 {
		v = 0
	}
	return strconv.AppendFloat(s, v, 'f', 2, 64)
}
