package sim

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"platen/hal/unit"
)

// Settings of Marlin's default configuration (Configuration.h, Configuration_adv.h).
const (
	tempTick      = 164 * time.Millisecond // one round of the converter, PID_dT
	bedEvery      = 5 * time.Second        // BED_CHECK_INTERVAL
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
	sensorStuck // says lie for ever
	sensorDrift // says lie more than it should
)

// heater is a body with a heater and a thermistor: it gains heat at a rate that its
// power sets and loses it in proportion to how much warmer it is than the room.
type heater struct {
	id      string // as the firmware calls it
	suffix  string // of its messages
	temp    float64
	target  float64
	power   float64 // 0 to fullPower
	gain    float64 // K/s at full power, no losses
	decay   float64 // of the distance to the final temperature, per tick
	tau     float64 // s
	minTemp float64
	maxTemp float64
	maxSet  float64
	broken  sensorFault
	lie     float64
	skew    float64 // how much too high the sensor reads

	openReads, shortReads float64 // what a sensor with a broken wire, and a shorted one, reads

	noise    float64 // of the present round of the converter
	step     bool    // the sensor is read in steps of a converter
	dead     bool    // heats no more
	stuckOn  bool    // heats whatever it is told
	held     bool    // temp does not change
	watchFor time.Duration
	runFor   time.Duration
	runHyst  float64

	watchAt   time.Duration // has to be warmer by then; 0 is not watched
	watchTemp float64
	stable    bool // has been at its target
	runTarget float64
	runAt     time.Duration

	kp, ki, kd float64 // of the controller, as M301 has them
	reach      float64 // K from the target within which it controls, PID_FUNCTIONAL_RANGE

	fresh    bool // the controller's integral is to start anew
	integral float64
	lastTemp float64
	slope    float64
}

// thermal is everything that is warm. The firmware sets the power of its heaters and
// reads their sensors; the physics runs by itself.
type thermal struct {
	now     time.Duration
	next    time.Duration
	ambient float64
	all     []*heater // tools first, then the bed, then the chamber if there is one
	tools   int
	bedAt   time.Duration
	noise   float64 // K, standard deviation of what a sensor says
	fan     unit.Duty
	rpm     float64
	fanDead bool
	waiting bool // a command waits for a temperature; M108 ends it
	cold    bool // M302: cold extrusion is allowed
	minExt  float64
}

func newThermal(cfg *Config) thermal {
	t := thermal{ambient: cfg.Ambient.Degrees(), next: tempTick, tools: cfg.Extruders, noise: cfg.Noise.Degrees()}
	for i := range cfg.Extruders {
		t.all = append(t.all, &heater{
			id: "E" + strconv.Itoa(i), temp: t.ambient, gain: 5.1, tau: 66, kp: 22.2, ki: 1.08, kd: 114, reach: 10, openReads: -15, shortReads: 400, minTemp: 5, maxTemp: 275, maxSet: 275 - overshoot,
			watchFor: 40 * time.Second, runFor: 40 * time.Second, runHyst: 4,
		})
	}
	t.hotend().temp = cfg.Hotend.Degrees()
	t.all = append(t.all, &heater{
		id: "bed", suffix: " BED", temp: t.ambient, gain: 0.78, tau: 270, openReads: -15, shortReads: 400, minTemp: 5, maxTemp: 150, maxSet: 150 - bedOvershoot,
		watchFor: 60 * time.Second, runFor: 20 * time.Second, runHyst: 2,
	})
	if cfg.Chamber {
		t.all = append(t.all, &heater{
			id: "Chamber", suffix: " CHAMBER", temp: t.ambient, gain: 0.12, tau: 700, openReads: -15, shortReads: 400, minTemp: 5, maxTemp: 100, maxSet: 90,
			watchFor: 60 * time.Second, runFor: 20 * time.Second, runHyst: 2,
		})
	}
	for _, h := range t.all {
		h.decay = math.Exp(-tempTick.Seconds() / h.tau)
	}
	return t
}

func (t *thermal) tool(i int) *heater { return t.all[i] }
func (t *thermal) hotend() *heater    { return t.all[0] }
func (t *thermal) bed() *heater       { return t.all[t.tools] }

// chamber is nil where there is none.
func (t *thermal) chamber() *heater {
	if len(t.all) == t.tools+1 {
		return nil
	}
	return t.all[t.tools+1]
}

// restart forgets what the firmware wanted.
func (t *thermal) restart(now time.Duration) {
	t.off()
	t.now, t.next, t.bedAt = now, now+tempTick, now+bedEvery
	t.waiting, t.cold, t.minExt = false, false, extrudeMin
}

// off is disable_all_heaters, and the fan.
func (t *thermal) off() {
	for _, h := range t.all {
		h.set(0, t.now)
		h.power = 0
	}
	t.fan = 0
}

// reading is what the thermistor says.
func (h *heater) reading() float64 {
	t := h.temp + h.skew
	switch h.broken {
	case sensorOpen:
		return h.openReads
	case sensorShort:
		return h.shortReads
	case sensorStuck:
		return h.lie
	case sensorDrift:
		t += h.lie
	}
	if h.step {
		return converted(t + h.noise)
	}
	return t + h.noise
}

// A thermistor of 100 kΩ at 25 °C with a beta of 3950 K under 4.7 kΩ, on a converter
// of ten bits of which 16 samples are added.
const (
	zeroC    = 273.15
	beta     = 3950
	pullUp   = 4.7 / 100
	fullRead = 1023 * 16
)

// converted is a temperature as such a converter sees it: in steps of 0.04 K at 22 °C,
// of 0.02 K at 200 °C.
func converted(t float64) float64 {
	r := math.Exp(beta * (1/(t+zeroC) - 1/(25+zeroC)))
	count := math.Round(fullRead * r / (r + pullUp))
	count = max(1, min(count, fullRead-1))
	r = pullUp * count / (fullRead - count)
	return 1/(math.Log(r)/beta+1/(25+zeroC)) - zeroC
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

const (
	drift     = -0.5   // K/s, of a sensor that drifts
	fanCools  = 0.12   // how much more heat a hot end loses to a fan at full speed
	fanFull   = 5000.0 // turns a minute
	fanTau    = 0.8    // s
	fanStarts = 20     // duty below which it stands still
)

// tick is one round of the converter: the physics of it.
func (t *thermal) tick(rng *rand.Rand) {
	t.now = t.next
	t.next += tempTick
	t.turn(rng)
	for i, h := range t.all {
		wind := 0.0
		if i < t.tools {
			wind = fanCools * t.rpm / fanFull
		}
		h.warm(t.ambient, wind)
		if h.broken == sensorDrift {
			h.lie += drift * tempTick.Seconds()
		}
		if t.noise > 0 {
			h.noise, h.step = rng.NormFloat64()*t.noise, true
		}
	}
}

// turn lets the fan follow its duty.
func (t *thermal) turn(rng *rand.Rand) {
	want := 0.0
	if t.fan >= fanStarts && !t.fanDead {
		want = fanFull * float64(t.fan) / fullPower
		if t.noise > 0 {
			want *= 1 + rng.NormFloat64()/100
		}
	}
	t.rpm = want + (t.rpm-want)*math.Exp(-tempTick.Seconds()/fanTau)
}

// pidAndBang is how most firmwares are configured: a PID for each hot end, and for
// the rest a switch every five seconds.
func (t *thermal) pidAndBang() {
	for _, h := range t.all[:t.tools] {
		h.pid()
	}
	due := t.now >= t.bedAt
	if due {
		t.bedAt = t.now + bedEvery
	}
	for _, h := range t.all[t.tools:] {
		r := h.reading()
		switch {
		case h.target == 0, due:
			h.power = 0
			if r < h.target && r > h.minTemp {
				h.power = fullPower
			}
		}
	}
}

// warm lets a heater gain what its power brings and lose what the room takes; wind
// is how much more it loses than in still air.
func (h *heater) warm(ambient, wind float64) {
	if h.held {
		return
	}
	power := h.power / fullPower
	switch {
	case h.dead:
		power = 0
	case h.stuckOn:
		power = 1
	}
	final, decay := ambient+h.gain*h.tau*power, h.decay
	if wind > 0 {
		final = ambient + h.gain*h.tau*power/(1+wind)
		decay = math.Exp(-tempTick.Seconds() * (1 + wind) / h.tau)
	}
	h.temp = final + (h.temp-final)*decay
}

// pid is get_pid_output of Marlin/src/module/temperature.cpp.
func (h *heater) pid() {
	temp := h.reading()
	diff := h.target - temp
	const keep = 0.95 // PID_K1
	h.slope = keep*h.slope + (1-keep)*(h.kd/tempTick.Seconds())*(h.lastTemp-temp)
	h.lastTemp = temp
	switch {
	case h.target == 0 || diff < -h.reach:
		h.power, h.fresh = 0, true
	case diff > h.reach:
		h.power, h.fresh = fullPower, true
	default:
		if h.fresh {
			h.integral, h.fresh = 0, false
		}
		ki := h.ki * tempTick.Seconds()
		h.integral = max(0, min(h.integral+diff, fullPower/max(ki, 1e-6)))
		h.power = max(0, min(h.kp*diff+ki*h.integral+h.slope, fullPower))
	}
}
