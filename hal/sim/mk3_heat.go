package sim

import (
	"math"
	"strconv"
	"time"
)

// Waiting for heaters and watching them (Configuration.h, variants/MK3S.h).
const (
	mk3Residency  = 3 * time.Second // TEMP_RESIDENCY_TIME
	mk3Window     = 1.0             // TEMP_WINDOW
	mk3Hyst       = 5.0             // TEMP_HYSTERESIS
	mk3LookEvery  = 2 * time.Second
	mk3ModelEvery = 270 * time.Millisecond
	mk3ModelWarn  = 1.2 // K/s, M310 W
	mk3ModelError = 1.74
	mk3ModelLag   = 0.05
)

// mk3Heat is the firmware's view of its heaters.
type mk3Heat struct {
	lookAt  time.Duration
	watch   [2]mk3Watch // hot end and bed
	model   bool        // M310 S: the thermal model of the hot end watches
	modelAt time.Duration
	last    float64 // reading of the round before; 0 is none yet
	err     float64 // K/s, filtered
	tripped bool
}

// mk3Watch is temp_runaway_check of one heater.
type mk3Watch struct {
	target  float64
	preheat bool
	start   float64
	count   int
	slow    int // periods without progress
	away    int // looks outside of the range
}

// regulate implements firmware: both heaters have a PID.
func (m *mk3) regulate() {
	for _, h := range m.therm.all {
		h.pid()
		if r := h.reading(); r <= h.minTemp || r >= h.maxTemp {
			h.power = 0
		}
	}
}

// manageHeaters acts on sensors and heaters that fail.
func (m *mk3) manageHeaters() {
	for i, h := range m.therm.all {
		r, name := h.reading(), strconv.Itoa(i)
		bed := i >= m.therm.tools
		switch {
		case r >= h.maxTemp && bed:
			m.stopped("Error:Temperature heated bed switched off. MAXTEMP triggered!\n")
		case r >= h.maxTemp:
			m.stopped("Error:" + name + ": Heaters switched off. MAXTEMP triggered!\n")
		case r <= h.minTemp && bed:
			m.stopped("Error:Temperature heated bed switched off. MINTEMP triggered!\n")
		case r <= h.minTemp:
			m.stopped("Error:" + name + ": Heaters switched off. MINTEMP triggered!\n")
		}
	}
	if m.now >= m.heat.lookAt {
		m.heat.lookAt = m.now + mk3LookEvery
		m.watchOver(&m.heat.watch[0], m.therm.hotend(), false)
		m.watchOver(&m.heat.watch[1], m.therm.bed(), true)
	}
	if m.now >= m.heat.modelAt {
		m.heat.modelAt = m.now + mk3ModelEvery
		m.watchModel()
	}
}

// watchOver is temp_runaway_check, every two seconds.
func (m *mk3) watchOver(w *mk3Watch, h *heater, bed bool) {
	r := h.reading()
	hyst, timeout, periods, errors, delta := 15.0, 45, 8, 5, 2.0
	if bed {
		hyst, timeout, periods, errors, delta = 5, 360, 16, 3, 3
	}
	if w.target != h.target {
		*w = mk3Watch{target: h.target, preheat: h.target > 0, start: r}
	}
	if h.target == 0 {
		return
	}
	if w.preheat && r < h.target {
		w.count++
		if w.count > periods {
			w.count = 0
			if w.slow++; r-w.start >= delta {
				w.slow = 0
			}
			w.start = r
			if w.slow > errors {
				m.stopped(map[bool]string{false: "Error: THERMAL RUNAWAY (PREHEAT HOTEND)\n", true: "Error: THERMAL RUNAWAY (PREHEAT HEATBED)\n"}[bed])
				return
			}
		}
	}
	if w.preheat && r > h.target-hyst {
		w.preheat, w.away = false, 0
	}
	if w.preheat || h.power == 0 || math.Abs(r-h.target) < hyst {
		w.away = 0
		return
	}
	if w.away++; w.away*2 > timeout {
		m.stopped(map[bool]string{false: "Error: HOTEND THERMAL RUNAWAY\n", true: "Error: HEATBED THERMAL RUNAWAY\n"}[bed])
	}
}

// watchModel compares how the hot end warms with how it should, given its power.
func (m *mk3) watchModel() {
	h, heat := m.therm.hotend(), &m.heat
	r := h.reading()
	last := heat.last
	heat.last = r
	if last == 0 || !heat.model {
		return
	}
	dt := mk3ModelEvery.Seconds()
	loss := (r - m.therm.ambient) / h.tau * (1 + fanCools*m.therm.rpm/fanFull)
	want := h.gain*h.power/fullPower - loss
	heat.err += mk3ModelLag * ((r-last)/dt - want - heat.err)
	off := math.Abs(heat.err)
	switch {
	case off > mk3ModelError && !heat.tripped:
		heat.tripped = true
		m.modelError(off)
		return
	case off < mk3ModelError && heat.tripped:
		heat.tripped = false
		m.print("TM: error cleared\n")
	}
	if off > mk3ModelWarn {
		m.print("TM: error |" + strconv.FormatFloat(off, 'f', 6, 64) + "|>1.200000\n")
	}
}

// modelError is a thermal anomaly: the print pauses, and wants a person.
func (m *mk3) modelError(off float64) {
	m.print("TM: error |" + strconv.FormatFloat(off, 'f', 6, 64) + "|>1.200000\nLCD status changed\nTM: error triggered!\n")
	if m.refusing {
		return
	}
	m.giveUp()
	m.print("LCD status changed\necho:enqueing \"M83\"\necho:enqueing \"G1 E-1.000 F2700\"\n//action:paused\n" +
		"echo:Printer stopped due to errors. Supervision required.\n")
	m.parkLater()
}

// stopped is ThermalStop without recovery: why, said once.
func (m *mk3) stopped(why string) {
	m.therm.off()
	if m.refusing {
		return
	}
	m.giveUp()
	m.print("LCD status changed\n" + why + "//action:cancel\nError:Printer stopped due to errors. Supervision required.\n")
	m.parkLater()
}

// giveUp stops what is under way and takes no more commands.
func (m *mk3) giveUp() {
	m.refusing = true
	m.stats.Kills++
	m.therm.off()
	m.abandon()
	m.pose.at, m.pose.e = m.plan.posMM, m.plan.posE
	m.queue = m.queue[:0]
	m.notice.state = mk3Paused
}

// parkLater lifts the head a while after the print was stopped.
func (m *mk3) parkLater() {
	m.schedule(m.now+1100*time.Millisecond, func(*mcu) { m.interject("tmc2130_home_enter(axes_mask=0x04)\n") })
	m.schedule(m.now+2*time.Second, func(*mcu) { m.interject("tmc2130_home_exit tmc2130_sg_homing_axes_mask=0x04\n") })
}

// temperatures is the report of M105.
func (m *mk3) temperatures() string {
	h, b := m.therm.hotend(), m.therm.bed()
	hot := tenth(h.reading()) + " /" + tenth(h.target)
	return "T:" + hot + " B:" + tenth(b.reading()) + " /" + tenth(b.target) + " T0:" + hot +
		" @:" + strconv.Itoa(int(h.power)/2) + " B@:" + strconv.Itoa(int(b.power)/2) +
		" P:" + tenth(m.therm.ambient-0.3) + " A:" + tenth(m.therm.ambient+1)
}

// awaitHotend is wait_for_heater of M109.
func (m *mk3) awaitHotend(h *heater) {
	if h.target == 0 {
		return
	}
	up := h.target > h.reading()
	since, report := never, m.now+time.Second
	for m.waits() && (since == never || m.now < since+mk3Residency) {
		if m.now > report {
			left := "?"
			if since != never {
				left = strconv.Itoa(int((since + mk3Residency - m.now) / time.Second))
			}
			m.print("T:" + tenth(h.reading()) + " E:0 W:" + left + "\n")
			report = m.now + time.Second
		}
		m.hold(report + 1)
		r := h.reading()
		switch {
		case since == never && (up && r >= h.target-mk3Window || !up && r <= h.target+mk3Window):
			since = m.now
		case since != never && math.Abs(r-h.target) > mk3Hyst:
			since = m.now
		}
	}
}

// awaitBed is the loop of M190; with S it waits for warmth only.
func (m *mk3) awaitBed(b *heater, cooling bool) {
	up := b.target > b.reading()
	report := m.now + time.Second
	for m.waits() && (up && b.reading() < b.target || !up && cooling && b.reading() > b.target) {
		if m.now > report {
			m.print("T:" + two(m.therm.hotend().reading()) + " E:0 B:" + tenth(b.reading()) + "\n")
			report = m.now + time.Second
		}
		m.hold(report + 1)
	}
}

// waits reports whether a command may go on waiting: an error ends that.
func (m *mk3) waits() bool { return m.up() && !m.refusing }
