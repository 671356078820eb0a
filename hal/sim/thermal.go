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

// thermal is everything that is warm. The firmware sets the power of its heaters and
// reads their sensors; the physics runs by itself.
type thermal struct {
	now     time.Duration
	next    time.Duration
	ambient float64
	all     []*heater // tools first, then the bed, then the chamber if there is one
	tools   int
	bedAt   time.Duration
	fan     unit.Duty
	waiting bool // a command waits for a temperature; M108 ends it
	cold    bool // M302: cold extrusion is allowed
	minExt  float64
}

func newThermal(cfg *Config) thermal {
	t := thermal{ambient: cfg.Ambient.Degrees(), next: tempTick, tools: cfg.Extruders}
	for i := range cfg.Extruders {
		t.all = append(t.all, &heater{
			id: "E" + strconv.Itoa(i), temp: t.ambient, gain: 5.1, tau: 66, minTemp: 5, maxTemp: 275, maxSet: 275 - overshoot,
			watchFor: 40 * time.Second, runFor: 40 * time.Second, runHyst: 4,
		})
	}
	t.hotend().temp = cfg.Hotend.Degrees()
	t.all = append(t.all, &heater{
		id: "bed", suffix: " BED", temp: t.ambient, gain: 0.78, tau: 270, minTemp: 5, maxTemp: 150, maxSet: 150 - bedOvershoot,
		watchFor: 60 * time.Second, runFor: 20 * time.Second, runHyst: 2,
	})
	if cfg.Chamber {
		t.all = append(t.all, &heater{
			id: "Chamber", suffix: " CHAMBER", temp: t.ambient, gain: 0.12, tau: 700, minTemp: 5, maxTemp: 100, maxSet: 90,
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

// tick is one round of the converter: the physics of it.
func (t *thermal) tick() {
	t.now = t.next
	t.next += tempTick
	for _, h := range t.all {
		h.warm(t.ambient)
	}
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
